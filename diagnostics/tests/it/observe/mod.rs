//! Suites without cofferdam, observed under real runners.

mod confirm;
mod custom_harness;
mod environment;
mod explained;
mod isolated;
#[cfg(target_arch = "x86_64")]
mod order;
pub(crate) mod package;
mod pools;
#[cfg(target_arch = "x86_64")]
mod probe;
mod process_state;
mod results;
mod saved_starts;
#[cfg(target_arch = "x86_64")]
mod static_locks;
#[cfg(target_arch = "x86_64")]
mod statics;

use package::Package;
use std::fs;

const MEETING: &str = include_str!("suites/meeting.rs");
const HOSTILE: &str = include_str!("suites/hostile.rs");
const STACKS: &str = include_str!("suites/stacks.rs");
const MASKS: &str = include_str!("suites/masks.rs");
const LOCKING: &str = include_str!("suites/locking.rs");
const TRYING: &str = include_str!("suites/trying.rs");
const KEEPING: &str = include_str!("suites/keeping.rs");
const FAILING: &str = include_str!("suites/failing.rs");
const CAUSES: &str = include_str!("suites/causes.rs");

const CARGO: [&str; 3] = ["cargo", "test", "--offline"];
const NEXTEST: [&str; 4] = ["cargo", "nextest", "run", "--offline"];

/// The conflicts within one process, and between processes.
const EVERYWHERE: [&str; 11] = [
    "directory removed: 1 × 1",
    "file by-child: 1 × 1",
    "file by-thread: 1 × 1",
    "file größe: 2 × 0",
    "file listed/name: 1 × 1",
    "file listed/while: 1 × 1",
    "file replaced: 2 × 0",
    "file report: 1 × 1",
    "port 28917: 2 × 0",
    "shared-memory /cofferdam-meeting: 2 × 0",
    "unix-socket socket: 2 × 0",
];
const IN_ONE_PROCESS: [&str; 3] = ["cwd : 1 × 1", "env MEETING_MODE: 2 × 1", "umask : 2 × "];

/// Returns those that can be observed here.
fn everywhere() -> Vec<&'static str> {
    let mut everywhere = EVERYWHERE.to_vec();
    if !crate::suites::is_native() {
        everywhere.retain(|one| !one.contains("by-child"));
    }
    everywhere
}

fn agree(found: &[String], wanted: &[&str]) {
    let fits = found.len() == wanted.len()
        && found
            .iter()
            .zip(wanted)
            .all(|(found, wanted)| found.starts_with(wanted));
    assert!(fits, "{found:#?}");
}

#[test]
fn exactly_the_resources_that_tests_of_a_process_share_are_reported() {
    // Another process may have the port; the tests conflict on it anyway.
    let _taken = std::net::TcpListener::bind(("127.0.0.1", 28_917));
    let package = Package::new("meeting", MEETING);
    let mut wanted = [&IN_ONE_PROCESS[..], &everywhere()].concat();
    wanted.sort_unstable();
    agree(&package.met(&CARGO, &[]), &wanted);
    fs::remove_dir_all(package.path().join("met")).unwrap();
    fs::create_dir(package.path().join("met")).unwrap();
    // The same without thread names: then each test is rerun alone, when a name in a directory is not new any more.
    let alone: Vec<String> = package.met(&CARGO, &["--no-names"]);
    wanted.retain(|wanted| !wanted.starts_with("file listed/name"));
    // Values of two processes cannot be compared, since addresses are random, which they are not under qemu.
    wanted.extend(crate::suites::is_native().then_some("env MEETING_PLACE: 2 × 0"));
    wanted.sort_unstable();
    agree(&alone, &wanted);
    let _ = fs::remove_file("/dev/shm/cofferdam-meeting");
}

#[test]
fn under_nextest_the_environment_is_each_test_s_own() {
    if !crate::suites::has_nextest() {
        return;
    }
    let package = Package::new("meeting_apart", MEETING);
    let met = package.met(&NEXTEST, &[]);
    agree(&met, &everywhere());
}

