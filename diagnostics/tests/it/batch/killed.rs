//! Killed sessions, and the sessions that continue them.

use super::{Pipe, batch, ended, output_of, signal, started, wait_for_end};
use crate::recording::{CommandOutput, cofferdam};
use std::io::BufRead as _;

/// A job that blocks in its first run, and logs each run that completes.
const BLOCKS: &str = "sh -c 'if [ -e go ]; then echo second >> trace; else exec 3>pipe; sleep 600 & echo READY >&3; sleep 600; fi'";

const LINES: [&str; 3] = [
    "sh -c 'echo first >> trace'",
    BLOCKS,
    "sh -c 'echo third >> trace'",
];

#[cfg(target_os = "linux")]
#[test]
fn jobs_of_a_killed_session_are_stopped_and_the_rest_runs_once() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = Pipe::new(dir.path());
    let args = ["--jobs", "1", "--grace", "200ms"];
    let mut child = started(&batch(dir.path(), &LINES, &args));
    let held = pipe.wait_for("READY");
    child.kill().unwrap();
    wait_for_end(held);
    let guard_output = ended(child);
    assert!(guard_output.err.contains(" was killed; "), "{}", guard_output.err);

    std::fs::write(dir.path().join("go"), "").unwrap();
    let other = output_of(dir.path(), &["true"], &["--resume"]);
    assert!(
        other.err.contains("give `--resume` the jobs of session "),
        "{}",
        other.err
    );
    assert_eq!(other.code, Some(2));
    // Nothing is lost either if it cannot start.
    let absent = dir.path().join("absent");
    let mut nowhere = batch(dir.path(), &LINES, &["--resume"]);
    let nowhere: CommandOutput = nowhere.env("TMPDIR", &absent).output().unwrap().into();
    let refused = format!("could not create {}", absent.display());
    assert!(nowhere.err.contains(&refused), "{}", nowhere.err);
    assert_eq!(nowhere.code, Some(3));
    let resumed = output_of(dir.path(), &LINES, &["--resume"]);
    assert!(
        resumed.out.ends_with("; 3 jobs passed\n"),
        "{}{}",
        resumed.out,
        resumed.err
    );
    let trace = std::fs::read_to_string(dir.path().join("trace")).unwrap();
    let mut ran: Vec<&str> = trace.lines().collect();
    ran.sort_unstable();
    assert_eq!(ran, ["first", "second", "third"]);
    let again = output_of(dir.path(), &LINES, &["--resume"]);
    assert!(
        again.err.contains("there is no interrupted session"),
        "{}",
        again.err
    );
    assert!(again.out.ends_with("; 3 jobs passed\n"), "{}", again.out);
}

#[cfg(target_os = "linux")]
#[test]
fn earlier_failures_count_after_resuming() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = Pipe::new(dir.path());
    let lines = ["false", BLOCKS];
    let mut child = started(&batch(dir.path(), &lines, &["--jobs", "1", "--grace", "200ms"]));
    let held = pipe.wait_for("READY");
    child.kill().unwrap();
    wait_for_end(held);
    ended(child);
    std::fs::write(dir.path().join("go"), "").unwrap();
    let resumed = output_of(dir.path(), &lines, &["--resume"]);
    assert!(resumed.out.ends_with("; 1 of 2 jobs failed\n"), "{}", resumed.out);
    assert_eq!(resumed.code, Some(4));
}

#[cfg(target_os = "linux")]
#[test]
fn earlier_failures_of_submitted_jobs_count_after_resuming() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = Pipe::new(dir.path());
    let args = ["--jobs", "2", "--grace", "200ms", "--json"];
    let mut child = started(&batch(dir.path(), &[BLOCKS], &args));
    let held = pipe.wait_for("READY");
    let submitted = cofferdam(dir.path(), &["submit", "--name", "late", "--", "false"]).output();
    assert!(submitted.unwrap().status.success());
    let mut events = std::io::BufReader::new(child.stdout.take().unwrap());
    let mut event = String::new();
    while !(event.contains("\"ended\"") && event.contains("\"late\"")) {
        event.clear();
        assert_ne!(events.read_line(&mut event).unwrap(), 0);
    }
    child.kill().unwrap();
    wait_for_end(held);
    ended(child);
    std::fs::write(dir.path().join("go"), "").unwrap();
    let resumed = output_of(dir.path(), &[BLOCKS], &["--resume"]);
    assert!(resumed.out.ends_with("; 1 of 2 jobs failed\n"), "{}", resumed.out);
    assert_eq!(resumed.code, Some(4));
}

#[cfg(target_os = "linux")]
#[test]
fn a_session_that_was_killed_before_recording_its_jobs_runs_all_of_them_after_resuming() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = Pipe::new(dir.path());
    let mut child = started(&batch(dir.path(), &[BLOCKS], &["--grace", "200ms"]));
    let held = pipe.wait_for("READY");
    child.kill().unwrap();
    wait_for_end(held);
    ended(child);
    let ledger = rusqlite::Connection::open(dir.path().join("ledger.sqlite3")).unwrap();
    ledger
        .execute_batch("DELETE FROM attempts; DELETE FROM jobs")
        .unwrap();
    drop(ledger);
    std::fs::write(dir.path().join("go"), "").unwrap();
    let resumed = output_of(dir.path(), &[BLOCKS, "true"], &["--resume"]);
    assert!(
        resumed.out.ends_with("; 2 jobs passed\n"),
        "{}{}",
        resumed.out,
        resumed.err
    );
}

