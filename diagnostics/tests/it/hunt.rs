//! `hunt` and `rerun` on suites that fail sometimes, under real runners.

use crate::observe::package::Package;
use crate::recording::CommandOutput;
use serde_json::Value;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::Stdio;

const OFFICE: &str = include_str!("../../../examples/flaky/tests/office.rs");
const OFFICE_LIB: &str = include_str!("../../../examples/flaky/src/lib.rs");

const ONE_NAME: &str = include_str!("observe/suites/one_name.rs");

const CARGO: [&str; 3] = ["cargo", "test", "--offline"];
const NEXTEST: [&str; 4] = ["cargo", "nextest", "run", "--offline"];

const VICTIM: &str = "a_day_pass_costs_ten_euros";
const POLLUTER: &str = "a_day_pass_costs_eleven_dollars";
const SETTER: &str = "the_till_opens";
const BRITTLE: &str = "tickets_are_sold_when_the_till_is_open";
const RACE: [&str; 2] = ["sales_of_monday_are_printed", "sales_of_sunday_are_printed"];

pub(crate) fn office() -> Package {
    let package = Package::new("office", OFFICE);
    let manifest =
        "[package]\nname = \"ticket-office\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[workspace]\n";
    package.write("Cargo.toml", manifest);
    package.write("src/lib.rs", OFFICE_LIB);
    package
}

pub(crate) fn run(package: &Package, words: &[&str], command: &[&str]) -> CommandOutput {
    let temp = package.path().join("met");
    let mut cofferdam = package.cofferdam(words, command);
    // The file on which the tests meet is this package's own.
    cofferdam.env("TMPDIR", temp).output().unwrap().into()
}

/// `class: tests < culprits through resources` of each cause, sorted.
fn causes(report: &Value) -> Vec<String> {
    let names = |value: &Value| {
        let names = value.as_array().unwrap().iter();
        let mut names: Vec<&str> = names
            .map(|name| name.as_str().unwrap().rsplit("::").next().unwrap())
            .collect();
        names.sort_unstable();
        names.join(" ")
    };
    let mut causes: Vec<String> = report["causes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|cause| {
            let resources = cause["resources"].as_array().unwrap().iter();
            let kinds: Vec<&str> = resources.map(|one| one["kind"].as_str().unwrap()).collect();
            format!(
                "{}: {} < {} through {}",
                cause["class"].as_str().unwrap(),
                names(&cause["tests"]),
                names(&cause["culprits"]),
                kinds.join(" ")
            )
        })
        .collect();
    causes.sort();
    causes
}

#[test]
fn a_hunt_names_the_class_the_culprit_and_the_resource_of_each_unstable_test() {
    let package = office();
    let options = crate::report_files::HUNT_OPTIONS;
    let output = run(
        &package,
        &[&["hunt", "--format", "json"], options].concat(),
        &CARGO,
    );
    let causes = causes(&output.report());
    assert_eq!(output.code, Some(1), "{}{}", output.out, output.err);
    crate::report_files::assert_reports_of_hunt(&output, package.path());
    for wanted in [
        format!("victim: {VICTIM} < {POLLUTER} through env"),
        format!("brittle: {BRITTLE} < {SETTER} through "),
    ] {
        assert!(causes.contains(&wanted), "{wanted}: {causes:#?}");
    }
    // Which of the two that share a file fail, and in which regimes, is chance; that no other test is blamed is not.
    let others = causes
        .iter()
        .filter(|cause| !cause.starts_with("victim") && !cause.starts_with("brittle"));
    let mut races = 0;
    for cause in others {
        let (class, tests) = cause.split_once(": ").unwrap();
        let (tests, through) = tests.split_once(" through ").unwrap();
        let mut names = tests.split([' ', '<']).filter(|name| !name.is_empty());
        assert!(names.all(|name| RACE.contains(&name)), "{cause}");
        assert!(["race", "two-runs", "unexplained"].contains(&class), "{cause}");
        assert!(class != "race" || through == "file", "{cause}");
        races += 1;
    }
    assert!(races > 0, "{causes:#?}");
}

