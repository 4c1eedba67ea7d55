//! The account of started programs: a lost program never ends with exit code 0.

use crate::observe::package::Package;
use crate::recording::CommandOutput;
use crate::suites::{can_mount, has_nextest, in_example};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::fs;
use std::process::Command;

const STARTING: &str = include_str!("observe/suites/starting.rs");
const LIBC: &str = include_str!("observe/suites/starting_by_libc.rs");
const ENDING: &str = include_str!("observe/suites/ending.rs");
const CARGO: [&str; 3] = ["cargo", "test", "--offline"];

/// Returns the command, preceded by these lines of a shell script.
fn after(lines: &str, command: &Command) -> Command {
    shell("sh", &[], lines, command)
}

/// Returns the command in a namespace in which it can mount file systems.
fn in_mounts(lines: &str, command: &Command) -> Command {
    shell("unshare", &["-m", "sh"], lines, command)
}

fn shell(program: &str, words: &[&str], lines: &str, command: &Command) -> Command {
    #[expect(clippy::disallowed_methods, reason = "the program under test, under limits")]
    let mut shell = Command::new(program);
    shell
        .args(words)
        .args(["-c", &format!("{lines} && exec \"$@\""), "sh"])
        .arg(command.get_program())
        .args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    if let Some(dir) = command.get_current_dir() {
        shell.current_dir(dir);
    }
    shell
}

/// Returns the sizes to try between these two.
fn points(from: u64, to: u64) -> impl Iterator<Item = u64> {
    let count = crate::run::variable("COFFERDAM_TEST_POINTS");
    let count: u64 = count.and_then(|count| count.parse().ok()).unwrap_or(4);
    (0..count).map(move |point| from + (to - from) * point / (count - 1).max(1))
}

/// Returns a package with this number of tests, two of which write one file.
fn crowd(tests: usize) -> Package {
    let mut source = String::from(
        "fn write(name: &str) { std::fs::write(format!(\"{}/met/{name}\", env!(\"CARGO_MANIFEST_DIR\")), \"x\").unwrap() }\n",
    );
    for number in 0..tests {
        let file = number.max(1);
        writeln!(source, "#[test]\nfn t{number}() {{ write(\"f{file}\") }}").unwrap();
    }
    let package = Package::new("crowd", &source);
    let built = package
        .command(&[], &[&CARGO[..], &["--no-run"]].concat())
        .output()
        .unwrap();
    assert!(package.built().exists(), "{}", CommandOutput::from(built).err);
    package
}

/// Returns a package of so many tests with separate directories that its log grows while threads write to it.
fn growing() -> Package {
    let mut source = String::from(
        "fn work(test: usize) {\n\
         let dir = std::path::Path::new(env!(\"CARGO_MANIFEST_DIR\")).join(\"met\").join(test.to_string());\n\
         std::fs::create_dir(&dir).unwrap();\n\
         for file in 0..10 {\n\
         let path = dir.join(file.to_string());\n\
         std::fs::write(&path, \"x\").unwrap();\n\
         std::fs::read(&path).unwrap();\n\
         }\n\
         std::fs::remove_dir_all(dir).unwrap();\n\
         }\n",
    );
    for number in 0..200 {
        writeln!(source, "#[test]\nfn t{number}() {{ work({number}) }}").unwrap();
    }
    Package::new("growing", &source)
}

#[test]
fn threads_that_write_while_their_log_grows_lose_no_record() {
    let package = growing();
    let command = [&CARGO[..], &["--test", "growing", "--", "-q"]].concat();
    for round in 0..12 {
        let output = package.observe(&["--no-backtrace"], &command);
        assert_eq!(output.code, Some(0), "{round}: {}{}", output.out, output.err);
        assert!(
            output.out.contains("watched: 200 tests"),
            "{round}: {}",
            output.out
        );
    }
}

/// Two of the tests conflict, so exit code 0 would be wrong.
fn is_no_success(output: &CommandOutput, what: &str) {
    assert_ne!(output.code, Some(0), "{what}: {}{}", output.out, output.err);
}

#[test]
fn every_program_is_observed_whatever_room_the_shared_memory_has() {
    if !can_mount() || !has_nextest() {
        return;
    }
    let package = crowd(60);
    for size in points(1 << 10, 10 << 10) {
        let command = package.command(&[], &["cargo", "nextest", "run", "--offline"]);
        let mount = format!("mount -t tmpfs -o size={size}k none /dev/shm");
        let output: CommandOutput = in_mounts(&mount, &command).output().unwrap().into();
        assert_eq!(output.code, Some(1), "{size}: {}{}", output.out, output.err);
        assert!(output.out.contains("watched: 60 tests"), "{size}: {}", output.out);
    }
}