/// Returns three parallel jobs, each with a child process that keeps the pipe open: one in the job's group, one in
/// its own session, and one that ignores signals.
#[cfg(target_os = "linux")]
fn side_by_side() -> Vec<String> {
    [
        "sleep 600 & echo READY >&3; sleep 600",
        "setsid sh -c \"sleep 600; true\" & echo READY >&3; sleep 600",
        "trap \"\" TERM INT HUP; sleep 600 & echo READY >&3; sleep 600; sleep 600",
    ]
    .iter()
    .zip(["one", "two", "three"])
    .map(|(blocks, name)| {
        format!("sh -c 'if [ -e go ]; then echo {name} >> trace; else exec 3>pipe; {blocks}; fi'")
    })
    .chain((0..5).map(|number| format!("sh -c 'echo {number} >> trace'")))
    .collect()
}

/// Returns the guard, which ends the jobs of a killed executor.
#[cfg(target_os = "linux")]
fn guard_of(executor: u32) -> u32 {
    let children = std::fs::read_to_string(format!("/proc/{executor}/task/{executor}/children")).unwrap();
    let is_guard = |pid: &&str| {
        let words = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        words.split('\0').any(|word| word == "guard")
    };
    children.split(' ').find(is_guard).unwrap().parse().unwrap()
}

#[cfg(target_os = "linux")]
#[test]
fn many_parallel_jobs_of_a_killed_session_are_stopped_and_each_runs_once_in_the_end() {
    let lines = side_by_side();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    // If its guard is killed too, its processes remain; the session that continues it stops them and reports that.
    for is_guard_killed in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let pipe = Pipe::new(dir.path());
        let args = ["--jobs", "3", "--grace", "200ms"];
        let mut child = started(&batch(dir.path(), &lines, &args));
        let mut held = pipe.wait_for("READY");
        for _ in 0..2 {
            held.read_line(&mut String::new()).unwrap();
        }
        if is_guard_killed {
            kill_guard_of(child.id());
        }
        child.kill().unwrap();
        std::fs::write(dir.path().join("go"), "").unwrap();
        let resumed = if is_guard_killed {
            drop((child.stdout.take(), child.stderr.take()));
            child.wait().unwrap();
            let resumed = output_of(dir.path(), &lines, &["--resume", "--grace", "200ms"]);
            wait_for_end(held);
            let ended = " processes that the interrupted session had left";
            assert!(resumed.err.contains(ended), "{}", resumed.err);
            resumed
        } else {
            wait_for_end(held);
            assert!(ended(child).err.contains(" was killed; "));
            output_of(dir.path(), &lines, &["--resume"])
        };
        assert!(
            resumed.out.ends_with("; 8 jobs passed\n"),
            "{}{}",
            resumed.out,
            resumed.err
        );
        let trace = std::fs::read_to_string(dir.path().join("trace")).unwrap();
        let mut ran: Vec<&str> = trace.lines().collect();
        ran.sort_unstable();
        assert_eq!(ran, ["0", "1", "2", "3", "4", "one", "three", "two"]);
    }
}

/// Kills the guard, and waits until its executor has noticed that.
#[cfg(target_os = "linux")]
fn kill_guard_of(executor: u32) {
    let guard = guard_of(executor).to_string();
    kill(&guard);
    while std::path::Path::new("/proc").join(&guard).exists() {
        std::thread::yield_now();
    }
}

/// A job that ignores signals, keeps the pipe open, and writes its process ID and process group to a file.
#[cfg(target_os = "linux")]
const IGNORES: &str =
    "sh -c 'trap \"\" TERM INT HUP; exec 3>pipe; echo $$ > job; echo READY >&3; sleep 600; sleep 600'";

#[cfg(target_os = "linux")]
fn kill(pid: &str) {
    #[expect(
        clippy::disallowed_methods,
        reason = "the killed process is not a child of this test"
    )]
    let killed = std::process::Command::new("kill")
        .args(["-KILL", "--", pid])
        .status();
    assert!(killed.unwrap().success());
}

