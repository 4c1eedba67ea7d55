//! Values of a process that two tests use by name: lazily built statics, and rstest's `#[once]` fixtures.
//!
//! Under `cargo test` all tests of a program share one, under nextest each test has its own.

use super::program::{Function, Program};
use super::source_file::{SourceFile, inner, is_attribute, is_group, is_sign, is_word, split_attributes};
use super::test_sources::Sources;
use crate::scene::TestId;
use proc_macro2::{Delimiter, TokenTree};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// A value of which each process has one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct NamedStatic {
    pub(crate) name: String,
    /// The type, macro or attribute that makes it one per process.
    pub(crate) kind: &'static str,
    pub(crate) file: PathBuf,
    pub(crate) line: usize,
    /// Set if the package of the tests depends on cofferdam.
    pub(crate) has_library: bool,
}

impl NamedStatic {
    /// Returns its name, kind and place, with the path below `root`.
    pub(crate) fn shown(&self, root: &Path) -> String {
        let file = self.file.strip_prefix(root).unwrap_or(&self.file);
        format!(
            "`{}`, a value of {} ({}:{})",
            self.name,
            self.kind,
            file.display(),
            self.line
        )
    }

    /// Returns what it means that each process has one, and what gives each test its own.
    pub(crate) fn meaning(&self) -> &'static str {
        match self.has_library {
            true => {
                "the tests of a process share it, and under nextest each test has its own; `cofferdam::WorkerLocal` with \
                 `per_test` or `reset` begins each test anew, and `cofferdam::Fixture` is one for all processes"
            }
            false => "the tests of a process share it, and under nextest each test has its own",
        }
    }
}

const TYPES: [&str; 6] = ["LazyLock", "OnceLock", "Lazy", "OnceCell", "OnceBox", "SyncLazy"];

/// Returns the values that the test and one of the culprits name.
pub(crate) fn of_tests(sources: &Sources, test: &TestId, culprits: &[TestId]) -> Vec<NamedStatic> {
    // The package is not known; the program's name suffices.
    let position = |test: &TestId| sources.find("", &test.binary, &test.name).ok()?.first().copied();
    let Some(test) = position(test) else {
        return Vec::new();
    };
    let culprits = culprits.iter().filter_map(position);
    let culprits = culprits.filter(|culprit| std::ptr::eq(culprit.program, test.program));
    let has_library = test.package.depends_on("cofferdam");
    let found: BTreeSet<NamedStatic> = culprits
        .flat_map(|culprit| of_both(test.program, test.function, culprit.function, has_library))
        .collect();
    found.into_iter().collect()
}

/// Returns the values of a program that both functions name.
fn of_both(program: &Program, one: &Function, other: &Function, has_library: bool) -> BTreeSet<NamedStatic> {
    let (one, other) = (names(program, one), names(program, other));
    let mut found = BTreeSet::new();
    for (path, text) in &program.texts {
        let Some(file) = SourceFile::new(text) else {
            continue;
        };
        declared(&file, &file.tokens, &mut |name, kind, at| {
            if one.contains(&name) && other.contains(&name) {
                found.insert(NamedStatic {
                    name,
                    kind,
                    file: path.clone(),
                    line: file.line(at),
                    has_library,
                });
            }
        });
    }
    found
}