#[test]
fn full_file_systems_never_make_an_observation_clean() {
    if !can_mount() {
        return;
    }
    let package = crowd(60);
    // Both file systems on which an observation may keep its account.
    for size in points(1 << 10, 10 << 10) {
        let mut command = package.command(&[], &CARGO);
        command.env("TMPDIR", "/mnt");
        let mount =
            format!("for at in /dev/shm /mnt; do mount -t tmpfs -o size={size}k none $at || exit; done");
        is_no_success(
            &in_mounts(&mount, &command).output().unwrap().into(),
            &size.to_string(),
        );
    }
}

#[test]
fn few_descriptors_never_make_an_observation_clean() {
    let package = crowd(60);
    for limit in points(4, 40) {
        let command = package.command(&[], &CARGO);
        let output: CommandOutput = after(&format!("ulimit -n {limit}"), &command)
            .output()
            .unwrap()
            .into();
        is_no_success(&output, &limit.to_string());
    }
}

#[test]
fn small_files_never_make_an_observation_clean() {
    let package = crowd(60);
    for limit in points(0, 20_000) {
        let command = package.command(&[], &CARGO);
        let output: CommandOutput = after(&format!("ulimit -f {limit}"), &command)
            .output()
            .unwrap()
            .into();
        is_no_success(&output, &limit.to_string());
    }
}

/// A suite with conflicts that it records itself.
fn conflicted() -> Command {
    in_example("conflicted", &["run", "--", "cargo", "test"])
}

#[test]
fn a_full_disk_never_makes_a_recording_clean() {
    if !can_mount() {
        return;
    }
    for size in points(300, 2000) {
        let mut command = conflicted();
        command.env("COFFERDAM_DIR", "/mnt");
        let mount = format!("mount -t tmpfs -o size={size}k none /mnt");
        is_no_success(
            &in_mounts(&mount, &command).output().unwrap().into(),
            &size.to_string(),
        );
    }
}

#[test]
fn limits_of_descriptors_and_of_file_sizes_never_make_a_recording_clean() {
    for limit in points(4, 40) {
        let output: CommandOutput = after(&format!("ulimit -n {limit}"), &conflicted())
            .output()
            .unwrap()
            .into();
        is_no_success(&output, &format!("{limit} descriptors"));
    }
    for limit in points(0, 3000) {
        let output: CommandOutput = after(&format!("ulimit -f {limit}"), &conflicted())
            .output()
            .unwrap()
            .into();
        is_no_success(&output, &format!("files of {limit} blocks"));
    }
}

fn fix(package: &Package, options: &[&str]) -> CommandOutput {
    #[expect(clippy::disallowed_methods, reason = "the program under test")]
    let mut fix = Command::new(env!("CARGO_BIN_EXE_cargo-cofferdam"));
    fix.arg("fix").args(options).current_dir(package.path());
    fix.env("CARGO_TARGET_DIR", package.built())
        .env_remove("COFFERDAM_DIR");
    fix.output().unwrap().into()
}

#[test]
fn programs_out_of_reach_are_named_and_an_error_only_on_request() {
    let package = Package::new("starting", STARTING);
    let command = [&CARGO[..], &["--", "--skip", "breaks", "--skip", "fails"]].concat();
    let output = package.observe(&["--format", "json"], &command);
    let account = &output.report()["account"];
    assert_eq!(output.code, Some(0), "{account}");
    assert_eq!(account["lost"], json!([]));
    let out_of_reach = account["out_of_reach"].as_array().unwrap();
    assert_eq!(out_of_reach.len(), 1, "{account}");
    assert!(
        out_of_reach[0]["name"].as_str().unwrap().ends_with("met/static"),
        "{account}"
    );
    assert_eq!(out_of_reach[0]["reason"], "it is linked statically");
    // The unit tests, the suite, the static program, and the killed one.
    assert_eq!(account["started"], 4, "{account}");
    assert_eq!(account["incomplete"], 1, "{account}");
    let output = package.observe(&["--strict"], &command);
    assert_eq!(output.code, Some(3), "{}{}", output.out, output.err);
    let last = output.out.lines().last().unwrap();
    assert!(
        last.contains("could not tell") && last.contains("out of reach: "),
        "{last}"
    );
    assert_eq!(fix(&package, &[]).code, Some(0));
    assert_eq!(fix(&package, &["--strict"]).code, Some(3));
}