#[test]
fn a_named_test_is_examined_and_its_command_repeats_the_failure() {
    let package = office();
    let output = run(&package, &["hunt", VICTIM], &CARGO);
    assert_eq!(output.code, Some(1), "{}{}", output.out, output.err);
    let rerun = output
        .out
        .lines()
        .find_map(|line| line.trim().strip_prefix("rerun: cargo cofferdam "));
    let words = rerun.unwrap().split(' ').collect::<Vec<_>>();
    let (words, command) = words.split_at(words.iter().position(|word| *word == "--").unwrap());
    let again = run(&package, &[words, &["--times", "3"]].concat(), &command[1..]);
    assert_eq!(again.code, Some(1), "{}{}", again.out, again.err);
    assert!(again.out.contains("failed in 3 of 3 runs"), "{}", again.out);
    assert!(
        again.out.contains(&format!("failed: office::{VICTIM}")),
        "{}",
        again.out
    );
    assert!(again.out.contains("left: \"11 USD\""), "{}", again.out);
}

#[test]
fn a_rerun_has_the_exit_code_of_its_tests() {
    let package = office();
    let both = format!("{POLLUTER},{VICTIM}");
    for (words, code, said) in [
        (vec![VICTIM, "--alone"], 0, "failed in 0 of 1 run"),
        (vec![VICTIM, "--order", &both], 1, "failed in 1 of 1 run"),
        (vec![POLLUTER, "--order", &both], 0, "failed in 0 of 1 run"),
        (vec![BRITTLE], 1, "failed in 1 of 1 run"),
        (vec![BRITTLE, "--order", SETTER], 0, "failed in 0 of 1 run"),
        (
            vec![VICTIM, "--load", "2", "--twice", "--times", "2"],
            0,
            "failed in 0 of 2 runs",
        ),
        (
            vec!["printed"],
            2,
            "no test is named `printed`; similar: office::sales_of_monday_are_printed, ",
        ),
        (
            vec![VICTIM, "--order", "nothing"],
            2,
            "no test is named `nothing`; the command runs 6 tests",
        ),
    ] {
        let output = run(&package, &[&["rerun"], &words[..]].concat(), &CARGO);
        assert_eq!(output.code, Some(code), "{words:?}: {}{}", output.out, output.err);
        let text = if code == 2 { &output.err } else { &output.out };
        assert!(text.contains(said), "{words:?}: {text}");
    }
}

#[test]
fn a_rerun_stops_what_exceeds_its_time() {
    let package = Package::new("hangs", "#[test] fn hangs() { loop { std::thread::park() } }\n");
    let output = run(&package, &["rerun", "hangs", "--timeout", "1s"], &CARGO);
    assert_eq!(output.code, Some(1), "{}{}", output.out, output.err);
    assert!(output.out.contains("did not end within 1s"), "{}", output.out);
}

#[test]
fn a_name_that_fits_several_tests_is_refused_with_their_names() {
    let package = Package::new("first", "mod a { #[test] fn same() {} }\n");
    package.write("tests/second.rs", "mod a { #[test] fn same() {} }\n");
    let output = run(&package, &["rerun", "same"], &CARGO);
    assert_eq!(output.code, Some(2), "{}{}", output.out, output.err);
    assert!(
        output
            .err
            .contains("`same` fits several tests: first::a::same, second::a::same"),
        "{}",
        output.err
    );
    assert_eq!(run(&package, &["rerun", "second::a::same"], &CARGO).code, Some(0));
}

#[test]
fn a_brittle_test_is_found_though_another_sets_its_state_in_each_order() {
    let set = "OPEN.store(true, std::sync::atomic::Ordering::Relaxed)";
    let package = Package::new(
        "till",
        &format!(
            "static OPEN: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);\n\
             #[test] fn a_opens() {{ {set} }}\n\
             #[test] fn b_needs() {{ assert!(OPEN.load(std::sync::atomic::Ordering::Relaxed)) }}\n\
             #[test] fn c_opens() {{ {set} }}\n"
        ),
    );
    // With this seed, another test comes before it in the random order, too.
    let output = run(&package, &["hunt", "--format", "json", "--seed", "1"], &CARGO);
    let causes = causes(&output.report());
    let is_found = |cause: &String| cause.starts_with("brittle: b_needs < ");
    assert!(causes.len() == 1 && causes.iter().all(is_found), "{causes:#?}");
}

