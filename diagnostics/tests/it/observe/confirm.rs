//! Reruns of conflicting tests: guards, and their absence.

use super::package::Package;
use super::{CARGO, NEXTEST};
use serde_json::Value;
use std::fs;
use std::path::Path;

const CONFIRMING: &str = include_str!("suites/confirming.rs");
const ANYWAY: &str = include_str!("suites/anyway.rs");
const LINKED: &str = include_str!("suites/linked.rs");
const GROUPED: &str = include_str!("suites/grouped.rs");
const NEEDING: &str = include_str!("suites/needing.rs");
const BLAMING: &str = include_str!("suites/blaming.rs");
const STOPPING: &str = include_str!("suites/stopping.rs");
const FLAKY: &str = include_str!("suites/flaky.rs");
const READING: &str = include_str!("suites/reading.rs");
const IN_A_ROW: &str = include_str!("suites/in_a_row.rs");
const LEADING: &str = include_str!("suites/leading.rs");
const BARE: &str = include_str!("suites/bare.rs");
const FINDING: &str = include_str!("suites/finding.rs");
const LEAVING: &str = include_str!("suites/leaving.rs");

/// Returns `grade resource` of all conflicts, sorted, and the report. The number of reruns does not depend on the
/// time.
pub(super) fn graded(package: &Package, options: &[&str], command: &[&str]) -> (Vec<String>, Value) {
    let options = [&["--confirm", "--time-budget", "1h", "--format", "json"], options].concat();
    let report = package.observe(&options, command).report();
    let met = package.path().canonicalize().unwrap().join("met");
    let name = |resource: &Value| {
        let name = Path::new(resource["name"].as_str().unwrap());
        let name = name.strip_prefix(&met).unwrap_or(name).display().to_string();
        format!("{} {name}", resource["kind"].as_str().unwrap())
            .trim_end()
            .to_owned()
    };
    let conflicts = report["conflicts"].as_array().unwrap().iter();
    let guarded = report["observed"]["guarded"].as_array().unwrap().iter();
    let mut found: Vec<String> = conflicts
        .map(|conflict| {
            format!(
                "{} {}",
                conflict["grade"].as_str().unwrap(),
                name(&conflict["resource"])
            )
        })
        .chain(guarded.map(|conflict| format!("guarded {}", name(&conflict["resource"]))))
        .collect();
    found.sort();
    (found, report)
}

#[test]
fn a_lock_of_threads_guards_under_cargo_test() {
    let package = Package::new("confirming", CONFIRMING);
    let (found, report) = graded(&package, &[], &[&CARGO[..], &["--", "--test-threads=1"]].concat());
    let wanted = [
        "guarded cwd",
        "guarded env BEHIND",
        "guarded file behind",
        "reproduced file minded",
        "unguarded directory removed",
        "unguarded env OPEN",
        "unguarded file late",
        "unguarded file listed/x",
        "unguarded file open",
    ];
    assert_eq!(found, wanted, "{report}");
    // Certain conflicts come first.
    assert_eq!(report["conflicts"][0]["grade"], "reproduced");
    assert_eq!(report["exit_code"]["process"], 1);
}

#[test]
fn a_lock_between_threads_guards_nothing_under_nextest() {
    if !crate::suites::has_nextest() {
        return;
    }
    let package = Package::new("apart", CONFIRMING);
    let (found, report) = graded(&package, &[], &[&NEXTEST[..], &["-j1"]].concat());
    let wanted = [
        "reproduced file minded",
        "unguarded directory removed",
        "unguarded file behind",
        "unguarded file late",
        "unguarded file listed/x",
        "unguarded file open",
    ];
    assert_eq!(found, wanted, "{report}");
}

#[test]
fn a_test_that_fails_alone_proves_nothing_and_can_still_overlap() {
    let package = Package::new("anyway", ANYWAY);
    let (found, report) = graded(&package, &[], &CARGO);
    assert_eq!(found, ["unguarded file used"], "{report}");
    let tests = report["conflicts"][0]["tests"].as_array().unwrap().iter();
    let failing: Vec<_> = tests
        .filter(|test| test["fails_alone"] == true)
        .map(|test| &test["name"])
        .collect();
    assert_eq!(failing, ["fails_anyway"]);
}

