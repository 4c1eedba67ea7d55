//! Namespaces, which separate the output of sessions.

use crate::recording::CommandOutput;
use crate::run::run;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::Stdio;

/// Returns the namespace and the output directory that the command received.
fn handed(dir: &Path, args: &[&str], variables: &[(&str, &str)]) -> (String, String) {
    let mut command = run(dir, "namespace", args);
    let output: CommandOutput = command.envs(variables.iter().copied()).output().unwrap().into();
    assert_eq!(output.code, Some(0), "{}{}", output.out, output.err);
    let value = |name: &str| {
        let start = format!("{name}=");
        let line = output.out.lines().find_map(|line| line.strip_prefix(&start));
        line.unwrap_or_else(|| panic!("{}", output.out)).to_owned()
    };
    let (namespace, dir) = (value("COFFERDAM_RUN_NAMESPACE"), value("COFFERDAM_RUN_DIR"));
    let said = format!("cofferdam: namespace {namespace}, output in {dir}\n");
    assert!(output.err.starts_with(&said), "{}", output.err);
    (namespace, dir)
}

#[test]
fn the_flag_comes_first_then_our_variable_then_the_common_one() {
    let base = tempfile::tempdir().unwrap();
    let (ours, common) = (("COFFERDAM_RUN_NAMESPACE", "ours"), ("RUN_NAMESPACE", "common"));
    for (args, variables, namespace) in [
        (&["--run-namespace", "flag"][..], &[ours, common][..], "flag"),
        (&[], &[ours, common], "ours"),
        (&[], &[common], "common"),
    ] {
        let (found, dir) = handed(base.path(), args, variables);
        assert_eq!(found, namespace);
        assert_eq!(Path::new(&dir), base.path().join(format!("run_{namespace}")));
    }
}

#[test]
fn sessions_without_a_namespace_get_different_ones_and_leave_no_empty_folder() {
    let base = tempfile::tempdir().unwrap();
    let (one, other) = (handed(base.path(), &[], &[]), handed(base.path(), &[], &[]));
    assert_ne!(one, other);
    assert!(!Path::new(&one.1).exists());
    std::fs::write(base.path().join("write"), "").unwrap();
    let (_, output) = handed(base.path(), &[], &[]);
    assert!(
        Path::new(&output).join("report.csv").exists(),
        "what was put there stays"
    );
}

#[test]
fn a_hostile_namespace_stays_inside_of_the_base_and_one_that_is_too_long_is_refused() {
    let base = tempfile::tempdir().unwrap();
    let (_, output) = handed(base.path(), &["--run-namespace", "../../etc"], &[]);
    assert_eq!(Path::new(&output).parent(), Some(base.path()));
    let long = "x".repeat(200);
    let output: CommandOutput = run(base.path(), "namespace", &["--run-namespace", &long])
        .output()
        .unwrap()
        .into();
    assert!(output.err.contains("longer than 120 bytes"), "{}", output.err);
    assert_eq!((output.code, output.out.as_str()), (Some(3), ""));
}

#[test]
fn the_subfolder_can_be_switched_off() {
    let base = tempfile::tempdir().unwrap();
    let (_, output) = handed(base.path(), &[], &[("COFFERDAM_RUN_SUBDIR", "off")]);
    assert_eq!(Path::new(&output), base.path());
}

#[test]
fn two_sessions_of_one_namespace_do_not_run_at_once_unless_the_lock_is_off() {
    let base = tempfile::tempdir().unwrap();
    let mut first = run(base.path(), "ready", &["--run-namespace", "one"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(first.stdout.take().unwrap());
    let mut line = String::new();
    while !line.ends_with("READY\n") {
        assert_ne!(out.read_line(&mut line).unwrap(), 0, "{line}");
    }
    let refused: CommandOutput = run(base.path(), "namespace", &["--run-namespace", "one"])
        .output()
        .unwrap()
        .into();
    assert!(
        refused
            .err
            .contains("is active in namespace \"one\": command, process "),
        "{}",
        refused.err
    );
    assert_eq!(refused.code, Some(3));
    let (off, inside) = (("COFFERDAM_RUN_LOCK", "off"), ("COFFERDAM_RECORD", "outer"));
    handed(base.path(), &["--run-namespace", "one"], &[off]);
    handed(base.path(), &["--run-namespace", "one"], &[inside]);
    handed(base.path(), &["--run-namespace", "two"], &[]);

    drop(first.stdin.take());
    out.read_to_string(&mut line).unwrap();
    first.wait().unwrap();
    handed(base.path(), &["--run-namespace", "one"], &[]);
}