#[test]
fn a_stable_suite_is_stable_in_every_regime() {
    let package = Package::new(
        "stable",
        "#[test] fn a() {}\n#[test] #[should_panic] fn b() { panic!() }\n#[test] #[ignore] fn c() { panic!() }\n",
    );
    package.write(
        "src/lib.rs",
        "/// ```\n/// assert_eq!(1, 1);\n/// ```\npub fn one() {}\n",
    );
    let output = run(&package, &["hunt", "--alone"], &CARGO);
    assert_eq!(output.code, Some(0), "{}{}", output.out, output.err);
    let line = output.out.lines().last().unwrap();
    assert!(
        line.starts_with("cofferdam: 2 tests stable (as is, forward, reversed, parallel, "),
        "{line}"
    );
    assert!(output.out.contains("left out: "), "{}", output.out);
}

#[test]
fn under_nextest_a_brittle_test_passes_in_one_process_and_a_race_through_a_file_stays() {
    if !crate::suites::has_nextest() {
        return;
    }
    let package = office();
    let command = [&NEXTEST[..], &["--no-fail-fast"]].concat();
    let output = run(&package, &["hunt", "--format", "json"], &command);
    assert_eq!(output.code, Some(1), "{}{}", output.out, output.err);
    let causes = causes(&output.report());
    assert!(
        causes.contains(&format!("brittle: {BRITTLE} < {SETTER} through ")),
        "{causes:#?}"
    );
    let phase = "in one process, as some always fail: 6 tests";
    assert!(output.err.contains(phase), "{}", output.err);
    let examined = format!("examining ticket-office::office::{BRITTLE}");
    assert!(
        output.err.split(phase).nth(1).unwrap().contains(&examined),
        "{}",
        output.err
    );
    let others: Vec<_> = causes
        .iter()
        .filter(|cause| !cause.starts_with("brittle"))
        .collect();
    assert!(
        others.iter().all(|cause| cause.starts_with("race")),
        "{causes:#?}"
    );
}

#[test]
fn the_failed_tests_of_a_junit_report_are_examined() {
    let package = office();
    let junit = format!(
        "<testsuites><testsuite name=\"ticket-office::office\"><testcase name=\"{VICTIM}\" classname=\"office\"><failure/>\
         </testcase><testcase name=\"{SETTER}\" classname=\"office\"/></testsuite></testsuites>"
    );
    package.write("junit.xml", &junit);
    let words = ["hunt", "--format", "json", "--failed-in", "junit.xml"];
    let output = run(&package, &words, &CARGO);
    assert_eq!(output.code, Some(1), "{}{}", output.out, output.err);
    let causes = causes(&output.report());
    let victim = format!("victim: {VICTIM} < {POLLUTER} through env");
    assert!(causes.contains(&victim), "{causes:#?}");
    package.write("junit.xml", "<html/>");
    let output = run(&package, &words, &CARGO);
    assert_eq!(output.code, Some(2), "{}{}", output.out, output.err);
    assert!(
        output.err.contains("junit.xml is not a JUnit report"),
        "{}",
        output.err
    );
}

#[test]
fn an_interrupted_hunt_reports_what_is_known_and_is_continued() {
    let package = office();
    let seed = ["--seed", "7"];
    let mut hunt = package.cofferdam(&[&["hunt"], &seed[..]].concat(), &CARGO);
    hunt.env("TMPDIR", package.path().join("met"));
    let mut hunt = hunt
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let err = BufReader::new(hunt.stderr.take().unwrap());
    for line in err.lines().map_while(Result::ok) {
        if line.starts_with("cofferdam: reversed") {
            // Ctrl-C may be ignored where this runs, as in the background of a script.
            let pid = rustix::process::Pid::from_child(&hunt);
            rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        }
    }
    let output: CommandOutput = hunt.wait_with_output().unwrap().into();
    assert_eq!(output.code, Some(130), "{}", output.out);
    assert!(
        output
            .out
            .lines()
            .last()
            .unwrap()
            .ends_with("; interrupted, --resume continues"),
        "{}",
        output.out
    );
    let output = run(&package, &["hunt", "--resume"], &CARGO);
    assert_eq!(output.code, Some(1), "{}{}", output.out, output.err);
    assert!(output.out.contains("; seed 7"), "{}", output.out);
    let other = [&CARGO[..], &["-p", "ticket-office"]].concat();
    let output = run(&package, &["hunt", "--resume"], &other);
    assert_eq!(output.code, Some(3), "{}{}", output.out, output.err);
    assert!(
        output.err.contains("the last hunt was of another command"),
        "{}",
        output.err
    );
}