#[test]
fn tests_that_would_hurt_a_careless_observer_pass() {
    if !crate::suites::observes_past_libc() {
        return;
    }
    let package = Package::new("hostile", HOSTILE);
    for options in [&[][..], &["--no-backtrace"]] {
        let output = package.observe(options, &CARGO);
        assert!(
            output.out.contains("test result: ok. 14 passed; 0 failed"),
            "{}{}",
            output.out,
            output.err
        );
        assert_eq!(output.code, Some(0), "{}{}", output.out, output.err);
    }
    for written in ["by-copy", "by-copy-raw", "blocked", "blocked-raw", "closed"] {
        assert!(package.path().join("met").join(written).exists(), "{written}");
    }
    let accesses = package.path().join("accesses");
    let output = package.observe(&["--accesses", accesses.to_str().unwrap()], &CARGO);
    let seen = fs::read_to_string(accesses).unwrap();
    for (test, file) in [
        ("a_copy_of_the_process_goes_on", "met/by-copy-raw"),
        (
            "a_raw_call_with_all_signals_blocked_comes_back",
            "met/blocked-raw",
        ),
        ("all_descriptors_may_be_closed", "met/closed"),
    ] {
        let by = |line: &&str| {
            line.contains(test) && line.contains(&format!("{file}\"")) && line.contains("\"write\"")
        };
        assert!(
            seen.lines().any(|line| by(&line)),
            "{file} in {seen}{}",
            output.err
        );
    }
}

#[test]
fn tests_with_little_stack_and_with_masks_of_their_own_pass() {
    if !crate::suites::observes_past_libc() {
        return;
    }
    let package = Package::new("cramped", STACKS);
    package.write("tests/masks.rs", MASKS);
    for options in [&[][..], &["--no-backtrace"]] {
        let by_threads = package.observe(options, &[&CARGO[..], &["--no-fail-fast"]].concat());
        for passed in ["7 passed; 0 failed", "11 passed; 0 failed"] {
            assert!(
                by_threads.out.contains(passed),
                "{}{}",
                by_threads.out,
                by_threads.err
            );
        }
        let by_processes = package.observe(options, &NEXTEST);
        assert!(
            by_processes.err.contains("18 tests run: 18 passed"),
            "{}{}",
            by_processes.out,
            by_processes.err
        );
    }
}

#[test]
fn accesses_of_std_to_print_a_backtrace_do_not_count_for_the_test() {
    let tests = |own: &str| {
        format!(
            "#[test]\n#[should_panic]\nfn panics() {{ panic!() }}\n\
             #[test]\nfn moves() {{ std::env::set_current_dir(\"/\").unwrap() }}\n\
             #[test]\nfn sets() {{ unsafe {{ std::env::set_var(\"RUST_BACKTRACE\", \"full\") }} }}\n\
             #[test]\nfn captures() {{ _ = std::backtrace::Backtrace::force_capture().to_string() }}\n{own}"
        )
    };
    let own = "#[test]\n#[should_panic]\nfn looks() { _ = std::panic::catch_unwind(|| panic!()); std::env::current_dir().unwrap(); std::env::var(\"RUST_BACKTRACE\").unwrap(); panic!() }\n";
    for options in [&[][..], &["--no-backtrace"]] {
        for (own, wanted) in [
            ("", &[][..]),
            (own, &["cwd : 1 × 1", "env RUST_BACKTRACE: 1 × 1"]),
        ] {
            let package = Package::new("panicking", &tests(own));
            package.write(".cargo/config.toml", "[env]\nRUST_BACKTRACE = \"1\"\n");
            agree(&package.met(&CARGO, options), wanted);
        }
    }
}

/// glibc has the locale `C.UTF-8` built in since 2.35, and distributions shipped it before.
const LOCALE: &str = r#"
use std::ffi::{CStr, c_char, c_int, c_void};
const CTYPE: c_int = 0;
unsafe extern "C" {
    fn setlocale(category: c_int, name: *const c_char) -> *mut c_char;
    fn localeconv() -> *mut c_void;
}
fn set(name: &CStr) -> bool {
    // SAFETY: a text with a zero at its end.
    unsafe { !setlocale(CTYPE, name.as_ptr()).is_null() }
}
#[test]
fn changes() { assert!(set(c"C.UTF-8")) }
#[test]
fn asks() { assert!(!unsafe { setlocale(CTYPE, std::ptr::null()) }.is_null()) }
#[test]
fn asks_for_conventions() { assert!(!unsafe { localeconv() }.is_null()) }
#[test]
fn fails_to_change() { assert!(!set(c"no such locale")) }
"#;

