//! The tokens of a source file, and their places in its text.

use super::parsed_file::ParsedFile;
use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};
use std::ops::Range;

/// A source file as tokens.
pub(super) struct SourceFile<'a> {
    pub(super) text: &'a str,
    pub(super) tokens: Vec<TokenTree>,
    /// The offset of the part that the tokens are from.
    skipped: usize,
}

impl<'a> SourceFile<'a> {
    /// Reads the tokens; `None` if the file is not Rust.
    pub(super) fn new(text: &'a str) -> Option<Self> {
        let parsed = ParsedFile::new(text);
        let tokens: TokenStream = parsed.parsed().parse().ok()?;
        Some(Self {
            text,
            tokens: tokens.into_iter().collect(),
            skipped: parsed.offset(0),
        })
    }

    /// Returns the range of a token in the text.
    pub(super) fn range(&self, token: &TokenTree) -> Range<usize> {
        self.shifted(token.span().byte_range())
    }

    /// Returns the range in the text of a range in the part that was parsed.
    pub(super) fn shifted(&self, range: Range<usize>) -> Range<usize> {
        range.start + self.skipped..range.end + self.skipped
    }

    /// Returns the range from the first token to the last.
    pub(super) fn range_of(&self, tokens: &[TokenTree]) -> Range<usize> {
        match tokens {
            [first, .., last] => self.range(first).start..self.range(last).end,
            [only] => self.range(only),
            [] => 0..0,
        }
    }

    /// Returns the range between the delimiters of a group.
    pub(super) fn inside(&self, token: &TokenTree) -> Range<usize> {
        let range = self.range(token);
        range.start + 1..range.end - 1
    }

    pub(super) fn line(&self, at: usize) -> usize {
        self.text[..at].matches('\n').count() + 1
    }

    /// Returns the offset at which the line begins.
    pub(super) fn line_start(&self, at: usize) -> usize {
        self.text[..at].rfind('\n').map_or(0, |end| end + 1)
    }

    /// Returns the indentation of the line.
    pub(super) fn indent(&self, at: usize) -> &'a str {
        let line = &self.text[self.line_start(at)..];
        &line[..line.len() - line.trim_start_matches([' ', '\t']).len()]
    }

    /// Returns a line break and the indentation of the line.
    pub(super) fn new_line(&self, at: usize) -> String {
        format!("{}{}", newline(self.text), self.indent(at))
    }

    /// Extends the range to its lines, if nothing else is on them.
    pub(super) fn with_lines(&self, range: Range<usize>) -> Range<usize> {
        let start = self.line_start(range.start);
        let rest = &self.text[range.end..];
        let line = rest.split_inclusive('\n').next().unwrap_or_default();
        if self.text[start..range.start].trim().is_empty() && line.trim().is_empty() {
            start..range.end + line.len()
        } else {
            range
        }
    }

    /// Returns whether there is a comment in the range, outside of these tokens' own texts.
    pub(super) fn has_comment(&self, range: Range<usize>, tokens: &[TokenTree]) -> bool {
        let mut last = range.start;
        let mut leaves = Vec::new();
        leaf_ranges(tokens, &mut leaves);
        for leaf in leaves.into_iter().map(|leaf| self.shifted(leaf)) {
            if leaf.start >= range.end {
                break;
            }
            if leaf.start >= last {
                if has_comment_sign(&self.text[last..leaf.start]) {
                    return true;
                }
                last = leaf.end;
            }
        }
        last < range.end && has_comment_sign(&self.text[last..range.end])
    }

    /// Returns the text of the range with its lines moved to the indentation, except inside literals.
    pub(super) fn dedented(&self, range: Range<usize>, tokens: &[TokenTree], indent: &str) -> String {
        let mut leaves = Vec::new();
        leaf_ranges(tokens, &mut leaves);
        let leaves: Vec<Range<usize>> = leaves.into_iter().map(|leaf| self.shifted(leaf)).collect();
        let is_in_literal = |at: usize| leaves.iter().any(|leaf| leaf.start < at && at < leaf.end);
        let mut lines: Vec<(usize, &str)> = Vec::new();
        let mut at = range.start;
        for line in self.text[range].split_inclusive('\n') {
            lines.push((at, line));
            at += line.len();
        }
        let depth = |line: &str| line.len() - line.trim_start_matches([' ', '\t']).len();
        let code = lines
            .iter()
            .skip(1)
            .filter(|(at, line)| !line.trim().is_empty() && !is_in_literal(*at));
        let removed = code.map(|(_, line)| depth(line)).min().unwrap_or(0);
        let moved = lines.iter().enumerate().map(|(index, (at, line))| {
            if index == 0 || is_in_literal(*at) || line.trim().is_empty() {
                (*line).to_owned()
            } else {
                format!("{indent}{}", &line[removed..])
            }
        });
        moved.collect::<String>().trim().to_owned()
    }
}

