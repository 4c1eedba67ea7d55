//! What a hunt costs, compared to its suite.
//!
//! `cargo bench -p cargo-cofferdam --bench hunt`. A suite of 300 tests runs one test at a time, then it is hunted: stable, then
//! with a victim in it. Where nothing can be observed, it says so.

#![expect(clippy::print_stdout, reason = "it prints what it measured")]
#![expect(clippy::unwrap_used, reason = "a measurement that cannot be made is none")]

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const ROUNDS: usize = 3;
const TESTS: usize = 300;
/// The time for which each test waits, besides its files: a suite of such tests takes longer than the start of its program.
const WAIT_MS: u64 = 5;
/// The test that changes something, and the one that fails after it.
const POLLUTER: usize = 117;
const VICTIM: usize = 203;
/// The most that a hunt of a stable suite may take, as a multiple of the suite's time.
const TARGET: f64 = 6.0;

fn main() {
    if !cfg!(all(
        target_os = "linux",
        target_arch = "x86_64",
        target_env = "gnu"
    )) {
        println!("only Linux on x86_64 with glibc can be observed");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    package(dir.path());
    let one_at_a_time = [
        "cargo",
        "test",
        "--offline",
        "-q",
        "--test",
        "suite",
        "--",
        "--test-threads=1",
    ];
    let command = &one_at_a_time[..6];
    // Builds it.
    assert!(own(dir.path(), &one_at_a_time, "").is_some());
    let mut times = Vec::new();
    let mut ratios = Vec::new();
    let mut shares: Vec<(String, Vec<f64>)> = Vec::new();
    for _ in 0..ROUNDS {
        let suite = own(dir.path(), &one_at_a_time, "").unwrap().as_secs_f64();
        let hunt = hunted(dir.path(), command, "", 0);
        times.push(suite);
        ratios.push(hunt.lasted.as_secs_f64() / suite);
        for (phase, lasted) in hunt.phases {
            let share = lasted.as_secs_f64() / suite;
            match shares.iter_mut().find(|(known, _)| *known == phase) {
                Some((_, shares)) => shares.push(share),
                None => shares.push((phase, vec![share])),
            }
        }
    }
    println!(
        "hunt, {TESTS} stable tests: {:.2} of {:.2} s one at a time (to reach: at most {TARGET})",
        median(&mut ratios),
        median(&mut times)
    );
    for (phase, mut shares) in shares {
        println!("  {phase}: {:.2}", median(&mut shares));
    }
    for through in ["variable", "static"] {
        let hunt = hunted(dir.path(), command, through, 1);
        println!(
            "hunt, {TESTS} tests, a victim through a {through}: {:.1} s, {} reruns",
            hunt.lasted.as_secs_f64(),
            hunt.reruns
        );
    }
}

fn package(dir: &Path) {
    let write = |path: &str, text: &str| {
        let path = dir.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write(
        "Cargo.toml",
        "[package]\nname = \"hunted\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[workspace]\n",
    );
    write("src/lib.rs", "");
    let mut suite = format!(
        "use std::sync::atomic::{{AtomicBool, Ordering::Relaxed}};\n\
         static CHANGED: AtomicBool = AtomicBool::new(false);\n\
         fn work(number: usize) {{\n\
         let dir = std::env::temp_dir().join(format!(\"hunted-{{}}-{{number}}\", std::process::id()));\n\
         std::fs::create_dir(&dir).unwrap();\n\
         std::fs::write(dir.join(\"file\"), \"text\").unwrap();\n\
         std::thread::sleep(std::time::Duration::from_millis({WAIT_MS}));\n\
         std::fs::remove_dir_all(dir).unwrap();\n\
         let planted = std::env::var(\"HUNTED_PLANTED\");\n\
         match (planted.as_deref(), number) {{\n\
         (Ok(\"static\"), {POLLUTER}) => CHANGED.store(true, Relaxed),\n\
         (Ok(\"static\"), {VICTIM}) => assert!(!CHANGED.load(Relaxed)),\n\
         (Ok(\"variable\"), {POLLUTER}) => unsafe {{ std::env::set_var(\"HUNTED_CHANGED\", \"1\") }},\n\
         (Ok(\"variable\"), {VICTIM}) => assert!(std::env::var_os(\"HUNTED_CHANGED\").is_none()),\n\
         _ => {{}}\n\
         }}\n\
         }}\n"
    );
    for number in 0..TESTS {
        writeln!(suite, "#[test] fn t{number:03}() {{ work({number}) }}").unwrap();
    }
    write("tests/suite.rs", &suite);
}

/// A hunt that ended as it should.
struct Hunt {
    lasted: Duration,
    /// How long each part took, from the end of the one before.
    phases: Vec<(String, Duration)>,
    /// The scenes that were run for the verdicts.
    reruns: u64,
}

#[expect(clippy::disallowed_methods, reason = "time is what is measured")]
fn now() -> Instant {
    Instant::now()
}

fn command(program: &str, dir: &Path, planted: &str) -> Command {
    #[expect(
        clippy::disallowed_methods,
        reason = "the program that is measured, and the suite"
    )]
    let mut command = Command::new(program);
    command
        .current_dir(dir)
        .env("COFFERDAM_DIR", dir.join("base"))
        .env("HUNTED_PLANTED", planted)
        .env_remove("COFFERDAM_RECORD")
        .env_remove("CARGO_MANIFEST_DIR")
        .env_remove("RUST_TEST_THREADS")
        .stdin(Stdio::null());
    command
}

/// Returns how long the suite itself takes, if it passes.
fn own(dir: &Path, words: &[&str], planted: &str) -> Option<Duration> {
    let begun = now();
    let mut suite = command(words[0], dir, planted);
    let status = suite
        .args(&words[1..])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.ok()?.success().then(|| begun.elapsed())
}

fn hunted(dir: &Path, words: &[&str], planted: &str, code: i32) -> Hunt {
    let begun = now();
    let mut hunt = command(env!("CARGO_BIN_EXE_cargo-cofferdam"), dir, planted)
        .args(["hunt", "--seed", "7", "--format", "json", "--"])
        .args(words)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let out = BufReader::new(hunt.stdout.take().unwrap());
    let report = thread::spawn(move || out.lines().map_while(Result::ok).last().unwrap_or_default());
    let err = BufReader::new(hunt.stderr.take().unwrap());
    let (mut phases, mut last) = (Vec::new(), begun);
    for line in err.lines().map_while(Result::ok) {
        if let Some((phase, _)) = line
            .strip_prefix("cofferdam: ")
            .and_then(|line| line.split_once(": "))
        {
            phases.push((phase.to_owned(), last.elapsed()));
            last = now();
        }
    }
    let status = hunt.wait().unwrap();
    assert_eq!(status.code(), Some(code));
    phases.push(("report".to_owned(), last.elapsed()));
    let report: serde_json::Value = serde_json::from_str(&report.join().unwrap()).unwrap();
    let causes = report["causes"].as_array().unwrap();
    if code == 1 {
        assert_eq!(
            (causes.len(), causes[0]["class"].as_str()),
            (1, Some("victim")),
            "{report}"
        );
        assert_eq!(
            causes[0]["culprits"][0],
            format!("suite::t{POLLUTER:03}"),
            "{report}"
        );
    }
    let reruns = causes.iter().filter_map(|cause| cause["reruns"].as_u64()).sum();
    Hunt {
        lasted: begun.elapsed(),
        phases,
        reruns,
    }
}

fn median(of: &mut [f64]) -> f64 {
    of.sort_by(f64::total_cmp);
    of[of.len() / 2]
}