#[test]
fn the_example_in_the_documentation_has_the_fields_of_the_report() {
    let page = include_str!("../../../docs/reference/reports.md");
    let section = page.split("## `hunt`").nth(1).unwrap();
    let example = section.split("```json").nth(1).unwrap();
    let example = example.split("```").next().unwrap();
    let example: Value = serde_json::from_str(example).unwrap();
    let package = office();
    let real = run(&package, &["hunt", VICTIM, "--format", "json"], &CARGO).report();
    let keys = |value: &Value| -> Vec<String> { value.as_object().unwrap().keys().cloned().collect() };
    assert_eq!(keys(&example), keys(&real));
    let victim = |report: &Value| report["causes"].as_array().unwrap()[0].clone();
    assert_eq!(keys(&victim(&example)), keys(&victim(&real)));
    let resource = |report: &Value| victim(report)["resources"][0].clone();
    assert_eq!(keys(&resource(&example)), keys(&resource(&real)));
}

/// A suite whose harness takes one name.
fn single() -> Package {
    let package = Package::new("single", ONE_NAME);
    let manifest = "[package]\nname = \"single\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[workspace]\n\
                    [[test]]\nname = \"single\"\nharness = false\n";
    package.write("Cargo.toml", manifest);
    package
}

#[test]
fn a_harness_that_takes_one_name_runs_one_test_or_all() {
    let package = single();
    let tests = ["größe a", "needs it unchanged", "z"];
    let in_order = tests.join(",");
    for (words, code, said) in [
        (vec![tests[1]], 0, "failed in 0 of 1 run"),
        (
            vec![tests[1], "--order", &in_order],
            1,
            "failed: single::needs it unchanged",
        ),
        (
            vec![tests[1], "--order", tests[0]],
            3,
            "run 1 of 1: unknown: its harness runs one chosen test or all",
        ),
        (
            vec![tests[0], tests[1], tests[2], "--parallel"],
            1,
            "failed in 1 of 1 run",
        ),
    ] {
        let output = run(&package, &[&["rerun"], &words[..]].concat(), &CARGO);
        assert_eq!(output.code, Some(code), "{words:?}: {}{}", output.out, output.err);
        assert!(
            format!("{}{}", output.out, output.err).contains(said),
            "{words:?}: {}{}",
            output.out,
            output.err
        );
    }
    let output = run(&package, &["hunt"], &CARGO);
    assert_eq!(output.code, Some(1), "{}{}", output.out, output.err);
    assert!(
        output.out.contains("single::needs it unchanged"),
        "{}",
        output.out
    );
    let what = "reversed: no result: its harness runs one chosen test or all";
    assert!(output.err.contains(what), "{}", output.err);
}

