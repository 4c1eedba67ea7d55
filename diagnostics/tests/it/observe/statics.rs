//! Statics that tests share: breakpoints under every condition, and which statics are reported.

use super::package::Package;
use super::{CARGO, HOSTILE, MASKS, NEXTEST, STACKS};
use crate::recording::CommandOutput;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

const BREAKPOINTS: &str = include_str!("suites/breakpoints.rs");
const SHARING: &str = include_str!("suites/sharing.rs");
const INTERFERING: &str = include_str!("suites/interfering.rs");
const OWN_CODE: &str = include_str!("suites/own_code.rs");
const REFUSING: &str = include_str!("suites/refusing.rs");
const TIMED: &str = include_str!("suites/timed.rs");
const SENT_TRAPS: &str = include_str!("suites/sent_traps.rs");

/// Runs the suite with its variables described, observed with these options, and its statics if they do not say otherwise.
pub(super) fn observe(package: &Package, options: &[&str], command: &[&str]) -> CommandOutput {
    let memory: &[&str] = if options.contains(&"--memory") {
        &[]
    } else {
        &["--memory", "auto"]
    };
    described(package.command(&[memory, options].concat(), command)).into()
}

/// Runs the command with its variables described, and compiled incrementally, as users do.
fn described(mut command: Command) -> Output {
    command.env("CARGO_INCREMENTAL", "1");
    for profile in ["DEV", "TEST"] {
        command.env(format!("CARGO_PROFILE_{profile}_DEBUG"), "2");
    }
    command.output().unwrap()
}

fn assert_passed(output: &CommandOutput, results: &str) {
    assert!(output.out.contains(results), "{}{}", output.out, output.err);
    assert!(!output.out.contains("\nlost: "), "{}{}", output.out, output.err);
}

#[test]
fn statics_are_used_under_every_condition_of_signals_and_stacks() {
    let package = Package::new("breakpoints", BREAKPOINTS);
    assert_passed(
        &observe(&package, &["--memory", "off"], &CARGO),
        "20 passed; 0 failed",
    );
    let accesses = package.path().join("accesses");
    let options = ["--memory", "require", "--accesses", accesses.to_str().unwrap()];
    assert_passed(&observe(&package, &options, &CARGO), "20 passed; 0 failed");
    let seen = fs::read_to_string(accesses).unwrap();
    for used in [
        "RAW",
        "MASKED",
        "POLLED",
        "SUSPENDED",
        "IN_SYS",
        "IN_TRAP",
        "STEPPED",
        "PROFILED",
        "LAST",
        "SMALL",
        "IGNORED",
        "ON_STACK",
        "IN_CONTEXT",
        "PAUSED",
        "EARLY",
        "LATE",
        "STARTED",
    ] {
        let name = format!("\"breakpoints::{used}\"");
        assert!(seen.lines().any(|line| line.contains(&name)), "{used} in {seen}");
    }
    // What copies of the process do, and processes that share its memory, is no test's access.
    for used in ["BY_VFORK", "COPIED", "TRACED", "EXECUTED"] {
        let is_written = |line: &str| line.contains(&format!("::{used}\"")) && line.contains("\"write\"");
        assert!(!seen.lines().any(is_written), "{used}");
    }
}

#[test]
fn a_signal_blocked_or_ignored_before_the_program_begins_stops_nothing() {
    for option in ["--block-signal=TRAP", "--ignore-signal=TRAP"] {
        let source = format!(
            "{BREAKPOINTS}\n#[test]\nfn is_inherited() {{ {} }}\n",
            if option.starts_with("--block") {
                "assert_eq!(mask() & TRAP_BIT, TRAP_BIT)"
            } else {
                ""
            }
        );
        let package = Package::new("inheriting", &source);
        let runner = format!("[target.'cfg(unix)']\nrunner = ['env', '{option}']\n");
        package.write(".cargo/config.toml", &runner);
        let command = [
            &CARGO[..],
            &[
                "--",
                "--skip",
                "ends_it",
                "--skip",
                "ignored",
                "--skip",
                "observer_s",
                "--skip",
                "inherits",
                "--skip",
                "steps",
            ],
        ]
        .concat();
        let output = observe(&package, &["--memory", "require"], &command);
        assert_passed(&output, "16 passed; 0 failed");
    }
}

