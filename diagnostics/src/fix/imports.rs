//! The imports of a crate, and their replacements.

use super::attributes::flatten;
use super::replacements::Replacements;
use super::source_file::{
    SourceFile, begins_with_colons, inner, is_group, is_sign, is_word, split_attributes,
};
use proc_macro2::{Delimiter, TokenStream, TokenTree};
use std::collections::BTreeSet;
use std::ops::Range;
use syn::UseTree;

/// An imported name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ImportedName {
    /// The name in its crate; `*` for all.
    pub(super) original: String,
    /// The name in the file.
    pub(super) name: String,
}

impl ImportedName {
    /// Returns a name that the file does not change.
    pub(super) fn unchanged(name: &str) -> Self {
        Self {
            original: name.to_owned(),
            name: name.to_owned(),
        }
    }
}

/// A part of a `use` item that begins with the crate.
#[derive(Debug)]
pub(super) struct Import {
    pub(super) names: Vec<ImportedName>,
    pub(super) range: Range<usize>,
    /// The range of the item, if the part is all of it.
    item: Option<Range<usize>>,
}

/// The mentions of a crate in the items of a file.
#[derive(Debug, Default)]
pub(super) struct Imports {
    pub(super) all: Vec<Import>,
    /// The `extern crate` items.
    pub(super) extern_crates: Vec<Range<usize>>,
    /// Names that the file imports from elsewhere.
    pub(super) foreign: BTreeSet<String>,
}

impl Imports {
    pub(super) fn read(file: &SourceFile<'_>, crate_name: &str) -> Self {
        let mut imports = Self::default();
        imports.read_items(file, &file.tokens, crate_name);
        imports
    }

    fn read_items(&mut self, file: &SourceFile<'_>, tokens: &[TokenTree], crate_name: &str) {
        let mut at = 0;
        while at < tokens.len() {
            let (_, item) = split_attributes(&tokens[at..]);
            let start = at;
            at = tokens.len() - item.len();
            let Some(first) = item.first() else { break };
            let behind_visibility = match item {
                [word, scope, ..] if is_word(word, "pub") && is_group(scope, Delimiter::Parenthesis) => 2,
                [word, ..] if is_word(word, "pub") => 1,
                _ => 0,
            };
            let body = &item[behind_visibility..];
            // In the pattern of a macro, an item may have no end.
            let end = body.iter().position(|token| is_sign(token, ';')).unwrap_or(0);
            match &body[..end] {
                [word, tree @ ..] if is_word(word, "use") => {
                    let item = file.range_of(&tokens[start..at + behind_visibility + end + 1]);
                    self.read_use(file, tree, crate_name, item);
                    at += behind_visibility + end;
                }
                [first, second, name, ..]
                    if is_word(first, "extern") && is_word(second, "crate") && is_word(name, crate_name) =>
                {
                    let all = &tokens[start..at + behind_visibility + end + 1];
                    self.extern_crates.push(file.range_of(all));
                    at += behind_visibility + end;
                }
                _ => {
                    if matches!(first, TokenTree::Group(_)) {
                        self.read_items(file, &inner(first), crate_name);
                    }
                    at += 1;
                }
            }
        }
    }

    fn read_use(&mut self, file: &SourceFile<'_>, tree: &[TokenTree], crate_name: &str, item: Range<usize>) {
        let root = if begins_with_colons(tree) {
            &tree[2..]
        } else {
            tree
        };
        if let [group] = root
            && is_group(group, Delimiter::Brace)
        {
            let parts = inner(group);
            for part in parts.split(|token| is_sign(token, ',')) {
                self.read_part(file, part, crate_name, None);
            }
            return;
        }
        self.read_part(file, tree, crate_name, Some(item));
    }

    fn read_part(
        &mut self,
        file: &SourceFile<'_>,
        part: &[TokenTree],
        crate_name: &str,
        item: Option<Range<usize>>,
    ) {
        let path = if begins_with_colons(part) {
            &part[2..]
        } else {
            part
        };
        let tokens: TokenStream = path.iter().cloned().collect();
        let Ok(tree) = syn::parse2::<UseTree>(tokens) else {
            return;
        };
        let mut leaves = Vec::new();
        flatten(&tree, &mut Vec::new(), &mut leaves);
        if path.first().is_some_and(|first| is_word(first, crate_name)) {
            // `use serial_test as name` is a mention of its own.
            if !begins_with_colons(&path[1..]) {
                return;
            }
            let names = leaves.into_iter().map(|(path, name)| ImportedName {
                original: if name == "*" {
                    name.clone()
                } else {
                    path[1..].join("::")
                },
                name,
            });
            self.all.push(Import {
                names: names.collect(),
                range: file.range_of(part),
                item,
            });
        } else if path
            .first()
            .is_some_and(|first| !["self", "super", "crate"].iter().any(|word| is_word(first, word)))
        {
            self.foreign.extend(leaves.into_iter().map(|(_, name)| name));
        }
    }

