//! The cost of sharing a server among tests that are separate processes, and of cleaning up after killed runs.

mod harness;
#[path = "harness/scratch.rs"]
mod scratch;

use harness::{Series, Table};
use scratch::{Scratch, cofferdam};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

const ROUNDS: usize = 3;
const SUITE: &str = include_str!("programs/shared_server.rs");
const DEAD: usize = 1000;

/// Runs a suite. Returns the seconds it took.
fn run(scratch: &Scratch, suite: &str, flags: &[&str]) -> Result<f64, String> {
    let arguments = [
        "nextest",
        "run",
        "--offline",
        "--test-threads",
        "2",
        "--test",
        suite,
    ];
    let arguments = [&arguments, flags].concat();
    let begun = now();
    scratch.cargo(&arguments, "")?;
    Ok(begun.elapsed().as_secs_f64())
}

#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
fn now() -> Instant {
    Instant::now()
}

fn suites() -> Result<Scratch, String> {
    let tables = format!("[dependencies]\n{}\nserde_json = \"1\"", cofferdam(&["fixtures"]));
    let scratch = Scratch::new(&tables, ("src/lib.rs", ""));
    let lock = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.lock");
    fs::copy(lock, scratch.path().join("Cargo.lock")).expect("the workspace's lock file");
    let tests = scratch.path().join("tests");
    fs::create_dir(&tests).expect("a folder in our own");
    let without = SUITE.replace("    SERVER.get();\n", "");
    // As long as the file of a handle.
    let handle = format!("{{\"handle\":\"{}\"}}", "x".repeat(220));
    fs::write(scratch.path().join("handle.json"), handle).expect("a file in our own");
    for (name, text) in [
        ("shared.rs", SUITE),
        ("without.rs", &without),
        ("dead.rs", include_str!("programs/dead_runs.rs")),
    ] {
        fs::write(tests.join(name), text).expect("a source file");
    }
    for flags in [&[][..], &["--release"]] {
        scratch.cargo(&[&["test", "--no-run", "--offline"], flags].concat(), "")?;
    }
    Ok(scratch)
}

/// The times of the first `get` and of its comparison, in milliseconds, in one kind of build.
#[derive(Default)]
struct Attached {
    got: Vec<f64>,
    read: Vec<f64>,
}

impl Attached {
    /// Runs the suite and collects the times that its tests report. Returns the seconds it took.
    fn run(&mut self, scratch: &Scratch, flags: &[&str]) -> Result<f64, String> {
        let report = scratch.path().join("attached");
        let _ = fs::remove_file(&report);
        let seconds = run(scratch, "shared", flags)?;
        let report = fs::read_to_string(report).map_err(|error| error.to_string())?;
        let column = |number: usize| {
            let micros = report
                .lines()
                .filter_map(|line| line.split(' ').nth(number)?.parse::<f64>().ok());
            Series(micros.collect()).median() / 1000.0
        };
        self.got.push(column(0));
        self.read.push(column(1));
        Ok(seconds)
    }

    fn tell(self, table: &mut Table, build: &str) {
        let (got, read) = (Series(self.got), Series(self.read));
        table.row(
            &format!("a process's first `get`, median, {build}"),
            " ms",
            &got,
            ..=0.5,
        );
        table.row(
            &format!("open, flock, read and parse a file, {build}"),
            " ms",
            &read,
            ..,
        );
        table.row(
            &format!("the one ÷ the other, {build}"),
            "×",
            &got.over(&read),
            ..,
        );
    }
}