#[test]
fn where_the_signal_has_to_be_blocked_statics_are_not_observed_any_more() {
    for (name, source, results) in [
        ("sent_traps", SENT_TRAPS, "3 passed; 0 failed"),
        ("timed", TIMED, "1 passed; 0 failed"),
    ] {
        let package = Package::new(name, source);
        let output = observe(&package, &[], &CARGO);
        assert_passed(&output, results);
        assert!(
            output.out.contains("from the moment on when"),
            "{}{}",
            output.out,
            output.err
        );
    }
}

#[test]
fn suites_that_need_their_signals_pass_while_statics_are_observed() {
    let of_trap = MASKS
        .replace("const SYS: c_int = 31;", "const SYS: c_int = 5;")
        .replace("const SYS_BIT: u64 = 1 << 30;", "const SYS_BIT: u64 = 1 << 4;");
    assert_ne!(of_trap, MASKS);
    let package = Package::new("cramped", STACKS);
    package.write("tests/hostile.rs", HOSTILE);
    package.write("tests/masks.rs", MASKS);
    package.write("tests/masks_of_trap.rs", &of_trap);
    let output = observe(&package, &[], &[&CARGO[..], &["--no-fail-fast"]].concat());
    for passed in ["7 passed; 0 failed", "14 passed; 0 failed"] {
        assert!(output.out.contains(passed), "{}{}", output.out, output.err);
    }
    assert_eq!(
        output.out.matches("11 passed; 0 failed").count(),
        2,
        "{}{}",
        output.out,
        output.err
    );
}

/// Returns `name: writers × readers` of each shared static, sorted.
fn shared(report: &serde_json::Value) -> Vec<String> {
    let number = |one: &serde_json::Value, side: &str| one[side].as_array().unwrap().len();
    let list = report["observed"]["statics"]["list"].as_array().unwrap();
    let one = |one| {
        format!(
            "{}: {} × {}",
            text(one, "name"),
            number(one, "writers"),
            number(one, "readers")
        )
    };
    let mut all: Vec<String> = list.iter().map(one).collect();
    all.sort();
    all
}

fn text<'t>(one: &'t serde_json::Value, name: &str) -> &'t str {
    one[name].as_str().unwrap_or_default()
}

/// Fails when a new Rust names or lays out its locks differently.
#[test]
fn exactly_the_statics_that_one_test_changes_and_another_uses_are_listed() {
    let package = Package::new("sharing", SHARING);
    let command = [&CARGO[..], &["--", "--test-threads=1"]].concat();
    let options = ["--format", "json", "--memory", "require", "--list-statics"];
    let output = observe(&package, &options, &command);
    assert_eq!(output.code, Some(0), "{}{}", output.out, output.err);
    let report = output.report();
    let wanted = [
        "sharing::FLAG: 1 × 1",
        "sharing::GENERATED: 1 × 1",
        "sharing::HAMMERED: 2 × 0",
        "sharing::HANDLE: 1 × 1",
        "sharing::IN_THREAD: 1 × 1",
        "sharing::IS_DONE: 1 × 1",
        "sharing::LATER: 1 × 1",
        "sharing::LAZY: 1 × 1",
        "sharing::LEAKED: 1 × 1",
        "sharing::LIST: 1 × 1",
        "sharing::LISTED: 1 × 1",
        "sharing::MAP: 1 × 1",
        "sharing::NAME: 1 × 1",
        "sharing::PASSED: 1 × 1",
        "sharing::PLAIN: 1 × 1",
        "sharing::REGISTRY: 1 × 1",
        "sharing::SETTINGS: 1 × 1",
        "sharing::SWITCH: 1 × 1",
        "sharing::next::NEXT: 2 × 0",
    ];
    assert_eq!(shared(&report), wanted, "{report}");
    let list = report["observed"]["statics"]["list"].as_array().unwrap();
    let flag = list
        .iter()
        .find(|one| text(one, "name") == "sharing::FLAG")
        .unwrap();
    let line = |text: &str| SHARING.lines().position(|line| line.contains(text)).unwrap() + 1;
    assert_eq!(
        text(flag, "declared"),
        format!("tests/sharing.rs:{}", line("static FLAG"))
    );
    assert_eq!(text(&flag["readers"][0], "test"), "b_flag");
    assert_eq!(
        text(&flag["readers"][0], "place"),
        format!("tests/sharing.rs:{}", line("b_flag:"))
    );
}

