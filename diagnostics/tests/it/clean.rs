//! `clean`, with handwritten directories of runs.

use crate::recording::{json_of, output_of, pid_namespace};
use serde_json::{Value, json};
use std::fs::File;
use std::path::{Path, PathBuf};

/// Creates the directory of a run with these fields; by default it has ended and belongs to no session.
fn run_folder(base: &Path, id: &str, fields: &Value) -> PathBuf {
    let folder = base.join("runs").join(id);
    std::fs::create_dir_all(folder.join("workers/w0/dir")).unwrap();
    std::fs::write(folder.join("workers/w0/dir/left"), "x").unwrap();
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let mut description = json!({
        "version": 1, "run": id, "runner": "cargo", "session": null, "at": 1, "boot": boot.trim(),
        "namespace": pid_namespace(),
        // A process ID of this boot with another start time: it was reused.
        "anchor": {"pid": 1, "started": u64::MAX},
    });
    for (field, value) in fields.as_object().unwrap() {
        description[field] = value.clone();
    }
    std::fs::write(folder.join("run.json"), description.to_string()).unwrap();
    std::fs::write(folder.join("alive.lock"), "").unwrap();
    folder
}

fn own_anchor() -> Value {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let started: u64 = stat
        .rsplit_once(')')
        .unwrap()
        .1
        .split_ascii_whitespace()
        .nth(19)
        .unwrap()
        .parse()
        .unwrap();
    #[expect(clippy::disallowed_methods, reason = "a run whose runner is this test")]
    let pid = std::process::id();
    json!({"pid": pid, "started": started})
}

/// Creates one run of each kind; the file keeps one of them in use.
fn all_kinds(base: &Path) -> File {
    run_folder(base, "over", &json!({}));
    run_folder(base, "set-back", &json!({"at": u64::MAX}));
    run_folder(base, "running", &json!({"anchor": own_anchor()}));
    run_folder(base, "recorded", &json!({"session": "s1"}));
    run_folder(base, "named", &json!({"runner": "named"}));
    run_folder(base, "restored", &json!({"boot": "another machine"}));
    std::fs::write(run_folder(base, "unknown", &json!({})).join("run.json"), "{").unwrap();
    std::fs::create_dir_all(base.join("runs/%swept-1-1/workers")).unwrap();
    let used = File::open(run_folder(base, "used", &json!({})).join("alive.lock")).unwrap();
    #[expect(clippy::disallowed_methods, reason = "a test that outlived its runner")]
    used.lock_shared().unwrap();
    used
}

fn left(base: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(base.join("runs")).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[cfg(target_os = "linux")]
#[test]
fn ended_runs_are_removed_and_each_kept_one_has_a_reason() {
    let base = tempfile::tempdir().unwrap();
    let _used = all_kinds(base.path());
    let before = left(base.path());
    let dry = output_of(base.path(), &["clean", "--dry-run"]);
    assert_eq!(left(base.path()), before, "a dry run removes nothing");
    assert!(dry.out.contains("would remove over\n"), "{}", dry.out);
    assert!(
        dry.out.contains("cofferdam: would remove 3 runs, kept 6, in "),
        "{}",
        dry.out
    );

    let real = output_of(base.path(), &["clean"]);
    assert_eq!(real.code, Some(0));
    assert_eq!(
        left(base.path()),
        ["named", "recorded", "restored", "running", "unknown", "used"]
    );
    for line in [
        "removed over",
        "removed set-back",
        "removed %swept-1-1",
        "kept    running: its runner is running",
        "kept    used: a process still uses it",
        "kept    recorded: it was recorded; `--all` removes it",
        "kept    restored: it belongs to another machine or an earlier boot; `--all` removes it",
        "kept    unknown: its run.json is missing or unreadable; `--all` removes it",
    ] {
        assert!(
            real.out.lines().any(|printed| printed == line),
            "{line} in {}",
            real.out
        );
    }
}

#[cfg(target_os = "linux")]
#[test]
fn all_takes_what_was_kept_for_a_person_and_leaves_what_is_in_use() {
    let base = tempfile::tempdir().unwrap();
    let _used = all_kinds(base.path());
    let (code, report) = json_of(base.path(), &["clean", "--all", "--format", "json"]);
    assert_eq!(code, Some(0));
    assert_eq!(left(base.path()), ["running", "used"]);
    assert_eq!(
        (&report["version"], &report["dry_run"]),
        (&json!(1), &json!(false))
    );
    let fate = |id: &str| {
        let runs = report["runs"].as_array().unwrap().iter();
        let mut found = runs.filter(|run| run["path"].as_str().unwrap().ends_with(&format!("/{id}")));
        found.next().unwrap()["fate"].as_str().unwrap().to_owned()
    };
    for (id, wanted) in [
        ("over", "removed"),
        ("restored", "removed"),
        ("running", "running"),
        ("used", "in-use"),
    ] {
        assert_eq!(fate(id), wanted);
    }
}

#[test]
fn a_place_without_runs_has_nothing_to_clean() {
    let base = tempfile::tempdir().unwrap();
    let clean = output_of(base.path(), &["clean"]);
    assert_eq!(clean.code, Some(0));
    assert!(
        clean.out.starts_with("cofferdam: removed 0 runs, kept 0, in "),
        "{}",
        clean.out
    );
}

#[cfg(target_os = "linux")]
#[test]
fn a_thousand_dead_runs_go_at_once() {
    let base = tempfile::tempdir().unwrap();
    for number in 0..1000 {
        run_folder(base.path(), &format!("r{number}"), &json!({}));
    }
    let clean = output_of(base.path(), &["clean"]);
    assert!(
        clean.out.contains("cofferdam: removed 1000 runs, kept 0, in "),
        "{}",
        clean.out
    );
    assert_eq!(left(base.path()), [""; 0]);
}
