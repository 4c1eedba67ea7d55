//! Fixes the example `conflicted`: after `fix --apply`, `observe` finds no conflict.

use crate::recording::CommandOutput;
use crate::suites::has_nextest;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A copy of `examples/conflicted` with its own port.
struct Copy {
    dir: tempfile::TempDir,
    port: u16,
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap();
        if path.is_dir() && name != "target" {
            copy(&path, &to.join(name));
        } else if path.is_file() {
            fs::copy(&path, to.join(name)).unwrap();
        }
    }
}

impl Copy {
    fn new(port: u16) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let dir = tempfile::tempdir().unwrap();
        copy(&root.join("examples/conflicted"), dir.path());
        let new = Self { dir, port };
        new.change(
            "Cargo.toml",
            "\"../..\"",
            &format!("{:?}", root.display().to_string()),
        );
        new.change("tests/shop/mod.rs", "27_481", &port.to_string());
        new
    }

    fn change(&self, file: &str, from: &str, to: &str) {
        let path = self.dir.path().join(file);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{file} without {from}");
        fs::write(path, text.replace(from, to)).unwrap();
    }

    fn run(&self, args: &[&str]) -> CommandOutput {
        self.command(args).output().unwrap().into()
    }

    fn command(&self, args: &[&str]) -> Command {
        let built: PathBuf =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("conflicted-example-{}", self.port));
        let mut command: Command = crate::recording::cofferdam(self.dir.path(), args);
        command.env_remove("COFFERDAM_DIR").env("CARGO_TARGET_DIR", built);
        // Statics are observed.
        command
            .env("CARGO_PROFILE_DEV_DEBUG", "2")
            .env("CARGO_PROFILE_TEST_DEBUG", "2");
        command
    }

    /// Observes and fixes until no conflict is left. The first test of a worker opens the files of the worker's services, so a
    /// second observation may find other tests; on a busy machine, tests may also meet for the first time.
    fn fix_until_clean(&self, observe: &[&str]) {
        for round in 0..3 {
            let output = self.run(observe);
            assert!(matches!(output.code, Some(0 | 1)), "{}{}", output.out, output.err);
            if output.code == Some(0) {
                assert_ne!(round, 0, "{}", output.out);
                return;
            }
            let fixed = self.run(&["fix", "--apply", "--allow-no-vcs"]);
            assert_eq!(fixed.code, Some(0), "{}{}", fixed.out, fixed.err);
        }
        panic!("conflicts were seen after two fixes");
    }
}

#[test]
fn fix_ends_the_conflicts_between_threads_of_the_example() {
    let copy = Copy::new(27_483);
    copy.fix_until_clean(&["observe", "--", "cargo", "test", "--offline"]);
    let invoices = ["cargo", "test", "--offline", "--no-fail-fast", "--lib", "invoice"];
    let output = copy.run(&[&["observe", "--confirm", "--"][..], &invoices].concat());
    // Only tests that are made to meet show the last one.
    assert_eq!(output.code, Some(1), "{}{}", output.out, output.err);
    assert!(
        output
            .out
            .contains("reproduced: static order_desk::invoice::tests::LAST: 2 tests write it\n")
            && output
                .out
                .contains("help: give each test its own: `static LAST: WorkerLocal<AtomicU64> = ")
            && output.out.contains("cofferdam: 1 conflict (1 reproduced) "),
        "{}",
        output.out
    );
    let fix = [
        "fix",
        "--apply",
        "--allow-no-vcs",
        "--",
        "cargo",
        "test",
        "--offline",
    ];
    let invoice = copy.dir.path().join("src/invoice.rs");
    let before = fs::read_to_string(&invoice).unwrap();
    // With one value for all workers, the declaration does not help.
    let mut shared = copy.command(&fix);
    let shared: CommandOutput = shared.env("COFFERDAM_ISOLATION", "off").output().unwrap().into();
    assert!(
        shared
            .out
            .contains("not fixed: static order_desk::invoice::tests::LAST: "),
        "{}{}",
        shared.out,
        shared.err
    );
    assert_eq!(fs::read_to_string(&invoice).unwrap(), before);
    let fixed = copy.run(&fix);
    assert_eq!(fixed.code, Some(0), "{}{}", fixed.out, fixed.err);
    assert!(
        fixed
            .out
            .contains("fixed: static order_desk::invoice::tests::LAST: ")
            && fixed.out.contains(" failed in 0 of ")
            && fixed.out.ends_with("; written and proven\n"),
        "{}",
        fixed.out
    );
    let output = copy.run(&[
        "observe",
        "--confirm",
        "--memory",
        "off",
        "--",
        "cargo",
        "test",
        "--offline",
    ]);
    assert_eq!(output.code, Some(0), "{}{}", output.out, output.err);
}

#[test]
fn fix_ends_the_conflicts_between_processes_of_the_example() {
    if !has_nextest() {
        return;
    }
    let observe = [
        "observe",
        "--confirm",
        "--",
        "cargo",
        "nextest",
        "run",
        "--offline",
    ];
    let copy = Copy::new(27_487);
    copy.fix_until_clean(&observe);
    // Environment variables and the working directory belong to a process, so only threads share them.
    copy.fix_until_clean(&["observe", "--", "cargo", "test", "--offline"]);
    let output = copy.run(&observe);
    assert_eq!(output.code, Some(0), "{}{}", output.out, output.err);
}
