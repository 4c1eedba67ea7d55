//! The settings of all commands: `cofferdam.toml`, its profiles and its schema.

use crate::recording::{CommandOutput, cofferdam, output_of};
use serde_json::Value;
use std::fs;
use std::path::Path;

/// A file with each kind of table.
const COMPLETE: &str = include_str!("settings.toml");

fn with_settings(text: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("cofferdam.toml"), text).unwrap();
    dir
}

/// Returns the value, the line and the profile of an option.
fn effective(dir: &Path, args: &[&str], option: &str) -> (String, Option<u64>, Option<String>) {
    let args = [&["config", "--format", "json"], args].concat();
    let report = output_of(dir, &args).report();
    let all = report["settings"].as_array().unwrap();
    let one = all
        .iter()
        .find(|one| format!("{}.{}", one["command"], one["option"]).replace('"', "") == option);
    let one = one.unwrap_or_else(|| panic!("{option}: {report}"));
    let values: Vec<_> = one["values"]
        .as_array()
        .unwrap()
        .iter()
        .map(|value| value.as_str().unwrap())
        .collect();
    (
        values.join(","),
        one["line"].as_u64(),
        one["profile"].as_str().map(str::to_owned),
    )
}

#[test]
fn the_command_line_precedes_the_profile_which_precedes_the_other_settings() {
    let dir = with_settings(COMPLETE);
    // There is no recording: only the option decides.
    for (args, code) in [
        (&["check"][..], 0),
        (&["check", "--no-records", "fail"], 3),
        (&["check", "--profile", "ci"], 3),
        (&["check", "--profile", "ci", "--no-records", "pass"], 0),
        (&["check", "--profile", "default"], 0),
        (&["check", "--no-config"], 3),
    ] {
        let output = output_of(dir.path(), args);
        assert_eq!(output.code, Some(code), "{args:?}: {}", output.err);
    }
}

#[test]
fn config_shows_each_value_with_its_origin() {
    let dir = with_settings(COMPLETE);
    let line = |text: &str| {
        COMPLETE
            .lines()
            .position(|line| line == text)
            .map(|line| line as u64 + 1)
    };
    let ci = ["--profile", "ci"];
    for (args, option, value, origin, profile) in [
        (&[][..], "run.timeout", "90", "timeout = 90", None),
        (
            &[],
            "run.critical-exit",
            "2,137",
            "critical-exit = [2, 137]",
            None,
        ),
        (&[], "observe.confirm", "true", "confirm = true", None),
        (&[], "observe.time-budget", "60s", "", None),
        (&[], "hunt.time-budget", "5m", "", None),
        (
            &ci,
            "observe.time-budget",
            "5m",
            "time-budget = \"5m\"",
            Some("ci"),
        ),
        (&ci, "observe.confirm", "true", "confirm = true", None),
    ] {
        let expected = (
            value.to_owned(),
            line(origin).filter(|_| !origin.is_empty()),
            profile.map(str::to_owned),
        );
        assert_eq!(effective(dir.path(), args, option), expected, "{option} {args:?}");
    }
    let shown = output_of(dir.path(), &["config", "run"]);
    assert!(
        shown.out.starts_with("[run]\n") && shown.out.contains("\njobs = 3  "),
        "{}",
        shown.out
    );
    assert!(!shown.out.contains("[observe]"), "{}", shown.out);
    // What it shows is a settings file.
    let again = with_settings(&output_of(dir.path(), &["config"]).out);
    assert_eq!(effective(again.path(), &[], "run.timeout").0, "90");
}

