//! The text of a Rust source file, and positions in it.

use super::attributes::Annotation;
use syn::Item;
use syn::spanned::Spanned as _;

/// The position of a new `use` item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Insertion {
    pub(crate) at: usize,
    /// Whether it is among other `use` items.
    pub(crate) among_others: bool,
}

/// The text of a file with the part that was parsed, which excludes a byte order mark and a shebang line.
pub(super) struct Whole<'a> {
    text: &'a str,
    skipped: usize,
}

impl<'a> Whole<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self {
            text,
            skipped: preamble(text),
        }
    }

    /// Returns the part to parse.
    pub(super) fn parsed(&self) -> &'a str {
        &self.text[self.skipped..]
    }

    /// Converts an offset in the parsed part to one in the file.
    pub(super) fn at(&self, parsed: usize) -> usize {
        self.skipped + parsed
    }

    pub(super) fn line(&self, line: usize) -> usize {
        line + self.text[..self.skipped].matches('\n').count()
    }

    pub(super) fn moved(&self, annotations: Vec<Annotation>) -> Vec<Annotation> {
        let moved = |one: Annotation| Annotation {
            line: self.line(one.line),
            at: self.at(one.at),
            name: self.at(one.name.start)..self.at(one.name.end),
            more: one.more.map(|at| self.at(at)),
            ..one
        };
        annotations.into_iter().map(moved).collect()
    }

    /// Returns the position of a new `use` item: in the first block of `use` items, otherwise before the first item that is
    /// not `mod name;`.
    pub(super) fn insertion(&self, items: &[Item], begin: usize) -> Insertion {
        let start = |item: &Item| self.line_start(self.skipped + item.span().byte_range().start);
        let mut uses = items.iter().skip_while(|item| !matches!(item, Item::Use(_)));
        if let Some(first) = uses.next() {
            let more = uses.take_while(|item| matches!(item, Item::Use(_)));
            let block: Vec<&Item> = std::iter::once(first).chain(more).collect();
            let later = block.iter().find(|item| comes_after_ours(item));
            let at = match (later, block.last()) {
                (Some(later), _) => start(later),
                (None, Some(last)) => self.next_line(self.skipped + last.span().byte_range().end),
                (None, None) => start(first),
            };
            return Insertion {
                at,
                among_others: true,
            };
        }
        let first = items
            .iter()
            .find(|item| !matches!(item, Item::Mod(item) if item.content.is_none()));
        let end = |item: &Item| self.next_line(self.skipped + item.span().byte_range().end);
        let at = match (first, items.last()) {
            (Some(first), _) => start(first),
            (None, Some(last)) => end(last),
            (None, None) => self.next_line(self.skipped + begin),
        };
        Insertion {
            at,
            among_others: false,
        }
    }

    fn line_start(&self, at: usize) -> usize {
        let line = self.text[..at].rfind('\n').map_or(0, |end| end + 1);
        // Other code before the item on its line stays where it is.
        if self.text[line..at].trim().is_empty() {
            line
        } else {
            at
        }
    }

    /// Returns the start of the next line if only a line comment follows, otherwise `at`.
    fn next_line(&self, at: usize) -> usize {
        let line = self.text[at..].split_inclusive('\n').next().unwrap_or_default();
        let behind = line.trim();
        if behind.is_empty() || behind.starts_with("//") {
            at + line.len()
        } else {
            at
        }
    }
}

/// Returns whether a `use` item begins with a crate name that sorts after `cofferdam`.
fn comes_after_ours(item: &Item) -> bool {
    let Item::Use(item) = item else { return false };
    let first = match &item.tree {
        syn::UseTree::Path(part) => part.ident.to_string(),
        syn::UseTree::Name(part) => part.ident.to_string(),
        _ => return false,
    };
    !matches!(first.as_str(), "self" | "super" | "crate") && first.as_str() > "cofferdam"
}

/// Returns the length of a byte order mark and a shebang line.
fn preamble(text: &str) -> usize {
    let mark = if text.starts_with('\u{feff}') { 3 } else { 0 };
    let rest = &text[mark..];
    let is_script = rest.starts_with("#!") && !rest[2..].trim_start().starts_with('[');
    mark + if is_script {
        rest.find('\n').unwrap_or(rest.len())
    } else {
        0
    }
}