#[test]
fn a_test_that_changes_the_locale_conflicts_with_those_that_read_it() {
    let package = Package::new("locales", LOCALE);
    agree(&package.met(&CARGO, &[]), &["locale : 1 × 3"]);
    if crate::suites::has_nextest() {
        agree(&package.met(&NEXTEST, &[]), &[]);
    }
}

/// libc itself reads the variable.
const ZONE: &str = r#"
#[repr(C)]
struct Time([u64; 7]);
unsafe extern "C" {
    fn tzset();
    fn localtime_r(time: *const i64, to: *mut Time) -> *mut Time;
    fn mktime(time: *mut Time) -> i64;
}
#[test]
fn sets() { unsafe { std::env::set_var("TZ", "JST-9") } }
#[test]
fn asks() { unsafe { tzset() } }
#[test]
fn converts() { unsafe { localtime_r(&0, &mut Time([0; 7])); } }
#[test]
fn converts_back() { assert_ne!(unsafe { mktime(&mut Time([0; 7])) }, 1) }
"#;

#[test]
fn a_test_that_has_libc_convert_a_time_reads_the_time_zone() {
    let package = Package::new("zone", ZONE);
    agree(&package.met(&CARGO, &[]), &["env TZ: 1 × 3"]);
}

#[test]
fn a_failed_attempt_to_create_or_remove_something_is_a_write() {
    let package = Package::new("trying", TRYING);
    let found = package.met(&CARGO, &[]);
    let _ = fs::remove_file("/dev/shm/cofferdam-trying");
    let wanted = [
        "directory : 2 × 0",
        "directory folder: 2 × 0",
        "file here: 2 × 0",
        "file listed/name: 1 × 1",
        "file new: 2 × 0",
        "file raw: 2 × 0",
        "file soft: 2 × 0",
        "port 127.0.0.1:28931: 2 × 0",
        "shared-memory /cofferdam-trying: 2 × 0",
        "unix-socket @cofferdam-trying: 2 × 0",
        "unix-socket socket: 2 × 0",
    ];
    agree(&found, &wanted);
    let accesses = package.path().join("accesses");
    let output = package.observe(&["--accesses", accesses.to_str().unwrap()], &CARGO);
    let seen = fs::read_to_string(accesses).unwrap();
    let _ = fs::remove_file("/dev/shm/cofferdam-trying");
    let listed = |line: &&str| line.contains("met/listed\"") && line.contains("\"list\"");
    assert!(seen.lines().any(|line| listed(&line)), "{seen}{}", output.err);
}

#[test]
fn accesses_of_a_fixture_and_leased_ports_are_no_conflicts() {
    let package = Package::with_library("keeping", KEEPING);
    for command in [&CARGO[..], &NEXTEST[..]] {
        if command == NEXTEST && !crate::suites::has_nextest() {
            continue;
        }
        agree(&package.met(command, &[]), &["file own: 2 × 0"]);
        // The next run has another port.
        let output = package.observe(&["--baseline", "known.json", "--update-baseline"], command);
        assert_eq!(output.code, Some(0), "{}{}", output.out, output.err);
        let output = package.observe(&["--baseline", "known.json"], command);
        assert_eq!(output.code, Some(0), "{}{}", output.out, output.err);
        fs::remove_file(package.path().join("known.json")).unwrap();
    }
}

#[test]
fn a_lock_guards_while_it_is_held_and_only_as_a_whole() {
    let package = Package::new("locking", LOCKING);
    let everywhere = [
        "file closed-by-another: 2 × 0",
        "file closed-by-its-stream: 2 × 0",
        "file closed-by-range: 2 × 0",
        // Some of its users locked only a part.
        "file lock: 26 × 0",
        "file part-at-the-end: 2 × 0",
        "file part-by-lockf: 2 × 0",
        "file part-from-here: 2 × 0",
        "file shared-now: 2 × 0",
    ];
    // These locks separate processes, and not threads of one process.
    let of_posix = [
        "file whole-but-for-a-part: 2 × 0",
        "file whole-by-lockf: 2 × 0",
        "file whole-from-here: 2 × 0",
    ];
    let mut wanted = [&everywhere[..], &of_posix].concat();
    wanted.sort_unstable();
    // In sequence, so that no test fails to get a lock.
    let command = [&CARGO[..], &["--", "--test-threads=1"]].concat();
    agree(&package.met(&command, &[]), &wanted);
    if crate::suites::has_nextest() {
        let command = [&NEXTEST[..], &["--test-threads=1"]].concat();
        agree(&package.met(&command, &[]), &everywhere);
    }
}