#[test]
fn accesses_through_a_link_overlap_at_its_target() {
    let package = Package::new("linked", LINKED);
    for (leads, link) in [
        ("target", "link"),
        ("target", "other-link"),
        ("locked", "link-to-locked"),
        ("folder", "way"),
    ] {
        std::os::unix::fs::symlink(leads, package.path().join("met").join(link)).unwrap();
    }
    fs::create_dir(package.path().join("met/folder")).unwrap();
    for command in [&CARGO[..], &[&CARGO[..], &["--", "--test-threads=1"]].concat()] {
        let (found, report) = graded(&package, &[], command);
        assert_eq!(
            found,
            [
                "guarded file locked",
                "unguarded file folder/x",
                "unguarded file target"
            ],
            "{report}"
        );
    }
}

#[test]
fn a_suite_in_which_everything_is_guarded_has_no_conflict() {
    let package = Package::new("guarded", CONFIRMING);
    let command = [&CARGO[..], &["--", "behind_a_lock"]].concat();
    let output = package.observe(&["--confirm"], &command);
    assert_eq!(output.code, Some(0), "{}{}", output.out, output.err);
    assert!(
        output
            .out
            .contains("guarded: 3 resources on which no pair of tests that was tried ever met"),
        "{}",
        output.out
    );
    assert!(
        output
            .out
            .lines()
            .last()
            .unwrap()
            .contains("; 3 resources guarded"),
        "{}",
        output.out
    );
    // Without reruns they are conflicts, because the lock is not observed.
    let output = package.observe(&[], &command);
    assert_eq!(output.code, Some(1), "{}{}", output.out, output.err);
}

#[test]
fn a_lock_for_readers_and_writers_guards_tests_that_read_before_they_write() {
    let package = Package::new("reading", READING);
    let (found, report) = graded(&package, &[], &[&CARGO[..], &["--", "--test-threads=1"]].concat());
    let wanted = [
        "guarded env LOCKED",
        "guarded file locked-for-both",
        "guarded file locked-for-one",
        "unguarded env BEHIND_ANOTHER",
        "unguarded env OPEN",
        "unguarded file half-locked",
        "unguarded file open-for-both",
        "unguarded file open-for-one",
    ];
    assert_eq!(found, wanted, "{report}");
}

#[test]
fn tests_that_use_variables_one_after_another_meet_at_each_of_them() {
    let package = Package::new("in_a_row", IN_A_ROW);
    let (found, report) = graded(&package, &[], &[&CARGO[..], &["--", "--test-threads=1"]].concat());
    let of = |grade: &str, name: &str| {
        (1..5)
            .map(|number| format!("{grade} env {name}_{number}"))
            .collect()
    };
    let wanted: [Vec<String>; 2] = [of("guarded", "LOCKED"), of("unguarded", "OPEN")];
    assert_eq!(found, wanted.concat(), "{report}");
}

#[test]
fn a_file_to_which_another_test_s_variable_leads_is_no_conflict_of_its_own() {
    let package = Package::new("leading", LEADING);
    let (found, report) = graded(&package, &[], &[&CARGO[..], &["--", "--test-threads=1"]].concat());
    let both = package.path().canonicalize().unwrap().join("both");
    let both = format!("unguarded file {}", both.display());
    assert_eq!(found, ["unguarded env LEADING_HOME".to_owned(), both], "{report}");
}

#[test]
fn a_test_that_uses_a_variable_only_if_another_one_set_it_meets_that_or_waits_for_it() {
    let package = Package::new("finding", FINDING);
    let (found, report) = graded(&package, &[], &[&CARGO[..], &["--", "--test-threads=1"]].concat());
    // std's lock delays a list of all variables, so it is mostly unknown what keeps the two apart.
    let is_locked = |one: &&String| one.contains(" env LOCKED_");
    let (locked, others): (Vec<&String>, Vec<&String>) = found.iter().partition(is_locked);
    assert_eq!(locked.len(), 2, "{report}");
    assert!(locked.iter().all(|one| !one.starts_with("unguarded")), "{report}");
    let wanted = [
        "guarded env LISTED_LOCKED",
        "unguarded env FIRST",
        "unguarded env LISTED_OPEN",
        "unguarded env SECOND",
    ];
    assert_eq!(others, wanted, "{report}");
}

#[test]
fn a_test_that_reads_the_arguments_of_its_process_does_not_see_those_of_the_reruns() {
    let package = Package::new("bare", BARE);
    let (found, report) = graded(&package, &[], &CARGO);
    assert_eq!(found, ["unguarded file shared"], "{report}");
    let tests = report["conflicts"][0]["tests"].as_array().unwrap();
    assert!(tests.iter().all(|test| test["fails_alone"] != true), "{report}");
}

