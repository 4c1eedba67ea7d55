//! New words in a file of Rust. Nothing is printed anew: what was there stays as it was written.

use super::attributes::Family;
use super::plan::Takes;
use super::program::{Function, Module};
use std::collections::{BTreeMap, BTreeSet};

/// What is written into one file.
#[derive(Debug, Default)]
pub(super) struct Edits {
    /// At each place one behind another.
    insertions: BTreeMap<usize, Vec<String>>,
    /// What is used of cofferdam or serial_test, by the place of the `use`.
    uses: BTreeMap<(usize, bool, &'static str), BTreeSet<&'static str>>,
}

impl Edits {
    /// Has the function take these keys besides what it takes.
    pub(super) fn take(
        &mut self,
        function: &Function,
        module: &Module,
        takes: &Takes,
        family: Family,
        text: &str,
    ) {
        let more = match family {
            Family::Cofferdam => attributes_of_ours(function, takes),
            // One attribute: of two, each test would take its keys in an order of its own, and two could wait for
            // each other.
            _ if !takes.alone.is_empty() => {
                vec![("serial", takes.alone.union(&takes.shared).cloned().collect())]
            }
            _ => vec![("parallel", takes.shared.clone())],
        };
        for (word, mut keys) in more {
            // That of attributes without a key, which nothing else can name.
            if keys.remove(family.default_key()) {
                let name = self.name(word, module, family);
                self.above(function.at, &format!("#[{name}]"), text);
            }
            if keys.is_empty() {
                continue;
            }
            let keys: Vec<String> = keys.into_iter().collect();
            let keys = keys.join(", ");
            let there = function.annotations.iter().find(|there| {
                family != Family::Cofferdam
                    && !there.is_of_module
                    && there.family == family
                    && there.alone == (word == "serial")
            });
            match there.and_then(|there| there.more) {
                Some(at) => self.insert(at, format!(", {keys}")),
                None => {
                    let name = self.name(word, module, family);
                    self.above(function.at, &format!("#[{name}({keys})]"), text);
                }
            }
        }
    }

    /// What the attribute is called in the module: its short name, if that is not something else's.
    fn name(&mut self, word: &'static str, module: &Module, family: Family) -> String {
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

    fn insert(&mut self, at: usize, what: String) {
        self.insertions.entry(at).or_default().push(what);
    }

    /// On a line of its own, if what is there stands on one.
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

    /// The file with all of that.
    pub(super) fn apply(mut self, text: &str) -> String {
        for ((at, among_others, root), words) in std::mem::take(&mut self.uses) {
            let words: Vec<&str> = words.into_iter().collect();
            let words = if words.len() == 1 {
                words[0].to_owned()
            } else {
                format!("{{{}}}", words.join(", "))
            };
            let newline = newline(text);
            let indent = indent_at(text, at);
            let gap = if among_others { "" } else { newline };
            let begin = if text[..at].is_empty() || text[..at].ends_with('\n') {
                ""
            } else {
                newline
            };
            let line = format!("{begin}{indent}use {root}::{words};{newline}{gap}");
            self.insertions.entry(at).or_default().insert(0, line);
        }
        let mut whole = String::with_capacity(text.len() + 1024);
        let mut last = 0;
        for (at, what) in self.insertions {
            whole.push_str(&text[last..at]);
            what.iter().for_each(|what| whole.push_str(what));
            last = at;
        }
        whole + &text[last..]
    }
}

/// With the module's, which are given to tests without an attribute, and to this one no more.
fn attributes_of_ours(function: &Function, takes: &Takes) -> Vec<(&'static str, BTreeSet<String>)> {
    let Takes {
        mut alone,
        mut shared,
    } = takes.clone();
    let all = function.annotations.iter();
    for one in all.filter(|one| one.family == Family::Cofferdam && one.is_of_module) {
        if one.alone { &mut alone } else { &mut shared }.extend(one.held());
    }
    shared.retain(|key| !alone.contains(key));
    let both = [("serial", alone), ("parallel", shared)];
    both.into_iter().filter(|(_, keys)| !keys.is_empty()).collect()
}

fn newline(text: &str) -> &'static str {
    if text.contains("\r\n") { "\r\n" } else { "\n" }
}

/// As far in as what stands on the line there, or on the one before it.
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
