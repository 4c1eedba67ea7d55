//! `--baseline`: known conflicts pass, new ones fail.

use crate::recording::{Journal, conflicted, json_of, output_of, run_folder};
use serde_json::json;
use std::path::Path;

const CHECK: [&str; 3] = ["check", "--baseline", "conflicts.toml"];

fn write(base: &Path, text: &str) {
    std::fs::write(base.join("conflicts.toml"), format!("version = 1\n{text}")).unwrap();
}

fn read(base: &Path) -> String {
    std::fs::read_to_string(base.join("conflicts.toml")).unwrap()
}

/// Two tests that also conflict on a port.
fn on_a_port(base: &Path, session: &str, at: u64) {
    let folder = run_folder(base, &format!("port-{session}"), session, at);
    for (execution, worker, from) in [(1, "w0", 10), (2, "w1", 20)] {
        Journal::new(&format!("port-{session}"), session, worker, 10)
            .test(
                execution,
                &format!("binds_on_{worker}"),
                "port:80",
                from,
                from + 20,
            )
            .write(&folder);
    }
}

#[test]
fn a_requested_update_writes_what_is_known_and_only_what_is_new_fails_from_then_on() {
    let base = tempfile::tempdir().unwrap();
    conflicted(base.path(), "r1", "s1", 1);
    let missing = output_of(base.path(), &CHECK);
    assert!(
        missing
            .err
            .contains("the baseline conflicts.toml does not exist; nothing was run"),
        "{}",
        missing.err
    );
    assert_eq!(missing.code, Some(3));
    let update = [&CHECK[..], &["--update-baseline"]].concat();
    let first = output_of(base.path(), &update);
    assert_eq!(
        first.out,
        "
known: file /shop/report.csv (2 uses)
baseline: wrote conflicts.toml, where 1 conflict is known; check it in
cofferdam: no new conflict in what was watched: 2 tests, 2 workers, 1 run, 0 service instances, 2 claims; 1 conflict is known in conflicts.toml
"
    );
    assert_eq!(first.code, Some(0));
    assert!(read(base.path()).ends_with("version = 1\n\n[[known]]\nconflict = \"file /shop/report.csv\"\n"));
    assert_eq!(output_of(base.path(), &CHECK).code, Some(0));

    on_a_port(base.path(), "s1", 2);
    let new = output_of(base.path(), &CHECK);
    assert!(
        new.out.contains("\nconflict: port 80 is used by ")
            && new.out.contains("known: file /shop/report.csv"),
        "{}",
        new.out
    );
    assert!(
        new.out.contains("cofferdam: 1 new conflict in what was watched"),
        "{}",
        new.out
    );
    assert_eq!(new.code, Some(1));

    let updated = output_of(base.path(), &update);
    assert_eq!(updated.code, Some(0), "{}", updated.out);
    assert_eq!(output_of(base.path(), &CHECK).code, Some(0));
    // Without the file, the exit code is that of a run without a baseline.
    assert_eq!(output_of(base.path(), &["check"]).code, Some(1));
}

#[test]
fn an_allowed_conflict_passes_until_its_date_and_fails_afterwards() {
    let base = tempfile::tempdir().unwrap();
    conflicted(base.path(), "r1", "s1", 1);
    let allowed = |until: &str| {
        write(
            base.path(),
            &format!(
                "[[allowed]]\nconflict = \"file /shop/report.csv\"\nreason = \"it is moved in spring\"\nuntil = {until}\n"
            ),
        );
        output_of(base.path(), &CHECK)
    };
    let holds = allowed("2999-12-31");
    assert!(
        holds
            .out
            .contains("allowed: file /shop/report.csv (2 uses) until 2999-12-31: it is moved in spring"),
        "{}",
        holds.out
    );
    assert_eq!(holds.code, Some(0));
    let ended = allowed("2020-02-29");
    let note = "baseline: file /shop/report.csv was allowed until 2020-02-29 (it is moved in spring); the allowance has ended";
    assert!(
        ended.out.contains(note) && ended.out.contains("\nconflict: file"),
        "{}",
        ended.out
    );
    assert_eq!(ended.code, Some(1));
    // An allowed conflict does not become a known one.
    let updated = output_of(base.path(), &[&CHECK[..], &["--update-baseline"]].concat());
    assert_eq!(updated.code, Some(1), "{}", updated.out);
}

#[test]
fn an_invalid_file_is_reported_with_its_line_before_anything_runs() {
    let base = tempfile::tempdir().unwrap();
    write(base.path(), "[[known]]\nconflct = \"file a\"\n");
    let ran = base.path().join("ran");
    let output = output_of(
        base.path(),
        &[
            "run",
            "--baseline",
            "conflicts.toml",
            "--",
            "touch",
            ran.to_str().unwrap(),
        ],
    );
    assert!(
        output.err.contains("conflicts.toml:3: unknown field `conflct`"),
        "{}",
        output.err
    );
    assert_eq!(output.code, Some(3));
    assert!(!ran.exists());
}