#[test]
fn paths_with_one_cause_are_one_conflict_of_all_its_tests() {
    let package = Package::new("causes", CAUSES);
    // In sequence, so that no two tests read the clock at the same time.
    let command = [&CARGO[..], &["--", "--test-threads=1"]].concat();
    let wanted = [
        "database shop.db: 2 × 1",
        "directory shared: 2 × 0",
        "file listed/name: 1 × 1",
        "file where: 1 × 1",
        "git-repository repo: 2 × 0",
        "temp-name scratch-*-*: 3 × 0",
    ];
    agree(&package.met(&command, &[]), &wanted);
}

#[test]
fn after_a_typo_the_report_says_why_nothing_was_observed_and_no_pairs_are_announced() {
    let package = Package::new("mistyped", MOVING);
    for (command, code, why) in [
        (
            &["cargo", "test", "--no-such-option"][..],
            1,
            "the command failed before it started a test program: see its output",
        ),
        (
            &["cargo", "test", "--offline", "no_such_name"],
            3,
            "test programs were observed, and no test was seen in them: a filter may match none",
        ),
    ] {
        let output = package.observe(&["--confirm"], command);
        assert_eq!(output.code, Some(code), "{}{}", output.out, output.err);
        assert!(output.out.contains(why), "{}{}", output.out, output.err);
        assert!(!output.err.contains("rerunning"), "{}", output.err);
    }
}

#[test]
fn conflicts_on_the_working_directories_of_two_programs_carry_the_programs_names() {
    let package = Package::new("moving", MOVING);
    package.write("tests/elsewhere.rs", MOVING);
    let output = package.observe(&[], &[&CARGO[..], &["--", "--test-threads=1"]].concat());
    for (named, other) in [("elsewhere", "moving"), ("moving", "elsewhere")] {
        let head = format!("conflict: cwd of {named}: 3 writers × 2 readers, ");
        let block = output.out.split("\n\n").find(|block| block.contains(&head));
        let block = block.unwrap_or_else(|| panic!("no {head} in {}{}", output.out, output.err));
        let rows: Vec<&str> = block.lines().filter(|line| line.contains("  tests/")).collect();
        assert_eq!(rows.len(), 5, "{block}");
        for row in rows {
            assert!(row.contains(named) && !row.contains(other), "{block}");
        }
    }
}

/// In sequence, each starts in the directory that the one before left.
const MOVING: &str = r#"
use std::env::set_current_dir;
use std::fs;
fn place(name: &str) -> String {
    format!("{}/met/{name}", env!("CARGO_MANIFEST_DIR"))
}
fn move_to(name: &str) {
    fs::create_dir_all(place(name)).unwrap();
    set_current_dir(place(name)).unwrap();
}
#[test]
fn a_moves_and_writes() { move_to("own"); fs::write("x", "").unwrap(); fs::write("y", "").unwrap() }
#[test]
fn b_reads_where_it_is() { let _ = fs::read("x"); }
#[test]
fn c_writes_where_it_is() { fs::write("x", "").unwrap() }
#[test]
fn d_moves_and_writes() { move_to("same"); fs::write("z", "").unwrap() }
#[test]
fn e_moves_to_the_same_and_writes() { move_to("same"); fs::write("z", "").unwrap() }
#[test]
fn f_writes_by_an_absolute_path() { fs::write(place("own/y"), "").unwrap() }
"#;

#[test]
fn a_consequence_of_the_working_directory_is_no_separate_conflict() {
    let package = Package::new("moving", MOVING);
    let command = [&CARGO[..], &["--", "--test-threads=1"]].concat();
    let wanted = ["cwd : 3 × 2", "file own/y: 2 × 0", "file same/z: 2 × 0"];
    agree(&package.met(&command, &[]), &wanted);
}

/// Each process counts from 0.
const COUNTED: &str = r#"
use std::sync::atomic::{AtomicU32, Ordering};
static NEXT: AtomicU32 = AtomicU32::new(0);
pub fn scratch() {
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let path = format!("{}/met/scratch-{number}", env!("CARGO_MANIFEST_DIR"));
    std::fs::write(path, "").unwrap();
}
"#;
const COUNTING: &str = "
#[test]
fn a() { counted::scratch() }
#[test]
fn b() { counted::scratch(); counted::scratch() }
";