#[cfg(target_os = "linux")]
#[test]
fn the_namespace_of_a_killed_session_stays_taken_until_its_guard_has_stopped_its_jobs() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = Pipe::new(dir.path());
    let args = ["--run-namespace", "one", "--grace", "1h"];
    let mut first = started(&batch(dir.path(), &[IGNORES], &args));
    let held = pipe.wait_for("READY");
    first.kill().unwrap();
    first.wait().unwrap();
    let next = ["run", "--run-namespace", "one"];
    let refused = crate::recording::output_of(dir.path(), &[&next[..], &["--", "touch", "began"]].concat());
    assert_eq!(refused.code, Some(3));
    let way = "session 1 in namespace \"one\" was killed (process ";
    assert!(refused.err.contains(way), "{}", refused.err);
    assert!(
        refused.err.contains("its jobs are still being stopped: process "),
        "{}",
        refused.err
    );
    assert!(refused.err.contains("`--wait`"), "{}", refused.err);
    let submitted =
        crate::recording::output_of(dir.path(), &["submit", "--run-namespace", "one", "--", "true"]);
    assert!(
        submitted.err.contains("no session takes jobs"),
        "{}",
        submitted.err
    );
    let resumed = output_of(dir.path(), &[IGNORES], &["--resume", "--run-namespace", "one"]);
    assert!(resumed.err.contains("still being stopped"), "{}", resumed.err);

    // The waiting session starts after the last of them.
    let is_gone = "read -r job < job; ! grep -qs '^State:.[^ZX]' /proc/$job/status";
    let mut waits = started(cofferdam(dir.path(), &next).args(["--wait", "--", "sh", "-c", is_gone]));
    let mut said = std::io::BufReader::new(waits.stderr.take().unwrap());
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    assert!(
        line.contains("waiting for the processes of session 1, which was killed"),
        "{line}"
    );
    let job = std::fs::read_to_string(dir.path().join("job")).unwrap();
    kill(&format!("-{}", job.trim_end()));
    wait_for_end(held);
    assert_eq!(ended(waits).code, Some(0));
    assert!(!dir.path().join("began").exists());
}

#[cfg(target_os = "linux")]
#[test]
fn processes_without_a_guard_keep_the_namespace_taken_and_are_named() {
    for is_batch in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let pipe = Pipe::new(dir.path());
        let args = ["--run-namespace", "one"];
        let mut first = if is_batch {
            started(&batch(dir.path(), &[IGNORES], &args))
        } else {
            let script = IGNORES.trim_start_matches("sh -c '").trim_end_matches('\'');
            started(
                cofferdam(dir.path(), &["run", "--run-namespace", "one", "--"]).args(["sh", "-c", script]),
            )
        };
        let held = pipe.wait_for("READY");
        if is_batch {
            kill_guard_of(first.id());
        }
        first.kill().unwrap();
        first.wait().unwrap();
        let next = ["run", "--run-namespace", "one"];
        let begin = || crate::recording::output_of(dir.path(), &[&next[..], &["--", "true"]].concat());
        let refused = begin();
        assert_eq!(refused.code, Some(3));
        assert!(
            refused.err.contains(" and left processes running: process "),
            "{}",
            refused.err
        );
        assert!(refused.err.contains(" (sleep)"), "{}", refused.err);
        assert!(
            refused.err.contains("continue that session with `--resume`"),
            "{}",
            refused.err
        );
        let status = crate::recording::output_of(dir.path(), &["status"]);
        assert!(status.out.contains("in one: "), "{}", status.out);
        let left = " was killed; processes that still run: process ";
        assert!(status.out.contains(left), "{}", status.out);
        // Others are not concerned.
        let other = crate::recording::output_of(dir.path(), &["run", "--", "true"]);
        assert_eq!(other.code, Some(0), "{}", other.err);
        assert_eq!(
            begin().code,
            Some(3),
            "its end does not forget what another session left"
        );

        let mut waits = started(cofferdam(dir.path(), &next).args(["--wait", "--", "true"]));
        let mut said = std::io::BufReader::new(waits.stderr.take().unwrap());
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        assert!(
            line.contains("waiting for the processes of session 1, which was killed"),
            "{line}"
        );
        let job = std::fs::read_to_string(dir.path().join("job")).unwrap();
        let job = job.trim_end();
        if is_batch {
            kill(&format!("-{job}"));
        } else {
            let children = std::fs::read_to_string(format!("/proc/{job}/task/{job}/children")).unwrap();
            kill(job);
            children.split_whitespace().for_each(kill);
        }
        wait_for_end(held);
        assert_eq!(ended(waits).code, Some(0));
    }
}

#[test]
fn a_waiting_session_names_the_other_one_and_starts_afterwards() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = Pipe::new(dir.path());
    let first = started(&batch(
        dir.path(),
        &[BLOCKS],
        &["--run-namespace", "one", "--grace", "200ms"],
    ));
    let held = pipe.wait_for("READY");
    let args = ["run", "--run-namespace", "one"];
    let bounded = cofferdam(dir.path(), &args)
        .args(["--wait=50ms", "--", "true"])
        .output()
        .unwrap();
    assert_eq!(bounded.status.code(), Some(3));
    let mut second = started(cofferdam(dir.path(), &args).args(["--wait", "--", "true"]));
    let mut said = std::io::BufReader::new(second.stderr.take().unwrap());
    let mut line = String::new();
    std::io::BufRead::read_line(&mut said, &mut line).unwrap();
    assert!(line.contains("waiting for session 1 (process "), "{line}");
    signal(&first, "-INT");
    wait_for_end(held);
    ended(first);
    assert_eq!(ended(second).code, Some(0));
}
