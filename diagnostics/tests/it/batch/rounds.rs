//! One command with several numbers of workers.

use super::events;
use crate::recording::{CommandOutput, Journal, cofferdam, run_folder};
use crate::run::variable;
use std::path::{Path, PathBuf};

/// One round: its tests conflict with eight workers, and not with four.
#[test]
#[ignore = "a role, played for the tests below"]
fn round() {
    let Some(job) = variable("COFFERDAM_JOB") else {
        return;
    };
    let base = PathBuf::from(variable("COFFERDAM_DIR").unwrap());
    let session = variable("COFFERDAM_RECORD").unwrap();
    let workers = variable("RUST_TEST_THREADS").unwrap();
    assert_eq!(variable("NEXTEST_TEST_THREADS").as_ref(), Some(&workers));
    let run = format!("of-{session}-{job}");
    let folder = run_folder(&base, &run, &session, 100);
    for (execution, lane) in [(1, "w0"), (2, "w1")] {
        let file = if workers == "8" {
            "shop".to_owned()
        } else {
            format!("{job}-{lane}")
        };
        Journal::new(&run, &session, &format!("{job}.{lane}"), 10)
            .test(
                execution,
                &format!("on_{lane}"),
                &format!("file:/{file}/report.csv"),
                10,
                30,
            )
            .write(&folder);
    }
}

fn rounds(dir: &Path, args: &[&str]) -> CommandOutput {
    let mut command = cofferdam(dir, &["run"]);
    #[expect(clippy::disallowed_methods, reason = "the role is a test of this binary")]
    let exe = std::env::current_exe().unwrap();
    command.args(args).arg("--").arg(exe);
    command.args([
        "--exact",
        "batch::rounds::round",
        "--ignored",
        "--nocapture",
        "--quiet",
    ]);
    command.output().unwrap().into()
}

#[test]
fn each_number_of_workers_has_its_own_rounds_durations_and_conflicts() {
    let dir = tempfile::tempdir().unwrap();
    let output = rounds(dir.path(), &["--workers", "4,8", "--repeat", "3"]);
    let table: Vec<Vec<&str>> = output
        .out
        .lines()
        .skip_while(|line| !line.starts_with("workers"))
        .take(3)
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(
        table[1][..6],
        ["4", "3", "3", "0", "100", "%"],
        "{}{}",
        output.out,
        output.err
    );
    assert_eq!(table[2][..6], ["8", "3", "3", "0", "100", "%"], "{}", output.out);
    let conflicts = |line: &[&str]| line.last().unwrap().parse::<u64>().unwrap();
    assert_eq!(conflicts(&table[1]), 0, "{}", output.out);
    assert!(conflicts(&table[2]) > 0, "{}", output.out);
    assert_eq!(output.code, Some(1), "conflicts make 1");
}

#[test]
fn rounds_repeat_until_one_fails() {
    let dir = tempfile::tempdir().unwrap();
    let third = "echo x >> tries; test $(wc -l < tries) -lt 3";
    let run = |args: &[&str]| -> CommandOutput {
        let mut command = cofferdam(dir.path(), &["run", "--until-fail"]);
        command.args(args).args(["--", "sh", "-c", third]);
        command.output().unwrap().into()
    };
    let one = &["--jobs", "2", "--workers", "1", "--group-limit", "1 worker=1"];
    assert_eq!(run(one).code, Some(4), "a group that is full is waited for");
    std::fs::remove_file(dir.path().join("tries")).unwrap();
    let endless = run(&[]);
    assert!(
        endless.out.contains("failed: j3 sh, round 3: exit code 1"),
        "{}{}",
        endless.out,
        endless.err
    );
    assert!(
        endless.out.ends_with("; 1 of 3 jobs failed (a job failed)\n"),
        "{}",
        endless.out
    );
    assert_eq!(endless.code, Some(4));
    std::fs::remove_file(dir.path().join("tries")).unwrap();
    let bounded = run(&["--repeat", "2"]);
    assert!(bounded.out.ends_with("; 2 jobs passed\n"), "{}", bounded.out);
}

#[test]
fn a_round_finds_the_temporary_files_of_earlier_rounds_unless_it_is_isolated() {
    let dir = tempfile::tempdir().unwrap();
    let temp = dir.path().join("temp");
    std::fs::create_dir(&temp).unwrap();
    let run = |args: &[&str]| -> CommandOutput {
        let mut command = cofferdam(dir.path(), &["run", "--repeat", "3"]);
        // A suite that passes once, because it leaves a file that must be new.
        let once = "test ! -e $TMPDIR/db && echo 1 > $TMPDIR/db";
        command
            .args(args)
            .env("TMPDIR", &temp)
            .args(["--", "sh", "-c", once]);
        command.output().unwrap().into()
    };
    let isolated = run(&["--isolate"]);
    assert!(
        isolated.out.ends_with("; 3 jobs passed\n"),
        "{}{}",
        isolated.out,
        isolated.err
    );
    let output = run(&[]);
    assert!(
        output.out.ends_with("; 2 of 3 jobs failed\n"),
        "{}{}",
        output.out,
        output.err
    );
    assert!(temp.join("db").exists());
    assert_eq!(output.code, Some(4));
}

#[test]
fn rounds_run_one_by_one_unless_requested_otherwise() {
    let dir = tempfile::tempdir().unwrap();
    let most = |args: &[&str]| {
        let mut command = cofferdam(dir.path(), &["run", "--repeat", "4", "--json"]);
        let output: CommandOutput = command
            .args(args)
            .args(["--", "sleep", "0.05"])
            .output()
            .unwrap()
            .into();
        events(&output).pop().unwrap()["jobs"]["most_at_once"].as_u64()
    };
    assert_eq!(most(&[]), Some(1));
    assert_eq!(most(&["--jobs", "2"]), Some(2));
}