#[test]
fn tests_that_read_before_they_write_meet_under_nextest_whatever_locks_their_threads() {
    if !crate::suites::has_nextest() {
        return;
    }
    let package = Package::new("reading", READING);
    let (found, report) = graded(&package, &[], &[&NEXTEST[..], &["-j1"]].concat());
    let wanted = [
        "unguarded file half-locked",
        "unguarded file locked-for-both",
        "unguarded file locked-for-one",
        "unguarded file open-for-both",
        "unguarded file open-for-one",
    ];
    assert_eq!(found, wanted, "{report}");
}

#[test]
fn a_failure_is_reported_with_its_rate_beside_the_other_test_and_alone() {
    let package = Package::new("minded", CONFIRMING);
    let command = [&CARGO[..], &["--", "somebody_minds", "--test-threads=1"]].concat();
    let output = package.observe(&["--confirm"], &command);
    assert_eq!(output.code, Some(1), "{}{}", output.out, output.err);
    let block = output
        .out
        .find("reproduced: file ")
        .map(|from| &output.out[from..]);
    let block = block.unwrap_or_else(|| panic!("{}{}", output.out, output.err));
    assert!(
        block.contains(" runs beside file_that_somebody_minds_")
            && block.contains(" and in 0 of 10 alone (p "),
        "{block}"
    );
    assert!(
        output
            .err
            .contains("cofferdam: rerunning 1 pair of tests, for at most 1m"),
        "{}",
        output.err
    );
}

#[test]
fn leftovers_of_one_program_for_the_next_are_shown_by_running_them_in_sequence() {
    let package = Package::new("first", LEAVING);
    package.write(
        "tests/second.rs",
        "#[test]\nfn leaves_what_it_made() { std::fs::write(concat!(env!(\"CARGO_MANIFEST_DIR\"), \"/met/left\"), \"second\").unwrap() }\n\
         #[test]\nfn leaves_what_nobody_minds() { std::fs::write(concat!(env!(\"CARGO_MANIFEST_DIR\"), \"/met/unminded\"), \"second\").unwrap() }\n",
    );
    let (found, report) = graded(&package, &[], &CARGO);
    assert_eq!(
        found,
        ["potential file unminded", "reproduced file left"],
        "{report}"
    );
    let why = report["conflicts"][0]["pairs"][0]["reason"].as_str().unwrap();
    assert_eq!(
        why,
        "minds_what_it_finds failed after leaves_what_it_made, and passed twice before"
    );
    let why = report["conflicts"][1]["pairs"][0]["reason"].as_str().unwrap();
    assert!(why.ends_with("both passed, which proves nothing"), "{why}");
}

#[test]
fn without_time_everything_stays_as_it_was_seen() {
    let package = Package::new("timeless", CONFIRMING);
    let command = [&CARGO[..], &["--", "in_the_open"]].concat();
    let output = package.observe(&["--confirm", "--time-budget", "0s", "--jobs", "1"], &command);
    assert_eq!(output.code, Some(3), "{}{}", output.out, output.err);
    assert!(
        output
            .err
            .contains("the time was over before 2 pairs could be run"),
        "{}",
        output.err
    );
    assert!(output.out.contains("not tried: env OPEN"), "{}", output.out);
}

#[test]
fn the_result_is_stored_for_other_commands() {
    let package = Package::new("kept", CONFIRMING);
    let command = [&CARGO[..], &["--", "variable_in_the_open", "--test-threads=1"]].concat();
    package.observe(&["--confirm"], &command);
    let text = fs::read(package.built().join("cofferdam/observed/last.json")).unwrap();
    let kept: Value = serde_json::from_slice(&text).unwrap();
    assert_eq!(
        (&kept["version"], &kept["confirmed"], &kept["tests"]),
        (&5.into(), &true.into(), &2.into())
    );
    let finding = &kept["conflicts"][0];
    assert_eq!(finding["grade"], "unguarded");
    assert_eq!(
        finding["resource"],
        serde_json::json!({ "kind": "env", "name": "OPEN" })
    );
    let test = &finding["tests"][0];
    assert_eq!(
        (&test["name"], &test["runner"]),
        (&"variable_in_the_open_a".into(), &"cargo-test".into())
    );
    assert_eq!(
        test["package"],
        package.path().canonicalize().unwrap().to_str().unwrap()
    );
    let place = test["uses"][0]["place"].as_str().unwrap();
    assert!(place.starts_with("tests/kept.rs:"), "{place}");
}

