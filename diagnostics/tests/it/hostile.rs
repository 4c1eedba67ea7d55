//! Names with control characters and commands of runners.

use crate::recording::{Journal, json_of, output_of, run_folder};

const HOSTILE: &str = "a\u{1b}[31m\u{9b}2J\u{202e}\r\n::error::gone\n##[error]gone";

#[test]
fn a_hostile_name_steers_neither_terminal_nor_runner_in_any_format() {
    let base = tempfile::tempdir().unwrap();
    let folder = run_folder(base.path(), "r1", "s1", 1);
    for (execution, worker) in [(1, "w0"), (2, "w1")] {
        Journal::new("r1", "s1", worker, 10)
            .test(
                execution,
                &format!("{HOSTILE}{worker}"),
                &format!("name:{HOSTILE}"),
                10,
                30,
            )
            .write(&folder);
    }
    for format in ["human", "json"] {
        let output = output_of(base.path(), &["check", "--format", format, "--github", "always"]);
        assert_eq!(output.code, Some(1), "{}", output.err);
        for line in output.out.lines().chain(output.err.lines()) {
            assert!(
                !line
                    .chars()
                    .any(|letter| letter.is_control() || letter == '\u{202e}'),
                "{format}: {line:?}"
            );
            let ours = line.starts_with("::error file=tests/shop.rs,line=7,title=cofferdam%3A ");
            assert!(ours || !line.trim_start().starts_with("::"), "{format}: {line:?}");
            assert!(!line.contains("##["), "{format}: {line:?}");
        }
    }
    let (_, report) = json_of(base.path(), &["check", "--format", "json"]);
    assert_eq!(report["conflicts"][0]["resource"]["name"], HOSTILE);
}

#[test]
fn a_hostile_file_name_in_an_error_is_harmless_too() {
    let base = tempfile::tempdir().unwrap();
    let output = output_of(base.path(), &["check", "x\u{1b}[31m\n::error::y"]);
    assert!(
        output.out.contains("could not read x\\u{1b}[31m\\n::error::y"),
        "{:?}",
        output.out
    );
}
