//! Unwritable directories cost a warning and never fail a test.

use crate::role::{Ended, play, plays, role};
use cofferdam::Worker;
use std::os::unix::fs::symlink;
use std::path::Path;

const WORK: &str = "worker::places::role_work";

#[test]
#[ignore = "a role"]
fn role_work() {
    if !plays(WORK) {
        return;
    }
    let own = Worker::current();
    for number in 0..3 {
        let test = std::thread::Builder::new().name(format!("a::test_{number}"));
        let id = test.spawn(|| Worker::current().id().to_owned());
        assert_eq!(id.unwrap().join().unwrap(), "w1");
    }
    assert_eq!(own.id(), "w0");
}

fn work_in(base: &Path, record: bool) -> Ended {
    let mut command = role(WORK, "places");
    command.env("COFFERDAM_DIR", base);
    if record {
        command.env("COFFERDAM_RECORD", "s");
    }
    let ended = play(&mut command).end();
    ended.passed();
    ended
}

#[test]
fn an_unwritable_directory_costs_one_warning_and_fails_no_test() {
    // Permissions do not stop root, so this directory is below a file.
    let file = tempfile::NamedTempFile::new().unwrap();
    let ended = work_in(&file.path().join("base"), false);
    let [warning] = ended.warnings()[..] else {
        panic!("{}", ended.stderr)
    };
    assert!(
        warning.contains("Not a directory") && warning.contains("unique within this process only"),
        "{warning}"
    );
}

#[test]
fn an_unwritable_journal_costs_one_more_warning_and_fails_no_test() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let ended = work_in(&file.path().join("base"), true);
    let [_, warning] = ended.warnings()[..] else {
        panic!("{}", ended.stderr)
    };
    assert!(warning.contains("recording stops"), "{warning}");
}

#[test]
fn a_full_disk_costs_one_warning_and_fails_no_test() {
    let base = tempfile::tempdir().unwrap();
    for worker in ["w0", "w1"] {
        let dir = base.path().join("runs/places/workers").join(worker);
        std::fs::create_dir_all(&dir).unwrap();
        symlink("/dev/full", dir.join("journal.ndjson")).unwrap();
    }
    let ended = work_in(base.path(), true);
    let [warning] = ended.warnings()[..] else {
        panic!("{}", ended.stderr)
    };
    assert!(
        warning.contains("recording stops") && warning.contains("No space left"),
        "{warning}"
    );
}

#[test]
fn a_writable_directory_costs_no_message() {
    let base = tempfile::tempdir().unwrap();
    assert!(work_in(base.path(), true).stderr.is_empty());
}
