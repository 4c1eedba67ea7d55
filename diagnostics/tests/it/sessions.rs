//! `status`, `list`, `show`, `backup`, `completions` and `man`, over ledgers that sessions wrote.

use crate::ledger::role::Played;
use crate::ledger::{add, end, folder, start};
use crate::recording::{cofferdam, json_of, output_of};
use cofferdam_batch::ledger::{JobState, RecordedConflict, Status};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::Stdio;

/// Records a failed session with a hostile name in every place that has a name.
fn failed(base: &Path) {
    let mut session = start(base, "night\u{1b}[31m");
    add(&mut session, &["build", "t\u{1b}[2Jest", "never"]);
    session.job_finished(&end(1, JobState::Completed)).unwrap();
    let mut failed = end(2, JobState::Failed);
    failed.log = Some(folder(base, &session).join("2.log"));
    failed.reason = Some("timeout".to_owned());
    session.job_finished(&failed).unwrap();
    let conflict = RecordedConflict {
        kind: "shared-resource".to_owned(),
        severity: "conflict".to_owned(),
        message: "file /shop/report.csv is used by a and b".to_owned(),
        help: "give each worker its own".to_owned(),
    };
    session.finish(Status::Failed, &[conflict]).unwrap();
}

#[test]
fn without_a_recorded_session_reports_are_empty_and_create_nothing() {
    let base = tempfile::tempdir().unwrap();
    let output_of = |args: &[&str]| output_of(base.path(), args);
    let status = output_of(&["status", "--watch"]);
    assert!(
        status.out.starts_with("cofferdam: 0 running sessions, in "),
        "{}",
        status.out
    );
    assert_eq!(status.code, Some(0));
    let list = output_of(&["list"]);
    assert!(
        list.out
            .starts_with("cofferdam: 0 sessions, 0 of 0 jobs failed at least once"),
        "{}",
        list.out
    );
    let show = output_of(&["show", "latest"]);
    assert_eq!((show.code, show.out.as_str()), (Some(3), ""));
    assert!(
        show.err.contains("there is no session \"latest\" in "),
        "{}",
        show.err
    );
    let backup = output_of(&["backup", "copy.sqlite3"]);
    assert_eq!(backup.code, Some(3));
    assert!(backup.err.contains("there is no ledger in "), "{}", backup.err);
    assert_eq!(std::fs::read_dir(base.path()).unwrap().count(), 0);
}

#[test]
fn an_active_session_is_shown_with_its_jobs() {
    let base = tempfile::tempdir().unwrap();
    let owner = Played::new(base.path(), "own");
    let status = output_of(base.path(), &["status"]);
    assert!(
        status.out.starts_with("session 1 in night: batch, running for "),
        "{}",
        status.out
    );
    for line in [
        "  1 of 3 jobs ended, 1 running, 1 waiting\n",
        "  running 2 second, ",
        "cofferdam: 1 running session, in ",
    ] {
        assert!(status.out.contains(line), "{line:?} in {}", status.out);
    }
    let (code, report) = json_of(base.path(), &["status", "--format", "json"]);
    assert_eq!((code, &report["version"]), (Some(0), &2.into()));
    let session = &report["sessions"][0];
    assert_eq!(session["owner"]["pid"], owner.pid());
    assert_eq!(
        (&session["jobs"]["total"], &session["running"][0]["name"]),
        (&3.into(), &"second".into())
    );
}

