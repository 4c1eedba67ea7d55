//! A checkout to fix, with a handwritten observation.

use crate::recording::{CommandOutput, cofferdam};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The dependency on a library in the suite, in place of cofferdam.
pub(super) const OURS: &str = "cofferdam = { path = \"library\" }\n";

pub(super) struct Scratch {
    dir: tempfile::TempDir,
    findings: Vec<Value>,
    locked: Vec<Value>,
    ran: Vec<Value>,
    reproductions: Vec<Value>,
    /// The exit code of the command, and whether that may have left out tests.
    command: (u8, bool),
}

const LIB: &str = "\
//! A shop.

/// What it sells.
pub fn items() -> u32 {
    3
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Odd as it is written, it stays so.
    #[test]
    fn sells()   { assert_eq!(items( ), 3) }

    #[test]
    fn writes_the_report() {}
}
";

const SHOP: &str = "\
use serial_test::serial;

#[test]
#[serial(db)]
fn opens() {}

#[test]
#[serial(db)]
fn closes() {}

#[test]
fn counts() {}

#[test]
#[serial(alone)]
fn idles() {}
";

impl Scratch {
    /// Creates a suite with these dependencies, one manifest line each.
    pub(super) fn new(dependencies: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut scratch = Self {
            dir,
            findings: Vec::new(),
            locked: Vec::new(),
            ran: Vec::new(),
            reproductions: Vec::new(),
            command: (0, false),
        };
        scratch.ran("corner_shop", &["tests::sells", "tests::writes_the_report"]);
        scratch.ran("shop", &["closes", "counts", "idles", "opens"]);
        scratch.write(
            "Cargo.toml",
            &format!(
                "[workspace]\nexclude = [\"library\"]\n\n[package]\nname = \"corner-shop\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n\
                 [dev-dependencies]\n{dependencies}"
            ),
        );
        scratch.write(
            "library/Cargo.toml",
            "[package]\nname = \"cofferdam\"\nversion = \"0.1.0\"\n",
        );
        scratch.write("library/src/lib.rs", "");
        scratch.write("src/lib.rs", LIB);
        scratch.write("tests/shop.rs", SHOP);
        scratch.write(".gitignore", "/observed\n/Cargo.lock\n/target\n");
        scratch
    }

    pub(super) fn path(&self) -> PathBuf {
        std::fs::canonicalize(self.dir.path()).unwrap()
    }

