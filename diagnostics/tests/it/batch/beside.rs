//! Other processes beside a running session.

use super::{Pipe, batch, ended, started};
use crate::recording::{cofferdam, output_of};
use std::process::Stdio;

/// A job that keeps the session open until the other commands are done.
const WAITS: &str = "sh -c 'exec 3>pipe; echo READY >&3; until [ -e over ]; do sleep 0.01; done'";

const EACH: usize = 8;

#[test]
fn readers_backups_and_submissions_never_block_a_session_and_are_not_blocked_by_it() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = Pipe::new(dir.path());
    let lines: Vec<&str> = std::iter::once(WAITS)
        .chain(std::iter::repeat_n("true", 600))
        .collect();
    let session = started(&batch(
        dir.path(),
        &lines,
        &["--jobs", "2", "--quiet", "--run-namespace", "shop"],
    ));
    let held = pipe.wait_for("READY");
    let watch = cofferdam(dir.path(), &["status", "--watch"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let quietly = |args: &[&str]| {
        let output = output_of(dir.path(), args);
        assert_eq!((output.code, output.err.as_str()), (Some(0), ""), "{args:?}");
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..EACH {
                for args in [&["status"][..], &["list"], &["show", "latest"], &["metrics"]] {
                    quietly(args);
                }
            }
        });
        scope.spawn(|| (0..EACH).for_each(|number| quietly(&["backup", &format!("copy-{number}")])));
        scope.spawn(|| {
            (0..EACH).for_each(|_| {
                quietly(&[
                    "submit",
                    "--run-namespace",
                    "shop",
                    "--name",
                    "late",
                    "--",
                    "true",
                ])
            })
        });
        scope.spawn(|| {
            let namespaces = (0..EACH).map(|number| format!("other-{number}"));
            for namespace in namespaces {
                let output = output_of(dir.path(), &["run", "--run-namespace", &namespace, "--", "true"]);
                assert_eq!(output.code, Some(0), "{}", output.err);
                assert!(!output.err.contains("warning"), "{}", output.err);
            }
        });
    });
    std::fs::write(dir.path().join("over"), "").unwrap();
    drop(held);
    let session = ended(session);
    assert!(!session.err.contains("warning"), "{}", session.err);
    let all = format!("; {} jobs passed\n", lines.len() + EACH);
    assert!(session.out.ends_with(&all), "{}", session.out);
    let watch = ended(watch);
    assert_eq!((watch.code, watch.err.as_str()), (Some(0), ""));
    for number in 0..EACH {
        let copy = rusqlite::Connection::open(dir.path().join(format!("copy-{number}"))).unwrap();
        let sound: String = copy
            .query_row("PRAGMA integrity_check", [], |row| row.get(0))
            .unwrap();
        assert_eq!(sound, "ok");
    }
}

#[test]
fn the_recording_of_a_session_stays_until_its_report_however_many_sessions_end_before() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = Pipe::new(dir.path());
    let session = started(&batch(dir.path(), &[WAITS], &["--json"]));
    let held = pipe.wait_for("READY");
    let name = crate::ledger::sessions(dir.path())[0].name.clone();
    let over = |folder: std::path::PathBuf| crate::recording::of_this_machine(&folder);
    over(crate::recording::conflicted(dir.path(), "r0", &name, 1));
    for number in 2..=13 {
        let (run, other) = (format!("r{number}"), format!("s{number}"));
        over(crate::recording::isolated(dir.path(), &run, &other, number));
    }
    let other = output_of(dir.path(), &["run", "--", "true"]);
    assert_eq!(other.code, Some(0), "{}", other.err);
    if cfg!(target_os = "linux") {
        assert!(!dir.path().join("runs/r2").exists(), "old ones are forgotten");
    }
    std::fs::write(dir.path().join("over"), "").unwrap();
    drop(held);
    let output = ended(session);
    assert_eq!(output.code, Some(1), "its conflict is reported: {}", output.out);
}