#[test]
fn the_nearest_settings_apply_and_a_workspace_has_them_in_its_manifest() {
    let dir = tempfile::tempdir().unwrap();
    let member = dir.path().join("member");
    fs::create_dir(&member).unwrap();
    let manifest =
        "[workspace]\nmembers = [\"member\"]\n[workspace.metadata.cofferdam.check]\nno-records = \"pass\"\n";
    fs::write(dir.path().join("Cargo.toml"), manifest).unwrap();
    fs::write(member.join("Cargo.toml"), "[package]\nname = \"member\"\n").unwrap();
    let check = |args: &[&str]| -> CommandOutput {
        let mut command = cofferdam(dir.path(), args);
        command.current_dir(&member).output().unwrap().into()
    };
    assert_eq!(check(&["check"]).code, Some(0));
    fs::write(dir.path().join("other.toml"), "[check]\nno-records = \"fail\"\n").unwrap();
    assert_eq!(check(&["check", "--config", "../other.toml"]).code, Some(3));
    fs::write(
        dir.path().join("cofferdam.toml"),
        "[check]\nno-records = \"fail\"\n",
    )
    .unwrap();
    assert_eq!(check(&["check"]).code, Some(3));
}

#[test]
fn what_cannot_be_a_setting_is_refused_with_its_line_before_anything_runs() {
    for (text, expected) in [
        (
            "[observe]\nconfrim = true",
            "cofferdam.toml:2: unknown key `confrim` in [observe]; did you mean `confirm`?",
        ),
        (
            "[run]\nspeed = 1",
            "cofferdam.toml:2: unknown key `speed` in [run]",
        ),
        (
            "[observ]",
            "cofferdam.toml:1: unknown table `observ`; did you mean `observe`?",
        ),
        (
            "[profile.ci.observ]",
            "cofferdam.toml:1: unknown table `observ`; did you mean `observe`?",
        ),
        (
            "[profile]\nci = 1",
            "cofferdam.toml:2: a profile has tables of commands",
        ),
        (
            "[profile.default.run]\njobs = 1",
            "cofferdam.toml:1: the default profile has no name",
        ),
        ("run = 1", "cofferdam.toml:1: `run` is a table of options"),
        (
            "[run]\njobs = 0",
            "cofferdam.toml:2: `jobs` in [run]: invalid value `0`: expected a whole number, 1 or more",
        ),
        (
            "[run]\njobs = true",
            "cofferdam.toml:2: `jobs` in [run]: it needs a value",
        ),
        (
            "[run]\njobs = [1, 2]",
            "cofferdam.toml:2: `jobs` in [run]: it takes one value",
        ),
        (
            "[run]\nstrict = \"yes\"",
            "cofferdam.toml:2: `strict` in [run]: it is `true` or `false`",
        ),
        (
            "[run]\nretries = { a = 1 }",
            "cofferdam.toml:2: `retries` is a text, a number, `true`, `false`, or a list of them",
        ),
        (
            "[observe]\nmemory = \"of\"",
            "cofferdam.toml:2: `memory` in [observe]: invalid value `of`; one of auto, off, require",
        ),
        ("[run\n", "cofferdam.toml:1: unclosed table"),
    ] {
        let dir = with_settings(text);
        let output = output_of(dir.path(), &["run", "--", "touch", "started"]);
        assert!(output.err.contains(expected), "{}", output.err);
        assert_eq!(output.code, Some(2), "{text}");
        assert!(!dir.path().join("started").exists());
    }
    let dir = with_settings(COMPLETE);
    let unknown = output_of(dir.path(), &["check", "--profile", "cli"]);
    assert!(
        unknown.err.contains("has no profile `cli`; did you mean `ci`?"),
        "{}",
        unknown.err
    );
}

#[test]
fn the_schema_is_of_this_command_line() {
    let dir = tempfile::tempdir().unwrap();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/cofferdam.schema.json");
    let generated = output_of(dir.path(), &["config", "--schema"]).out;
    let schema: Value = serde_json::from_str(&generated).unwrap();
    assert_eq!(
        schema["definitions"]["observe"]["properties"]["confirm"]["type"],
        "boolean"
    );
    assert_eq!(
        fs::read_to_string(&path).unwrap_or_default(),
        generated,
        "cargo cofferdam config --schema > docs/reference/cofferdam.schema.json"
    );
}
