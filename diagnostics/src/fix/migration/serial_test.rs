//! serial_test's attributes as cofferdam's.

use super::super::attributes::ATTRIBUTE_NAMES;
use super::super::imports::{ImportedName, Imports};
use super::super::replacements::Replacements;
use super::super::source_file::{
    SourceFile, inner, is_attribute, is_group, is_sign, is_word, path_at, split_attributes,
};
use super::{FileMigration, Remark};
use proc_macro2::{Delimiter, TokenTree};
use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;

const CRATE: &str = "serial_test";

/// A file with its attributes.
pub(super) struct SerialFile<'a> {
    pub(super) path: &'a Path,
    file: SourceFile<'a>,
    imports: Imports,
    found: Vec<Found>,
}

/// An attribute of serial_test.
#[derive(Debug)]
struct Found {
    name: &'static str,
    /// Set if the file has another name for it.
    is_renamed: bool,
    /// Set if the path names the crate.
    is_qualified: bool,
    path: Range<usize>,
    /// The attribute with its `#`, or its part of a `cfg_attr`.
    whole: Range<usize>,
    keys: Vec<String>,
    /// The reason that it cannot become cofferdam's.
    left: Option<&'static str>,
    /// The offset behind the last attribute, if it has to move there.
    moves_to: Option<usize>,
}

impl Found {
    /// Returns the keys as serial_test compares them: `file_serial(key)` is not the key of `serial(key)`.
    fn locks(&self) -> impl Iterator<Item = (bool, &str)> {
        let is_file = self.name.starts_with("file_");
        self.keys.iter().map(move |key| (is_file, key.as_str()))
    }
}

/// Returns the name of cofferdam's attribute.
fn ours(name: &str) -> &'static str {
    if name.ends_with("serial") {
        "serial"
    } else {
        "parallel"
    }
}

impl<'a> SerialFile<'a> {
    pub(super) fn read(path: &'a Path, text: &'a str) -> Option<Self> {
        let file = SourceFile::new(text)?;
        let imports = Imports::read(&file, CRATE);
        let mut read = Self {
            path,
            file,
            imports,
            found: Vec::new(),
        };
        let mut found = Vec::new();
        read.find(&read.file.tokens, &mut found);
        read.found = found;
        Some(read)
    }

    fn find(&self, tokens: &[TokenTree], found: &mut Vec<Found>) {
        let mut at = 0;
        while at < tokens.len() {
            let (attributes, rest) = split_attributes(&tokens[at..]);
            if attributes.is_empty() {
                self.find(&inner(&tokens[at]), found);
                at += 1;
                continue;
            }
            let last = self.file.range(attributes[attributes.len() - 1]).end;
            let last_of_rstest = attributes.iter().rposition(|one| is_attribute(one, "rstest"));
            for (index, attribute) in attributes.iter().enumerate() {
                let sign = &tokens[at + 2 * index];
                let whole = self.file.range(sign).start..self.file.range(attribute).end;
                let before = found.len();
                self.attribute(&inner(attribute), &whole, found);
                for one in &mut found[before..] {
                    one.moves_to = last_of_rstest.filter(|rstest| *rstest > index).map(|_| last);
                    one.left = one.left.or_else(|| self.obstacle_of_module(rest));
                    if one.moves_to.is_some() && one.whole != whole {
                        one.left = Some("it is conditional, and above #[rstest]");
                    }
                }
            }
            at = tokens.len() - rest.len();
        }
    }

    /// Finds the attribute in these tokens, which may be a `cfg_attr`.
    fn attribute(&self, tokens: &[TokenTree], whole: &Range<usize>, found: &mut Vec<Found>) {
        let (path, length) = path_at(tokens);
        let arguments = tokens.get(length).map(inner).unwrap_or_default();
        if path == ["cfg_attr"] {
            for part in arguments.split(|token| is_sign(token, ',')).skip(1) {
                self.attribute(part, &self.file.range_of(part), found);
            }
            return;
        }
        let Some((name, is_renamed)) = self.name_of(&path) else {
            return;
        };
        let (keys, left) = keys(&arguments);
        found.push(Found {
            name,
            is_renamed,
            is_qualified: path.len() > 1,
            path: self.file.range_of(&tokens[..length]),
            whole: whole.clone(),
            keys,
            left,
            moves_to: None,
        });
    }