#[test]
fn watching_ends_with_the_session_whatever_ended_it() {
    let base = tempfile::tempdir().unwrap();
    let owner = Played::new(base.path(), "own");
    let mut watch = cofferdam(base.path(), &["status", "--watch"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap())
        .lines()
        .map(Result::unwrap);
    assert!(lines.any(|line| line.starts_with("cofferdam: 1 running session,")));
    owner.kill();
    assert!(lines.any(|line| line.starts_with("cofferdam: 0 running sessions,")));
    assert_eq!(lines.next(), None);
    assert!(watch.wait().unwrap().success());
}

#[test]
fn recent_sessions_are_listed_with_pass_rates() {
    let base = tempfile::tempdir().unwrap();
    failed(base.path());
    let mut session = start(base.path(), "day");
    add(&mut session, &["build"]);
    session.job_finished(&end(1, JobState::Completed)).unwrap();
    session.finish(Status::Passed, &[]).unwrap();
    drop(start(base.path(), "gone"));
    let list = output_of(base.path(), &["list"]);
    let words = |start: &str| -> Vec<String> {
        let line = list.out.lines().find(|line| line.trim_start().starts_with(start));
        let line = line.unwrap_or_else(|| panic!("{start:?} in {}", list.out));
        line.split_whitespace().map(str::to_owned).collect()
    };
    assert_eq!(words("session")[..4], ["session", "namespace", "scope", "status"]);
    assert_eq!(words("3 ")[..4], ["3", "gone", "batch", "abandoned"]);
    assert_eq!(words("2 ")[..4], ["2", "day", "batch", "passed"]);
    assert_eq!(words("1 ")[..4], ["1", "night\\u{1b}[31m", "batch", "failed"]);
    assert_eq!(
        words("t\\u{1b}[2Jest"),
        ["t\\u{1b}[2Jest", "0", "1", "0.0", "%", "1", "session"]
    );
    assert_eq!(words("build"), ["build", "2", "2", "100.0", "%", "2", "sessions"]);
    assert!(
        list.out
            .contains("cofferdam: 3 sessions, 1 of 2 jobs failed at least once"),
        "{}",
        list.out
    );

    let (_, all) = json_of(
        base.path(),
        &["list", "--run-namespace", "day", "--format", "json"],
    );
    assert_eq!(all["sessions"].as_array().unwrap().len(), 1);
    assert_eq!(all["pass_rates"][0]["completed"], 1);
    let (_, newest) = json_of(base.path(), &["list", "--limit", "1", "--format", "json"]);
    assert_eq!(newest["sessions"][0]["status"], "abandoned");
}

#[test]
fn a_session_is_shown_completely_and_no_name_controls_the_terminal() {
    let base = tempfile::tempdir().unwrap();
    failed(base.path());
    for which in ["latest", "1", "night\u{1b}[31m"] {
        let show = output_of(base.path(), &["show", which]);
        assert_eq!((show.code, show.err.as_str()), (Some(0), ""));
        assert!(!show.out.contains('\u{1b}'), "{}", show.out);
        for part in [
            "session 1 in night\\u{1b}[31m: batch, failed\n",
            ", revision 4fd5263\n",
            "  3 of 3 jobs ended (1 failed, 1 cancelled)\n",
            "code 7, timeout",
            "2.log\n",
            "conflict: file /shop/report.csv is used by a and b\n  help: give each worker its own\n",
            "cofferdam: session 1 failed: 3 jobs, 1 finding\n",
        ] {
            assert!(show.out.contains(part), "{part:?} in {}", show.out);
        }
    }
    let (_, report) = json_of(base.path(), &["show", "latest", "--format", "json"]);
    assert_eq!(report["jobs"][1]["attempts"][0]["reason"], "timeout");
    assert_eq!(report["conflicts"][0]["kind"], "shared-resource");
    let log = report["jobs"][1]["attempts"][0]["log"].as_str().unwrap();
    assert!(Path::new(log).starts_with(base.path().join("sessions")), "{log}");
}

#[test]
fn of_many_jobs_the_incomplete_ones_are_listed_and_the_others_counted() {
    let base = tempfile::tempdir().unwrap();
    let mut session = start(base.path(), "night");
    add(&mut session, &["a job"; 300]);
    for number in 1..=299 {
        session.job_finished(&end(number, JobState::Completed)).unwrap();
    }
    session.job_finished(&end(300, JobState::Failed)).unwrap();
    session.finish(Status::Failed, &[]).unwrap();
    let show = output_of(base.path(), &["show", "latest"]);
    assert_eq!(show.out.matches(" completed ").count(), 50, "{}", show.out);
    assert_eq!(show.out.matches("code 7").count(), 1);
    assert!(
        show.out.contains("and 249 more jobs that completed"),
        "{}",
        show.out
    );
}

#[test]
fn a_backup_is_reported_and_replaces_no_file() {
    let base = tempfile::tempdir().unwrap();
    failed(base.path());
    let backup = output_of(base.path(), &["backup", "copy.sqlite3"]);
    assert!(
        backup
            .out
            .starts_with("cofferdam: copied 1 session and 3 jobs to copy.sqlite3 ("),
        "{}",
        backup.out
    );
    let again = output_of(base.path(), &["backup", "copy.sqlite3"]);
    assert_eq!(again.code, Some(3));
    assert!(again.err.contains("copy.sqlite3 exists"), "{}", again.err);
    let (_, report) = json_of(base.path(), &["backup", "other.sqlite3", "--format", "json"]);
    assert_eq!((&report["sessions"], &report["jobs"]), (&1.into(), &3.into()));
}

#[test]
fn a_damaged_ledger_is_exit_code_3_with_the_next_step() {
    let base = tempfile::tempdir().unwrap();
    std::fs::write(
        base.path().join("ledger.sqlite3"),
        "garbage, and more of it than a header has",
    )
    .unwrap();
    for args in [
        &["status"][..],
        &["list"],
        &["show", "1"],
        &["backup", "copy"],
        &["metrics"],
    ] {
        let output = output_of(base.path(), args);
        assert_eq!((output.code, output.out.as_str()), (Some(3), ""), "{args:?}");
        assert!(output.err.contains("is damaged"), "{}", output.err);
    }
}

#[test]
fn a_closed_pipe_ends_a_list_without_an_error() {
    let base = tempfile::tempdir().unwrap();
    failed(base.path());
    for args in [
        &["list"][..],
        &["show", "1"],
        &["metrics"],
        &["completions", "bash"],
    ] {
        let mut child = cofferdam(base.path(), args);
        let mut child = child
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{args:?}");
        assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    }
}

#[test]
fn completions_know_every_command() {
    let base = tempfile::tempdir().unwrap();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = output_of(base.path(), &["completions", shell]);
        assert_eq!(script.code, Some(0));
        for word in ["cargo-cofferdam", "status", "run-namespace", "backup"] {
            assert!(script.out.contains(word), "{word} for {shell}");
        }
    }
    let unknown = output_of(base.path(), &["completions", "csh"]);
    assert_eq!(unknown.code, Some(2));
}