/// Calls `see` with each declaration: its name, kind and offset.
fn declared(file: &SourceFile<'_>, tokens: &[TokenTree], see: &mut dyn FnMut(String, &'static str, usize)) {
    for (at, token) in tokens.iter().enumerate() {
        match token {
            TokenTree::Group(_) => declared(file, &inner(token), see),
            TokenTree::Ident(word) if word == "static" => {
                let is_lazy = tokens.get(at + 1).is_some_and(|next| is_word(next, "ref"));
                let name = at + 1 + usize::from(is_lazy);
                let (Some(TokenTree::Ident(name)), kind) = (
                    tokens.get(name),
                    if is_lazy {
                        Some("lazy_static!")
                    } else {
                        kind(&tokens[at..])
                    },
                ) else {
                    continue;
                };
                if let Some(kind) = kind {
                    see(name.to_string(), kind, file.range(token).start);
                }
            }
            _ => {}
        }
        let (attributes, item) = split_attributes(&tokens[at..]);
        let is_first = at == 0 || !is_group(&tokens[at - 1], Delimiter::Bracket);
        let has = |name: &str| attributes.iter().any(|one| is_attribute(one, name));
        if is_first && has("fixture") && has("once") {
            let keyword = item.iter().position(|token| is_word(token, "fn"));
            if let Some(TokenTree::Ident(name)) = keyword.and_then(|keyword| item.get(keyword + 1)) {
                see(name.to_string(), "#[once]", file.range(&tokens[at]).start);
            }
        }
    }
}

/// Returns the type of a static if it is built lazily.
fn kind(tokens: &[TokenTree]) -> Option<&'static str> {
    let declaration = tokens
        .iter()
        .take_while(|token| !is_sign(token, '=') && !is_sign(token, ';'));
    let mut words = declaration.filter_map(|token| match token {
        TokenTree::Ident(word) => TYPES.into_iter().find(|one| word == one),
        _ => None,
    });
    words.next()
}

/// Returns the words in a function's parameters and body.
fn names(program: &Program, function: &Function) -> BTreeSet<String> {
    let mut words = BTreeSet::new();
    if let Some(file) = program
        .texts
        .get(&function.file)
        .and_then(|text| SourceFile::new(text))
    {
        find(&file, &file.tokens, function, &mut words);
    }
    words
}

/// Collects the words of the function that begins in the line of `function`.
fn find(file: &SourceFile<'_>, tokens: &[TokenTree], function: &Function, words: &mut BTreeSet<String>) {
    for (at, token) in tokens.iter().enumerate() {
        if is_word(token, "fn") && file.line(file.range(token).start) == function.line {
            let rest = tokens.get(at + 2..).unwrap_or_default();
            let end = rest.iter().position(|token| is_group(token, Delimiter::Brace));
            collect(&rest[..end.map_or(rest.len(), |end| end + 1)], words);
            return;
        }
        if let TokenTree::Group(_) = token {
            find(file, &inner(token), function, words);
        }
    }
}

fn collect(tokens: &[TokenTree], words: &mut BTreeSet<String>) {
    for token in tokens {
        match token {
            TokenTree::Group(_) => collect(&inner(token), words),
            TokenTree::Ident(word) => _ = words.insert(word.to_string()),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::scan::scan;
    use super::*;

    #[test]
    fn a_value_of_the_process_that_both_tests_name_is_found_with_its_kind() {
        let text = "use std::sync::{LazyLock, OnceLock};
static A: LazyLock<u8> = LazyLock::new(|| 1);
lazy_static! { static ref B: u8 = 2; }
mod t {
    pub(super) static C: once_cell::sync::Lazy<u8> = f();
    static PLAIN: u8 = 1;
    #[fixture]
    #[once]
    fn server() -> Server { static D: OnceLock<u8> = OnceLock::new(); }
    #[test] fn one() { assert!(*A + *B + PLAIN > vec![*C][0]); }
    #[rstest] fn other(server: &Server) { *B; *C; PLAIN }
    #[rstest] fn third(server: &Server) { A; D }
}
";
        let program = scan(Path::new("lib.rs"), None, &|_| Ok(text.to_owned()));
        let found = |one: &str, other: &str| {
            let [one, other] = [one, other].map(|name| program.find(name)[0]);
            let found = of_both(&program, one, other, false);
            let shown = found
                .iter()
                .map(|one| format!("{} {} {}", one.name, one.kind, one.line));
            shown.collect::<Vec<_>>().join(", ")
        };
        assert_eq!(found("t::one", "t::other"), "B lazy_static! 3, C Lazy 5");
        assert_eq!(found("t::other", "t::third"), "server #[once] 7");
        assert_eq!(found("t::third", "t::one"), "A LazyLock 2");
    }
}
