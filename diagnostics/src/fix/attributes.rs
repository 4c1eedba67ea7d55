//! Attributes in the source that keep tests apart: cofferdam's and serial_test's.

use cofferdam_conflicts::Runner;
use proc_macro2::{TokenStream, TokenTree};
use std::collections::BTreeMap;
use std::ops::Range;
use syn::ext::IdentExt as _;
use syn::parse::Parser as _;
use syn::spanned::Spanned as _;
use syn::{Attribute, Ident, LitStr, Meta, Path, UseTree};

/// The origin of an attribute, which determines what it keeps apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Family {
    /// cofferdam's attributes: keep threads and processes apart.
    Cofferdam,
    /// serial_test's `serial` and `parallel`: keep the threads of one process apart.
    SerialTest,
    /// serial_test's `file_serial` and `file_parallel`: also keep processes apart.
    SerialTestFile,
}

impl Family {
    /// Returns whether it keeps tests apart under a runner.
    pub(crate) fn holds_under(self, runner: Runner) -> bool {
        self != Self::SerialTest || runner == Runner::CargoTest
    }

    /// Returns the key of an attribute without one.
    pub(crate) fn default_key(self) -> &'static str {
        match self {
            Self::Cofferdam => "serial",
            Self::SerialTest | Self::SerialTestFile => "",
        }
    }

    /// Returns the name of its crate.
    pub(crate) fn crate_name(self) -> &'static str {
        match self {
            Self::Cofferdam => "cofferdam",
            Self::SerialTest | Self::SerialTestFile => "serial_test",
        }
    }

    /// Returns the family of an attribute by its crate and name, and whether it is exclusive.
    fn of(crate_name: &str, name: &str) -> Option<(Self, bool)> {
        let family = match crate_name {
            "cofferdam" if !name.starts_with("file_") => Self::Cofferdam,
            "serial_test" if name.starts_with("file_") => Self::SerialTestFile,
            "serial_test" => Self::SerialTest,
            _ => return None,
        };
        ATTRIBUTE_NAMES
            .contains(&name)
            .then(|| (family, name.ends_with("serial")))
    }
}

/// An attribute on a test or on a module of tests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Annotation {
    pub(crate) family: Family,
    pub(crate) is_exclusive: bool,
    /// Empty for the default key.
    pub(crate) keys: Vec<String>,
    /// Set if the attribute is on the test's module.
    pub(crate) is_of_module: bool,
    /// The source text.
    pub(crate) text: String,
    pub(crate) line: usize,
    /// The byte offset at which it begins.
    pub(crate) at: usize,
    /// The byte range of its name.
    pub(crate) name: Range<usize>,
    /// The byte offset at which another key can be inserted, if it has keys.
    pub(crate) insert_key_at: Option<usize>,
}

impl Annotation {
    /// Returns the keys that it takes.
    pub(crate) fn keys_taken(&self) -> Vec<String> {
        match self.keys.as_slice() {
            [] => vec![self.family.default_key().to_owned()],
            keys => keys.to_vec(),
        }
    }
}

/// The attribute names in scope in a module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Names {
    known: BTreeMap<String, (Family, bool)>,
    /// Names that belong to other items.
    unrelated: Vec<String>,
}

pub(super) const ATTRIBUTE_NAMES: [&str; 4] = ["serial", "parallel", "file_serial", "file_parallel"];

impl Names {
    /// Reads the `use` items of a module inside `outer`.
    pub(crate) fn of<'a>(uses: impl Iterator<Item = &'a UseTree>, outer: &Self) -> Self {
        let mut leaves = Vec::new();
        uses.for_each(|tree| flatten(tree, &mut Vec::new(), &mut leaves));
        let mut names = Self::default();
        // Named imports shadow glob imports.
        for is_glob in [true, false] {
            for (path, name) in leaves.iter().filter(|(_, name)| (name == "*") == is_glob) {
                names.add(path, name, outer);
            }
        }
        names
    }

    fn add(&mut self, path: &[String], name: &str, outer: &Self) {
        let first = path.first().map_or("", String::as_str);
        match (first, name) {
            ("super", "*") if path.len() == 1 => *self = outer.clone(),
            (_, "*") => {
                for attribute_name in ATTRIBUTE_NAMES.iter().filter(|_| path.len() == 1) {
                    if let Some(attribute) = Family::of(first, attribute_name) {
                        self.known.insert((*attribute_name).to_owned(), attribute);
                    }
                }
            }
            _ => {
                let original = path.last().map_or("", String::as_str);
                let attribute = match first {
                    "super" => outer.known.get(original).copied(),
                    _ => Family::of(first, original),
                };
                match attribute {
                    Some(attribute) => _ = self.known.insert(name.to_owned(), attribute),
                    None if ATTRIBUTE_NAMES.contains(&name) => self.unrelated.push(name.to_owned()),
                    None => {}
                }
            }
        }
    }

    /// Returns the family of an attribute name.
    pub(crate) fn get(&self, name: &str) -> Option<Family> {
        self.known.get(name).map(|(family, _)| *family)
    }

    /// Returns whether the name is unused in the module.
    pub(crate) fn is_free(&self, name: &str) -> bool {
        !self.known.contains_key(name) && !self.unrelated.iter().any(|other| other == name)
    }
}