#[test]
fn failed_documentation_tests_are_reported_and_the_command_runs_again_as_it_is() {
    let package = Package::new("documented", "");
    // The first run fails, the others do not.
    let fails_once = "//! ```\n//! let file = concat!(env!(\"CARGO_MANIFEST_DIR\"), \"/met/ran\");\n\
                      //! let is_first = !std::path::Path::new(file).exists();\n\
                      //! std::fs::write(file, \"\").unwrap();\n//! assert!(!is_first);\n//! ```\n//! ```\n//! ```\n";
    package.write("src/lib.rs", fails_once);
    let output = run(&package, &["hunt"], &CARGO);
    assert_eq!(output.code, Some(1), "{}{}", output.out, output.err);
    let what = "src/lib.rs - (line 1) failed; a documentation test: it cannot be started again\n  failed in 1 of 4 runs\n";
    assert!(output.out.contains(what), "{}", output.out);
    let last = output.out.lines().last().unwrap();
    assert!(
        last.starts_with(
            "cofferdam: 1 of 2 tests unstable or failing (as is); the command failed in 1 of 4 runs"
        ),
        "{last}"
    );
    let output = run(&package, &["hunt", "--format", "json"], &CARGO);
    assert_eq!(output.code, Some(0), "{}{}", output.out, output.err);
    assert_eq!(
        output.report()["command_runs"],
        serde_json::json!({"failed": 0, "runs": 4})
    );
    // Without merged documentation tests, none is known by its name.
    let manifest = "[package]\nname = \"documented\"\nversion = \"0.0.0\"\nedition = \"2021\"\n[workspace]\n";
    package.write("Cargo.toml", manifest);
    std::fs::remove_file(package.path().join("met/ran")).unwrap();
    let output = run(&package, &["hunt"], &CARGO);
    assert_eq!(output.code, Some(1), "{}{}", output.out, output.err);
    let last = output.out.lines().last().unwrap();
    let what = "cofferdam: the command failed in 1 of 4 runs, but none of its 0 tests that are known by name";
    assert!(last.starts_with(what), "{last}");
}

#[test]
fn documentation_tests_that_pass_one_after_the_other_race() {
    let package = Package::new("noted", "");
    let example = |word: &str| {
        format!(
            "/// ```\n/// let note = concat!(env!(\"CARGO_MANIFEST_DIR\"), \"/met/note\");\n\
             /// std::fs::write(note, \"{word}\").unwrap();\n\
             /// std::thread::sleep(std::time::Duration::from_millis(40));\n\
             /// assert_eq!(std::fs::read_to_string(note).unwrap(), \"{word}\");\n/// ```\npub fn {word}() {{}}\n"
        )
    };
    package.write("src/lib.rs", &(example("first") + &example("second")));
    let output = run(&package, &["hunt", "--format", "json"], &CARGO);
    assert_eq!(output.code, Some(1), "{}{}", output.out, output.err);
    let mut causes = causes(&output.report());
    let cause = causes.pop().unwrap();
    assert!(
        causes.is_empty() && cause.starts_with("race: ") && cause.ends_with(" through file"),
        "{cause}"
    );
    assert!(cause.contains("first") && cause.contains("second"), "{cause}");
}

/// Tests that end in unusual ways, in several programs, for each ends what would come after it.
fn unusual() -> Package {
    let package = Package::new(
        "fails",
        "mod total {\n#[test] fn case_1_größe() { assert_eq!(1, 2) }\n\
         #[test] #[should_panic] fn case_2() { panic!() }\n#[test] #[ignore] fn case_3() { panic!() }\n}\n",
    );
    package.write(
        "tests/aborts.rs",
        "#[test] fn a() {}\n#[test] fn b_aborts() { std::process::abort() }\n#[test] fn c() {}\n",
    );
    package.write(
        "tests/exits.rs",
        "#[test] fn a() {}\n#[test] fn b_exits() { std::process::exit(0) }\n",
    );
    package.write(
        "tests/kills.rs",
        "#[test] fn a() {}\n#[test] fn b_kills() {\nlet own = std::process::id().to_string();\n\
         std::process::Command::new(\"kill\").args([\"-9\", &own]).status().unwrap();\nstd::thread::park();\n}\n",
    );
    package
}

#[test]
fn tests_that_abort_exit_or_always_fail_are_failing() {
    let package = unusual();
    let command = ["cargo", "test", "--offline", "--no-fail-fast", "--tests"];
    let output = run(&package, &["hunt", "--format", "json"], &command);
    assert_eq!(output.code, Some(1), "{}{}", output.out, output.err);
    let wanted = ["failing: b_aborts b_exits b_kills case_1_größe <  through "];
    assert_eq!(causes(&output.report()), wanted, "{}", output.err);
    for (name, why) in [
        ("b_aborts", "signal 6 ended its process"),
        ("b_exits", "its process exited with status 0 while it ran"),
        ("b_kills", "signal 9 ended its process"),
    ] {
        let output = run(&package, &["rerun", name], &command);
        assert_eq!(output.code, Some(1), "{}{}", output.out, output.err);
        assert!(output.out.contains(why), "{}", output.out);
    }
}

