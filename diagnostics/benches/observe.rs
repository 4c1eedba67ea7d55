//! The cost of observing a suite, and of reading many observed accesses.
//!
//! `cargo bench -p cargo-cofferdam --bench observe`; with `-- statics` only what concerns statics. A suite takes turns with
//! itself under observation; rely on the ratios. The tests' files are in memory, because a disk's file system is busy with the
//! removed ones for a while, at the cost of the next run. Prints a note on systems without an observer.

#![expect(clippy::print_stdout, reason = "it prints what it measured")]
#![expect(clippy::unwrap_used, reason = "a measurement that cannot be made is none")]

#[path = "../../benches/harness/cpu.rs"]
mod cpu;

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const ROUNDS: usize = 9;
/// Tests with typical operations: a directory of their own, files in it, a variable, a thread.
const TESTS: usize = 200;
/// The numbers of programs, of tests in each, and of accesses of each test: a million, all different.
const MANY: [usize; 3] = [5, 10, 20_000];

fn main() {
    if !cfg!(all(
        target_os = "linux",
        target_arch = "x86_64",
        target_env = "gnu"
    )) {
        println!("only Linux on x86_64 with glibc can be observed");
        return;
    }
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    package(dir.path());
    statics(dir.path());
    large_program();
    #[expect(clippy::disallowed_methods, reason = "what to measure")]
    if std::env::args().any(|argument| argument == "statics") {
        return;
    }
    for (test, wanted) in [("forks", 1.5), ("children", 1.5), ("variables", 2.0)] {
        let command = [
            "cargo",
            "test",
            "--offline",
            "--test",
            "harsh",
            "--",
            "--exact",
            test,
        ];
        paired(dir.path(), &command, test, &[], wanted);
    }
    for command in [
        &["cargo", "test", "--offline", "--test", "usual"][..],
        &["cargo", "nextest", "run", "--offline", "--test", "usual"],
    ] {
        if started(dir.path(), false, &[], command).is_some() {
            beside_itself(dir.path(), command);
        }
    }
    read_many(dir.path());
}

/// Tests that copy their process 60 times, start 120 programs, and set and read variables in eight threads.
const HARSH: &str = r#"
use std::process::Command;
use std::thread;

unsafe extern "C" {
    fn fork() -> i32;
    fn waitpid(pid: i32, status: *mut i32, options: i32) -> i32;
    fn _exit(code: i32) -> !;
}

fn touch(name: &str) {
    let path = std::env::temp_dir().join(format!("harsh-{}-{name}", std::process::id()));
    std::fs::write(&path, "x").unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "x");
    std::fs::remove_file(path).unwrap();
}

