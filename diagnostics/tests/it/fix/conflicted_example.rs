//! Shown by the example: what `fix --apply` writes ends what `observe` finds.

use crate::recording::Told;
use crate::suites::has_nextest;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A copy of `examples/conflicted` that is on no other test's port.
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

    fn run(&self, args: &[&str]) -> Told {
        let built: PathBuf = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("mended-{}", self.port));
        let mut command: Command = crate::recording::cofferdam(self.dir.path(), args);
        command.env_remove("COFFERDAM_DIR").env("CARGO_TARGET_DIR", built);
        command.output().unwrap().into()
    }

    /// Observes and mends until nothing is left: how often it mended.
    fn mend(&self, observe: &[&str]) -> usize {
        for round in 0..4 {
            let told = self.run(observe);
            assert!(matches!(told.code, Some(0 | 1)), "{}{}", told.out, told.err);
            if told.code == Some(0) {
                return round;
            }
            let fixed = self.run(&["fix", "--apply", "--allow-no-vcs"]);
            assert_eq!(fixed.code, Some(0), "{}{}", fixed.out, fixed.err);
        }
        panic!("there is still something to mend");
    }
}

#[test]
fn what_fix_writes_into_the_conflicted_example_ends_what_was_observed_of_its_threads() {
    let copy = Copy::new(27_483);
    // Whoever comes first in a lane opens what the lane's services need, so that a second look may find others.
    let rounds = copy.mend(&["observe", "--", "cargo", "test", "--offline"]);
    assert!((1..=2).contains(&rounds), "{rounds}");
    let told = copy.run(&["observe", "--confirm", "--", "cargo", "test", "--offline"]);
    assert_eq!(told.code, Some(0), "{}{}", told.out, told.err);
    assert!(
        told.out.contains("no conflict in what was watched"),
        "{}",
        told.out
    );
}

#[test]
fn what_fix_writes_into_the_conflicted_example_ends_what_was_observed_of_its_processes() {
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
    assert_eq!(copy.mend(&observe), 1);
    // Variables and the working directory are each process's own: only threads meet there.
    assert_eq!(copy.mend(&["observe", "--", "cargo", "test", "--offline"]), 1);
    let told = copy.run(&observe);
    assert_eq!(told.code, Some(0), "{}{}", told.out, told.err);
}