/// Returns the report of an observation without lost programs.
fn without_loss(package: &Package, options: &[&str], test: &str) -> Value {
    let options = [&["--format", "json"], options].concat();
    let output = package.observe(&options, &[&CARGO[..], &["--test", "libc", "--", test]].concat());
    let report = output.report();
    assert_eq!(report["account"]["lost"], json!([]), "{}", output.err);
    assert_eq!(output.code, Some(0), "{report}{}", output.err);
    report
}

#[test]
fn programs_that_libc_starts_are_observed_as_those_of_their_test() {
    let package = Package::new("libc", LIBC);
    let accesses = package.path().join("accesses");
    without_loss(
        &package,
        &["--accesses", accesses.to_str().unwrap()],
        "program_started",
    );
    let seen = fs::read_to_string(accesses).unwrap();
    for way in [
        "system", "popen", "execl", "execlp", "execle", "execveat", "raw", "pidfd", "pidfdp", "spawnp",
    ] {
        let by = |line: &&str| {
            line.contains("\"program_started\"")
                && line.contains(&format!("met/by-{way}\""))
                && line.contains("\"write\"")
        };
        assert!(seen.lines().any(|line| by(&line)), "{way}: {seen}");
    }
}

#[test]
fn starts_that_fail_take_no_room_in_the_account_and_thousands_that_succeed_find_it() {
    let package = Package::new("libc", LIBC);
    let report = without_loss(&package, &[], "nothing_started");
    assert_eq!(report["account"]["started"], 1, "{report}");
    // More than the account allocates in advance.
    let report = without_loss(&package, &[], "many_started");
    assert_eq!(report["account"]["complete"], 2_501, "{report}");
}

#[test]
fn a_start_of_what_is_no_regular_file_fails_as_it_would_unobserved() {
    let package = Package::new("libc", LIBC);
    without_loss(&package, &[], "fifo_started");
}

#[test]
fn a_program_is_incomplete_if_it_is_killed_before_it_begins_and_lost_if_it_began_without_its_observer() {
    let package = Package::new("ending", ENDING);
    let command = |test| [&CARGO[..], &["--test", "ending", "--", test]].concat();
    let output = package.observe(&["--format", "json"], &command("before_it_begins"));
    let account = &output.report()["account"];
    assert_eq!(
        (output.code, &account["incomplete"]),
        (Some(0), &json!(1)),
        "{account}"
    );
    if !can_mount() {
        return;
    }
    for way in ["without_its_library", "without_its_account"] {
        let output = package.observe(&["--format", "json"], &command(way));
        let account = &output.report()["account"];
        assert_eq!(
            (output.code, &account["lost"][0]["count"]),
            (Some(3), &json!(1)),
            "{way}: {account}{}",
            output.err
        );
    }
}

#[test]
fn a_lost_program_is_named_and_nothing_is_concluded() {
    let package = Package::new("starting", STARTING);
    let baseline = package.path().join("baseline.toml");
    let output = package.observe(
        &["--baseline", baseline.to_str().unwrap(), "--update-baseline"],
        &[&CARGO[..], &["--", "breaks"]].concat(),
    );
    assert_eq!(output.code, Some(3), "{}{}", output.out, output.err);
    assert!(
        output.out.contains("lost: ") && output.out.contains("met/broken: "),
        "{}",
        output.out
    );
    let last = output.out.lines().last().unwrap();
    assert!(
        last.contains("could not tell: 1 of 3 programs was lost"),
        "{last}"
    );
    assert!(!baseline.exists());
    let fixed = fix(&package, &[]);
    assert_eq!(fixed.code, Some(3), "{}{}", fixed.out, fixed.err);
    assert!(
        fixed.out.contains("could not tell: 1 of 3 programs"),
        "{}",
        fixed.out
    );
}

