//! Tests of `check`.

use crate::recording::{Journal, cofferdam, conflicted, isolated, json_of, output_of, run_folder};
use serde_json::json;

#[test]
fn a_conflict_is_reported_with_both_tests_the_resource_and_a_help_text() {
    let base = tempfile::tempdir().unwrap();
    conflicted(base.path(), "r1", "s1", 1);
    let output = output_of(base.path(), &["check"]);
    assert_eq!(
        output.out,
        "
conflict: file /shop/report.csv is used by orders::stores_one on w0 (write) and reports::exports_all on w1 (write) at the same time, with no lock in common
  orders::stores_one    w0 in shop  write  tests/shop.rs:7
  reports::exports_all  w1 in shop  write  tests/shop.rs:7
  shared-resource; overlapped: yes
  help: give each test its own file: `let dir = cofferdam::lease::dir()?;` and `dir.join(\"report.csv\")` instead of the fixed path; where they have to share it, `#[cofferdam::serial(report_csv)]` on the tests that change it and `#[cofferdam::parallel(report_csv)]` on those that only read it (feature `macros`)

cofferdam: 1 conflict in what was watched: 2 tests, 2 workers, 1 run, 0 service instances, 2 claims
"
    );
    assert_eq!((output.code, output.err.as_str()), (Some(1), ""));
}

#[test]
fn a_report_without_conflicts_claims_no_more_than_that() {
    let base = tempfile::tempdir().unwrap();
    isolated(base.path(), "r1", "s1", 1);
    let output = output_of(base.path(), &["cofferdam", "check"]);
    assert_eq!(
        output.out,
        "\ncofferdam: no conflict in what was watched: 2 tests, 2 workers, 1 run, 0 service instances, 2 claims\n"
    );
    assert_eq!(output.code, Some(0));
}

#[test]
fn one_worker_alone_cannot_show_a_conflict_between_workers_and_the_last_line_says_so() {
    let base = tempfile::tempdir().unwrap();
    let folder = run_folder(base.path(), "r1", "s1", 1);
    Journal::new("r1", "s1", "w0", 10)
        .test(1, "a", "port:80", 10, 30)
        .write(&folder);
    let output = output_of(base.path(), &["check"]);
    assert!(
        output
            .out
            .trim_end()
            .ends_with("with one worker, conflicts between workers cannot be seen"),
        "{}",
        output.out
    );
    assert_eq!(output.code, Some(0));
}

#[test]
fn without_paths_only_the_newest_session_is_reported() {
    let base = tempfile::tempdir().unwrap();
    conflicted(base.path(), "r1", "s1", 1);
    isolated(base.path(), "r2", "s2", 2);
    assert_eq!(output_of(base.path(), &["check"]).code, Some(0));
    conflicted(base.path(), "r3", "s3", 3);
    assert_eq!(output_of(base.path(), &["check"]).code, Some(1));
}

#[test]
fn when_there_is_nothing_it_says_where_it_looked() {
    let base = tempfile::tempdir().unwrap();
    let nothing = output_of(base.path(), &["check"]);
    let runs = base.path().join("runs");
    assert!(
        nothing.out.contains(&format!("looked in {}", runs.display())),
        "{}",
        nothing.out
    );
    assert!(
        nothing.out.ends_with("could not tell: nothing was recorded\n"),
        "{}",
        nothing.out
    );
    assert_eq!(nothing.code, Some(3));
    assert_eq!(
        output_of(base.path(), &["check", "--no-records", "pass"]).code,
        Some(0)
    );
    assert_eq!(
        output_of(base.path(), &["check", "--no-records", "warn"]).code,
        Some(0)
    );
}

