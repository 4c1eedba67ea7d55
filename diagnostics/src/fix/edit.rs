//! Insertions into a Rust source file. Everything else keeps its formatting.

use super::attributes::{Annotation, Family, spelled};
use super::key_plan::KeysToAdd;
use super::parsed_file::Insertion;
use super::program::{Function, Module};
use super::source_file::newline;
use super::static_declaration::NewDeclaration;
use std::collections::{BTreeMap, BTreeSet};

/// The edits of one file.
#[derive(Debug, Default)]
pub(super) struct Edits {
    /// Insertions by byte offset, in order.
    insertions: BTreeMap<usize, Vec<String>>,
    /// Replaced ranges, by start.
    replaced: BTreeMap<usize, usize>,
    /// Names to import, by the position and crate of the `use` item.
    uses: BTreeMap<(usize, bool, &'static str), BTreeSet<&'static str>>,
}

/// A function to annotate.
#[derive(Debug)]
pub(super) struct Target<'a> {
    pub(super) function: &'a Function,
    pub(super) module: &'a Module,
    pub(super) family: Family,
    /// The content of its file.
    pub(super) text: &'a str,
}

/// Returns the reason a function cannot be annotated with an attribute of the family, if there is one.
pub(super) fn obstacle(function: &Function, family: Family) -> Option<&'static str> {
    if function.is_conditional {
        return Some("its keys are in a #[cfg_attr], whose condition is unknown");
    }
    if function.has_no_position && family == Family::Cofferdam {
        return Some(
            "#[test_with::…] does not allow #[serial] below it, and it is above #[rstest], which must be above #[serial]",
        );
    }
    // serial_test's attributes lock from the bottom up. All attributes written here lock named keys first, then the default
    // key, then the file's, so no two tests can deadlock.
    let rank = |present: &Annotation| match present.family {
        Family::SerialTestFile if !present.is_of_module => Some(0),
        Family::SerialTest if !present.is_of_module => Some(1 + usize::from(present.insert_key_at.is_some())),
        _ => None,
    };
    let ranks: Option<Vec<usize>> = function.annotations.iter().map(rank).collect();
    let is_in_order = ranks.is_some_and(|ranks| ranks.windows(2).all(|two| two[0] < two[1]));
    (family != Family::Cofferdam && !is_in_order).then_some(
        "it takes keys by several attributes or by its module's, so another attribute could let two tests deadlock",
    )
}

impl Edits {
    /// Adds keys to those the function already takes.
    pub(super) fn add_keys(&mut self, one: &Target<'_>, keys: &KeysToAdd) {
        let KeysToAdd {
            mut exclusive,
            mut shared,
        } = keys.clone();
        let is_ours = one.family == Family::Cofferdam;
        // The module's keys apply to tests without an attribute, so they must be repeated on this test.
        let of_module =
            |present: &&Annotation| is_ours && present.is_of_module && present.family == one.family;
        for present in one.function.annotations.iter().filter(of_module) {
            if present.is_exclusive {
                &mut exclusive
            } else {
                &mut shared
            }
            .extend(present.keys_taken());
        }
        shared.retain(|key| !exclusive.contains(key));
        // With two attributes of serial_test each test would lock keys in an order of its own and could deadlock, so keys are
        // added to an existing attribute. cofferdam's macro merges all attributes of a test.
        let present = one
            .function
            .annotations
            .iter()
            .filter(|present| !is_ours && present.family == one.family)
            .find_map(|present| Some((present, present.insert_key_at?)));
        // The default key cannot be named, so it needs an attribute of its own, above the others: see `obstacle`.
        let unnamed = one.family.default_key();
        let is_exclusive = exclusive.remove(unnamed);
        if is_exclusive || shared.remove(unnamed) {
            let word = if is_exclusive { "serial" } else { "parallel" };
            let at = present.map_or(one.function.at, |(present, _)| present.at);
            let name = self.name(word, one);
            self.above(at, &format!("#[{name}]"), one.text);
        }
        if !is_ours && !exclusive.is_empty() {
            exclusive.append(&mut shared);
        }
        for (word, keys) in [("serial", exclusive), ("parallel", shared)] {
            let has = |key: &&String| present.is_some_and(|(present, _)| present.keys.contains(key));
            let more: Vec<String> = keys
                .iter()
                .filter(|key| !has(key))
                .map(|key| spelled(key))
                .collect();
            match present {
                _ if keys.is_empty() => {}
                Some((present, at)) => {
                    if word == "serial" && !present.is_exclusive {
                        let name = self.name(word, one);
                        self.replaced.insert(present.name.start, present.name.end);
                        self.insert(present.name.start, name);
                    }
                    more.iter().for_each(|key| self.insert(at, format!(", {key}")));
                }
                None => {
                    let name = self.name(word, one);
                    self.above(
                        one.function.at,
                        &format!("#[{name}({})]", more.join(", ")),
                        one.text,
                    );
                }
            }
        }
    }

