//! The files of `--report`.

use crate::recording::{conflicted, output_of};
use std::fs;
use std::path::Path;

/// A run with a conflict, and the output of `check` with these arguments.
fn check(base: &Path, args: &[&str]) -> crate::recording::CommandOutput {
    conflicted(base, "r1", "s1", 1);
    output_of(base, &[&["check"], args].concat())
}

#[test]
fn a_file_gets_the_report_and_the_terminal_its_text() {
    let base = tempfile::tempdir().unwrap();
    fs::write(base.path().join("old.json"), "old").unwrap();
    let args = [
        "--report",
        "json=new/dir/report.json",
        "--report",
        "json=old.json",
    ];
    let output = check(base.path(), &args);
    assert_eq!(output.code, Some(1), "{}", output.err);
    assert!(output.out.contains("\ncofferdam: 1 conflict"), "{}", output.out);
    let line = check(base.path(), &["--format", "json"]).out;
    for file in ["new/dir/report.json", "old.json"] {
        assert_eq!(
            fs::read_to_string(base.path().join(file)).unwrap(),
            line,
            "{file}"
        );
    }
}

#[test]
fn a_report_that_could_not_be_written_is_refused_before_the_command_runs() {
    let base = tempfile::tempdir().unwrap();
    fs::write(base.path().join("file"), "").unwrap();
    for (reports, wanted) in [
        (
            &["json=file/report.json"][..],
            "a report cannot be written to file/report.json: ",
        ),
        (&["json=."], "a report cannot be written to .: is a directory"),
        (
            &["json=a.json", "json=./a.json"],
            "two reports would be written to ./a.json: give each a file of its own",
        ),
        (&["toml=a"], "`toml` is not a format; use one of html, json"),
        (&["json"], "expected FORMAT=FILE with one of html, json"),
    ] {
        let mut args = vec!["run"];
        args.extend(reports.iter().flat_map(|report| ["--report", report]));
        args.extend(["--", "touch", "ran"]);
        let output = output_of(base.path(), &args);
        assert_eq!(output.code, Some(2), "{}{}", output.out, output.err);
        assert!(output.err.contains(wanted), "{}", output.err);
        assert!(!base.path().join("ran").exists());
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_report_that_turns_out_not_to_be_writable_is_an_error_unless_the_command_failed() {
    let base = tempfile::tempdir().unwrap();
    for (status, code) in [(0, 3), (7, 7)] {
        let spoil = format!("rm -rf reports; touch reports; exit {status}");
        let args = [
            "run",
            "--report",
            "json=reports/a.json",
            "--report",
            "json=b.json",
            "--",
        ];
        let output = output_of(base.path(), &[&args[..], &["sh", "-c", &spoil]].concat());
        assert_eq!(output.code, Some(code), "{}{}", output.out, output.err);
        assert!(
            output
                .err
                .contains("could not write the report to reports/a.json: "),
            "{}",
            output.err
        );
        assert!(base.path().join("b.json").exists());
        fs::remove_file(base.path().join("reports")).unwrap();
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_device_is_written_to_and_stays() {
    let base = tempfile::tempdir().unwrap();
    let output = check(base.path(), &["--report", "json=/dev/stderr"]);
    assert!(output.err.contains("{\"version\":2"), "{}", output.err);
    assert!(fs::symlink_metadata("/dev/stderr").unwrap().is_symlink());
}

#[test]
fn a_page_quotes_the_lines_of_a_conflict_and_shows_its_tests() {
    let base = tempfile::tempdir().unwrap();
    fs::create_dir(base.path().join("tests")).unwrap();
    let lines: String = (1..=9).map(|line| format!("let line = {line} < 10;\n")).collect();
    fs::write(base.path().join("tests/shop.rs"), lines).unwrap();
    let output = check(base.path(), &["--report", "html=report.html"]);
    assert_eq!(output.code, Some(1), "{}", output.err);
    let page = fs::read_to_string(base.path().join("report.html")).unwrap();
    for part in [
        "1 conflict in what was watched: 2 tests",
        "<title>orders::stores_one, result not known, at 0 µs, took 20 µs, shop</title>",
        "reports::exports_all changes file /shop/report.csv",
        "let line = 7 &lt; 10;",
        "the file was changed after this run",
        "To end it: ",
    ] {
        assert!(page.contains(part), "{part} is not in {page}");
    }
    assert!(!page.contains("let line = 4"), "two lines before and after");
}

/// The options of a hunt whose reports are compared.
#[cfg(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu"))]
pub(crate) const HUNT_OPTIONS: &[&str] = &[
    "--github=always",
    "--report=html=met/hunt.html",
    "--report=json=met/hunt.json",
    "--report=sarif=met/hunt.sarif",
];

/// Compares the reports of a hunt with these options, which found the victim of `examples/flaky`.
#[cfg(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu"))]
pub(crate) fn assert_reports_of_hunt(output: &crate::recording::CommandOutput, dir: &Path) {
    let written = fs::read_to_string(dir.join("met/hunt.json")).unwrap();
    assert_eq!(Some(written.trim_end()), output.out.lines().last());
    let annotation = "::error file=src/lib.rs,line=10,title=cofferdam%3A victim::";
    assert!(output.err.contains(annotation), "{}", output.err);
    let page = fs::read_to_string(dir.join("met/hunt.html")).unwrap();
    for part in [
        "fails after a_day_pass_costs_eleven_dollars",
        "-- YOUR-COMMAND",
        "<title>",
    ] {
        assert!(page.contains(part), "{part} is not in {page}");
    }
    let sarif = fs::read(dir.join("met/hunt.sarif")).unwrap();
    let sarif: serde_json::Value = serde_json::from_slice(&sarif).unwrap();
    let mut results = sarif["runs"][0]["results"].as_array().unwrap().iter();
    let victim = results.find(|result| result["ruleId"] == "hunt/victim").unwrap();
    let related = victim["relatedLocations"].as_array().unwrap().iter();
    let files = related.map(|place| &place["physicalLocation"]["artifactLocation"]["uri"]);
    assert_eq!(
        files.collect::<Vec<_>>(),
        ["src/lib.rs", "tests/office.rs"],
        "{victim}"
    );
}