    /// Returns serial_test's name of an attribute's path, and whether the file renames it.
    fn name_of(&self, path: &[String]) -> Option<(&'static str, bool)> {
        let known = |name: &str| ATTRIBUTE_NAMES.into_iter().find(|one| *one == name);
        match path {
            [root, name] if root == CRATE => Some((known(name)?, false)),
            [name] => match self.imports.named(name) {
                Some(imported) => Some((known(&imported.original)?, imported.original != *name)),
                // It may be imported by a glob, or by `#[macro_use]`.
                None if self.imports.foreign.contains(name) => None,
                None => Some((known(name)?, false)),
            },
            _ => None,
        }
    }

    /// Returns the reason that cofferdam's attribute means something else on this module.
    fn obstacle_of_module(&self, item: &[TokenTree]) -> Option<&'static str> {
        let at = item.iter().take(4).position(|token| is_word(token, "mod"))?;
        let Some(body) = item.get(at + 2).filter(|body| is_group(body, Delimiter::Brace)) else {
            return Some("the module's body is in another file");
        };
        let tokens = inner(body);
        let mut at = 0;
        while at < tokens.len() {
            let (attributes, rest) = split_attributes(&tokens[at..]);
            at = tokens.len() - rest.len();
            let paths = attributes.iter().map(|one| path_at(&inner(one)).0);
            let paths: Vec<Vec<String>> = paths.collect();
            let is_test = |path: &Vec<String>| path.iter().any(|part| part.contains("test") && part != CRATE);
            let is_ours = |path: &Vec<String>| {
                path.last()
                    .is_some_and(|last| ["test", "rstest"].contains(&last.as_str()))
            };
            let is_function = rest.iter().take(4).any(|token| is_word(token, "fn"));
            if is_function && paths.iter().any(is_test) {
                if paths.iter().any(|path| self.name_of(path).is_some()) {
                    return Some(
                        "a test of the module has an attribute of its own, which would replace the module's",
                    );
                }
                if !paths.iter().any(is_ours) {
                    return Some(
                        "a test of the module is made by another macro, to which cofferdam's attribute does not apply",
                    );
                }
            }
            at += 1;
        }
        None
    }

    /// Returns the attributes that have to be left.
    fn left(&self) -> impl Iterator<Item = &Found> {
        self.found.iter().filter(|one| one.left.is_some())
    }

    /// Returns what becomes of the file. `qualifies` says that names come from `#[macro_use]`.
    fn migration(&self, qualifies: bool) -> FileMigration {
        let file = &self.file;
        let mut replacements = Replacements::default();
        let (mut left, mut rewritten) = (Vec::new(), 0);
        for one in &self.found {
            if let Some(why) = one.left {
                left.push(self.remark(&one.whole, why));
                if !one.is_qualified {
                    replacements.add(one.path.clone(), format!("{CRATE}::{}", one.name));
                }
                continue;
            }
            rewritten += 1;
            let is_imported =
                self.imports.named(&file.text[one.path.clone()]).is_some() || self.imports.has_all();
            let name = match (one.is_renamed, one.is_qualified) {
                (true, _) => file.text[one.path.clone()].to_owned(),
                (_, true) if file.text[one.path.clone()].starts_with(':') => {
                    format!("::cofferdam::{}", ours(one.name))
                }
                (_, true) => format!("cofferdam::{}", ours(one.name)),
                _ if qualifies && !is_imported => format!("cofferdam::{}", ours(one.name)),
                _ => ours(one.name).to_owned(),
            };
            match one.moves_to {
                None => replacements.add(one.path.clone(), name),
                Some(at) => {
                    replacements.add(file.with_lines(one.whole.clone()), "");
                    let arguments = &file.text[one.path.end..one.whole.end];
                    replacements.add(at..at, format!("{}#[{name}{arguments}", file.new_line(at)));
                }
            }
        }
        self.replace_imports(&mut replacements);
        for range in &self.imports.extern_crates {
            replacements.add(file.with_lines(range.clone()), "");
        }
        let mut others: Vec<Range<usize>> = self
            .imports
            .all
            .iter()
            .filter(|import| import.names.iter().any(is_other))
            .map(|import| import.range.clone())
            .collect();
        let mentions = self.imports.unhandled(file, CRATE, &replacements);
        let is_left = |range: &Range<usize>| self.left().any(|one| one.whole.contains(&range.start));
        others.extend(mentions.into_iter().filter(|range| !is_left(range)));
        left.extend(
            others
                .into_iter()
                .map(|range| self.remark(&range, "no attribute of serial_test")),
        );
        FileMigration {
            replacements,
            left,
            to_check: Vec::new(),
            rewritten,
        }
    }

    fn remark(&self, range: &Range<usize>, why: &str) -> Remark {
        Remark::new(self.path, &self.file, range, why)
    }

    fn replace_imports(&self, replacements: &mut Replacements) {
        for import in &self.imports.all {
            let (attributes, kept): (Vec<ImportedName>, Vec<ImportedName>) =
                import.names.iter().cloned().partition(|one| !is_other(one));
            let mut new: Vec<ImportedName> = Vec::new();
            for one in attributes {
                let named = |original: &'static str, name: String| ImportedName {
                    original: original.to_owned(),
                    name,
                };
                if one.name == "*" {
                    let used: BTreeSet<&str> = self
                        .found
                        .iter()
                        .filter(|found| !found.is_qualified && found.left.is_none())
                        .map(|found| ours(found.name))
                        .collect();
                    let names = ["parallel", "serial"].into_iter();
                    let names = names.filter(|name| used.is_empty() || used.contains(name));
                    new.extend(names.map(|name| named(name, name.to_owned())));
                } else if one.name == one.original {
                    new.push(named(ours(&one.original), ours(&one.original).to_owned()));
                } else {
                    new.push(named(ours(&one.original), one.name));
                }
            }
            import.replace(&self.file, CRATE, &kept, &new, replacements);
        }
    }
}

