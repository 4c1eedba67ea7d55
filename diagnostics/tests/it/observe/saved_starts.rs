//! Commands that only save how their test programs are started.

use super::package::Package;
use super::{CARGO, NEXTEST};
use std::fs;

const SUITE: &str = "
fn run() { std::fs::write(concat!(env!(\"CARGO_MANIFEST_DIR\"), \"/met/ran\"), \"\").unwrap() }
#[test] fn a() { run() }
#[test] fn b() { run() }
";
const HARNESS: &str = "
fn main() {
    let has = |word: &str| std::env::args().any(|argument| argument == word);
    if has(\"--list\") {
        if !has(\"--ignored\") { println!(\"c: test\"); }
    } else {
        std::fs::write(concat!(env!(\"CARGO_MANIFEST_DIR\"), \"/met/ran\"), \"\").unwrap();
    }
}
";
const DOCUMENTED: &str = "//! ```\n//! std::fs::write(concat!(env!(\"CARGO_MANIFEST_DIR\"), \"/met/ran\"), \"\").unwrap();\n//! ```\n";

/// The file name of each started program with its arguments, in their order.
fn starts(package: &Package, command: &[&str]) -> Vec<String> {
    // The file with the starts is what makes the runner save them.
    let script = "folder=${COFFERDAM_OBSERVED#*;*;}; : > \"$folder/starts\"; \"$@\"; code=$?; cp \"$folder/starts\" met; exit $code";
    let output = package.observe(&[], &[&["sh", "-c", script, "sh"], command].concat());
    assert!(
        !package.path().join("met/ran").exists(),
        "{}{}",
        output.out,
        output.err
    );
    let bytes = fs::read(package.path().join("met/starts")).unwrap();
    let (mut rest, mut starts) = (&bytes[..], Vec::new());
    while let Some((length, after)) = rest.split_first_chunk() {
        let (start, after) = after.split_at(usize::try_from(u64::from_le_bytes(*length)).unwrap());
        rest = after;
        let mut texts = start.split(|byte| *byte == 0).map(String::from_utf8_lossy);
        let program = texts.next().unwrap();
        let count: usize = texts.nth(1).unwrap().parse().unwrap();
        let name = program.rsplit('/').next().unwrap();
        let mut words = vec![name.split('-').next().unwrap().to_owned()];
        words.extend(texts.take(count).map(|text| text.into_owned()));
        starts.push(words.join(" "));
    }
    starts
}

fn package() -> Package {
    let package = Package::new("starting", SUITE);
    let manifest = "[package]\nname = \"starting\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[workspace]\n\
                    [[test]]\nname = \"harness\"\nharness = false\n";
    package.write("Cargo.toml", manifest);
    package.write("tests/harness.rs", HARNESS);
    package.write("tests/more.rs", SUITE);
    package.write("src/lib.rs", DOCUMENTED);
    package
}

#[test]
fn under_cargo_test_each_program_is_saved_and_none_runs() {
    let command = [&CARGO[..], &["--", "--nocapture"]].concat();
    let saved = starts(&package(), &command);
    let programs = ["starting", "harness", "more", "starting"].map(|name| format!("{name} --nocapture"));
    assert_eq!(saved[..4], programs);
    assert!(saved[4].starts_with("rust_out"), "{saved:?}");
}

#[test]
fn under_nextest_each_test_is_saved_and_none_runs() {
    if !crate::suites::has_nextest() {
        return;
    }
    let mut saved = starts(&package(), &NEXTEST);
    saved.sort();
    let words = |program: &str, test: &str| format!("{program} --exact {test} --nocapture");
    let wanted = [
        words("harness", "c"),
        words("more", "a"),
        words("more", "b"),
        words("starting", "a"),
        words("starting", "b"),
    ];
    assert_eq!(saved, wanted);
}
