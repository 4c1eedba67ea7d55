//! Tests of `locks`.

use crate::recording::{CommandOutput, cofferdam, json_of, output_of};
use std::path::Path;

/// Writes a lock as a killed test leaves it: free, with a record of an owner.
fn left(base: &Path) {
    let folder = base.join("locks");
    std::fs::create_dir_all(&folder).unwrap();
    let record = "held\t2\t00060a24181e4000\texclusive\t4711\t90\tboot\t0\tschema\trun-1\tw1\torders::\u{1b}[31mmigrates\t";
    std::fs::write(folder.join("schema.lock"), format!("{record:<511}\n")).unwrap();
}

#[test]
fn without_held_locks_the_report_says_so() {
    let base = tempfile::tempdir().unwrap();
    // Other runs may hold locks of the machine, so this one has a separate machine directory.
    let output: CommandOutput = cofferdam(base.path(), &["locks"])
        .env("TMPDIR", base.path())
        .output()
        .unwrap()
        .into();
    let none = "cofferdam: 0 locks held, 0 abandoned by killed processes, 0 free\n";
    assert!(output.out.ends_with(none), "{}", output.out);
    assert_eq!((output.code, output.err.as_str()), (Some(0), ""));
}

#[test]
fn a_killed_holder_is_named_and_cannot_control_the_terminal() {
    let base = tempfile::tempdir().unwrap();
    left(base.path());
    let output = output_of(base.path(), &["locks"]);
    let line = "left: schema, by orders::\\u{1b}[31mmigrates (worker w1, pid 4711, run run-1) taken ";
    assert!(output.out.contains(line), "{}", output.out);
    assert_eq!(output.code, Some(0));
}

#[test]
fn a_lock_that_this_test_holds_is_listed_with_its_name() {
    let base = cofferdam::diagnostics::base_dir(None).unwrap();
    let name = "locks command: held";
    let held = || {
        let (code, report) = json_of(&base, &["locks", "--format", "json"]);
        assert_eq!((code, &report["version"]), (Some(0), &2.into()));
        let all = report["locks"].as_array().unwrap().clone();
        all.into_iter().find(|lock| lock["name"] == name).unwrap()
    };
    let guard = cofferdam::lock::lock_shared(name);
    assert_eq!(held()["state"], "shared");
    drop(guard);
    let guard = cofferdam::lock(name);
    let lock = held();
    assert_eq!(
        (&lock["state"], &lock["scope"]),
        (&"exclusive".into(), &"workspace".into())
    );
    let holder = &lock["holder"];
    assert_eq!(
        holder["test"],
        "locks::a_lock_that_this_test_holds_is_listed_with_its_name"
    );
    assert!(holder["pid"].is_u64() && holder["is_gone"] == false, "{holder}");
    drop(guard);
    assert_eq!(held()["state"], "free");
}

#[test]
fn an_unreadable_directory_is_exit_code_3() {
    let base = tempfile::tempdir().unwrap();
    std::fs::write(base.path().join("locks"), "no directory").unwrap();
    let output = output_of(base.path(), &["locks"]);
    assert_eq!(output.code, Some(3));
    assert!(
        output.err.starts_with("cofferdam: could not read "),
        "{}",
        output.err
    );
}
