//! Names with control characters and commands of runners.

use crate::recording::{Journal, run_folder, told, told_json};

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
    let refused = told(base.path(), &["check", "--format", "none"]).err;
    let (_, formats) = refused.split_once("[possible values: ").unwrap();
    let (formats, _) = formats.split_once(']').unwrap();
    for format in formats.split(", ") {
        let told = told(base.path(), &["check", "--format", format]);
        assert_eq!(told.code, Some(1), "{}", told.err);
        for line in told.out.lines() {
            assert!(
                !line
                    .chars()
                    .any(|letter| letter.is_control() || letter == '\u{202e}'),
                "{format}: {line:?}"
            );
            let ours = format == "github"
                && line.starts_with("::error file=tests/shop.rs,line=7,title=cofferdam%3A ");
            assert!(ours || !line.trim_start().starts_with("::"), "{format}: {line:?}");
            assert!(!line.contains("##["), "{format}: {line:?}");
        }
    }
    let (_, told) = told_json(base.path(), &["check", "--format", "json"]);
    assert_eq!(told["conflicts"][0]["resource"]["name"], HOSTILE);
}

#[test]
fn a_hostile_file_name_in_an_error_is_harmless_too() {
    let base = tempfile::tempdir().unwrap();
    let told = told(base.path(), &["check", "x\u{1b}[31m\n::error::y"]);
    assert!(
        told.out.contains("could not read x\\u{1b}[31m\\n::error::y"),
        "{:?}",
        told.out
    );
}