#[test]
fn a_failure_without_a_cause_is_said_and_is_no_reason_to_change_nothing() {
    let package = Package::new("starting", STARTING);
    let output = package.observe(&[], &[&CARGO[..], &["--", "fails"]].concat());
    assert_eq!(output.code, Some(101), "{}{}", output.out, output.err);
    let last = output.out.lines().last().unwrap();
    assert!(
        last.contains("; the command failed (exit code 101), and no cause was found"),
        "{last}"
    );
    let fixed = fix(&package, &[]);
    assert_eq!(fixed.code, Some(3), "{}{}", fixed.out, fixed.err);
    assert!(
        fixed.out.contains("could not tell: the observed command failed"),
        "{}",
        fixed.out
    );
}

#[test]
fn a_process_that_cannot_write_its_journal_is_lost_and_goes_on() {
    for (role, why) in [
        ("no-descriptors claims", "Too many open files"),
        ("no-files claims", "File too large"),
        ("claims no-files claims", "File too large"),
    ] {
        let base = tempfile::tempdir().unwrap();
        let command = crate::run::run(base.path(), role, &["--no-records", "pass"]);
        let output: CommandOutput = after("ulimit -n 64", &command).output().unwrap().into();
        assert_eq!(output.code, Some(3), "{role}: {}{}", output.out, output.err);
        assert!(
            output.out.contains("lost: ") && output.out.contains(why),
            "{role}: {}",
            output.out
        );
        if role.starts_with("claims") {
            // The account is kept beside the recording.
            let output = crate::recording::output_of(base.path(), &["check"]);
            assert_eq!(output.code, Some(3), "{}", output.out);
            assert!(output.out.contains("lost: "), "{}", output.out);
        }
    }
}

#[test]
fn without_room_for_the_account_the_command_runs_unrecorded_and_counts_as_lost() {
    for (role, code) in [("claims 0", 3), ("claims 42", 42)] {
        let base = tempfile::tempdir().unwrap();
        let command = crate::run::run(base.path(), role, &["--format", "json"]);
        // In units of 512 bytes.
        let output: CommandOutput = after("ulimit -f 1000", &command).output().unwrap().into();
        assert_eq!(output.code, Some(code), "{role}: {}{}", output.out, output.err);
        assert!(
            output.err.contains("nothing is recorded"),
            "{role}: {}",
            output.err
        );
        let account = &output.report()["account"];
        assert_eq!(account["lost"][0]["name"], "the command", "{account}");
        let reason = account["lost"][0]["reason"].as_str().unwrap();
        assert!(reason.contains("File too large"), "{account}");
        assert_eq!(output.report()["verdict"], "lost");
        let mut left = fs::read_dir(base.path().join("runs")).unwrap().flatten();
        let account = left.find(|left| left.path().extension().is_some_and(|end| end == "account"));
        assert!(account.is_none(), "{account:?}");
    }
}

#[test]
fn an_account_that_the_command_removed_is_said_and_is_no_success() {
    for (role, code) in [("removes", 3), ("removes isolated", 3), ("removes conflicted", 1)] {
        let base = tempfile::tempdir().unwrap();
        let mut command = crate::run::run(base.path(), role, &["--no-records", "pass"]);
        command.env("COFFERDAM_DIR", base.path().join("target/cofferdam"));
        let output: CommandOutput = command.output().unwrap().into();
        assert_eq!(output.code, Some(code), "{role}: {}{}", output.out, output.err);
        assert!(
            output.out.contains(".account was removed while the command ran"),
            "{role}: {}",
            output.out
        );
    }
}

#[test]
fn a_process_that_is_killed_while_it_records_is_incomplete_and_not_lost() {
    let base = tempfile::tempdir().unwrap();
    let output: CommandOutput = crate::run::run(base.path(), "claims leaves", &["--format", "json"])
        .output()
        .unwrap()
        .into();
    assert_eq!(output.code, Some(137), "{}{}", output.out, output.err);
    let account = &output.report()["account"];
    assert_eq!(account["incomplete"], 1, "{account}");
    assert_eq!(account["lost"], json!([]));
}

#[test]
fn an_empty_journal_is_said() {
    let base = tempfile::tempdir().unwrap();
    let folder = crate::recording::isolated(base.path(), "r1", "s1", 1);
    let journal = folder.join("workers/w7/journal.ndjson");
    fs::create_dir_all(journal.parent().unwrap()).unwrap();
    fs::write(&journal, "").unwrap();
    let output = crate::recording::output_of(base.path(), &["check"]);
    assert_eq!(output.code, Some(3), "{}", output.out);
    assert!(output.out.contains("the journal is empty"), "{}", output.out);
}