#[test]
fn a_program_that_is_gone_gives_no_result() {
    let package = Package::new(
        "gone",
        "#[test] fn a() { std::fs::remove_file(std::env::current_exe().unwrap()).unwrap() }\n#[test] fn b() {}\n",
    );
    for words in [&["rerun", "a", "--times", "2"][..], &["hunt"]] {
        let output = run(&package, words, &CARGO);
        assert_eq!(output.code, Some(3), "{words:?}: {}{}", output.out, output.err);
        assert!(output.err.contains("its program is gone: /"), "{}", output.err);
    }
}

#[test]
fn names_with_spaces_and_other_letters_are_examined_under_nextest() {
    if !crate::suites::has_nextest() {
        return;
    }
    let package = single();
    let command = [&NEXTEST[..], &["--no-fail-fast"]].concat();
    for (name, code) in [("größe a", 0), ("single::needs it unchanged", 0), ("es a", 2)] {
        let output = run(&package, &["rerun", name, "--times", "2"], &command);
        assert_eq!(output.code, Some(code), "{name}: {}{}", output.out, output.err);
    }
    // The file that it writes is in another test's way.
    let command = [&command[..], &["-E", "test(größe)"]].concat();
    let output = run(&package, &["hunt", "größe a", "--time-budget", "5s"], &command);
    assert_eq!(output.code, Some(0), "{}{}", output.out, output.err);
}

#[test]
fn a_command_without_tests_gives_no_verdict() {
    let package = office();
    for (command, why) in [
        (
            &["true"][..],
            "the command started no test program whose tests are known",
        ),
        (
            &["sh", "-c", "exit 7"],
            "the command failed (exit code 7) before it started a test program",
        ),
        (
            &["cat"],
            "the command started no test program whose tests are known",
        ),
    ] {
        let output = run(&package, &["hunt"], command);
        assert_eq!(output.code, Some(3), "{command:?}: {}{}", output.out, output.err);
        assert!(output.err.contains(why), "{}", output.err);
    }
    let output = run(&package, &["hunt"], &["no-such-command"]);
    assert_eq!(output.code, Some(3), "{}{}", output.out, output.err);
}

#[test]
fn a_command_that_reads_its_input_up_finds_none_the_second_time() {
    let package = Package::new("reads", "#[test] fn a() {}\n");
    let command = [
        "sh",
        "-c",
        "read -r word && exec cargo test --offline --test $word",
    ];
    let mut hunt = package.cofferdam(&["hunt"], &command);
    let mut hunt = hunt
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    hunt.stdin.take().unwrap().write_all(b"reads\n").unwrap();
    let output: CommandOutput = hunt.wait_with_output().unwrap().into();
    assert_eq!(output.code, Some(3), "{}{}", output.out, output.err);
    let last = output.out.lines().last().unwrap();
    let what = "cofferdam: the command failed (exit code 1), but none of its 1 test that are known by name";
    assert!(last.starts_with(what), "{last}");
}

/// Hunts a suite of one program and returns the last line of the report.
fn last_line_of_hunt(name: &str, suite: &str) -> String {
    let package = Package::new(name, suite);
    let command = [&CARGO[..], &["-q", "--test", name, "--", "--nocapture"]].concat();
    let output = run(&package, &["hunt"], &command);
    assert_eq!(output.code, Some(0), "{}", output.err);
    output.out.lines().last().unwrap_or_default().to_owned()
}

const ALL_REGIMES: &str =
    "(as is, forward, reversed, parallel, parallel under load, two runs at once in random order";

#[test]
fn a_suite_that_prints_100_mb_is_examined() {
    let suite = "use std::io::Write as _;\n#[test] fn prints() {\nlet text = vec![b'x'; 1 << 20];\n\
                 (0..100).for_each(|_| std::io::stdout().write_all(&text).unwrap());\nprintln!();\n}\n#[test] fn a() {}\n";
    let last = last_line_of_hunt("prints", suite);
    assert!(
        last.starts_with(&format!("cofferdam: 2 tests stable {ALL_REGIMES}")),
        "{last}"
    );
    // In a quick suite each test also runs alone.
    assert!(last.contains(", alone)"), "{last}");
}