pub(super) fn flatten(tree: &UseTree, path: &mut Vec<String>, leaves: &mut Vec<(Vec<String>, String)>) {
    let with = |path: &[String], last: &Ident| [path, &[last.to_string()]].concat();
    match tree {
        UseTree::Path(part) => {
            path.push(part.ident.to_string());
            flatten(&part.tree, path, leaves);
            path.pop();
        }
        UseTree::Name(name) => leaves.push((with(path, &name.ident), name.ident.to_string())),
        UseTree::Rename(name) => leaves.push((with(path, &name.ident), name.rename.to_string())),
        UseTree::Glob(_) => leaves.push((path.clone(), "*".to_owned())),
        UseTree::Group(group) => group.items.iter().for_each(|tree| flatten(tree, path, leaves)),
    }
}

/// Returns the last segment of an attribute's path.
fn last_segment(path: &Path) -> Option<String> {
    path.segments.last().map(|last| last.ident.to_string())
}

/// Returns whether the last segment is one of `words`.
pub(super) fn is_last(path: &Path, words: &[&str]) -> bool {
    last_segment(path).is_some_and(|last| words.contains(&last.as_str()))
}

/// Returns the annotations of an item. `fallback` is the crate of names that no `use` item explains, as with `#[macro_use]`.
pub(crate) fn annotations(
    attributes: &[Attribute],
    names: &Names,
    fallback: Option<&str>,
    text: &str,
) -> Vec<Annotation> {
    attributes
        .iter()
        .filter_map(|attribute| annotation(attribute, names, fallback, text))
        .collect()
}

fn annotation(
    attribute: &Attribute,
    names: &Names,
    fallback: Option<&str>,
    text: &str,
) -> Option<Annotation> {
    let path = attribute.path();
    let last = last_segment(path)?;
    let (family, is_exclusive) = match path.segments.len() {
        1 if names.is_free(&last) => Family::of(fallback?, &last),
        1 => names.known.get(&last).copied(),
        _ => Family::of(&path.segments.first()?.ident.to_string(), &last),
    }?;
    let (keys, end) = match &attribute.meta {
        Meta::List(list) => (keys(&list.tokens), end_of_last(list.tokens.clone())),
        _ => (Vec::new(), None),
    };
    Some(Annotation {
        family,
        is_exclusive,
        is_of_module: false,
        insert_key_at: end.filter(|_| !keys.is_empty()),
        keys,
        text: text
            .get(attribute.span().byte_range())
            .unwrap_or_default()
            .to_owned(),
        line: attribute.span().start().line,
        at: attribute.span().byte_range().start,
        name: path.span().byte_range(),
    })
}

/// Returns whether an annotation is conditional, as in `#[cfg_attr(…, serial)]`; whether the condition holds is unknown.
pub(super) fn is_conditional(attributes: &[Attribute]) -> bool {
    let mut all = attributes
        .iter()
        .flat_map(|attribute| conditional(&attribute.meta));
    all.any(|one| is_last(one.path(), &ATTRIBUTE_NAMES))
}

/// Returns the attributes of a `cfg_attr`, including those of nested ones.
pub(super) fn conditional(attribute: &Meta) -> Vec<Meta> {
    let Meta::List(list) = attribute else {
        return Vec::new();
    };
    if !list.path.is_ident("cfg_attr") {
        return Vec::new();
    }
    // The first part is the condition.
    let metas = parts(&list.tokens)
        .into_iter()
        .skip(1)
        .filter_map(|part| syn::parse2::<Meta>(part).ok());
    let with_inner = metas.flat_map(|meta| {
        let mut all = conditional(&meta);
        all.push(meta);
        all
    });
    with_inner.collect()
}

