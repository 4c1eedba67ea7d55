//! The cost of recording hooks while recording is off: instructions, compared with a library without them.
//!
//! Instructions are counted, not timed, so this is the one benchmark that fails when its target is missed.

mod harness;
#[path = "harness/program.rs"]
mod program;
#[path = "harness/scratch.rs"]
mod scratch;

use harness::{Series, Table};
use program::Program;
use std::process::{Command, ExitCode};

const RUNS: usize = 5;
/// The greatest accepted ratio. Counts of one program vary by less between runs, because of hash seeds and the kernel's
/// answers.
const LIMIT: f64 = 1.01;

/// Returns the instructions of one run, or the reason why they cannot be counted.
#[expect(
    clippy::disallowed_methods,
    reason = "a benchmark of processes has to start them"
)]
fn instructions(program: &Program, arguments: [&str; 2]) -> Result<f64, String> {
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
    valgrind.arg(&program.path).args(arguments);
    for name in ["COFFERDAM_RECORD", "COFFERDAM_DIR", "COFFERDAM_WORKER"] {
        valgrind.env_remove(name);
    }
    let done = valgrind.output().map_err(|error| format!("valgrind: {error}"))?;
    let text = String::from_utf8_lossy(&done.stderr);
    let counted = text.lines().find_map(|line| line.split_once("Collected : "));
    counted
        .and_then(|(_, number)| number.trim().parse().ok())
        .ok_or_else(|| format!("valgrind counted nothing:\n{text}"))
}

fn compare(table: &mut Table, plain: &Program, without: &Program) -> Result<bool, String> {
    let mut is_reached = true;
    for (what, arguments) in [
        ("300,000 warm `get`s", ["1", "100000"]),
        ("100 × three services built and dropped", ["100", "1"]),
    ] {
        let mut counts = [Series(Vec::new()), Series(Vec::new())];
        for _ in 0..RUNS {
            for (counts, program) in counts.iter_mut().zip([plain, without]) {
                counts.0.push(instructions(program, arguments)?);
            }
        }
        let ratio = counts[0].over(&counts[1]);
        table.row(&format!("instructions, {what}"), "", &counts[0], ..);
        table.row("the same without a journal", "", &counts[1], ..);
        table.row("ratio", "×", &ratio, ..=LIMIT);
        is_reached &= ratio.median() <= LIMIT;
    }
    Ok(is_reached)
}

#[expect(
    clippy::print_stdout,
    reason = "who reads the table has to know that it is not there"
)]
fn main() -> ExitCode {
    if !harness::is_wanted() {
        return ExitCode::SUCCESS;
    }
    let (plain, without) = (
        Program::build(""),
        Program::build("--cfg cofferdam_without_journal"),
    );
    let mut table = Table::new("Recording off, beside a library that cannot record");
    match compare(&mut table, &plain, &without) {
        Ok(is_reached) => {
            table.print();
            ExitCode::from(u8::from(!is_reached))
        }
        Err(reason) => {
            println!("skipped: {reason}");
            ExitCode::SUCCESS
        }
    }
}