#[test]
fn a_call_directly_before_the_use_of_a_static_keeps_its_own_line() {
    let source = "\
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
static USED: AtomicU32 = AtomicU32::new(0);
#[test]
fn calls() {
    unsafe { std::env::set_var(\"CALLED\", \"1\") };
    USED.store(1, SeqCst);
}
#[test]
fn reads() {
    _ = std::env::var(\"CALLED\");
    assert!(USED.load(SeqCst) < 2);
}
";
    let package = Package::new("calling", source);
    let output = observe(&package, &["--list-statics"], &CARGO);
    for row in [
        "\n  write  calls  calling  tests/calling.rs:5\n",
        "\n    write  calls  tests/calling.rs:6\n",
    ] {
        assert!(output.out.contains(row), "{}{}", output.out, output.err);
    }
}

#[test]
fn shared_statics_are_one_line_and_change_no_verdict() {
    let package = Package::new("shared", SHARING);
    let command = [&CARGO[..], &["--", "--test-threads=1"]].concat();
    let output = observe(&package, &[], &command);
    assert_eq!(output.code, Some(0), "{}{}", output.out, output.err);
    let line = "note: tests share 19 statics that one of them changes, which is no conflict by itself; `--list-statics` names them\n";
    assert!(output.out.contains(line), "{}{}", output.out, output.err);
    assert!(!output.out.contains("shared::FLAG"), "{}", output.out);
    assert!(
        output
            .out
            .contains("statics; the heap and rows of databases were not"),
        "{}",
        output.out
    );
    let listed = observe(&package, &["--list-statics"], &command);
    let row = "\n  shared::FLAG (tests/shared.rs:19)\n    write  a_flag  tests/shared.rs:";
    assert!(listed.out.contains(row), "{}{}", listed.out, listed.err);
    let json = observe(&package, &["--format", "json"], &command).report();
    assert_eq!(json["observed"]["statics"]["shared"], 19, "{json}");
    assert_eq!(
        json["observed"]["statics"]["list"],
        serde_json::Value::Null,
        "{json}"
    );
    let by_default: CommandOutput = described(package.command(&[], &command)).into();
    assert!(
        by_default.out.contains(line),
        "{}{}",
        by_default.out,
        by_default.err
    );
    let off = observe(&package, &["--memory", "off"], &command);
    assert!(!off.out.contains("note: "), "{}", off.out);
    assert!(
        off.out.contains("; memory and rows of databases were not"),
        "{}",
        off.out
    );
}

/// A suite depends on it by a path, as on code of its own.
#[test]
fn the_statics_of_the_library_are_never_listed_and_a_test_within_another_ends_no_comparison() {
    const SOURCE: &str = r#"
use cofferdam::{Worker, WorkerLocal};
static CALLS: WorkerLocal<u32> = WorkerLocal::new(|_| Ok(1));
static mut OWN: u32 = 0;
fn uses_both() { unsafe { OWN += *CALLS.get() + Worker::current().id().len() as u32 } }
#[test] fn a_uses_both() { uses_both() }
#[test] fn b_uses_both() { uses_both() }

/// Stores through a pointer, where no breakpoint is.
struct Cell(std::cell::UnsafeCell<[u64; 4]>);
unsafe impl Sync for Cell {}
impl Cell {
    fn set(&self, value: u64) { unsafe { (*self.0.get())[2] = value } }
    fn get(&self) -> u64 { unsafe { (*self.0.get())[2] } }
}
static CELL: Cell = Cell(std::cell::UnsafeCell::new([0; 4]));
#[test] fn c_begins_a_test() { Worker::begin("within").end(true) }
#[test] fn d_sets() { CELL.set(7) }
#[test] fn e_gets() { assert_ne!(CELL.get(), 1) }
"#;
    let package = Package::with_library("borrowing", SOURCE);
    let command = [&CARGO[..], &["--", "--test-threads=1"]].concat();
    let output = observe(&package, &["--format", "json", "--list-statics"], &command);
    assert_eq!(
        shared(&output.report()),
        ["borrowing::CELL: 1 × 1", "borrowing::OWN: 2 × 0"],
        "{}",
        output.out
    );
}

#[test]
fn statics_that_cannot_be_observed_are_named_and_end_with_3_only_if_they_are_required() {
    let package = Package::new("undescribed", SHARING);
    // A dependency may have debug information where the suite has none.
    package.write(
        "Cargo.toml",
        r#"[package]
name = "undescribed"
version = "0.0.0"
edition = "2024"
[dependencies]
described = { path = "vendor/described" }
[workspace]
[profile.dev.package.described]
debug = 2
[profile.release]
strip = true
"#,
    );
    package.write(
        "vendor/described/Cargo.toml",
        "[package]\nname = \"described\"\nversion = \"0.0.0\"\nedition = \"2024\"\n",
    );
    package.write(
        "vendor/described/src/lib.rs",
        "#[inline(never)]\npub fn doubled(number: u32) -> u32 { number * 2 }\n",
    );
    let used = "#[test]\nfn uses_the_dependency() { assert_eq!(described::doubled(2), 4); }\n";
    package.write("tests/undescribed.rs", &format!("{SHARING}{used}"));
    let without_lines = |options: &[&str]| -> CommandOutput {
        let mut command = package.command(options, &[&CARGO[..], &["--test", "undescribed"]].concat());
        command
            .env("CARGO_PROFILE_TEST_DEBUG", "line-tables-only")
            .env("CARGO_PROFILE_DEV_DEBUG", "line-tables-only");
        command.output().unwrap().into()
    };
    let why = "its statics: the program has no debug information about variables (`debug = 2`)";
    let output = without_lines(&["--memory", "auto"]);
    assert_eq!(output.code, Some(0), "{}{}", output.out, output.err);
    assert!(
        output
            .out
            .contains(&format!("note: 1 program out of reach: {why}\n")),
        "{}{}",
        output.out,
        output.err
    );
    let is_named = |output: &CommandOutput, what: &str| {
        let last = output.out.lines().last().unwrap_or_default();
        let program = last
            .split_once(&format!("; {what}: "))
            .map(|(_, program)| program);
        let has_name = program.is_some_and(|program| program.contains("undescribed"));
        assert!(has_name, "{what} in {last} {}", output.err);
    };
    is_named(&output, "statics out of reach");
    let json = without_lines(&["--format", "json"]).report();
    let unwatched = &json["observed"]["statics"]["unwatched"];
    assert!(
        unwatched[0]["reason"] == why && unwatched[0]["count"] == 1,
        "{unwatched}"
    );
    let output = without_lines(&["--memory", "require"]);
    assert_eq!(output.code, Some(3), "{}{}", output.out, output.err);
    assert!(output.out.contains(why), "{}{}", output.out, output.err);
    assert!(!output.out.contains("a process of its own"), "{}", output.out);
    let stripped = observe(
        &package,
        &[],
        &[&CARGO[..], &["--release", "--test", "undescribed"]].concat(),
    );
    assert!(
        stripped.out.contains("the program has no symbols"),
        "{}{}",
        stripped.out,
        stripped.err
    );
    is_named(&stripped, "statics out of reach");
    // One of two programs has no observer.
    package.write("src/lib.rs", "#[test]\nfn is_observed() {}\n");
    let both = "cargo test --offline --lib && RUSTFLAGS='-C target-feature=+crt-static' cargo test --offline --test undescribed";
    for (memory, code) in [("auto", 0), ("require", 3)] {
        let output = observe(&package, &["--memory", memory], &["sh", "-c", both]);
        assert_eq!(output.code, Some(code), "{}{}", output.out, output.err);
        assert!(
            output.out.contains("it is linked statically"),
            "{}{}",
            output.out,
            output.err
        );
        if memory == "auto" {
            is_named(&output, "out of reach");
        }
    }
}

#[test]
fn a_program_that_links_std_dynamically_is_named_with_that_reason() {
    let package = Package::new("derives", SHARING);
    package.write(
        "Cargo.toml",
        "[package]\nname = \"derives\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[lib]\nproc-macro = true\n[workspace]\n",
    );
    package.write("src/lib.rs", "#[test]\nfn passes() {}\n");
    let json = observe(
        &package,
        &["--format", "json"],
        &[&CARGO[..], &["--lib"]].concat(),
    )
    .report();
    let unwatched = &json["observed"]["statics"]["unwatched"];
    let why = "its statics: the program links std dynamically, as a proc-macro crate's unit tests do";
    assert_eq!(unwatched[0]["reason"], why, "{json}");
}

/// A debugger would take a breakpoint's signal for one of its own, and the program would go on in the middle of an instruction.
#[test]
fn a_traced_program_has_no_breakpoints() {
    #[expect(clippy::disallowed_methods, reason = "the tool is looked for")]
    let found = Command::new("strace").arg("--version").output();
    if !crate::suites::has(found.is_ok_and(|output| output.status.success()), "strace") {
        return;
    }
    let package = Package::new("traced", SHARING);
    let runner = "[target.'cfg(unix)']\nrunner = ['strace', '-f', '-e', 'trace=none', '-o', 'trace']\n";
    package.write(".cargo/config.toml", runner);
    let command = [&CARGO[..], &["--test", "traced"]].concat();
    let output = observe(&package, &[], &command);
    assert_eq!(output.code, Some(0), "{}{}", output.out, output.err);
    let why = "note: 1 program out of reach: its statics: a debugger or another tracer was attached\n";
    assert!(output.out.contains(why), "{}{}", output.out, output.err);
    let trace = fs::read_to_string(package.path().join("trace")).unwrap();
    assert!(
        trace.contains("+++ exited with 0 +++") && !trace.contains("SIGTRAP"),
        "{trace}"
    );
}

const SWITCHED: &str = "\
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
static ON: LazyLock<AtomicBool> = LazyLock::new(|| AtomicBool::new(false));
static CALLS: AtomicU32 = AtomicU32::new(0);
#[inline(never)]
fn count() { CALLS.fetch_add(1, SeqCst); }
#[inline(never)]
pub fn set(on: bool) { count(); ON.store(on, SeqCst) }
#[inline(never)]
pub fn is_on() -> bool { count(); ON.load(SeqCst) }
";

#[test]
fn code_that_is_patched_or_generated_and_large_statics_change_nothing_and_refused_breakpoints_are_reported() {
    let package = Package::new("own_code", OWN_CODE);
    let manifest = fs::read_to_string(package.path().join("Cargo.toml")).unwrap();
    package.write(
        "Cargo.toml",
        &format!("{manifest}[dependencies]\nswitched = {{ path = \"vendor/switched\" }}\n"),
    );
    package.write(
        "vendor/switched/Cargo.toml",
        "[package]\nname = \"switched\"\nversion = \"0.0.0\"\nedition = \"2024\"\n",
    );
    package.write("vendor/switched/src/lib.rs", SWITCHED);
    package.write("src/main.rs", REFUSING);
    let serial = |options: &[&str], words: &[&str]| {
        let command = [
            &CARGO[..],
            &["--test", "own_code", "--", "--test-threads=1"],
            words,
        ]
        .concat();
        observe(&package, options, &command)
    };
    let options = ["--memory", "require", "--list-statics", "--format", "json"];
    let output = serial(&options, &[]);
    assert_eq!(output.code, Some(0), "{}{}", output.out, output.err);
    // Of the dependency only what a called function itself uses.
    let wanted = [
        "own_code::BIG: 1 × 1",
        "own_code::BIG_TABLE: 1 × 1",
        "switched::ON: 1 × 1",
    ];
    assert_eq!(shared(&output.report()), wanted, "{}", output.out);
    // Code that reads itself finds the breakpoints.
    for (memory, results) in [("auto", "0 passed; 1 failed"), ("off", "1 passed; 0 failed")] {
        let output = serial(&["--memory", memory, "--no-explain"], &["--ignored"]);
        assert!(output.out.contains(results), "{}{}", output.out, output.err);
    }
    let runner = package.built().join("debug/own_code");
    package.write(
        ".cargo/config.toml",
        &format!("[target.'cfg(unix)']\nrunner = [{runner:?}]\n"),
    );
    for (memory, code) in [("auto", 0), ("require", 3)] {
        let output = serial(&["--memory", memory], &["statics"]);
        assert_eq!(output.code, Some(code), "{}{}", output.out, output.err);
        let why = "1 program out of reach: its statics: the system allows no breakpoints";
        for text in ["2 passed; 0 failed", why] {
            assert!(output.out.contains(text), "{}{}", output.out, output.err);
        }
    }
}

#[test]
#[ignore = "takes long; .ci/long runs it"]
fn a_test_that_hangs_alone_or_after_another_is_stopped_and_named_and_leaves_nothing() {
    for (name, tests) in [
        (
            "waits",
            "#[test] fn a_hangs() { while SET.load(Relaxed) { std::thread::park() } }\n\
             #[test] fn b_sets() { SET.store(true, Relaxed) }\n",
        ),
        (
            "awaits",
            "#[test] fn a_sets() { SET.store(true, Relaxed) }\n\
             #[test] fn b_hangs() { while !SET.load(Relaxed) { std::thread::park() } }\n",
        ),
    ] {
        let uses = "use std::sync::atomic::{AtomicBool, Ordering::Relaxed};\nstatic SET: AtomicBool = AtomicBool::new(false);\n";
        let package = Package::new(name, &format!("{uses}{tests}"));
        let temporary = package.path().join("temporary");
        fs::create_dir(&temporary).unwrap();
        let command = [&CARGO[..], &["--test", name, "--", "--test-threads=1"]].concat();
        let options = ["--memory", "auto", "--confirm", "--time-budget", "5s"];
        let mut command = package.command(&options, &command);
        command.env("TMPDIR", &temporary);
        let output: CommandOutput = described(command).into();
        assert_passed(&output, "2 passed; 0 failed");
        assert_eq!(output.code, Some(0), "{}{}", output.out, output.err);
        let stopped = output.out.lines().find(|line| line.starts_with("stopped: "));
        assert!(
            stopped.is_some_and(|line| line.contains("_hangs after ")),
            "{}{}",
            output.out,
            output.err
        );
        assert_eq!(names_in(&temporary), [""; 0]);
        assert_eq!(
            names_in(&package.built().join("cofferdam")),
            ["observed", "statics"]
        );
        let built = package.built().to_str().unwrap();
        let processes = fs::read_dir("/proc").unwrap().flatten();
        let lines = processes.filter_map(|process| fs::read_to_string(process.path().join("cmdline")).ok());
        let left: Vec<String> = lines.filter(|line| line.contains(built)).collect();
        assert_eq!(left, [""; 0]);
    }
}

#[test]
#[ignore = "takes long; .ci/long runs it"]
fn a_store_in_a_loop_is_recorded_once_also_after_300_000_other_accesses() {
    let suite = "use std::sync::atomic::{AtomicU32, Ordering::SeqCst};\nstatic LAST: AtomicU32 = AtomicU32::new(0);\n\
                 #[test] fn a_reads() { (0..300_000).for_each(|number| _ = std::env::var(format!(\"NAME{number}\"))) }\n\
                 #[test] fn b_stores() { (0..100_000).for_each(|number| LAST.store(number, SeqCst)) }\n\
                 #[test] fn c_stores() { LAST.store(1, SeqCst) }\n";
    let package = Package::new("looping", suite);
    let command = [&CARGO[..], &["--", "--test-threads=1"]].concat();
    let output = observe(&package, &[], &command);
    assert_passed(&output, "3 passed; 0 failed");
    assert!(
        output.out.contains(" 300002 accesses to "),
        "{}{}",
        output.out,
        output.err
    );
}

fn names_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn processes_of_nextest_share_no_statics() {
    if !crate::suites::has_nextest() {
        return;
    }
    let package = Package::new("apart", SHARING);
    // What an earlier run of this test has left there.
    _ = fs::remove_dir_all(package.built().join("cofferdam/observed"));
    let apart = || {
        let output = observe(&package, &["--list-statics", "--memory", "require"], &NEXTEST);
        assert_eq!(output.code, Some(0), "{}{}", output.out, output.err);
        let mut lines = output
            .out
            .lines()
            .filter(|line| line.starts_with("note: each test has a process of its own"));
        lines.next().unwrap().to_owned()
    };
    let none = "note: each test has a process of its own, so tests share no statics";
    assert_eq!(apart(), none);
    let shared = shared(&observe(&package, &["--list-statics", "--format", "json"], &CARGO).report());
    // The second time, the newest observation is one of nextest.
    for _ in 0..2 {
        let line = apart();
        let named = format!(
            "{none}; `cargo test` showed {} statics shared by its tests: apart::",
            shared.len()
        );
        assert!(line.starts_with(&named), "{line}");
        assert!(line.ends_with("; nextest's processes keep them apart"), "{line}");
        assert!(
            shared
                .iter()
                .all(|one| line.contains(one.split(':').nth(2).unwrap())),
            "{shared:?} {line}"
        );
    }
}

#[test]
fn a_static_is_a_conflict_if_a_test_fails_through_it_in_company_and_not_alone() {
    let package = Package::with_library("interfering", INTERFERING);
    let command = [&CARGO[..], &["--", "--test-threads=1"]].concat();
    let output = observe(&package, &["--confirm"], &command);
    assert_passed(&output, "18 passed; 0 failed");
    assert_eq!(output.code, Some(1), "{}{}", output.out, output.err);
    let found: Vec<&str> = output
        .out
        .lines()
        .filter_map(|line| line.strip_prefix("reproduced: static ")?.split(": ").next())
        .collect();
    let wanted = [
        "interfering::CONFIG",
        "interfering::COPIED",
        "interfering::LEFT",
        "interfering::LIST",
        "interfering::MODE",
        "interfering::NEXT",
        "interfering::OWN",
        "std::panicking::HOOK",
    ];
    assert_eq!(found, wanted, "{}", output.out);
    for line in [
        "  its initializer read static interfering::WANTED, which a test changes: the first test that uses it decides for all",
        "  the cause is one of: interfering::LEFT, interfering::RIGHT",
        "  a process has one panic hook: a test that sets it sets it for all",
        "; it passed when the static was reset after z_mode_is_set",
    ] {
        assert!(output.out.contains(line), "{line} in {}", output.out);
    }
    assert!(output.out.contains("pairs at statics tried"), "{}", output.out);
    let words = ["fix", "--apply", "--allow-no-vcs"];
    let fixed: CommandOutput = described(package.cofferdam(&words, &CARGO)).into();
    assert!(
        fixed.out.ends_with("; written and proven\n")
            && fixed
                .out
                .contains("fixed: static interfering::MODE: interfering::a_mode_is_empty failed in 0 of "),
        "{}{}",
        fixed.out,
        fixed.err
    );
    // The first value would be read from what another test has changed, and of two statics each may be the cause.
    for left in [
        " leaves behind: static interfering::CONFIG (changed at tests/interfering.rs:50, used at tests/interfering.rs:44)",
        " leaves behind: static interfering::LEFT (changed at tests/interfering.rs:77, used at tests/interfering.rs:72) or static \
         interfering::RIGHT (",
    ] {
        assert!(fixed.out.contains(left), "{left} in {}{}", fixed.out, fixed.err);
    }
    let suite = fs::read_to_string(package.path().join("tests/interfering.rs")).unwrap();
    for own in [
        "static MODE: WorkerLocal<Mutex<String>> =\n    WorkerLocal::new(|_| Ok(Mutex::new(String::new()))).per_test();\n",
        "static NEXT: WorkerLocal<AtomicU32> = WorkerLocal::new(|_| Ok(AtomicU32::new(0)));\n",
        "static OWN: WorkerLocal<Own> = WorkerLocal::new(|_| Ok(Own(UnsafeCell::new(0)))).per_test();\n",
        "WorkerLocal::new(|_| Ok(OnceLock::new())).per_test();\n",
    ] {
        assert!(suite.contains(own), "{own} in {suite}");
    }
    assert_eq!(suite.matches("#[serial(").count(), 2, "{suite}");
}

#[test]
fn a_static_that_is_a_conflict_in_one_program_is_not_counted_as_shared_in_another() {
    let package = Package::new("twofold", "");
    package.write(
        "src/lib.rs",
        "use std::sync::Mutex;\nstatic MODE: Mutex<u32> = Mutex::new(0);\n\
         #[inline(never)]\npub fn set(mode: u32) { *MODE.lock().unwrap() = mode }\n\
         #[inline(never)]\npub fn mode() -> u32 { *MODE.lock().unwrap() }\n",
    );
    package.write(
        "tests/twofold.rs",
        "#[test] fn a_is_unset() { assert_eq!(twofold::mode(), 0) }\n#[test] fn b_sets() { twofold::set(1) }\n",
    );
    package.write(
        "tests/harmless.rs",
        "#[test] fn a_sets() { twofold::set(1) }\n#[test] fn b_sets() { twofold::set(2) }\n",
    );
    let command = [&CARGO[..], &["--tests", "--", "--test-threads=1"]].concat();
    let options = ["--confirm", "--list-statics", "--format", "json"];
    let report = observe(&package, &options, &command).report();
    assert_eq!(
        report["conflicts"][0]["resource"]["name"], "twofold::MODE",
        "{report}"
    );
    let statics = &report["observed"]["statics"];
    assert_eq!(
        (&statics["shared"], &statics["list"]),
        (&0.into(), &serde_json::json!([])),
        "{report}"
    );
}

/// More than have a bit of their own in the observer.
#[test]
fn a_hundred_tests_at_once_share_what_they_use_and_nothing_else() {
    let mut source = "\
use std::sync::Barrier;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
static ALL_RUN: Barrier = Barrier::new(100);
static BY_ALL: AtomicU32 = AtomicU32::new(0);
static BY_TWO: AtomicU32 = AtomicU32::new(0);
static BY_ONE: AtomicU32 = AtomicU32::new(0);
static LATER: AtomicU32 = AtomicU32::new(0);
#[inline(never)] fn set(of: &AtomicU32) { of.store(1, SeqCst) }
#[inline(never)] fn get(of: &AtomicU32) -> u32 { of.load(SeqCst) }
"
    .to_owned();
    for test in 0..100 {
        let how = if test < 50 { "set" } else { "get" };
        let more = match test {
            48 => "set(&BY_TWO);",
            49 => "set(&BY_ONE);",
            99 => "get(&BY_TWO);",
            _ => "",
        };
        source += &format!("#[test] fn a_{test:02}() {{ ALL_RUN.wait(); {how}(&BY_ALL); {more} }}\n");
    }
    source +=
        "#[test] fn b_sets_later() { set(&LATER) }\n#[test] fn c_gets_later() { assert!(get(&LATER) < 2) }\n";
    let package = Package::new("crowded", &source);
    let command = [&CARGO[..], &["--test", "crowded", "--", "--test-threads=100"]].concat();
    let options = ["--memory", "require", "--list-statics", "--format", "json"];
    let output = observe(&package, &options, &command);
    assert_eq!(output.code, Some(0), "{}{}", output.out, output.err);
    let found = shared(&output.report());
    let found: Vec<&str> = found
        .iter()
        .map(String::as_str)
        .filter(|one| !one.contains("ALL_RUN"))
        .collect();
    let wanted = [
        "crowded::BY_ALL: 50 × 50",
        "crowded::BY_TWO: 1 × 1",
        "crowded::LATER: 1 × 1",
    ];
    assert_eq!(found, wanted, "{}", output.out);
}
