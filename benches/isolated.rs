//! The cost of a process for each test: `#[isolated]` and rusty-fork under `cargo test`, and nextest.

mod harness;
#[path = "harness/scratch.rs"]
mod scratch;

use harness::{Series, Table};
use scratch::{Scratch, cofferdam};
use std::fmt::Write as _;
use std::fs;
use std::time::Instant;

const ROUNDS: usize = 7;
const TESTS: usize = 200;

/// A suite of tests that do nothing, and how to run all of them or one.
struct Contender {
    name: &'static str,
    all: &'static [&'static str],
    one: &'static [&'static str],
}

const CONTENDERS: [Contender; 3] = [
    Contender {
        name: "nextest",
        all: &[
            "nextest",
            "run",
            "--release",
            "--offline",
            "--test-threads",
            "2",
            "--test",
            "plain",
        ],
        one: &[
            "nextest",
            "run",
            "--release",
            "--offline",
            "--test-threads",
            "2",
            "--test",
            "plain",
            "test_0_",
        ],
    },
    Contender {
        name: "`#[isolated]`",
        all: &[
            "test",
            "--release",
            "--offline",
            "--test",
            "isolated",
            "--",
            "--test-threads",
            "2",
        ],
        one: &[
            "test",
            "--release",
            "--offline",
            "--test",
            "isolated",
            "--",
            "--test-threads",
            "2",
            "test_0_",
        ],
    },
    Contender {
        name: "rusty-fork",
        all: &[
            "test",
            "--release",
            "--offline",
            "--test",
            "forked",
            "--",
            "--test-threads",
            "2",
        ],
        one: &[
            "test",
            "--release",
            "--offline",
            "--test",
            "forked",
            "--",
            "--test-threads",
            "2",
            "test_0_",
        ],
    },
];

/// Returns the tests, with the attribute.
fn tests(attribute: &str) -> String {
    let mut text = String::new();
    for number in 0..TESTS {
        let _ = writeln!(text, "{attribute} #[test] fn test_{number}_() {{}}");
    }
    text
}

fn suite() -> Scratch {
    let tables = format!(
        "[dev-dependencies]\n{}\nrusty-fork = \"0.3\"",
        cofferdam(&["macros"])
    );
    let scratch = Scratch::new(&tables, ("src/lib.rs", ""));
    let folder = scratch.path().join("tests");
    fs::create_dir(&folder).expect("a folder in our own");
    let forked = String::from("use rusty_fork::*;\n")
        + &tests("")
            .replace("\n", "}\n")
            .replace(" #[test]", "rusty_fork_test! { #[test]");
    for (file, text) in [
        ("plain.rs", tests("")),
        ("isolated.rs", tests("#[cofferdam::isolated]")),
        ("forked.rs", forked),
    ] {
        fs::write(folder.join(file), text).expect("a file in our own folder");
    }
    // The versions of this workspace; cargo removes those that it does not need.
    let lock = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.lock");
    fs::copy(lock, scratch.path().join("Cargo.lock")).expect("the workspace's lock file");
    scratch
}

/// Returns the milliseconds of a run.
#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
fn millis(scratch: &Scratch, command: &[&str]) -> Result<f64, String> {
    let start = Instant::now();
    scratch.cargo(command, "")?;
    Ok(start.elapsed().as_secs_f64() * 1000.0)
}

fn measure(scratch: &Scratch) -> Result<[Series; 3], String> {
    let mut all = [const { Series(Vec::new()) }; 3];
    for round in 0..=ROUNDS {
        for (series, contender) in all.iter_mut().zip(&CONTENDERS) {
            let (one, all) = (millis(scratch, contender.one)?, millis(scratch, contender.all)?);
            // The first round builds.
            if round > 0 {
                series.0.push((all - one) / (TESTS - 1) as f64);
            }
        }
    }
    Ok(all)
}

#[expect(
    clippy::print_stdout,
    reason = "who reads the table has to know that it is not there"
)]
fn main() {
    if !harness::is_wanted() {
        return;
    }
    let all = match measure(&suite()) {
        Ok(all) => all,
        Err(reason) => {
            println!("skipped: {reason}");
            return;
        }
    };
    let mut table = Table::new("A process for each test, wall time of one of 200 on 2 threads");
    for (contender, series) in CONTENDERS.iter().zip(&all) {
        table.row(contender.name, " ms", series, ..);
    }
    table.row("`#[isolated]` ÷ nextest", "×", &all[1].over(&all[0]), ..=1.3);
    table.row("`#[isolated]` ÷ rusty-fork", "×", &all[1].over(&all[2]), ..);
    table.print();
}