#[test]
#[ignore = "takes long; .ci/long runs it"]
fn two_thousand_tests_are_examined() {
    let suite: String = (0..2000)
        .map(|number| format!("#[test] fn t{number:04}() {{}}\n"))
        .collect();
    let last = last_line_of_hunt("many", &suite);
    assert!(
        last.starts_with(&format!("cofferdam: 2000 tests stable {ALL_REGIMES}")),
        "{last}"
    );
}

#[test]
#[ignore = "takes long; .ci/long runs it"]
fn a_test_that_hangs_after_another_is_a_victim() {
    let suite = "use std::sync::atomic::{AtomicBool, Ordering::Relaxed};\nstatic SET: AtomicBool = AtomicBool::new(false);\n\
                 #[test] fn a_hangs() { while SET.load(Relaxed) { std::thread::park() } }\n#[test] fn b() {}\n\
                 #[test] fn c_sets() { SET.store(true, Relaxed) }\n";
    let package = Package::new("hangs", suite);
    // As it is, each test runs in the order in which it does not hang.
    let command = [&CARGO[..], &["--", "--test-threads=1"]].concat();
    let output = run(
        &package,
        &["hunt", "--format", "json", "--time-budget", "20m"],
        &command,
    );
    assert_eq!(output.code, Some(1), "{}{}", output.out, output.err);
    assert_eq!(
        causes(&output.report()),
        ["victim: a_hangs < c_sets through "],
        "{}",
        output.err
    );
}

#[test]
fn a_signal_during_the_command_s_own_run_ends_the_hunt_and_blames_no_test() {
    let suite = "#[test] fn waits() {\nprintln!(\"began\");\nstd::thread::sleep(std::time::Duration::from_secs(2));\n}\n";
    let package = Package::new("waits", suite);
    let command = [&CARGO[..], &["--", "--nocapture"]].concat();
    let mut hunt = package.cofferdam(&["hunt"], &command);
    let mut hunt = hunt
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(hunt.stdout.take().unwrap()).lines();
    assert!(out.any(|line| line.unwrap().contains("began")));
    let pid = rustix::process::Pid::from_child(&hunt);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let output: CommandOutput = hunt.wait_with_output().unwrap().into();
    assert_eq!(output.code, Some(130), "{}", output.err);
    assert!(
        output.err.contains("interrupted before any test was examined"),
        "{}",
        output.err
    );
}

#[test]
fn a_named_test_that_is_stable_is_mentioned_and_a_misspelt_one_is_suggested() {
    let package = office();
    let output = run(&package, &["hunt", SETTER], &CARGO);
    let line = format!("stable: office::{SETTER} failed in no run");
    assert!(
        output.out.lines().any(|said| said == line),
        "{}{}",
        output.out,
        output.err
    );
    let output = run(&package, &["hunt", "the_til_opens"], &CARGO);
    assert_eq!(output.code, Some(2), "{}{}", output.out, output.err);
    assert!(
        output
            .err
            .contains("no test is named `the_til_opens`; similar: office::the_till_opens"),
        "{}",
        output.err
    );
}

#[test]
fn a_suite_that_hangs_ends_within_the_budget_and_its_test_is_named() {
    let suite = "#[test] fn hangs() { loop { std::thread::park() } }\n#[test] fn passes() {}\n";
    let package = Package::new("hanging", suite);
    let output = run(&package, &["hunt", "--time-budget", "6s"], &CARGO);
    assert_eq!(output.code, Some(1), "{}{}", output.out, output.err);
    let stopped = "stopped: the command did not end within 6s; without an end: hangs\n";
    assert!(output.out.contains(stopped), "{}", output.out);
    assert!(
        output.out.contains("rerun hangs --alone --timeout "),
        "{}",
        output.out
    );
    assert!(!output.out.contains("hanging::passes"), "{}", output.out);
    if crate::suites::has_nextest() {
        let command = [&NEXTEST[..], &["--no-fail-fast"]].concat();
        let output = run(&package, &["hunt", "--time-budget", "6s"], &command);
        assert_eq!(output.code, Some(1), "{}{}", output.out, output.err);
        assert!(output.out.contains(stopped), "{}", output.out);
        assert!(!output.err.contains("no result"), "{}", output.err);
    }
}

