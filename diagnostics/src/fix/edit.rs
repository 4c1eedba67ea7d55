//! New words in a file of Rust. Nothing is printed anew: what was there stays as it was written.

use super::attributes::{Annotation, Family, spelled};
use super::plan::Takes;
use super::program::{Function, Module};
use std::collections::{BTreeMap, BTreeSet};

/// What is written into one file.
#[derive(Debug, Default)]
pub(super) struct Edits {
    /// At each place one behind another.
    insertions: BTreeMap<usize, Vec<String>>,
    /// What goes for them, from where they are to where.
    replaced: BTreeMap<usize, usize>,
    /// What is used of cofferdam or serial_test, by the place of the `use`.
    uses: BTreeMap<(usize, bool, &'static str), BTreeSet<&'static str>>,
}

/// A function that is to take keys.
#[derive(Debug)]
pub(super) struct Target<'a> {
    pub(super) function: &'a Function,
    pub(super) module: &'a Module,
    pub(super) family: Family,
    /// The file that it is in.
    pub(super) text: &'a str,
}

/// Why the function can be given no attribute of that family, unless it can.
pub(super) fn obstacle(function: &Function, family: Family) -> Option<&'static str> {
    if function.is_conditional {
        return Some("what it takes already stands in a #[cfg_attr]");
    }
    if function.has_no_place && family == Family::Cofferdam {
        return Some(
            "#[test_with::…] refuses a #[serial] below it, and stands above #[rstest], which has to be above it",
        );
    }
    // Each of serial_test's waits for its keys when those below it have theirs. All that are written here take what has
    // a name at once, then what has none, then the file's, so no two tests wait for each other.
    let rank = |there: &Annotation| match there.family {
        Family::SerialTestFile if !there.is_of_module => Some(0),
        Family::SerialTest if !there.is_of_module => Some(1 + usize::from(there.more.is_some())),
        _ => None,
    };
    let ranks: Option<Vec<usize>> = function.annotations.iter().map(rank).collect();
    let is_in_order = ranks.is_some_and(|ranks| ranks.windows(2).all(|two| two[0] < two[1]));
    (family != Family::Cofferdam && !is_in_order).then_some(
        "it takes keys by several attributes or by its module's, and with one more two tests could wait for each other",
    )
}

impl Edits {
    /// Has the function take these keys besides what it takes.
    pub(super) fn take(&mut self, one: &Target<'_>, takes: &Takes) {
        let Takes {
            mut alone,
            mut shared,
        } = takes.clone();
        let is_ours = one.family == Family::Cofferdam;
        // Those of the module are given to tests without an attribute, and to this one no more.
        let of_module = |there: &&Annotation| is_ours && there.is_of_module && there.family == one.family;
        for there in one.function.annotations.iter().filter(of_module) {
            if there.alone { &mut alone } else { &mut shared }.extend(there.held());
        }
        shared.retain(|key| !alone.contains(key));
        // Of two attributes of serial_test's each test would take the keys in an order of its own, and two could wait
        // for each other. To our macro all of a test are one.
        let there = one
            .function
            .annotations
            .iter()
            .filter(|there| !is_ours && there.family == one.family)
            .find_map(|there| Some((there, there.more?)));
        // That of attributes without a key, which nothing else can name. It stands above: see `obstacle`.
        let unnamed = one.family.default_key();
        let is_alone = alone.remove(unnamed);
        if is_alone || shared.remove(unnamed) {
            let word = if is_alone { "serial" } else { "parallel" };
            let at = there.map_or(one.function.at, |(there, _)| there.at);
            let name = self.name(word, one);
            self.above(at, &format!("#[{name}]"), one.text);
        }
        if !is_ours && !alone.is_empty() {
            alone.append(&mut shared);
        }
        for (word, keys) in [("serial", alone), ("parallel", shared)] {
            let has = |key: &&String| there.is_some_and(|(there, _)| there.keys.contains(key));
            let more: Vec<String> = keys
                .iter()
                .filter(|key| !has(key))
                .map(|key| spelled(key))
                .collect();
            match there {
                _ if keys.is_empty() => {}
                Some((there, at)) => {
                    if word == "serial" && !there.alone {
                        let name = self.name(word, one);
                        self.replaced.insert(there.name.start, there.name.end);
                        self.insert(there.name.start, name);
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

    /// What the attribute is called in the module: its short name, if that is not something else's.
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
            let line = on_its_line(text, at, &format!("use {root}::{words};"), among_others);
            self.insertions.entry(at).or_default().insert(0, line);
        }
        let mut whole = String::with_capacity(text.len() + 1024);
        let mut last = 0;
        for (at, what) in self.insertions {
            whole.push_str(&text[last..at]);
            what.iter().for_each(|what| whole.push_str(what));
            last = self.replaced.get(&at).copied().unwrap_or(at);
        }
        whole + &text[last..]
    }
}

fn newline(text: &str) -> &'static str {
    if text.contains("\r\n") { "\r\n" } else { "\n" }
}

/// A `use` with what parts it from its neighbours.
fn on_its_line(text: &str, at: usize, what: &str, among_others: bool) -> String {
    let (before, behind) = text.split_at(at);
    let newline = newline(text);
    let begin = match before.chars().next_back() {
        None | Some('\n' | '\u{feff}') => "",
        // The file ends without one.
        Some(_) if behind.is_empty() => newline,
        Some(';' | '}') => return format!(" {what}"),
        Some(_) => return format!("{what} "),
    };
    let indent = indent_at(text, at);
    let gap = if among_others { "" } else { newline };
    format!("{begin}{indent}{what}{newline}{gap}")
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