fn in_threads(work: fn(usize)) {
    let threads: Vec<_> = (0..8).map(|number| thread::spawn(move || work(number))).collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

#[test]
fn forks() {
    let pids: Vec<i32> = (0..60)
        .map(|_| match unsafe { fork() } {
            0 => {
                (0..20).for_each(|_| touch("copy"));
                unsafe { _exit(0) }
            }
            pid => pid,
        })
        .collect();
    for pid in pids {
        assert_eq!(unsafe { waitpid(pid, std::ptr::null_mut(), 0) }, pid);
    }
}

#[test]
fn children() {
    in_threads(|_| {
        for _ in 0..15 {
            assert!(Command::new("true").env("X", "y").current_dir("/").status().unwrap().success());
        }
    });
}

#[test]
fn variables() {
    in_threads(|thread| {
        for number in 0..2000 {
            let (name, value) = (format!("HARSH_{thread}"), number.to_string());
            unsafe { std::env::set_var(&name, &value) };
            assert_eq!(std::env::var(&name).unwrap(), value);
            _ = std::env::var("HARSH_0");
        }
    });
}
"#;

fn package(dir: &Path) {
    let write = |path: &str, text: &str| {
        let path = dir.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    let manifest = "[package]\nname = \"watched\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[workspace]\n";
    write("Cargo.toml", manifest);
    write("src/lib.rs", "");
    let mut usual = String::from(
        "fn work(number: usize) {\n\
         let dir = std::env::temp_dir().join(format!(\"watched-{}-{number}\", std::process::id()));\n\
         std::fs::create_dir(&dir).unwrap();\n\
         let _ = std::env::var(\"WATCHED_MODE\");\n\
         for file in 0..10 {\n\
             let path = dir.join(file.to_string());\n\
             std::fs::write(&path, \"text\").unwrap();\n\
             assert_eq!(std::fs::read_to_string(&path).unwrap(), \"text\");\n\
         }\n\
         std::thread::spawn(|| (0..50_000_u64).fold(0, |sum, next| std::hint::black_box(sum ^ next))).join().unwrap();\n\
         std::fs::remove_dir_all(dir).unwrap();\n\
         }\n",
    );
    for number in 0..TESTS {
        writeln!(usual, "#[test] fn t{number}() {{ work({number}) }}").unwrap();
    }
    write("tests/usual.rs", &usual);
    write("tests/harsh.rs", HARSH);
    let [programs, tests, things] = MANY;
    for program in 0..programs {
        let mut many = format!(
            "fn look(test: usize) {{ for thing in 0..{things} {{ let _ = std::fs::metadata(format!(\"/nowhere/{{test}}/{{thing}}\")); }} }}\n"
        );
        for number in 0..tests {
            let test = program * tests + number;
            writeln!(many, "#[test] fn t{number}() {{ look({test}) }}").unwrap();
        }
        write(&format!("tests/many_{program}.rs"), &many);
    }
}

#[expect(clippy::disallowed_methods, reason = "time is what is measured")]
fn now() -> Instant {
    Instant::now()
}

fn command(dir: &Path, observed: bool, options: &[&str], words: &[&str]) -> Command {
    #[expect(
        clippy::disallowed_methods,
        reason = "the program that is measured, and the suite"
    )]
    let mut command = if observed {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cargo-cofferdam"));
        command.arg("observe").args(options).arg("--").args(words);
        command
    } else {
        let mut command = Command::new(words[0]);
        command.args(&words[1..]);
        command
    };
    command
        .current_dir(dir)
        .env("COFFERDAM_DIR", dir.join("base"))
        .env("TMPDIR", dir)
        .env_remove("COFFERDAM_RECORD")
        .env_remove("CARGO_MANIFEST_DIR")
        .stdin(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// Returns the duration, if it passed.
fn started(dir: &Path, observed: bool, options: &[&str], words: &[&str]) -> Option<Duration> {
    let begun = now();
    let status = command(dir, observed, options, words)
        .stdout(Stdio::null())
        .status();
    status.ok()?.success().then(|| begun.elapsed())
}

fn beside_itself(dir: &Path, words: &[&str]) {
    let wanted = if words[1] == "nextest" { 1.2 } else { 1.15 };
    for options in [&["--no-backtrace"][..], &[]] {
        paired(
            dir,
            words,
            &format!("{}, {TESTS} tests", words[1]),
            options,
            wanted,
        );
    }
}

/// Runs the command by turns with and without observation.
fn paired(dir: &Path, words: &[&str], what: &str, options: &[&str], wanted: f64) {
    started(dir, false, &[], words).unwrap();
    let (mut ratios, mut alone) = (Vec::new(), Vec::new());
    let mut processor = [0.0, 0.0];
    let mut timed = |observed: bool| {
        let before = cpu::of_children();
        let seconds = started(dir, observed, options, words).unwrap().as_secs_f64();
        // Summed up, since its resolution is a hundredth of a second.
        processor[usize::from(observed)] += cpu::of_children().unwrap() - before.unwrap();
        seconds
    };
    for _ in 0..ROUNDS {
        let own = timed(false);
        ratios.push(timed(true) / own);
        alone.push(own);
    }
    println!(
        "{what}, {}: {:.2} of {:.2} s, {:.2} of the processor time (to reach: at most {wanted})",
        options.first().unwrap_or(&"with places"),
        median(&mut ratios),
        median(&mut alone),
        processor[1] / processor[0]
    );
}

/// The time from the last output of the suite to the end, which is spent on reading.
fn read_many(dir: &Path) {
    let words = [
        "cargo",
        "test",
        "--offline",
        "--no-fail-fast",
        "--test",
        "many_*",
        "--",
        "-q",
    ];
    started(dir, false, &[], &words).unwrap();
    let mut seconds = Vec::new();
    let (mut most, mut last_line) = (0, String::new());
    for _ in 0..3 {
        let mut child = command(dir, true, &["--no-backtrace"], &words)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let (mut ended, mut line) = (now(), String::new());
        while out.read_line(&mut line).unwrap() > 0 {
            if line.starts_with("test result") {
                ended = now();
            }
            // The process has ended and was not reaped.
            if line.starts_with("cofferdam: ") {
                most = most.max(peak(child.id()));
                last_line = line.trim_end().to_owned();
            }
            line.clear();
        }
        child.wait().unwrap();
        seconds.push(ended.elapsed().as_secs_f64());
    }
    let [programs, tests, things] = MANY;
    println!(
        "{} records read in {:.2} s, at most {} MiB (to reach: 3 s, 500 MB)\n{last_line}",
        programs * tests * things,
        median(&mut seconds),
        most / 1024
    );
}

/// In KiB; `None` if the process is gone.
fn peak(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

/// Tests of a millisecond that use statics of every kind, most of them in a loop.
const STATICS: &str = r#"
use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{LazyLock, Mutex, OnceLock, RwLock};

static CACHE: Mutex<BTreeMap<usize, usize>> = Mutex::new(BTreeMap::new());
static CALLS: AtomicU64 = AtomicU64::new(0);
static DEFAULTS: LazyLock<Vec<usize>> = LazyLock::new(|| (0..100).collect());
static IS_READY: AtomicBool = AtomicBool::new(false);
static NAMES: RwLock<Vec<String>> = RwLock::new(Vec::new());
static SETTINGS: OnceLock<String> = OnceLock::new();

fn work(number: usize) {
    for round in 0..20 {
        CALLS.fetch_add(1, SeqCst);
        CACHE.lock().unwrap().insert(number % 16, round);
        assert_eq!(SETTINGS.get_or_init(|| "settings".to_owned()).len(), 8);
        assert_eq!(DEFAULTS[round], round);
        IS_READY.store(true, SeqCst);
        assert!(IS_READY.load(SeqCst) && NAMES.read().unwrap().len() < 17);
    }
    NAMES.write().unwrap().truncate(16);
    black_box((0..200_000_u64).fold(0, |sum, next| black_box(sum ^ next)));
}
"#;
/// The number of those tests.
const OF_STATICS: usize = 500;

/// Prints the processor time of tests that use statics, against that without their observation, and without any.
fn statics(dir: &Path) {
    let mut source = STATICS.to_owned();
    for number in 0..OF_STATICS {
        writeln!(source, "#[test] fn t{number}() {{ work({number}) }}").unwrap();
    }
    std::fs::write(dir.join("tests/statics.rs"), source).unwrap();
    let program = built(dir, &["--offline", "--test", "statics"]);
    let words = [program.as_str(), "-q", "--test-threads=2"];
    let (mut to_off, mut to_none, mut seconds) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=ROUNDS_OF_STATICS {
        let none = processor_time(dir, None, &words);
        let off = processor_time(dir, Some("off"), &words);
        let auto = processor_time(dir, Some("auto"), &words);
        // The first one fills caches.
        if round > 0 {
            to_off.push(auto / off);
            to_none.push(auto / none);
            seconds.push(none);
        }
    }
    println!(
        "processor time of {OF_STATICS} tests with statics: {:.2} of that without their observation (to reach: at most 1.2), \
         {:.2} of {:.2} s unobserved (to reach: at most 1.35)",
        median(&mut to_off),
        median(&mut to_none),
        median(&mut seconds)
    );
}

const ROUNDS_OF_STATICS: usize = 9;

/// Prints the time that the runner takes to find the statics of this project's own large test program.
fn large_program() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let program = built(root, &["-p", "cargo-cofferdam", "--bin", "cargo-cofferdam"]);
    let size = std::fs::metadata(&program).unwrap().len() >> 20;
    // No test runs.
    let words = [program.as_str(), "-q", "--exact", "none"];
    let (mut first, mut kept) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS_OF_STATICS {
        let dir = tempfile::tempdir().unwrap();
        let off = processor_time(dir.path(), Some("off"), &words);
        first.push(processor_time(dir.path(), Some("auto"), &words) - off);
        kept.push(processor_time(dir.path(), Some("auto"), &words) - off);
    }
    println!(
        "statics of a program of {size} MiB: {:.0} ms of processor time (to reach: at most 1000), {:.0} ms when kept (to reach: at \
         most 10)",
        median(&mut first) * 1e3,
        median(&mut kept) * 1e3
    );
}

/// Builds a test program with all debug information and returns its path.
fn built(dir: &Path, words: &[&str]) -> String {
    let words = [&["cargo", "test", "--no-run", "--message-format=json"], words].concat();
    let mut command = command(dir, false, &[], &words);
    for profile in ["DEV", "TEST"] {
        command.env(format!("CARGO_PROFILE_{profile}_DEBUG"), "2");
    }
    let output = command.output().unwrap();
    let messages = String::from_utf8_lossy(&output.stdout);
    let mut programs = messages.lines().filter_map(|line| {
        let (_, rest) = line.split_once("\"executable\":\"")?;
        Some(rest.split_once('"')?.0.to_owned())
    });
    programs.next_back().unwrap()
}

/// Returns the seconds that a test program took on all processors, observed with this `--memory` or not at all. As cargo
/// does, a shell starts the program through the runner.
fn processor_time(dir: &Path, memory: Option<&str>, words: &[&str]) -> f64 {
    let script = "TIMEFORMAT='%3U %3S'; time $CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER \"$0\" \"$@\"";
    let words = [&["bash", "-c", script], words].concat();
    let options: Vec<&str> = memory
        .into_iter()
        .flat_map(|memory| ["--memory", memory])
        .collect();
    let mut command = command(dir, memory.is_some(), &options, &words);
    let output = command.stderr(Stdio::piped()).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    let times = |line: &str| {
        let (user, system) = line.split_once(' ')?;
        Some(user.parse::<f64>().ok()? + system.parse::<f64>().ok()?)
    };
    errors.lines().find_map(times).unwrap()
}

fn median(of: &mut [f64]) -> f64 {
    of.sort_by(f64::total_cmp);
    of[of.len() / 2]
}