#[test]
fn names_from_a_counter_are_one_leak_between_programs_and_none_within_one() {
    let package = Package::new("counted", COUNTING);
    package.write("src/lib.rs", COUNTED);
    package.write("tests/other.rs", COUNTING);
    let output = package.observe(&[], &CARGO);
    let leak = output.out.lines().filter(|line| line.starts_with("warning: "));
    let leak: Vec<&str> = leak.collect();
    let [line] = leak[..] else {
        panic!("{}{}", output.out, output.err)
    };
    assert!(line.contains("/met/scratch-* is used by "), "{line}");
    assert!(line.contains("; the name is made from a counter"), "{line}");
    assert_eq!(output.code, Some(0), "{}{}", output.out, output.err);
}

#[test]
fn a_row_shows_the_innermost_line_and_that_of_the_test_and_listings_as_such() {
    let package = Package::new("rows", CAUSES);
    let output = package.observe(&[], &[&CARGO[..], &["--", "--test-threads=1"]].concat());
    for text in [
        "write  a_transacts                     rows  tests/rows.rs:14, from tests/rows.rs:41\n",
        "lists  b_lists_the_names  rows  tests/rows.rs:105\n",
        "write  a_uses_a_temporary_name  rows  tests/rows.rs:66, from tests/rows.rs:71\n",
        "the name is made from the process ID and a clock\n",
    ] {
        assert!(output.out.contains(text), "{text}: {}{}", output.out, output.err);
    }
    assert!(!output.out.contains("by no test"), "{}", output.out);
}

#[test]
fn a_suite_that_fails_or_ends_keeps_its_code_and_is_reported_on() {
    let package = Package::new("failing", FAILING);
    for ends in ["panic", "abort", "exit", "kill"] {
        let mut command = package.command(&[], &[&CARGO[..], &["--", "--test-threads=3"]].concat());
        let output: crate::recording::CommandOutput = command.env("ENDS", ends).output().unwrap().into();
        assert!(
            matches!(output.code, Some(101 | 3)),
            "{ends}: {:?}{}{}",
            output.code,
            output.out,
            output.err
        );
        assert!(
            output.out.contains("met/report: 2 tests write it"),
            "{ends}: {}{}",
            output.out,
            output.err
        );
        assert!(
            output.out.contains("tests/failing.rs:10"),
            "{ends}: {}",
            output.out
        );
    }
}

#[test]
fn after_a_failure_the_report_says_that_tests_may_not_have_run() {
    let package = Package::new(
        "early",
        "#[test]\nfn fails() { panic!() }\n#[test]\nfn passes() {}\n",
    );
    let mut runners = vec![(&CARGO[..], 101)];
    runners.extend(crate::suites::has_nextest().then_some((&NEXTEST[..], 100)));
    for (command, code) in runners {
        for (options, is_said) in [(&[][..], true), (&["--no-fail-fast"], false)] {
            let output = package.observe(&[], &[command, options].concat());
            assert_eq!(output.code, Some(code), "{}{}", output.out, output.err);
            let last = output.out.lines().last().unwrap();
            let hint = "; tests after the first failure may not have run: observe with `--no-fail-fast`";
            assert_eq!(last.ends_with(hint), is_said, "{last}");
            let kept = fs::read(package.built().join("cofferdam/observed/last.json")).unwrap();
            let kept: serde_json::Value = serde_json::from_slice(&kept).unwrap();
            assert_eq!(kept["ended_early"], is_said);
        }
    }
}