#[test]
fn directories_of_several_machines_are_merged_and_their_workers_distinguished_by_run() {
    let base = tempfile::tempdir().unwrap();
    let one = isolated(base.path(), "shard-1", "s1", 1);
    let two = isolated(base.path(), "shard-2", "s2", 1);
    let paths = [one.to_str().unwrap(), two.to_str().unwrap()];
    let (code, report) = json_of(base.path(), &["check", "--format", "json", paths[0], paths[1]]);
    // The two runs overlap, and their tests write equal paths on one machine: a conflict between runs.
    assert_eq!(code, Some(1));
    assert_eq!(
        (&report["watched"]["runs"], &report["watched"]["workers"]),
        (&json!(2), &json!(4))
    );
    assert_eq!(report["conflicts"][0]["between_runs"], json!(true));
    for path in [&one, &two] {
        for journal in ["w0", "w1"] {
            let journal = path.join("workers").join(journal).join("journal.ndjson");
            let text = std::fs::read_to_string(&journal).unwrap();
            let own = format!("\"boot\":\"{}\"", path.file_name().unwrap().to_string_lossy());
            std::fs::write(&journal, text.replace("\"boot\":\"machine\"", &own)).unwrap();
        }
    }
    let (code, report) = json_of(base.path(), &["check", "--format", "json", paths[0], paths[1]]);
    assert_eq!((code, &report["conflicts"]), (Some(0), &json!([])));
}

#[test]
fn shards_have_the_conflicts_that_one_run_of_all_tests_has() {
    let base = tempfile::tempdir().unwrap();
    let recorded = |run: &str, worker: &str, test: &str, at: u64| {
        let folder = run_folder(base.path(), run, "s1", 1);
        Journal::new(run, "s1", worker, 10 + at as u32)
            .test(1, test, "file:/shop/report.csv", at, at + 9)
            .write(&folder);
        folder.to_str().unwrap().to_owned()
    };
    let conflicts = |args: &[&str]| {
        let (code, report) = json_of(base.path(), &[&["check", "--format", "json"], args].concat());
        let all = report["conflicts"].as_array().unwrap().iter();
        let named = all.map(|conflict| {
            let tests = conflict["tests"].as_array().unwrap().iter();
            let tests: Vec<_> = tests.map(|test| test["name"].clone()).collect();
            json!([
                conflict["kind"],
                conflict["resource"],
                conflict["between_runs"],
                tests
            ])
        });
        (code, named.collect::<Vec<_>>())
    };
    recorded("whole", "w0", "a", 10);
    let whole = recorded("whole", "w1", "b", 50);
    let (one, two) = (
        recorded("shard-1", "w0", "a", 10),
        recorded("shard-2", "w0", "b", 50),
    );
    let in_one_run = conflicts(&[&whole]);
    assert_eq!((in_one_run.0, in_one_run.1.len()), (Some(1), 1));
    assert_eq!(conflicts(&["--shards", &one, &two]), in_one_run);
    // By default, two runs are two runs.
    assert_ne!(conflicts(&[&one, &two]), in_one_run);
}

#[test]
fn an_unreadable_file_is_named_and_the_rest_is_reported() {
    let base = tempfile::tempdir().unwrap();
    let folder = isolated(base.path(), "r1", "s1", 1);
    let journal = folder.join("workers/w0/journal.ndjson");
    let text = std::fs::read_to_string(&journal).unwrap();
    std::fs::write(&journal, text.replacen("{\"at\":10,", "garbage\n{\"at\":10,", 1)).unwrap();
    let unread = output_of(base.path(), &["check"]);
    let named = format!("unreadable: {}:3: not JSON", journal.display());
    assert!(unread.out.contains(&named), "{}", unread.out);
    assert!(
        unread
            .out
            .contains("cofferdam: could not tell: not everything could be read"),
        "{}",
        unread.out
    );
    assert_eq!(unread.code, Some(3));
    // A conflict is certain even if other files could not be read.
    conflicted(base.path(), "r2", "s1", 2);
    let both = output_of(base.path(), &["check"]);
    assert!(
        both.out.contains(&named) && both.out.contains("conflict: file"),
        "{}",
        both.out
    );
    assert_eq!(both.code, Some(1));
}

#[test]
fn a_path_that_is_not_there_is_an_error_that_names_it() {
    let base = tempfile::tempdir().unwrap();
    let output = output_of(base.path(), &["check", "gone"]);
    assert!(output.out.contains("could not read gone"), "{}", output.out);
    assert_eq!(output.code, Some(3));
}