    /// Returns the attribute's name in the module: the short name unless another item has it.
    fn name(&mut self, word: &'static str, one: &Target<'_>) -> String {
        let (module, family) = (one.module, one.family);
        let root = family.crate_name();
        match module.names.get(word) {
            Some(known) if known == family => word.to_owned(),
            None if module.names.is_free(word) => {
                let place = (module.insertion.at, module.insertion.among_others, root);
                self.uses.entry(place).or_default().insert(word);
                word.to_owned()
            }
            _ => format!("{root}::{word}"),
        }
    }

    /// Gives each worker or test its own value of a static.
    pub(super) fn declare(&mut self, new: &NewDeclaration) {
        for (range, with) in &new.replaced {
            self.insert(range.start, with.clone());
            self.replaced.insert(range.start, range.end);
        }
        if let Some(Insertion { at, among_others }) = new.import {
            let place = (at, among_others, Family::Cofferdam.crate_name());
            self.uses.entry(place).or_default().insert("WorkerLocal");
        }
    }

    fn insert(&mut self, at: usize, what: String) {
        self.insertions.entry(at).or_default().push(what);
    }

    /// Inserts on a separate line if the code at `at` starts its line.
    fn above(&mut self, at: usize, what: &str, text: &str) {
        let line = text[..at].rfind('\n').map_or(0, |end| end + 1);
        let indent = &text[line..at];
        let is_own = indent.chars().all(char::is_whitespace);
        let behind = if is_own {
            format!("{}{indent}", newline(text))
        } else {
            " ".to_owned()
        };
        self.insert(at, format!("{what}{behind}"));
    }

    /// Returns the edited file.
    pub(super) fn apply(mut self, text: &str) -> String {
        for ((at, among_others, root), words) in std::mem::take(&mut self.uses) {
            let words: Vec<&str> = words.into_iter().collect();
            let words = if words.len() == 1 {
                words[0].to_owned()
            } else {
                format!("{{{}}}", words.join(", "))
            };
            let line = on_its_line(text, at, &format!("use {root}::{words};"), among_others);
            self.insertions.entry(at).or_default().insert(0, line);
        }
        let mut edited = String::with_capacity(text.len() + 1024);
        let mut last = 0;
        for (at, what) in self.insertions {
            edited.push_str(&text[last..at]);
            what.iter().for_each(|what| edited.push_str(what));
            last = self.replaced.get(&at).copied().unwrap_or(at);
        }
        edited + &text[last..]
    }
}

/// Returns a `use` item with the line breaks around it.
fn on_its_line(text: &str, at: usize, what: &str, among_others: bool) -> String {
    let (before, behind) = text.split_at(at);
    let newline = newline(text);
    let begin = match before.chars().next_back() {
        None | Some('\n' | '\u{feff}') => "",
        // The file does not end with a line break.
        Some(_) if behind.is_empty() => newline,
        Some(';' | '}') => return format!(" {what}"),
        Some(_) => return format!("{what} "),
    };
    let indent = indent_at(text, at);
    let gap = if among_others { "" } else { newline };
    format!("{begin}{indent}{what}{newline}{gap}")
}

/// Returns the indentation of the line at `at`, or of the line before it.
fn indent_at(text: &str, at: usize) -> &str {
    let indent = |line: &str| line.len() - line.trim_start_matches([' ', '\t']).len();
    let here = text[at..].lines().next().unwrap_or_default();
    let before = text[..at].lines().next_back().unwrap_or_default();
    let line = if here.trim().is_empty() || here.trim_start().starts_with('}') {
        before
    } else {
        here
    };
    if line.trim_end().ends_with('{') {
        ""
    } else {
        &line[..indent(line)]
    }
}