    pub(super) fn write(&self, file: &str, text: &str) {
        let path = self.dir.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    pub(super) fn read(&self, file: &str) -> String {
        std::fs::read_to_string(self.dir.path().join(file)).unwrap()
    }

    /// Makes it a Git checkout with all files committed.
    pub(super) fn commit(&self) {
        for args in [
            &["init", "-q"][..],
            &["add", "-A"],
            &[
                "-c",
                "user.name=a",
                "-c",
                "user.email=a@example.com",
                "commit",
                "-qm",
                "All",
            ],
        ] {
            #[expect(clippy::disallowed_methods, reason = "the test needs a Git checkout")]
            let status = Command::new("git")
                .args(args)
                .current_dir(self.dir.path())
                .status()
                .unwrap();
            assert!(status.success(), "git {args:?}");
        }
    }

    fn finding(
        &self,
        kind: &str,
        name: &str,
        runner: &str,
        grade: &str,
        users: &[(&str, &str, &str)],
    ) -> Value {
        let tests = users.iter().map(|(binary, name, access)| {
            json!({
                "run": "1-1", "worker": "", "pid": 1, "binary": binary, "package": self.path(), "runner": runner,
                "name": name, "attempt": 1, "grade": grade, "fails_alone": false,
                "uses": [{
                    "access": access, "service": null, "place": "src/lib.rs:5", "test_place": null, "from": 1, "to": 2,
                }],
            })
        });
        let name = match kind {
            "file" => self.path().join(name).display().to_string(),
            _ => name.to_owned(),
        };
        json!({
            "kind": "shared-resource", "resource": {"kind": kind, "name": name}, "service": null, "grade": grade,
            "overlapped": true, "between_runs": false, "message": "tests use it", "name_parts": null,
            "tests": tests.collect::<Vec<_>>(), "use_count": users.len(), "pairs": [], "pair_count": 1,
            "help": "let each have its own; where that cannot be, an attribute",
        })
    }

    /// Adds an unguarded conflict between users given by program, name and access.
    pub(super) fn found(
        mut self,
        kind: &str,
        name: &str,
        runner: &str,
        users: &[(&str, &str, &str)],
    ) -> Self {
        let finding = self.finding(kind, name, runner, "unguarded", users);
        self.findings.push(finding);
        self
    }

    /// Adds a guarded conflict.
    pub(super) fn guarded(mut self, kind: &str, name: &str, users: &[(&str, &str, &str)]) -> Self {
        let finding = self.finding(kind, name, "cargo-test", "guarded", users);
        self.findings.push(finding);
        self
    }

    /// Adds an order leak of a file.
    pub(super) fn leaked(self, name: &str, users: &[(&str, &str, &str)]) -> Self {
        let mut with = self.found("file", name, "cargo-test", users);
        with.findings.last_mut().unwrap()["kind"] = json!("order-leak");
        with
    }

    /// Adds a conflict on a static of `tests/shop.rs`, to which it adds the declaration.
    pub(super) fn found_static(self, name: &str, declaration: &str, users: &[(&str, &str, &str)]) -> Self {
        let text = self.read("tests/shop.rs");
        let declared = format!("tests/shop.rs:{}", text.lines().count() + 1);
        self.write("tests/shop.rs", &(text + declaration + "\n"));
        let mut with = self.found("static", name, "cargo-test", users);
        with.findings.last_mut().unwrap()["static_facts"] = json!({
            "declared": declared, "type_name": "", "one_of": [], "in_order": false, "captured": [],
        });
        with
    }

    /// Adds a test of `shop` that fails after another one, without an observed resource.
    pub(super) fn fails_after(mut self, test: &str, culprit: &str) -> Self {
        let named = |test: &str| format!("shop {test}");
        self.reproductions.push(json!({
            "class": "victim", "test": named(test), "culprits": [named(culprit)], "uses": [],
            "scene": {"tests": [named(culprit), named(test)], "arrangement": "Parallel", "load": 0, "twice": false, "empty_temp": false},
            "paused": null, "with": {"failed": 4, "runs": 4}, "without": {"failed": 0, "runs": 10},
        }));
        self
    }

    /// Makes it the observation of a nextest command that ended at the first failure.
    pub(super) fn ended_early(mut self) -> Self {
        self.command = (100, true);
        self
    }

    /// Adds executed tests of a program.
    pub(super) fn ran(&mut self, binary: &str, tests: &[&str]) {
        let program = json!({"binary": binary, "package": self.path(), "tests": tests});
        self.ran.push(program);
    }

    /// Runs `fix` without the compile check: the crates here are stand-ins without attributes.
    pub(super) fn fix(&self, args: &[&str]) -> CommandOutput {
        self.checked(&[&["--no-check"], args].concat())
    }

    /// Runs `fix` with the compile check.
    pub(super) fn checked(&self, args: &[&str]) -> CommandOutput {
        self.command(args).output().unwrap().into()
    }

    /// Returns the command of `fix` with the compile check.
    pub(super) fn command(&self, args: &[&str]) -> Command {
        let findings = json!({
            "version": 5, "session": "1-1", "dir": self.path(), "confirmed": true, "tests": 6,
            "command": self.command.0, "ended_early": self.command.1,
            "account": {
                "started": 0, "recorded": 0, "complete": 0, "incomplete": 0, "lost": [], "out_of_reach": [],
            },
            "conflicts": self.findings, "locked": self.locked, "ran": self.ran,
            "reproductions": self.reproductions,
        });
        self.write("observed/last.json", &findings.to_string());
        let dir: &Path = &self.path();
        cofferdam(dir, &[&["fix"], args].concat())
    }
}