#[test]
fn a_group_behind_one_lock_is_no_conflict_and_each_of_its_tests_was_tried() {
    let package = Package::new("grouped", GROUPED);
    let (found, report) = graded(&package, &[], &CARGO);
    assert_eq!(
        found,
        ["guarded cwd", "guarded env GROUPED", "guarded file shared"],
        "{report}"
    );
    assert_eq!(report["exit_code"]["process"], 0);
    // On a busy machine one run may not show every pair, but each test is in one that it shows.
    for guarded in report["observed"]["guarded"].as_array().unwrap() {
        let pairs = guarded["pairs"].as_array().unwrap().iter();
        let tried = pairs.filter(|pair| pair["grade"] == "guarded");
        let tests: std::collections::BTreeSet<&str> = tried
            .flat_map(|pair| pair["tests"].as_array().unwrap())
            .map(|position| {
                let test = &guarded["tests"][position.as_u64().unwrap() as usize];
                test["name"].as_str().unwrap()
            })
            .collect();
        assert_eq!(
            (tests.len(), &guarded["pair_count"]),
            (14, &91.into()),
            "{guarded}"
        );
    }
}

#[test]
fn a_test_that_needs_another_to_run_first_is_order_dependent_and_gets_no_lock() {
    let package = Package::new("needing", NEEDING);
    let (found, report) = graded(&package, &[], &CARGO);
    assert_eq!(found, ["order-dependent env NEEDED"], "{report}");
    assert_eq!(report["exit_code"]["process"], 0);
    let why = &report["conflicts"][0]["pairs"][0]["reason"];
    assert_eq!(
        why,
        "b_finds_it failed in 0 of 2 runs beside a_sets_it and in 10 of 10 alone: it needs that to run first"
    );
    // Both take a lock.
    let message = report["conflicts"][0]["message"].as_str().unwrap();
    assert!(!message.contains("lock"), "{message}");
    let output = package.observe(&["--confirm"], &CARGO);
    assert!(
        output
            .out
            .contains("order-dependent: env NEEDED: 1 writer × 1 reader\n"),
        "{}",
        output.out
    );
}

#[test]
fn a_flaky_test_is_not_mistaken_for_an_order_dependent_one() {
    let package = Package::new("flaky", FLAKY);
    let (found, report) = graded(&package, &[], &CARGO);
    assert_eq!(found, ["unguarded file shared"], "{report}");
    assert_eq!(report["exit_code"]["process"], 1);
}

#[test]
fn a_failure_is_attributed_to_the_resource_that_repeats_it_and_not_to_a_flaky_test() {
    let package = Package::new("blaming", BLAMING);
    let (found, report) = graded(&package, &[], &[&CARGO[..], &["--", "--test-threads=1"]].concat());
    assert_eq!(
        found,
        [
            "reproduced file minded",
            "unguarded env UNMINDED",
            "unguarded file used"
        ],
        "{report}"
    );
}

#[test]
fn a_stopped_test_is_named_with_its_leftover_files() {
    let package = Package::new("stopping", STOPPING);
    let command = [&CARGO[..], &["--", "--test-threads=1"]].concat();
    let output = package.observe(&["--confirm", "--time-budget", "1s"], &command);
    // No pair could be tried.
    assert_eq!(output.code, Some(3), "{}{}", output.out, output.err);
    assert!(
        output.out.contains("stopped: comes_to_no_end after "),
        "{}",
        output.out
    );
    let lock = package.path().canonicalize().unwrap().join("met/lock");
    let left = output.out.lines().find(|line| line.starts_with("left behind: "));
    let left = left.unwrap_or_else(|| panic!("{}", output.out));
    assert!(left.contains(lock.to_str().unwrap()), "{left}");
    assert!(!left.contains("tidied"), "{left}");
    assert!(!package.path().join("met/tidied").exists());
}

#[test]
fn tests_that_a_static_leads_to_a_random_path_are_not_held_there_as_no_rerun_has_that_path() {
    let source = "\
use std::hash::{BuildHasher as _, RandomState};
use std::{fs, path::PathBuf, sync::LazyLock};
static DIR: LazyLock<PathBuf> = LazyLock::new(|| {
    let name = format!(\"met/.tmp{:016x}\", RandomState::new().hash_one(0));
    fs::create_dir(&name).unwrap();
    name.into()
});
#[test] fn a_writes() { fs::write(DIR.join(\"file\"), \"a\").unwrap() }
#[test] fn b_writes() { fs::write(DIR.join(\"file\"), \"b\").unwrap() }
";
    let package = Package::new("random", source);
    let (found, report) = graded(&package, &[], &[&CARGO[..], &["--", "--test-threads=1"]].concat());
    assert!(
        found.len() == 1 && found[0].starts_with("potential file .tmp"),
        "{report}"
    );
    let pair = &report["conflicts"][0]["pairs"][0];
    assert_eq!(pair["reason"], "rerun, the two did not both use it", "{pair}");
    // Both ran together once, which may show a failure.
    assert_eq!(pair["tries"], 1, "{pair}");
}