/// Returns the line break of a text.
pub(super) fn newline(text: &str) -> &'static str {
    if text.contains("\r\n") { "\r\n" } else { "\n" }
}

fn has_comment_sign(gap: &str) -> bool {
    gap.contains("//") || gap.contains("/*")
}

/// Collects the ranges of the tokens in groups and outside, in order.
fn leaf_ranges(tokens: &[TokenTree], leaves: &mut Vec<Range<usize>>) {
    for token in tokens {
        match token {
            TokenTree::Group(group) => {
                leaves.push(group.span_open().byte_range());
                leaf_ranges(&inner(token), leaves);
                leaves.push(group.span_close().byte_range());
            }
            token => leaves.push(token.span().byte_range()),
        }
    }
}

/// Returns the tokens of a group.
pub(super) fn inner(token: &TokenTree) -> Vec<TokenTree> {
    match token {
        TokenTree::Group(group) => group.stream().into_iter().collect(),
        _ => Vec::new(),
    }
}

pub(super) fn is_group(token: &TokenTree, delimiter: Delimiter) -> bool {
    matches!(token, TokenTree::Group(group) if group.delimiter() == delimiter)
}

pub(super) fn is_sign(token: &TokenTree, sign: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == sign)
}

pub(super) fn is_word(token: &TokenTree, word: &str) -> bool {
    matches!(token, TokenTree::Ident(ident) if ident == word)
}

/// Returns whether the tokens begin with `::`.
pub(super) fn begins_with_colons(tokens: &[TokenTree]) -> bool {
    matches!(tokens, [TokenTree::Punct(first), second, ..]
        if first.as_char() == ':' && first.spacing() == Spacing::Joint && is_sign(second, ':'))
}

/// Returns the group in brackets of an outer attribute that the tokens begin with.
fn attribute_at(tokens: &[TokenTree]) -> Option<&TokenTree> {
    match tokens {
        [sign, group, ..] if is_sign(sign, '#') && is_group(group, Delimiter::Bracket) => Some(group),
        _ => None,
    }
}

/// Returns the leading attributes' groups, and the tokens behind them.
pub(super) fn split_attributes(tokens: &[TokenTree]) -> (Vec<&TokenTree>, &[TokenTree]) {
    let (mut attributes, mut rest) = (Vec::new(), tokens);
    while let Some(attribute) = attribute_at(rest) {
        attributes.push(attribute);
        rest = &rest[2..];
    }
    (attributes, rest)
}

/// Returns whether the path of an attribute, of which this is the group, ends with the name.
pub(super) fn is_attribute(group: &TokenTree, name: &str) -> bool {
    path_at(&inner(group)).0.last().is_some_and(|last| last == name)
}

/// Returns the segments of the path at the beginning, and the number of its tokens.
pub(super) fn path_at(tokens: &[TokenTree]) -> (Vec<String>, usize) {
    let (mut path, mut at) = (Vec::new(), 0);
    if begins_with_colons(tokens) {
        at = 2;
    }
    while let Some(TokenTree::Ident(segment)) = tokens.get(at) {
        path.push(segment.to_string());
        at += 1;
        if !(begins_with_colons(&tokens[at..]) && matches!(tokens.get(at + 2), Some(TokenTree::Ident(_)))) {
            break;
        }
        at += 2;
    }
    (path, at)
}
