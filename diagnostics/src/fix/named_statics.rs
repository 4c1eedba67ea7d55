//! Values of a process that two tests use by name: lazily built statics, and rstest's `#[once]` fixtures.
//!
//! Under `cargo test` all tests of a program share one, under nextest each test has its own.

use super::called_functions::CalledFunctions;
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

    /// Returns a note on the tests that share the value, and the ways to give each test its own.
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

/// Returns the values that the test and one of the culprits name, in their own bodies or in functions that they call.
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

/// Returns the values of a program that both functions name, in their own bodies or in functions that they call.
fn of_both(program: &Program, one: &Function, other: &Function, has_library: bool) -> BTreeSet<NamedStatic> {
    let mut functions = CalledFunctions::new(program);
    let [one, other] = [one, other].map(|function| functions.words(function));
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

    /// Returns the names of the values that both tests use.
    fn of_tests(text: &str, more: &'static str) -> String {
        let read = |path: &Path| match path.to_str() {
            Some("lib.rs") => Ok(text.to_owned()),
            Some("db.rs") => Ok(more.to_owned()),
            _ => Err(std::io::ErrorKind::NotFound.into()),
        };
        let program = scan(Path::new("lib.rs"), None, &read);
        let [one, other] = ["t::one", "t::other"].map(|name| program.find(name)[0]);
        let found = of_both(&program, one, other, false);
        found
            .into_iter()
            .map(|one| one.name)
            .collect::<Vec<_>>()
            .join(", ")
    }

    #[test]
    fn a_value_that_a_test_uses_only_by_functions_that_it_calls_is_found() {
        let db = "pub static POOL: OnceLock<u8> = OnceLock::new();
pub fn pool() -> u8 { inner::get::<u8>(1) }
mod inner { pub(super) fn get<T>(_: u8) -> u8 { super::super::recurse(0); *super::POOL } }
";
        for imports in [
            "use super::*; fn open() -> u8 { db::pool() }",
            "use crate::db::pool as open;",
            "use super::db; fn open() -> u8 { db::pool() }",
            "use crate::db::*; fn open() -> u8 { assert!(self::deeper::open() == 1) }\nmod deeper { pub(super) fn open() { crate::db::pool() } }",
        ] {
            let text = format!(
                "mod db;
fn recurse(n: u8) {{ recurse(n) }}
mod t {{
    {imports}
    #[test] fn one() {{ assert_eq!(open(), 1); }}
    #[test] fn other() {{ crate::db::pool(); }}
}}"
            );
            assert_eq!(of_tests(&text, db), "POOL", "{imports}");
        }
    }

    #[test]
    fn functions_of_that_name_that_are_not_called_name_no_value() {
        let db = "pub static POOL: OnceLock<u8> = OnceLock::new(); pub fn pool() -> u8 { *POOL }";
        for test in [
            // Another function, a method, a variable, a parameter, and the path of a type or of another crate.
            "fn pool() {} #[test] fn one() { pool() }",
            "use other::pool; use crate::db::*; #[test] fn one() { pool() }",
            "use crate::db::*; #[test] fn one() { server.pool() }",
            "use crate::db::*; #[test] fn one() { let pool = || 1; pool() }",
            "use crate::db::*; #[rstest] fn one(pool: fn() -> u8) { pool() }",
            "use crate::db::*; #[test] fn one() { fn pool() {} pool() }",
            "use crate::db::*; #[test] fn one() { <Db as Open>::pool(); Db::pool(); ::other::pool(); pool!() }",
            "fn first() { crate::db::pool() } fn second() {} #[test] fn one() { second() }",
            "#[test] fn one() { pool() }",
            "#[test] fn one() { super::super::pool() }",
        ] {
            let text = format!("mod db;\nmod t {{ {test} #[test] fn other() {{ crate::db::pool(); }} }}");
            assert_eq!(of_tests(&text, db), "", "{test}");
        }
    }
}