#[test]
fn each_command_has_a_manual_page_and_hidden_ones_have_none() {
    let base = tempfile::tempdir().unwrap();
    let written = output_of(base.path(), &["man", "new/man1"]);
    assert_eq!(
        (written.code, written.out.as_str()),
        (Some(0), ""),
        "{}",
        written.err
    );
    let page = |name: &str| std::fs::read_to_string(base.path().join("new/man1").join(name));
    assert!(page("cargo-cofferdam.1").unwrap().contains("observe"));
    assert!(
        page("cargo-cofferdam-observe.1")
            .unwrap()
            .contains("\\-\\-confirm")
    );
    assert!(page("cargo-cofferdam-guard.1").is_err());
    let failed = output_of(base.path(), &["man", "new/man1/cargo-cofferdam.1"]);
    assert_eq!(failed.code, Some(3), "{}", failed.err);
}

#[cfg(unix)]
#[test]
fn bash_completes_commands_options_and_values_by_them() {
    let base = tempfile::tempdir().unwrap();
    let script = output_of(base.path(), &["completions", "bash"]);
    std::fs::write(base.path().join("script"), script.out).unwrap();
    // The function that bash calls on the Tab key.
    let ask = r#"
        source ./script
        ask() {
            COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
            local of=$(complete -p cargo-cofferdam); of=${of#*-F }
            ${of%% *} "$1" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
            echo "${COMPREPLY[*]}"
        }
        ask cargo-cofferdam sta
        ask cargo-cofferdam run --until
        ask cargo-cofferdam run --on-error stop-
        ask cargo-cofferdam completions fi"#;
    #[expect(clippy::disallowed_methods, reason = "this is the reader's shell")]
    let mut bash = std::process::Command::new("bash");
    bash.args(["--norc", "-c", ask]).current_dir(base.path());
    let completions = String::from_utf8(bash.output().unwrap().stdout).unwrap();
    assert_eq!(completions, "status\n--until-fail\nstop-critical\nfish\n");
}

#[test]
fn every_command_has_help_with_an_example() {
    let base = tempfile::tempdir().unwrap();
    for command in [
        "run",
        "submit",
        "shards",
        "status",
        "list",
        "show",
        "backup",
        "metrics",
        "completions",
    ] {
        let help = output_of(base.path(), &[command, "--help"]);
        assert!(
            help.out
                .contains(&format!("Examples:\n  cargo cofferdam {command}")),
            "{}",
            help.out
        );
    }
}
