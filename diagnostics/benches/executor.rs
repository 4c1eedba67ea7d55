//! The cost of the executor compared with `xargs`, its memory over many jobs, and the precision of its rate.
//!
//! `cargo bench -p cargo-cofferdam --bench executor`; with `-- 100000` also that many jobs.
//! Each number is a median of rounds in which both sides took turns. On a machine that does other things, believe the
//! ratios.

#![expect(clippy::print_stdout, reason = "it prints what it measured")]
#![expect(clippy::unwrap_used, reason = "a measurement that cannot be made is none")]

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const JOBS: usize = 10_000;
const ROUNDS: usize = 5;

fn main() {
    let dir = tempfile::tempdir().unwrap();
    beside_xargs(dir.path());
    memory(dir.path(), JOBS);
    rate(dir.path());
    if let Some(jobs) = argument() {
        memory(dir.path(), jobs);
    }
}

#[expect(clippy::disallowed_methods, reason = "how many jobs more are wanted")]
fn argument() -> Option<usize> {
    std::env::args().find_map(|word| word.parse().ok())
}

#[expect(clippy::disallowed_methods, reason = "time is what is measured")]
fn now() -> Instant {
    Instant::now()
}

#[expect(
    clippy::disallowed_methods,
    reason = "the program that is measured, and the one that it is measured by"
)]
fn command(program: &str) -> Command {
    Command::new(program)
}

/// Runs this many jobs of `true`, two at a time.
fn cofferdam(dir: &Path, jobs: usize, args: &[&str]) -> Command {
    let file = dir.join("jobs.txt");
    std::fs::write(&file, "true\n".repeat(jobs)).unwrap();
    let mut command = command(env!("CARGO_BIN_EXE_cargo-cofferdam"));
    command
        .current_dir(dir)
        .env("COFFERDAM_DIR", dir)
        .env_remove("COFFERDAM_RECORD")
        .args(["run", "--jobs", "2", "--from"])
        .arg(file)
        .args(args)
        .stdin(Stdio::null());
    command
}

fn beside_xargs(dir: &Path) {
    let input = dir.join("input");
    std::fs::write(&input, "x\n".repeat(JOBS)).unwrap();
    let mut ratios = Vec::new();
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let begun = now();
        let mut xargs = command("xargs");
        let xargs = xargs
            .args(["-P", "2", "-n", "1", "true"])
            .stdin(File::open(&input).unwrap());
        assert!(xargs.status().unwrap().success());
        let their = begun.elapsed();
        let begun = now();
        let mut run = cofferdam(dir, JOBS, &["--quiet"]);
        assert!(
            run.stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .unwrap()
                .success()
        );
        let our = begun.elapsed();
        ratios.push(our.as_secs_f64() / their.as_secs_f64());
        ours.push(our.as_secs_f64());
        theirs.push(their.as_secs_f64());
    }
    println!(
        "{JOBS} jobs of true, two at a time: {:.2} s, xargs -P 2 {:.2} s; ratio {:.2} (to reach: at most 1.3)",
        median(&mut ours),
        median(&mut theirs),
        median(&mut ratios)
    );
}

/// The memory of the process after the first thousand jobs, and at the end.
fn memory(dir: &Path, jobs: usize) {
    let mut run = cofferdam(dir, jobs, &["--json"]);
    let mut child = run.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let (mut ended, mut first, mut last) = (0, 0, 0);
    let mut line = String::new();
    while out.read_line(&mut line).unwrap() > 0 {
        if line.contains(r#""event":"ended""#) {
            ended += 1;
            if ended == 1_000 {
                first = resident(child.id());
            } else if ended == jobs - 10 {
                last = resident(child.id());
            }
        }
        line.clear();
    }
    assert!(child.wait().unwrap().success());
    println!(
        "resident after 1000 jobs {} KiB, after {ended} jobs {} KiB; ratio {:.3} (to reach: at most 1.1)",
        first,
        last,
        last as f64 / first as f64
    );
}

/// In KiB; 0 if the system does not report it.
fn resident(pid: u32) -> u64 {
    let mut text = String::new();
    let Ok(mut file) = File::open(format!("/proc/{pid}/status")) else {
        return 0;
    };
    file.read_to_string(&mut text).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

/// Starts 500 jobs at 50 per second; the events have the times.
fn rate(dir: &Path) {
    const STARTS: usize = 500;
    const RATE: usize = 50;
    let mut run = cofferdam(dir, STARTS, &["--json", "--rate", "50"]);
    let mut child = run.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut moments: Vec<Duration> = Vec::new();
    let begun = now();
    let mut line = String::new();
    while out.read_line(&mut line).unwrap() > 0 {
        if line.contains(r#""event":"started""#) {
            moments.push(begun.elapsed());
        }
        line.clear();
    }
    assert!(child.wait().unwrap().success());
    let span = (moments[STARTS - 1] - moments[0]).as_secs_f64();
    let held = (STARTS - 1) as f64 / span;
    let second = Duration::from_secs(1);
    let most = (0..STARTS)
        .map(|from| {
            moments[from..]
                .iter()
                .take_while(|at| **at - moments[from] < second)
                .count()
        })
        .max()
        .unwrap_or(0);
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "{STARTS} starts at {RATE} a second: {held:.2} a second, {:+.2} % (to reach: within 2 %); at most {most} in any second",
        (held / RATE as f64 - 1.0) * 100.0
    )
    .unwrap();
}

fn median(numbers: &mut [f64]) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}