#[test]
fn a_project_s_own_runner_is_called_and_what_it_starts_is_observed() {
    let package = Package::new(
        "chained",
        "#[test]\nfn a() { std::fs::write(concat!(env!(\"CARGO_MANIFEST_DIR\"), \"/met/x\"), \"\").unwrap() }\n#[test]\nfn b() { a() }\n",
    );
    let script = "#!/bin/sh\necho \"$1\" >> \"$(dirname \"$0\")/../calls\"\nshift\nexec \"$@\"\n";
    let calls = package.path().join("calls");
    // Also where cargo's variable could not express it.
    for (file, runner) in [
        ("tools/run", "'tools/run first'"),
        ("our tools/run", "['our tools/run', 'a word']"),
    ] {
        package.write(file, script);
        package.write(
            ".cargo/config.toml",
            &format!("[target.'cfg(unix)']\nrunner = {runner}\n"),
        );
        fs::set_permissions(
            package.path().join(file),
            std::os::unix::fs::PermissionsExt::from_mode(0o755),
        )
        .unwrap();
        let output = package.observe(&[], &[&CARGO[..], &["--test", "chained"]].concat());
        assert!(
            output.out.contains("met/x: 2 tests write it"),
            "{}{}",
            output.out,
            output.err
        );
    }
    assert_eq!(fs::read_to_string(&calls).unwrap(), "first\na word\n");
    // And a runner that is only in the environment.
    let runner = format!("{}/tools/run third", package.path().display());
    let mut command = package.command(&[], &[&CARGO[..], &["--test", "chained"]].concat());
    let processor = std::env::consts::ARCH.to_uppercase();
    command.env(
        format!("CARGO_TARGET_{processor}_UNKNOWN_LINUX_GNU_RUNNER"),
        runner,
    );
    let output: crate::recording::CommandOutput = command.output().unwrap().into();
    assert!(
        output.out.contains("met/x: 2 tests write it"),
        "{}{}",
        output.out,
        output.err
    );
    assert_eq!(fs::read_to_string(&calls).unwrap(), "first\na word\nthird\n");
}

#[test]
fn a_program_without_a_test_harness_is_run_once() {
    let package = Package::new(
        "plain",
        "fn main() { use std::io::Write as _; let file = concat!(env!(\"CARGO_MANIFEST_DIR\"), \"/met/runs\"); let mut file = std::fs::OpenOptions::new().create(true).append(true).open(file).unwrap(); writeln!(file, \"run\").unwrap(); }\n",
    );
    let manifest = fs::read_to_string(package.path().join("Cargo.toml")).unwrap();
    package.write(
        "Cargo.toml",
        &format!("{manifest}[[test]]\nname = \"plain\"\nharness = false\n"),
    );
    let output = package.observe(&[], &CARGO);
    assert_eq!(
        fs::read_to_string(package.path().join("met/runs")).unwrap(),
        "run\n",
        "{}",
        output.err
    );
    let last = output.out.lines().last().unwrap();
    assert!(last.contains("; out of reach: plain"), "{last}");
}

#[test]
fn a_program_that_no_runner_started_is_not_observed() {
    let package = Package::new("nothing", "");
    let output = package.observe(&[], &["true"]);
    assert_eq!(output.code, Some(3), "{}{}", output.out, output.err);
    assert!(
        output.out.contains("could not tell: nothing was recorded"),
        "{}",
        output.out
    );
}

#[test]
fn accesses_that_cannot_be_written_are_no_reason_to_lose_the_rest() {
    let package = Package::new("unwritten", MEETING);
    let command = [&CARGO[..], &["--", "file_is_"]].concat();
    // The failure is known before the suite begins, or only afterwards, when the disk is full.
    let output = package.observe(&["--accesses", "no/such/folder"], &command);
    assert_eq!(output.code, Some(3), "{}{}", output.out, output.err);
    assert!(!output.out.contains("running"), "{}", output.out);
    let output = package.observe(&["--accesses", "/dev/full"], &command);
    assert_eq!(output.code, Some(1), "{}{}", output.out, output.err);
    assert!(
        output
            .out
            .contains("not kept: could not write the accesses to /dev/full: "),
        "{}",
        output.out
    );
    assert!(output.out.contains("met/report: "), "{}", output.out);
}

#[test]
fn no_value_of_a_variable_is_reported() {
    const SECRET: &str = "planted-5ecret";
    let package = Package::new("secret", MEETING);
    let accesses = package.path().join("accesses");
    let mut command = package.command(
        &["--accesses", accesses.to_str().unwrap(), "--format", "json"],
        &[&CARGO[..], &["--", "--skip", SECRET]].concat(),
    );
    let output: crate::recording::CommandOutput =
        command.env("SHOP_PASSWORD", SECRET).output().unwrap().into();
    let seen = fs::read_to_string(accesses).unwrap();
    assert!(seen.contains("MEETING_MODE"), "{seen}");
    for text in [&output.out, &output.err, &seen] {
        assert!(!text.contains(SECRET), "{text}");
    }
}