#[test]
fn a_wrong_command_line_is_exit_code_2() {
    let base = tempfile::tempdir().unwrap();
    for args in [
        &["fly"][..],
        &["run"],
        &["run", "--"],
        &["check", "--format", "xml"],
    ] {
        let output = output_of(base.path(), args);
        assert_eq!((output.code, output.out.as_str()), (Some(2), ""), "{args:?}");
    }
    for args in [
        &["--help"][..],
        &["--version"],
        &["run", "--help"],
        &["check", "--help"],
    ] {
        let output = output_of(base.path(), args);
        assert_eq!((output.code, output.err.as_str()), (Some(0), ""), "{args:?}");
    }
    assert!(
        output_of(base.path(), &["run", "--help"])
            .out
            .contains("cargo cofferdam run -- cargo test")
    );
}

#[test]
fn github_gets_an_annotation_for_each_finding_and_a_summary() {
    let base = tempfile::tempdir().unwrap();
    conflicted(base.path(), "r1", "s1", 1);
    let summary = base.path().join("summary");
    for (args, variables, is_told) in [
        (&["check"][..], &[("GITHUB_ACTIONS", "true")][..], true),
        (&["check", "--github", "always"], &[], true),
        (&["check"], &[], false),
        (
            &["check", "--github", "never"],
            &[("GITHUB_ACTIONS", "true")],
            false,
        ),
        (
            &["check"],
            &[("GITHUB_ACTIONS", "true"), ("COFFERDAM_GITHUB", "never")],
            false,
        ),
    ] {
        std::fs::write(&summary, "# Tests\n").unwrap();
        let mut command = cofferdam(base.path(), args);
        command
            .envs(variables.iter().copied())
            .env("GITHUB_STEP_SUMMARY", &summary);
        let output: crate::recording::CommandOutput = command.output().unwrap().into();
        assert!(output.out.contains("\ncofferdam: 1 conflict"), "{}", output.out);
        let written = std::fs::read_to_string(&summary).unwrap();
        if !is_told {
            assert_eq!(
                (output.err.as_str(), written.as_str()),
                ("", "# Tests\n"),
                "{args:?}"
            );
            continue;
        }
        let lines: Vec<&str> = output.err.lines().collect();
        assert!(
            lines[0].starts_with(
                "::error file=tests/shop.rs,line=7,title=cofferdam%3A shared-resource::file /shop/report.csv"
            ) && lines.len() == 1,
            "{lines:?}"
        );
        let begin = "# Tests\n\n### cofferdam\n\n1 conflict in what was watched\\: ";
        assert!(written.starts_with(begin), "{written}");
        assert!(
            written.contains("\n**shared\\-resource** file \\/shop\\/report\\.csv is used by"),
            "{written}"
        );
    }
}

#[cfg(unix)]
#[test]
fn only_the_outermost_cofferdam_reports_to_github() {
    let base = tempfile::tempdir().unwrap();
    let inner = env!("CARGO_BIN_EXE_cargo-cofferdam");
    for (option, times) in [("auto", 1), ("always", 2)] {
        let nested = format!("'{inner}' check --no-records warn --github {option}; true");
        let nested = if option == "auto" {
            nested.replace(" --github auto", "")
        } else {
            nested
        };
        let args = ["run", "--no-records", "warn", "--", "sh", "-c", &nested];
        let mut command = cofferdam(base.path(), &args);
        let output: crate::recording::CommandOutput =
            command.env("GITHUB_ACTIONS", "true").output().unwrap().into();
        let annotations = output.err.lines().filter(|line| line.starts_with("::warning "));
        assert_eq!(annotations.count(), times, "{}", output.err);
    }
}

#[test]
fn colours_are_for_terminals_and_can_be_forced_and_refused() {
    let base = tempfile::tempdir().unwrap();
    conflicted(base.path(), "r1", "s1", 1);
    let coloured = |variables: &[(&str, &str)]| {
        let mut command = cofferdam(base.path(), &["check"]);
        let output = command.envs(variables.iter().copied()).output().unwrap();
        String::from_utf8(output.stdout).unwrap().contains('\u{1b}')
    };
    assert!(!coloured(&[]));
    assert!(coloured(&[("CLICOLOR_FORCE", "1")]));
    assert!(!coloured(&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]));
}