fn share(scratch: &Scratch) -> Result<Table, String> {
    let (mut without, mut shared) = (Series(vec![]), Series(vec![]));
    let (mut debug, mut release) = (Attached::default(), Attached::default());
    for _ in 0..ROUNDS {
        without.0.push(run(scratch, "without", &[])? + 1.0);
        shared.0.push(debug.run(scratch, &[])?);
        release.run(scratch, &["--release"])?;
    }
    let mut table = Table::new("200 tests under nextest, 2 at once, and a server that takes 1 s to start");
    table.row("the same without it, + 1 s", " s", &without, ..);
    table.row("one shared fixture", " s", &shared, ..);
    table.row("shared ÷ (without + 1 s)", "×", &shared.over(&without), ..=1.5);
    debug.tell(&mut table, "debug");
    release.tell(&mut table, "release");
    Ok(table)
}

/// Creates the directories of this many killed runs.
fn kill_many(runs: &Path) -> std::io::Result<()> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    for number in 0..DEAD {
        let run = runs.join(format!("dead-{number}"));
        let fixture = run.join("fixtures/server");
        fs::create_dir_all(fixture.join("dir"))?;
        fs::create_dir_all(run.join("workers/w0/dir"))?;
        fs::create_dir_all(run.join("keeper"))?;
        let description = format!(
            "{{\"version\":1,\"run\":\"dead\",\"runner\":\"cargo\",\"anchor\":{{\"pid\":1,\"started\":1}},\
             \"boot\":\"{}\",\"session\":null,\"at\":1}}",
            boot.trim()
        );
        fs::write(run.join("run.json"), description)?;
        // Above the highest process ID.
        fs::write(fixture.join("processes"), "999999999\n")?;
        for file in [
            "alive.lock",
            "workers/w0/dir/a",
            "fixtures/server/log",
            "keeper/log",
        ] {
            fs::write(run.join(file), "x")?;
        }
    }
    Ok(())
}

#[expect(
    clippy::disallowed_methods,
    reason = "a keeper that removes folders tells nobody when it is done"
)]
fn sweep(scratch: &Scratch) -> Result<Table, String> {
    let message = |error: std::io::Error| error.to_string();
    let runs = scratch.path().join("target/cofferdam/runs");
    let (mut beside_none, mut beside_many) = (Series(vec![]), Series(vec![]));
    let (mut swept, mut removed) = (Series(vec![]), Series(vec![]));
    let first = || -> Result<f64, String> {
        scratch.cargo(&["test", "--offline", "--test", "dead"], "")?;
        let micros = fs::read_to_string(scratch.path().join("first")).map_err(message)?;
        Ok(micros.parse::<f64>().map_err(|error| error.to_string())? / 1000.0)
    };
    for _ in 0..ROUNDS {
        beside_none.0.push(first()?);
        kill_many(&runs).map_err(message)?;
        beside_many.0.push(first()?);
        let begun = now();
        while fs::read_dir(&runs).map_err(message)?.next().is_some()
            && begun.elapsed() < Duration::from_secs(60)
        {
            std::thread::sleep(Duration::from_millis(1));
        }
        swept.0.push(begun.elapsed().as_secs_f64());
        kill_many(&runs).map_err(message)?;
        let begun = now();
        fs::remove_dir_all(&runs).map_err(message)?;
        removed.0.push(begun.elapsed().as_secs_f64());
    }
    let mut table = Table::new("A thousand runs that were killed");
    table.row("a run's first touch, beside none", " ms", &beside_none, ..);
    table.row("a run's first touch, beside them", " ms", &beside_many, ..=50.0);
    table.row("until they are gone, after the run's end", " s", &swept, ..);
    table.row("`remove_dir_all` of the same", " s", &removed, ..);
    table.row("the one ÷ the other", "×", &swept.over(&removed), ..=3.0);
    Ok(table)
}

#[expect(
    clippy::print_stdout,
    reason = "who reads the table has to know that it is not there"
)]
fn main() {
    if !harness::is_wanted() {
        return;
    }
    let scratch = suites();
    for measure in [share, sweep] {
        match scratch.as_ref().map_err(String::clone).and_then(measure) {
            Ok(table) => table.print(),
            Err(reason) => println!("skipped: {reason}"),
        }
    }
}