#[test]
fn an_incomplete_run_writes_no_baseline() {
    let base = tempfile::tempdir().unwrap();
    let run = ["run", "--baseline", "conflicts.toml", "--update-baseline"];
    let failed = output_of(base.path(), &[&run[..], &["--", "sh", "-c", "exit 7"]].concat());
    assert!(
        failed
            .out
            .contains("conflicts.toml was not written: the command failed"),
        "{}",
        failed.out
    );
    assert_eq!(failed.code, Some(7));
    assert!(!base.path().join("conflicts.toml").exists());
}

#[test]
fn the_files_name_can_steer_no_terminal_and_is_no_command_to_github() {
    let base = tempfile::tempdir().unwrap();
    conflicted(base.path(), "r1", "s1", 1);
    let name = "\u{1b}[31m##[error].toml";
    let output = output_of(base.path(), &["check", "--baseline", name, "--update-baseline"]);
    assert!(
        output.out.contains("known in \\u{1b}[31m##\\[error].toml\n"),
        "{}",
        output.out
    );
    assert!(
        !output.out.contains("\u{1b}[31m") && !output.out.contains("##["),
        "{}",
        output.out
    );
}

#[test]
fn json_lists_known_and_vanished_conflicts() {
    let base = tempfile::tempdir().unwrap();
    conflicted(base.path(), "r1", "s1", 1);
    write(
        base.path(),
        "[[known]]\nconflict = \"file /shop/report.csv\"\n[[known]]\nconflict = \"env SHOP_DB\"\n",
    );
    let (code, report) = json_of(base.path(), &[&CHECK[..], &["--format", "json"]].concat());
    assert_eq!(
        (code, &report["verdict"], &report["conflicts"]),
        (Some(0), &json!("none-seen"), &json!([]))
    );
    assert_eq!(
        report["baseline"]["known"][0]["conflict"]["resource"]["name"],
        "/shop/report.csv"
    );
    assert_eq!(report["baseline"]["gone"], json!(["env SHOP_DB"]));
}

#[test]
fn a_session_s_status_in_the_ledger_is_what_its_exit_code_says() {
    let base = tempfile::tempdir().unwrap();
    let run = |role: &str, args: &[&str]| {
        let ran = crate::run::run(base.path(), role, args).output().unwrap();
        let (_, session) = json_of(base.path(), &["show", "latest", "--format", "json"]);
        (ran.status.code().unwrap(), session["session"]["status"].clone())
    };
    let known = ["--baseline", "conflicts.toml"];
    assert_eq!(run("conflicted", &[]), (1, "failed".into()));
    let written = [&known[..], &["--update-baseline"]].concat();
    assert_eq!(run("conflicted", &written), (0, "passed".into()), "it is written");
    assert_eq!(run("conflicted", &known), (0, "passed".into()), "it is known");
    assert_eq!(run("conflicted 42", &known), (42, "failed".into()));
    write(base.path(), "");
    assert_eq!(run("conflicted", &known), (1, "failed".into()), "it is new");
    let none = ["--no-records", "fail"];
    assert_eq!(run("variables", &none), (3, "failed".into()));
    assert_eq!(run("isolated", &known), (0, "passed".into()));
}

#[test]
fn a_recorded_run_is_held_against_the_tests_of_an_entry_too() {
    let base = tempfile::tempdir().unwrap();
    conflicted(base.path(), "r1", "s1", 1);
    for (head, tail) in [
        ("[[known]]", ""),
        ("[[allowed]]", "reason = \"x\"\nuntil = 2999-12-31\n"),
    ] {
        let with = |tests: &str| {
            let entry = format!("{head}\nconflict = \"file /shop/report.csv\"\ntests = {tests}\n{tail}");
            write(base.path(), &entry);
            output_of(base.path(), &CHECK)
        };
        let others = with("[\"shop::orders::stores_one\", \"shop::another\"]");
        assert_eq!(others.code, Some(1), "{}", others.out);
        let all = with("[\"shop::orders::stores_one\", \"shop::reports::exports_all\", \"shop::another\"]");
        assert_eq!(all.code, Some(0), "{}", all.out);
    }
}

#[test]
fn an_update_after_a_recorded_run_keeps_an_entry_to_its_tests_and_those_that_were_seen() {
    let base = tempfile::tempdir().unwrap();
    conflicted(base.path(), "r1", "s1", 1);
    on_a_port(base.path(), "s1", 2);
    write(
        base.path(),
        "[[known]]\nconflict = \"file /shop/report.csv\"\ntests = [\"shop::not_met\", \"shop::orders::stores_one\"]\n",
    );
    let updated = output_of(base.path(), &[&CHECK[..], &["--update-baseline"]].concat());
    assert_eq!(updated.code, Some(0), "{}", updated.out);
    // A new entry is for all tests, because the pair that conflicts in a recorded run is chance.
    let known = "[[known]]\nconflict = \"file /shop/report.csv\"\ntests = [\n    \"shop::not_met\",\n    \
                 \"shop::orders::stores_one\",\n    \"shop::reports::exports_all\",\n]\n\n\
                 [[known]]\nconflict = \"port 80\"\n";
    assert!(read(base.path()).ends_with(known), "{}", read(base.path()));
}