/// Splits tokens at commas.
pub(super) fn parts(tokens: &TokenStream) -> Vec<TokenStream> {
    let tokens: Vec<TokenTree> = tokens.clone().into_iter().collect();
    let parts = tokens.split(is_comma);
    parts.map(|part| part.iter().cloned().collect()).collect()
}

fn is_comma(token: &TokenTree) -> bool {
    matches!(token, TokenTree::Punct(sign) if sign.as_char() == ',')
}

/// Returns the identifiers and string literals between commas; `crate = x` and `path => x` are no keys.
fn keys(tokens: &TokenStream) -> Vec<String> {
    let only = parts(tokens).into_iter().filter_map(|part| {
        let mut part = part.into_iter();
        part.next().filter(|_| part.next().is_none())
    });
    only.map(|only| key(&only)).collect()
}

fn key(token: &TokenTree) -> String {
    let text = token.to_string();
    syn::parse_str::<LitStr>(&text).map_or(text, |literal| literal.value())
}

/// Returns a key as an attribute's source text.
pub(crate) fn spelled(key: &str) -> String {
    // Keywords are accepted as keys.
    if Ident::parse_any.parse_str(key).is_ok() {
        key.to_owned()
    } else {
        format!("\"{key}\"")
    }
}

/// Returns the byte offset behind the last argument, before a trailing comma.
fn end_of_last(tokens: TokenStream) -> Option<usize> {
    let last = tokens.into_iter().filter(|token| !is_comma(token)).last()?;
    Some(last.span().byte_range().end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str, outer: &Names) -> Names {
        let file = syn::parse_file(text).unwrap();
        let uses = file.items.iter().filter_map(|item| match item {
            syn::Item::Use(item) => Some(&item.tree),
            _ => None,
        });
        Names::of(uses, outer)
    }

    fn read(text: &str) -> Vec<(Family, bool, String)> {
        let file = syn::parse_file(text).unwrap();
        let names = names(text, &Names::default());
        let Some(syn::Item::Fn(item)) = file.items.last() else {
            panic!()
        };
        let all = annotations(&item.attrs, &names, None, text);
        all.into_iter()
            .map(|one| (one.family, one.is_exclusive, one.keys.join(" ")))
            .collect()
    }

    #[test]
    fn an_attribute_is_recognized_by_its_crate() {
        use Family::{Cofferdam, SerialTest, SerialTestFile};
        for (text, family, is_exclusive, keys) in [
            ("#[cofferdam::serial] fn a() {}", Cofferdam, true, ""),
            (
                "use cofferdam::{lock, parallel}; #[parallel(db, \"x y\")] fn a() {}",
                Cofferdam,
                false,
                "db x y",
            ),
            (
                "#[cofferdam::serial(\"order-db\", r#\"raw\"#)] fn a() {}",
                Cofferdam,
                true,
                "order-db raw",
            ),
            (
                "use serial_test::serial; #[test] #[serial] fn a() {}",
                SerialTest,
                true,
                "",
            ),
            (
                "use serial_test::*; #[file_serial(db, path => \"/x\")] fn a() {}",
                SerialTestFile,
                true,
                "db",
            ),
            (
                "use serial_test::parallel as p; #[p(db)] fn a() {}",
                SerialTest,
                false,
                "db",
            ),
            (
                "#[serial_test::file_parallel(db, crate = x)] fn a() {}",
                SerialTestFile,
                false,
                "db",
            ),
        ] {
            assert_eq!(read(text), [(family, is_exclusive, keys.to_owned())], "{text}");
        }
    }

    #[test]
    fn attributes_of_other_crates_are_ignored() {
        for text in [
            "use other::serial; #[serial] fn a() {}",
            "#[serial] fn a() {}",
            "#[cofferdam::other] fn a() {}",
            "#[test] fn a() {}",
        ] {
            assert_eq!(read(text), [], "{text}");
        }
    }

    #[test]
    fn a_module_sees_the_names_that_it_imports_from_its_parent() {
        let outer = names("use serial_test::serial;", &Names::default());
        assert_eq!(
            names("use super::*;", &outer).get("serial"),
            Some(Family::SerialTest)
        );
        assert_eq!(
            names("use super::serial;", &outer).get("serial"),
            Some(Family::SerialTest)
        );
        assert_eq!(
            names("use super::*; use cofferdam::serial;", &outer).get("serial"),
            Some(Family::Cofferdam)
        );
        assert_eq!(names("use super::shop;", &outer).get("serial"), None);
        assert!(!names("use other::serial;", &outer).is_free("serial"));
    }
}
