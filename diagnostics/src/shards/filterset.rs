//! nextest's filtersets.

use super::ListedProgram;
use std::fmt::Write as _;

/// Adds a term for some tests of a program; `None` for all of them.
pub(super) fn push(filterset: &mut String, program: &ListedProgram, tests: Option<&[&str]>) {
    if !filterset.is_empty() {
        filterset.push_str(" | ");
    }
    let Some(tests) = tests else {
        push_matcher(filterset, "binary_id", &program.id);
        return;
    };
    filterset.push('(');
    push_matcher(filterset, "binary_id", &program.id);
    for (index, test) in tests.iter().enumerate() {
        filterset.push_str(if index == 0 { " & (" } else { " | " });
        push_matcher(filterset, "test", test);
    }
    filterset.push_str("))");
}

/// Adds `predicate(=name)`. Escapes characters that would end the name or steer a terminal.
fn push_matcher(filterset: &mut String, predicate: &str, name: &str) {
    filterset.push_str(predicate);
    filterset.push_str("(=");
    for letter in name.chars() {
        match letter {
            '\\' | ')' | ',' | '/' => filterset.extend(['\\', letter]),
            ' '..='~' => filterset.push(letter),
            _ if letter.is_alphanumeric() => filterset.push(letter),
            _ => {
                // Writing to a string does not fail.
                let _ = write!(filterset, "\\u{{{:x}}}", u32::from(letter));
            }
        }
    }
    filterset.push(')');
}

/// Returns whether a filterset can address a test of this name: nextest does not parse an empty one.
pub(super) fn can_address(name: &str) -> bool {
    !name.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shards::Tests;
    use std::path::PathBuf;

    #[test]
    fn names_are_escaped_and_complete_programs_are_named_once() {
        let program = |id: &str| ListedProgram {
            is_filtered: false,
            id: id.to_owned(),
            binary: String::new(),
            dir: PathBuf::new(),
            selection: Vec::new(),
            harness_arguments: Vec::new(),
            tests: Tests::Each(Vec::new()),
        };
        let mut filterset = String::new();
        push(&mut filterset, &program("shop"), None);
        push(
            &mut filterset,
            &program("shop::bin/api"),
            Some(&["a::b", "data/x (1), y", "tab\t\u{202e}ü"]),
        );
        assert_eq!(
            filterset,
            r"binary_id(=shop) | (binary_id(=shop::bin\/api) & (test(=a::b) | test(=data\/x (1\)\, y) | test(=tab\u{9}\u{202e}ü)))"
        );
    }
}