#[test]
#[ignore = "takes long; .ci/long runs it"]
fn tests_that_wait_for_each_other_forever_are_a_race() {
    let suite = "use std::sync::Mutex;\nstatic A: Mutex<()> = Mutex::new(());\nstatic B: Mutex<()> = Mutex::new(());\n\
                 static BOTH: std::sync::Barrier = std::sync::Barrier::new(2);\n\
                 #[test] fn first() { let _a = A.lock(); if held(&B) { BOTH.wait(); } let _b = B.lock(); }\n\
                 #[test] fn second() { let _b = B.lock(); if held(&A) { BOTH.wait(); } let _a = A.lock(); }\n\
                 fn held(other: &Mutex<()>) -> bool {\n\
                 let end = std::time::Instant::now() + std::time::Duration::from_millis(300);\n\
                 while std::time::Instant::now() < end { if other.try_lock().is_err() { return true } }\n\
                 false }\n";
    let package = Package::new("deadlock", suite);
    let words = ["hunt", "--format", "json", "--time-budget", "40s"];
    let output = run(&package, &words, &CARGO);
    let report = output.report();
    let found = causes(&report);
    let is_race = |cause: &String| cause.starts_with("race: first second < ");
    assert!(
        found.len() == 1 && found.iter().all(is_race),
        "{found:#?}{}",
        output.err
    );
    assert_eq!(report["hung"].as_array().unwrap().len(), 2, "{report}");
}

#[test]
fn tests_that_end_their_program_always_fail() {
    // No test after the first that ends the program has a result, except alone.
    let suite =
        "#[test] fn aborts() { std::process::abort() }\n#[test] fn exits() { std::process::exit(0) }\n";
    let package = Package::new("ending", suite);
    let output = run(&package, &["hunt", "--format", "json"], &CARGO);
    let causes = causes(&output.report());
    assert_eq!(causes, ["failing: aborts exits <  through "], "{}", output.err);
}

#[test]
fn a_suite_that_kills_its_runner_does_not_run_again() {
    let suite = "unsafe extern \"C\" { fn kill(pid: i32, signal: i32) -> i32; fn getppid() -> i32; }\n\
                 #[test] fn kills() { unsafe { kill(getppid(), 9) }; }\n";
    let package = Package::new("killing", suite);
    let output = run(&package, &["hunt"], &CARGO);
    assert_eq!(output.code, Some(3), "{}{}", output.out, output.err);
    assert!(
        output.out.contains("killed: the command was killed while it ran"),
        "{}",
        output.out
    );
}

#[test]
fn every_second_run_of_tests_beside_each_other_begins_at_one_moment() {
    let all_arrive = "BARRIER.wait();";
    let tests: String = (0..5)
        .map(|at| format!("#[test] fn t{at}() {{ {all_arrive} }}\n"))
        .collect();
    let suite = format!("static BARRIER: std::sync::Barrier = std::sync::Barrier::new(5);\n{tests}");
    let package = Package::new("meeting", &suite);
    let words = [
        "rerun",
        "t0",
        "t1",
        "t2",
        "t3",
        "t4",
        "--parallel",
        "--times",
        "2",
        "--timeout",
        "10s",
    ];
    let output = run(&package, &words, &CARGO);
    // With fewer processors than tests, the first run does not end.
    assert!(
        output.err.contains("run 2 of 2: passed"),
        "{}{}",
        output.out,
        output.err
    );
}

#[test]
fn a_harness_whose_tests_are_unknown_is_said_instead_of_a_wrong_name() {
    let package = Package::new("unknown", "fn main() { println!(\"done\") }\n");
    let manifest = "[package]\nname = \"unknown\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[workspace]\n\
                    [[test]]\nname = \"unknown\"\nharness = false\n";
    package.write("Cargo.toml", manifest);
    let output = run(&package, &["rerun", "some test"], &CARGO);
    assert_eq!(output.code, Some(2), "{}{}", output.out, output.err);
    let why = "no test is named `some test`; the command runs no test that is known by its name";
    assert!(output.err.contains(why), "{}", output.err);
}
