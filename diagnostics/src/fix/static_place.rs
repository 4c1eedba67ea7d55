//! The code that declares a static: the tests, the code under test, or a dependency.

use super::source_file::{SourceFile, inner, is_attribute, is_group, is_sign, split_attributes};
use cofferdam_conflicts::{StaticFacts, StaticPlace};
use proc_macro2::{Delimiter, TokenTree};
use std::fs;
use std::path::Path;

/// Returns the code that declares a static. `dir` is the directory in which the suite's command was started.
pub(super) fn of(facts: &StaticFacts, dir: &Path) -> StaticPlace {
    let Some((file, line)) = declared(facts) else {
        return StaticPlace::Dependency;
    };
    // Paths outside of this directory are absolute.
    if file.is_absolute() {
        return StaticPlace::Dependency;
    }
    let in_tests = file.iter().any(|part| part == "tests" || part == "tests.rs");
    let text = || fs::read_to_string(dir.join(file)).unwrap_or_default();
    if in_tests || is_for_tests(&text(), line) {
        StaticPlace::Tests
    } else {
        StaticPlace::Production
    }
}

/// Returns the file and the line of the declaration, if they are known.
pub(super) fn declared(facts: &StaticFacts) -> Option<(&Path, usize)> {
    let (file, line) = facts.declared.as_deref()?.rsplit_once(':')?;
    Some((Path::new(file), line.parse().ok()?))
}

/// Returns whether the item in this line is compiled only for tests.
fn is_for_tests(text: &str, line: usize) -> bool {
    SourceFile::new(text).is_some_and(|file| is_below(&file, &file.tokens, line))
}

/// Returns whether the item in this line, or one around it, has an attribute of tests.
fn is_below(file: &SourceFile<'_>, mut tokens: &[TokenTree], line: usize) -> bool {
    while !tokens.is_empty() {
        let (attributes, rest) = split_attributes(tokens);
        let is_end = |token: &TokenTree| is_sign(token, ';') || is_group(token, Delimiter::Brace);
        let length = rest.iter().position(is_end).map_or(rest.len(), |end| end + 1);
        let (item, after) = rest.split_at(length);
        let range = file.range_of(item);
        if (file.line(range.start)..=file.line(range.end)).contains(&line) {
            return attributes.into_iter().any(is_of_tests)
                || item.iter().any(|token| is_below(file, &inner(token), line));
        }
        tokens = after;
    }
    false
}

fn is_of_tests(attribute: &TokenTree) -> bool {
    is_attribute(attribute, "test")
        || is_attribute(attribute, "cfg") && has_word(attribute, "test") && !has_word(attribute, "not")
}

/// Returns whether a group has an identifier of this name: `"latest"` in `feature = "latest"` is none.
fn has_word(group: &TokenTree, word: &str) -> bool {
    inner(group)
        .iter()
        .any(|token| matches!(token, TokenTree::Ident(name) if name == word) || has_word(token, word))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIB: &str = "use std::sync::Mutex;
static A: Mutex<u32> = Mutex::new(1);
fn next() -> u32 {
    static B: Mutex<u32> = Mutex::new(2);
    1
}
#[cfg(not(test))]
static C: u32 = 1;
#[cfg(test)]
mod checks {
    static D: Mutex<u32> = Mutex::new(3);
    #[test]
    fn works() {}
}
#[test]
fn counts() {
    static E: Mutex<u32> = Mutex::new(4);
}
#[cfg(feature = \"latest\")]
static F: u32 = 1;
#[cfg(all(test, feature = \"notify\"))]
static G: u32 = 1;
";

    #[test]
    fn a_static_belongs_to_the_tests_in_their_files_modules_and_functions() {
        let dir = tempfile::tempdir().unwrap();
        for file in ["src/lib.rs", "tests/it.rs", "src/tests.rs"] {
            let path = dir.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, LIB).unwrap();
        }
        for (declared, place) in [
            (Some("src/lib.rs:2"), StaticPlace::Production),
            (Some("src/lib.rs:4"), StaticPlace::Production),
            (Some("src/lib.rs:8"), StaticPlace::Production),
            (Some("src/lib.rs:11"), StaticPlace::Tests),
            (Some("src/lib.rs:17"), StaticPlace::Tests),
            (Some("src/lib.rs:20"), StaticPlace::Production),
            (Some("src/lib.rs:22"), StaticPlace::Tests),
            (Some("src/lib.rs:99"), StaticPlace::Production),
            (Some("src/gone.rs:1"), StaticPlace::Production),
            (Some("tests/it.rs:2"), StaticPlace::Tests),
            (Some("src/tests.rs:2"), StaticPlace::Tests),
            (Some("/elsewhere/src/lib.rs:2"), StaticPlace::Dependency),
            (None, StaticPlace::Dependency),
        ] {
            let facts = StaticFacts {
                declared: declared.map(str::to_owned),
                ..StaticFacts::default()
            };
            assert_eq!(of(&facts, dir.path()), place, "{declared:?}");
        }
    }
}
