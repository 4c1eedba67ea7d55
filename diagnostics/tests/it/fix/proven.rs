//! `fix --apply` on real suites: what failed is repeated with the changes.

use crate::observe::package::Package;
use crate::recording::{CommandOutput, make_pipe};
use serde_json::Value;
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Stdio;

// Whichever of the racing tests failed first, the others run too.
const CARGO: [&str; 4] = ["cargo", "test", "--offline", "--no-fail-fast"];
const NEXTEST: [&str; 5] = ["cargo", "nextest", "run", "--offline", "--no-fail-fast"];

/// Two tests on one file, and one that does not use it.
const TILL: &str = "\
use std::fs;

const TOTAL: &str = concat!(env!(\"CARGO_MANIFEST_DIR\"), \"/met/total\");

fn count(name: &str, file: &str) {
    // Shows that a scene goes on, and does not end by itself.
    if let Some(fifo) = std::env::var_os(\"TILL_FIFO\") {
        fs::write(fifo, \"\").unwrap();
        loop {
            std::thread::park();
        }
    }
    fs::write(file, name).unwrap();
    assert_eq!(fs::read_to_string(file).unwrap(), name);
}

#[test]
fn monday() {
    count(\"monday\", TOTAL);
}

#[test]
fn tuesday() {
    count(\"tuesday\", TOTAL);
}

#[test]
fn holiday() {}
";

/// Two more tests on another file.
const STOCK: &str = "
const STOCK: &str = concat!(env!(\"CARGO_MANIFEST_DIR\"), \"/met/stock\");

#[test]
fn apples() {
    count(\"apples\", STOCK);
}

#[test]
fn pears() {
    count(\"pears\", STOCK);
}
";

/// An attribute of the right name that keeps nothing apart.
const IDENTITY: &str = "\
use proc_macro::TokenStream;
#[proc_macro_attribute]
pub fn serial(_: TokenStream, item: TokenStream) -> TokenStream { item }
";

/// The suite with a crate in place of cofferdam.
fn with_stand_in(package: Package, library: &str) -> Package {
    package.write(
        "library/Cargo.toml",
        "[package]\nname = \"cofferdam\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[features]\nmacros = []\n\n[lib]\nproc-macro = true\n",
    );
    package.write("library/src/lib.rs", library);
    let manifest = fs::read_to_string(package.path().join("Cargo.toml")).unwrap();
    let dependency = "[dev-dependencies]\ncofferdam = { path = \"library\" }\n";
    package.write("Cargo.toml", &format!("{manifest}{dependency}"));
    package
}

fn run(package: &Package, words: &[&str], command: &[&str]) -> CommandOutput {
    package.cofferdam(words, command).output().unwrap().into()
}

fn fix(package: &Package, options: &[&str], command: &[&str]) -> CommandOutput {
    let words = [&["fix", "--apply", "--allow-no-vcs"], options].concat();
    run(package, &words, command)
}

fn suite(package: &Package) -> String {
    fs::read_to_string(package.path().join("tests/till.rs")).unwrap()
}

fn observation(package: &Package) -> PathBuf {
    package.built().join("cofferdam/observed/last.json")
}

fn read(package: &Package) -> Value {
    serde_json::from_str(&fs::read_to_string(observation(package)).unwrap()).unwrap()
}

/// Observes the suite until the two tests are shown to fail beside each other.
fn reproduce(package: &Package, command: &[&str], files: usize) -> Value {
    let output = run(package, &["observe", "--confirm", "--time-budget", "1h"], command);
    let observation = read(package);
    let reproductions = observation["reproductions"].as_array().unwrap();
    assert_eq!(reproductions.len(), files, "{}{}", output.out, output.err);
    assert_eq!(reproductions[0]["class"], "race");
    observation
}

#[test]
fn what_ends_a_failure_is_kept_and_what_does_not_is_taken_back() {
    let package = Package::with_library("till", &[TILL, STOCK].concat());
    // A secret in the command is written nowhere.
    let command = [&CARGO[..], &["--", "--skip", "s3cret"]].concat();
    let mut observed = reproduce(&package, &command, 2);
    let text = observed.to_string();
    assert!(!text.contains("s3cret") && !text.contains("--offline"), "{text}");
    // The key of the other file goes to a wrong test.
    let conflicts = observed["conflicts"].as_array_mut().unwrap();
    let is_stock = |conflict: &&mut Value| conflict["resource"]["name"].as_str().unwrap().ends_with("stock");
    let tests = conflicts.iter_mut().find(is_stock).unwrap()["tests"]
        .as_array_mut()
        .unwrap();
    tests.iter_mut().find(|test| test["name"] == "pears").unwrap()["name"] = "holiday".into();
    // On a busy machine a few runs may pass by chance: a lower rate asks for more.
    for reproduction in observed["reproductions"].as_array_mut().unwrap() {
        reproduction["with"] = serde_json::json!({ "failed": 3, "runs": 6 });
    }
    fs::write(observation(&package), observed.to_string()).unwrap();

    let output = fix(&package, &[], &command);
    let line = |begin: &str| {
        let mut lines = output.out.lines().filter(|line| line.starts_with(begin));
        lines
            .next()
            .unwrap_or_else(|| panic!("{begin}: {}{}", output.out, output.err))
    };
    let fixed = line("fixed: file met/total: ");
    assert!(
        fixed.contains(" failed in 0 of ")
            && fixed.contains(", before the change in ")
            && !fixed.contains("kept"),
        "{fixed}"
    );
    assert!(
        output.err.contains(" with the changes: failed in 0 of "),
        "{}",
        output.err
    );
    let wrong = line("not fixed: file met/stock: ");
    assert!(wrong.ends_with("; no change for it was kept"), "{wrong}");
    assert!(
        output.out.ends_with("; written, except what was not kept\n"),
        "{}",
        output.out
    );
    assert_eq!(output.code, Some(1), "{}{}", output.out, output.err);
    let suite = suite(&package);
    assert_eq!(suite.matches("#[serial(total)]").count(), 2, "{suite}");
    assert_eq!(suite.matches("#[serial").count(), 2, "{suite}");
}

#[test]
fn a_change_that_does_not_help_or_is_not_proven_is_taken_back() {
    let package = with_stand_in(Package::new("till", TILL), IDENTITY);
    let observed = reproduce(&package, &CARGO, 1);
    let manifest = fs::read_to_string(package.path().join("Cargo.toml")).unwrap();
    let is_untouched = |output: &CommandOutput| {
        assert_eq!(suite(&package), TILL, "{}{}", output.out, output.err);
        assert_eq!(
            fs::read_to_string(package.path().join("Cargo.toml")).unwrap(),
            manifest
        );
        assert!(
            output
                .out
                .contains("nothing was changed: no change was proven to end 1 conflict seen in 3 tests"),
            "{}{}",
            output.out,
            output.err
        );
        // The package itself lies in a temporary directory with a random name.
        assert!(!output.out.contains("the path is random"), "{}", output.out);
        assert_eq!(output.code, Some(1));
    };
    let output = fix(&package, &["--keep-unproven"], &CARGO);
    assert!(
        output.out.contains("\nnot fixed: file met/total: ") || output.out.starts_with("not fixed: "),
        "{}",
        output.out
    );
    assert!(output.out.contains(", before the change in "), "{}", output.out);
    is_untouched(&output);

    let output = fix(&package, &["--time-budget", "0s"], &CARGO);
    assert!(
        output.out.contains("not proven: file met/total: "),
        "{}",
        output.out
    );
    assert!(
        output.out.contains(" runs fit into the time budget; no change"),
        "{}",
        output.out
    );
    is_untouched(&output);
    // The tests of another command.
    let output = fix(&package, &[], &[&CARGO[..], &["--", "holiday"]].concat());
    assert!(
        output.out.contains(": the command does not run till::"),
        "{}",
        output.out
    );
    is_untouched(&output);

    let mut unknown = observed;
    unknown["reproductions"] = serde_json::json!([]);
    fs::write(observation(&package), unknown.to_string()).unwrap();
    let output = fix(&package, &[], &CARGO);
    assert!(
        output
            .out
            .contains("not proven: file met/total: no failure was reproduced"),
        "{}",
        output.out
    );
    is_untouched(&output);
    let output = fix(&package, &["--keep-unproven"], &CARGO);
    assert!(
        output.out.ends_with("; written; not all of it is proven\n"),
        "{}{}",
        output.out,
        output.err
    );
    assert_eq!(output.code, Some(0));
    assert_eq!(suite(&package).matches("#[serial(total)]").count(), 2);
}

#[test]
fn changes_with_which_the_command_fails_are_taken_back() {
    // The feature is there, and the attribute is not.
    let package = with_stand_in(Package::new("till", TILL), "");
    reproduce(&package, &CARGO, 1);
    let output = fix(&package, &[], &CARGO);
    assert!(
        output
            .err
            .contains("the changes were reverted: with them, the command failed"),
        "{}{}",
        output.out,
        output.err
    );
    assert!(!output.err.contains("fails without them"), "{}", output.err);
    assert_eq!((output.code, suite(&package).as_str()), (Some(3), TILL));
}

#[test]
fn a_signal_while_a_scene_runs_takes_the_changes_back() {
    let package = with_stand_in(Package::new("till", TILL), IDENTITY);
    reproduce(&package, &CARGO, 1);
    let fifo = package.path().join("met/fifo");
    make_pipe(&fifo);
    // Ctrl-C may be ignored where this runs, as in the background of a script.
    let words = ["fix", "--apply", "--allow-no-vcs", "--time-budget", "1h"];
    let child = package
        .cofferdam(&words, &CARGO)
        .env("TILL_FIFO", &fifo)
        .process_group(0)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    fs::read(&fifo).unwrap();
    assert!(suite(&package).contains("#[serial(total)]"));
    #[expect(clippy::disallowed_methods, reason = "a signal as a shell sends it")]
    let killed = std::process::Command::new("kill")
        .args(["-s", "TERM", "--", &child.id().to_string()])
        .status()
        .unwrap();
    assert!(killed.success());
    let output: CommandOutput = child.wait_with_output().unwrap().into();
    assert!(
        output
            .err
            .contains("the changes were reverted: with them, the runs were interrupted"),
        "{}{}",
        output.out,
        output.err
    );
    assert_eq!((output.code, suite(&package).as_str()), (Some(3), TILL));
}

#[test]
fn a_test_group_is_proven_by_running_its_tests_as_nextest_does() {
    if !crate::suites::has_nextest() {
        return;
    }
    let package = Package::new("till", TILL);
    reproduce(&package, &NEXTEST, 1);
    let output = fix(&package, &[], &NEXTEST);
    assert!(
        output.out.contains("fixed: file met/total: ") && output.out.contains(" failed in 0 of "),
        "{}{}",
        output.out,
        output.err
    );
    assert_eq!(output.code, Some(0), "{}{}", output.out, output.err);
    let settings = fs::read_to_string(package.path().join(".config/nextest.toml")).unwrap();
    assert!(settings.contains("test(=monday)"), "{settings}");
    // Without the group, the same scene fails.
    fs::write(package.path().join(".config/nextest.toml"), "").unwrap();
    let output = fix(&package, &["--with", "cofferdam"], &NEXTEST);
    assert!(
        output
            .err
            .contains("nothing was written: Cargo.toml does not have cofferdam"),
        "{}",
        output.err
    );
}

#[test]
fn order_dependence_is_shown_with_its_lines_and_gets_no_lock() {
    let package = with_stand_in(crate::hunt::office(), IDENTITY);
    let output = crate::hunt::run(&package, &["hunt"], &CARGO);
    assert_eq!(output.code, Some(1), "{}{}", output.out, output.err);
    let text = fs::read_to_string(observation(&package)).unwrap();
    assert!(!text.contains("--offline"), "{text}");
    let output = run(&package, &["fix"], &[]);
    let line = |begin: &str| {
        let mut lines = output.out.lines().filter(|line| line.starts_with(begin));
        lines
            .next()
            .unwrap_or_else(|| panic!("{begin}: {}{}", output.out, output.err))
            .to_owned()
    };
    let brittle = line("brittle: office::tickets_are_sold_when_the_till_is_open (tests/office.rs:");
    assert!(
        brittle.contains(") needs what office::the_till_opens (tests/office.rs:")
            && brittle.contains(" creates: something that was not observed, such as a static; "),
        "{brittle}"
    );
    let victim = line("victim: office::a_day_pass_costs_ten_euros (tests/office.rs:");
    assert!(
        victim.contains(") finds what office::a_day_pass_costs_eleven_dollars (tests/office.rs:")
            && victim.contains(") leaves behind: env ")
            && victim.contains(" (changed at "),
        "{victim}"
    );
    assert_eq!(output.code, Some(1));

    // If the hunt found the race, which is chance, its scene is repeated with the stand-in, which does not help.
    let output = crate::hunt::run(&package, &["fix", "--apply", "--allow-no-vcs"], &CARGO);
    assert!(
        output.out.contains("\nnot fixed: file ") || output.out.contains("\nnot proven: file "),
        "{}{}",
        output.out,
        output.err
    );
    let keys = output.out.lines().filter(|line| line.starts_with("+#[serial"));
    assert_eq!(
        (output.code, keys.count()),
        (Some(1), 0),
        "{}{}",
        output.out,
        output.err
    );
    let suite = fs::read_to_string(package.path().join("tests/office.rs")).unwrap();
    assert!(!suite.contains("#[serial"), "{suite}");
}

#[test]
fn a_static_keeps_its_declaration_if_the_tests_do_not_compile_with_the_new_one() {
    let source = "static LEFT: std::sync::Mutex<u8> = std::sync::Mutex::new(0);\n\
        #[test]\nfn fills() { *LEFT.lock().unwrap() = 1; }\n#[test]\nfn finds() { assert_eq!(*LEFT.lock().unwrap(), 0); }\n";
    // The stand-in has no such type.
    let package = with_stand_in(Package::new("till", source), IDENTITY);
    let test = |name: &str| {
        serde_json::json!({
            "run": "1-1", "worker": "", "pid": 1, "binary": "till", "package": package.path(), "runner": "cargo-test",
            "name": name, "attempt": 1, "grade": "reproduced", "fails_alone": false, "uses": [],
        })
    };
    let observed = serde_json::json!({
        "version": 5, "session": "1-1", "dir": package.path(), "confirmed": true, "tests": 2, "command": 0,
        "account": {"started": 1, "recorded": 1, "complete": 1, "incomplete": 0, "lost": [], "out_of_reach": []},
        "conflicts": [{
            "kind": "shared-resource", "resource": {"kind": "static", "name": "till::LEFT"}, "service": null,
            "grade": "reproduced", "overlapped": false, "between_runs": false, "message": "", "help": "", "name_parts": null,
            "static_facts": {
                "declared": "tests/till.rs:1", "type_name": "Mutex<u8>", "one_of": [], "in_order": true, "captured": [],
            },
            "tests": [test("fills"), test("finds")], "use_count": 2, "pairs": [], "pair_count": 1,
        }],
        "locked": [], "ran": [{"package": package.path(), "binary": "till", "tests": ["fills", "finds"]}],
        "reproductions": [{
            "class": "victim", "test": "till finds", "culprits": ["till fills"], "paused": null,
            "uses": [{
                "resource": {"kind": "static", "name": "till::LEFT"}, "culprit_place": null, "culprit_writes": true,
                "test_place": null, "test_writes": false,
            }],
            "scene": {
                "tests": ["till fills", "till finds"], "arrangement": "InOrder", "load": 0, "twice": false,
                "empty_temp": false,
            },
            "with": {"failed": 4, "runs": 4}, "without": {"failed": 0, "runs": 10},
        }],
    });
    let path = observation(&package);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, observed.to_string()).unwrap();
    let output = fix(&package, &[], &CARGO);
    for line in [
        "victim: till::finds ",
        "not proven: static till::LEFT: with its new declaration, the command failed (exit code 101) ",
    ] {
        assert!(
            output.out.contains(line),
            "{line} in {}{}",
            output.out,
            output.err
        );
    }
    assert_eq!((output.code, suite(&package).as_str()), (Some(1), source));
}
