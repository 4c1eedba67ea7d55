//! The duration of `observe --confirm` for many pairs that interfere, and for a large group behind one lock.
//!
//! `cargo bench -p cargo-cofferdam --bench confirm`. Prints a note on systems without an observer.

#![expect(clippy::print_stdout, reason = "it prints what it measured")]
#![expect(clippy::unwrap_used, reason = "a measurement that cannot be made is none")]

use serde_json::Value;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// Pairs of tests that write one file each, without a lock.
const PAIRS: usize = 50;
/// Tests behind one lock that share a file, a variable and the working directory.
const GROUP: usize = 60;

fn main() {
    if !cfg!(all(
        target_os = "linux",
        target_arch = "x86_64",
        target_env = "gnu"
    )) {
        println!("only Linux on x86_64 with glibc can be observed");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    package(dir.path());
    for (program, goal) in [
        (
            "pairs",
            "every pair graded within the default 60 s, and proofs in as long again",
        ),
        ("group", "exit code 0 and nothing not tried within 60 s"),
    ] {
        let (took, report) = confirmed(dir.path(), program);
        let mut grades = std::collections::BTreeMap::new();
        let conflicts = report["conflicts"].as_array().unwrap().iter();
        let guarded = report["observed"]["guarded"].as_array().unwrap().iter();
        for pair in conflicts
            .chain(guarded)
            .flat_map(|one| one["pairs"].as_array().unwrap())
        {
            *grades
                .entry(pair["grade"].as_str().unwrap().to_owned())
                .or_insert(0) += 1;
        }
        println!(
            "{program}: {:.1} s, exit code {}, pairs by grade: {grades:?} (to reach: {goal})",
            took.as_secs_f64(),
            report["exit_code"]["process"]
        );
    }
}

fn package(dir: &Path) {
    let write = |path: &str, text: &str| {
        let path = dir.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    let manifest = "[package]\nname = \"again\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[workspace]\n";
    write("Cargo.toml", manifest);
    write("src/lib.rs", "");
    write("shared/pairs/about", "");
    let mut pairs = String::from(
        "fn work(number: usize) {\n\
         let path = format!(\"{}/shared/pairs/{}\", env!(\"CARGO_MANIFEST_DIR\"), number / 2);\n\
         std::fs::write(&path, number.to_string()).unwrap();\n\
         assert_eq!(std::fs::read_to_string(&path).unwrap(), number.to_string());\n\
         }\n",
    );
    for number in 0..2 * PAIRS {
        writeln!(pairs, "#[test] fn t{number:03}() {{ work({number}) }}").unwrap();
    }
    write("tests/pairs.rs", &pairs);
    let mut group = String::from(
        "static ONE: std::sync::Mutex<()> = std::sync::Mutex::new(());\n\
         fn work(number: usize) {\n\
         let _alone = ONE.lock().unwrap();\n\
         unsafe { std::env::set_var(\"GROUP\", number.to_string()) };\n\
         std::env::set_current_dir(env!(\"CARGO_MANIFEST_DIR\")).unwrap();\n\
         std::fs::write(\"shared/group\", number.to_string()).unwrap();\n\
         assert_eq!(std::fs::read_to_string(\"shared/group\").unwrap(), std::env::var(\"GROUP\").unwrap());\n\
         }\n",
    );
    for number in 0..GROUP {
        writeln!(group, "#[test] fn t{number:03}() {{ work({number}) }}").unwrap();
    }
    write("tests/group.rs", &group);
}

#[expect(clippy::disallowed_methods, reason = "time is what is measured")]
fn now() -> Instant {
    Instant::now()
}

fn confirmed(dir: &Path, program: &str) -> (Duration, Value) {
    #[expect(clippy::disallowed_methods, reason = "the program that is measured")]
    let mut observe = Command::new(env!("CARGO_BIN_EXE_cargo-cofferdam"));
    observe
        .args(["observe", "--confirm", "--format", "json", "--"])
        // One at a time, so that the suite itself passes.
        .args([
            "cargo",
            "test",
            "--offline",
            "-q",
            "--test",
            program,
            "--",
            "--test-threads=1",
        ])
        .current_dir(dir)
        .env("COFFERDAM_DIR", dir.join("base"))
        .env_remove("COFFERDAM_RECORD")
        .env_remove("CARGO_MANIFEST_DIR");
    let begun = now();
    let output = observe.output().unwrap();
    let took = begun.elapsed();
    let text = String::from_utf8(output.stdout).unwrap();
    (took, serde_json::from_str(text.lines().last().unwrap()).unwrap())
}
