//! What it costs to share a server among tests that are a process each.

mod harness;
#[path = "harness/scratch.rs"]
mod scratch;

use harness::{Series, Table};
use scratch::{Scratch, cofferdam};
use std::fs;
use std::time::Instant;

const ROUNDS: usize = 3;
const SUITE: &str = include_str!("programs/shared_server.rs");

fn run(scratch: &Scratch, suite: &str) -> Result<f64, String> {
    let arguments = [
        "nextest",
        "run",
        "--offline",
        "--test-threads",
        "2",
        "--test",
        suite,
    ];
    #[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
    let begun = Instant::now();
    scratch.cargo(&arguments, "")?;
    Ok(begun.elapsed().as_secs_f64())
}

fn measure() -> Result<[Series; 3], String> {
    let tables = format!("[dependencies]\n{}", cofferdam());
    let scratch = Scratch::new(&tables, ("src/lib.rs", ""));
    let lock = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.lock");
    fs::copy(lock, scratch.path().join("Cargo.lock")).expect("the workspace's lock file");
    let tests = scratch.path().join("tests");
    fs::create_dir(&tests).expect("a folder in our own");
    fs::write(tests.join("shared.rs"), SUITE).expect("a source file");
    fs::write(tests.join("without.rs"), SUITE.replace("    SERVER.get();\n", "")).expect("a source file");
    scratch.cargo(&["test", "--no-run", "--offline"], "")?;
    let (mut without, mut shared, mut attached) = (Series(vec![]), Series(vec![]), Series(vec![]));
    for _ in 0..ROUNDS {
        without.0.push(run(&scratch, "without")? + 1.0);
        let told = scratch.path().join("attached");
        fs::remove_file(&told).map_err(|error| error.to_string())?;
        shared.0.push(run(&scratch, "shared")?);
        let told = fs::read_to_string(told).map_err(|error| error.to_string())?;
        let told = told.lines().filter_map(|line| line.parse::<f64>().ok());
        attached.0.push(Series(told.collect()).median() / 1000.0);
    }
    Ok([without, shared, attached])
}

#[expect(
    clippy::print_stdout,
    reason = "who reads the table has to know that it is not there"
)]
fn main() {
    if !harness::is_wanted() {
        return;
    }
    let [without, shared, attached] = match measure() {
        Ok(measured) => measured,
        Err(reason) => {
            println!("skipped: {reason}");
            return;
        }
    };
    let mut table = Table::new("200 tests under nextest, 2 at once, and a server that takes 1 s to start");
    table.row("the same without it, + 1 s", " s", &without, ..);
    table.row("one shared fixture", " s", &shared, ..);
    table.row("shared ÷ (without + 1 s)", "×", &shared.over(&without), ..=1.5);
    table.row("a process's first `get`, median", " ms", &attached, ..=0.5);
    table.print();
}
