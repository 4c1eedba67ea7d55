//! `hunt` on a suite whose tests fail through statics: the right one of several is named.

use crate::observe::package::Package;
use crate::recording::CommandOutput;
use serde_json::Value;

const CAUSED: &str = include_str!("observe/suites/caused.rs");

fn run(package: &Package, words: &[&str], command: &[&str]) -> CommandOutput {
    let mut command = package.cofferdam(words, command);
    for profile in ["DEV", "TEST"] {
        command.env(format!("CARGO_PROFILE_{profile}_DEBUG"), "2");
    }
    command.output().unwrap().into()
}

/// Returns the cause of a class.
fn cause<'r>(report: &'r Value, class: &str) -> &'r Value {
    let causes = report["causes"].as_array().unwrap();
    let mut of_class = causes.iter().filter(|cause| cause["class"] == class);
    of_class
        .next()
        .unwrap_or_else(|| panic!("no {class}: {report:#}"))
}

/// Returns where the suite declares a static, as reports have it.
fn declared(name: &str) -> String {
    let declaration = format!("static {name}: ");
    let line = CAUSED.lines().position(|line| line.starts_with(&declaration));
    format!("tests/caused.rs:{}", line.unwrap() + 1)
}

#[test]
fn the_static_that_makes_a_test_fail_is_named_with_the_experiment_that_shows_it() {
    let package = Package::new("caused", CAUSED);
    let command = ["cargo", "test", "--offline", "-q", "--test", "caused"];
    let output = run(&package, &["hunt", "--format", "json", "--seed", "1"], &command);
    assert_eq!(output.code, Some(1), "{}{}", output.out, output.err);
    let report = output.report();
    for (class, experiment, name, type_name) in [
        ("victim", "put-back", "CELL", "Cell"),
        ("race", "pause", "CURRENT", "AtomicU32"),
    ] {
        let statics = &cause(&report, class)["statics"];
        assert_eq!(statics["experiment"], experiment, "{report:#}");
        let wanted = serde_json::json!([[{
            "name": format!("caused::{name}"), "type": type_name, "declared": declared(name),
        }]]);
        assert_eq!(statics["sets"], wanted, "{report:#}");
    }
    let put_back = &cause(&report, "victim")["statics"];
    assert_eq!(put_back["with"]["failed"], 0, "{report:#}");
    assert_eq!(put_back["without"]["failed"], 3, "{report:#}");
    let library = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let words = ["fix", "--with", "cofferdam", "--cofferdam", library];
    let fixed: CommandOutput = package.without_command(&words).output().unwrap().into();
    let new = "+static CURRENT: WorkerLocal<AtomicU32> = WorkerLocal::new(|_| Ok(AtomicU32::new(0)));\n";
    assert!(fixed.out.contains(new), "{}{}", fixed.out, fixed.err);
    // In a serial run, the bytes show what no breakpoint does.
    let serial = [&command[..], &["--", "--test-threads=1"]].concat();
    let options = [
        "observe",
        "--format",
        "json",
        "--memory",
        "require",
        "--list-statics",
    ];
    let report = run(&package, &options, &serial).report();
    let list = report["observed"]["statics"]["list"].as_array().unwrap();
    let cell = list.iter().find(|one| one["name"] == "caused::CELL").unwrap();
    assert_eq!(cell["writers"][0]["test"], "c_cell_is_filled", "{report:#}");
    assert_eq!(cell["readers"][0]["test"], "d_cell_is_empty", "{report:#}");
}