    /// Returns the imported name with this name in the file.
    pub(super) fn named(&self, name: &str) -> Option<&ImportedName> {
        let mut all = self.all.iter().flat_map(|import| &import.names);
        all.find(|one| one.name == name)
    }

    /// Returns whether the file imports all names.
    pub(super) fn has_all(&self) -> bool {
        self.named("*").is_some()
    }

    /// Returns whether the offset is in one of the items.
    pub(super) fn contain(&self, at: usize) -> bool {
        self.all.iter().any(|import| import.range.contains(&at))
            || self.extern_crates.iter().any(|range| range.contains(&at))
    }

    /// Returns the places outside of the replacements that name the crate in code or in an example.
    pub(super) fn unhandled(
        &self,
        file: &SourceFile<'_>,
        crate_name: &str,
        replacements: &Replacements,
    ) -> Vec<Range<usize>> {
        let mut places = Vec::new();
        mentions(file, &file.tokens, crate_name, &mut places);
        places.retain(|place| !replacements.contain(place.start) && !self.contain(place.start));
        places
    }
}

/// Collects the places that name the crate.
fn mentions(file: &SourceFile<'_>, tokens: &[TokenTree], crate_name: &str, places: &mut Vec<Range<usize>>) {
    for token in tokens {
        match token {
            TokenTree::Group(_) => mentions(file, &inner(token), crate_name, places),
            TokenTree::Ident(word) if word == crate_name => places.push(file.range(token)),
            TokenTree::Literal(literal) => {
                let range = file.range(token);
                let is_comment = file.text[range.clone()].starts_with('/');
                if is_comment && literal.to_string().contains(&format!("{crate_name}::")) {
                    places.push(range);
                }
            }
            _ => {}
        }
    }
}

impl Import {
    /// Returns whether it has only these names, none of them renamed.
    pub(super) fn is_of(&self, names: &[&str]) -> bool {
        self.names
            .iter()
            .all(|one| names.contains(&one.original.as_str()) && one.name == one.original)
    }

    /// Returns whether it exports the names.
    pub(super) fn is_public(&self, file: &SourceFile<'_>) -> bool {
        let item = self.item.as_ref().map_or("", |item| &file.text[item.clone()]);
        item.contains("pub use") || item.contains("pub(")
    }

    /// Replaces the import by `kept` names of the crate and `new` names of cofferdam, each with its name in the file.
    pub(super) fn replace(
        &self,
        file: &SourceFile<'_>,
        crate_name: &str,
        kept: &[ImportedName],
        new: &[ImportedName],
        replacements: &mut Replacements,
    ) {
        let parts = [(crate_name, kept), ("cofferdam", new)].map(|(root, names)| written(root, names));
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        match (parts.as_slice(), &self.item) {
            ([], Some(item)) => replacements.add(file.with_lines(item.clone()), ""),
            ([], None) => {
                let rest = &file.text[self.range.end..];
                let comma = rest
                    .find(|sign: char| !sign.is_whitespace())
                    .filter(|at| rest[*at..].starts_with(','));
                let end = comma.map_or(self.range.end, |at| self.range.end + at + 1);
                replacements.add(file.with_lines(self.range.start..end), "");
            }
            ([one], _) => replacements.add(self.range.clone(), one.as_str()),
            (several, Some(_)) => replacements.add(self.range.clone(), format!("{{{}}}", several.join(", "))),
            (several, None) => replacements.add(self.range.clone(), several.join(", ")),
        }
    }
}

/// Returns the names below their root, as in `cofferdam::{parallel, serial}`.
fn written(root: &str, names: &[ImportedName]) -> Option<String> {
    let one = |name: &ImportedName| match name.original.rsplit("::").next() {
        Some(last) if last == name.name => name.original.clone(),
        _ => format!("{} as {}", name.original, name.name),
    };
    let names: BTreeSet<String> = names.iter().map(one).collect();
    let names: Vec<String> = names.into_iter().collect();
    match names.as_slice() {
        [] => None,
        [one] => Some(format!("{root}::{one}")),
        several => Some(format!("{root}::{{{}}}", several.join(", "))),
    }
}