/// Returns what becomes of the files of a workspace. A key stays with serial_test in all files if it does in one.
pub(super) fn migrate(files: &mut [SerialFile<'_>]) -> Vec<FileMigration> {
    loop {
        let left: BTreeSet<(bool, String)> = files
            .iter()
            .flat_map(SerialFile::left)
            .flat_map(|one| one.locks().map(|(is_file, key)| (is_file, key.to_owned())))
            .collect();
        let mut is_stable = true;
        for one in files.iter_mut().flat_map(|file| &mut file.found) {
            let shares = one
                .locks()
                .any(|(is_file, key)| left.contains(&(is_file, key.to_owned())));
            if one.left.is_none() && shares {
                one.left = Some("another attribute with its key is left");
                is_stable = false;
            }
        }
        if is_stable {
            break;
        }
    }
    let qualifies = files.iter().any(|file| !file.imports.extern_crates.is_empty());
    files.iter().map(|file| file.migration(qualifies)).collect()
}

/// Returns whether the name is not one of an attribute.
fn is_other(one: &ImportedName) -> bool {
    one.name != "*" && !ATTRIBUTE_NAMES.contains(&one.original.as_str())
}

/// Returns the keys of an attribute, and the reason that cofferdam's does not take its arguments.
fn keys(arguments: &[TokenTree]) -> (Vec<String>, Option<&'static str>) {
    let (mut keys, mut left) = (Vec::new(), None);
    for part in arguments.split(|token| is_sign(token, ',')) {
        match part {
            [] => {}
            [TokenTree::Ident(key)] => keys.push(key.to_string()),
            // The argument of a macro.
            [sign, TokenTree::Ident(key)] if is_sign(sign, '$') => keys.push(format!("${key}")),
            [TokenTree::Literal(text)] => {
                let text = text.to_string();
                let key = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
                if key.is_none_or(|key| key.contains('\\')) {
                    left = Some("its key is no plain word or text");
                }
                keys.push(key.map_or_else(|| text.clone(), str::to_owned));
            }
            [first, ..] if is_word(first, "path") => {
                left = Some(
                    "it has a path: cofferdam::lock::LockOptions::machine excludes all processes of the machine",
                );
            }
            [first, ..] if is_word(first, "inner_attrs") => {
                left = Some("it has inner_attrs: write those attributes below #[serial], on the function");
            }
            _ => left = Some("its arguments are not only keys"),
        }
    }
    if keys.is_empty() {
        keys.push(String::new());
    }
    (keys, left)
}
