//! The cost of recording for a test process that gets three services.

#[path = "harness/cpu.rs"]
mod cpu;
mod harness;
#[path = "harness/program.rs"]
mod program;
#[path = "harness/scratch.rs"]
mod scratch;

use harness::{Series, Table};
use program::Program;
use std::process::{Command, Stdio};

const ROUNDS: usize = 8;
/// The kernel reports processor time in hundredths of a second: over this many processes that is at most 40 µs each.
const PROCESSES: u32 = 500;

/// Returns the microseconds of processor time of one process.
#[expect(
    clippy::disallowed_methods,
    reason = "a benchmark of processes has to start them"
)]
fn micros(program: &Program, base: &std::path::Path, session: Option<&str>) -> Option<f64> {
    let before = cpu::of_children()?;
    for _ in 0..PROCESSES {
        let mut test = Command::new(&program.path);
        test.env_remove("COFFERDAM_RECORD").env_remove("COFFERDAM_WORKER");
        // The run is set, so that no process searches for it; the lane is set, because nextest sets it.
        test.env("COFFERDAM_RUN_ID", "bench")
            .env("COFFERDAM_DIR", base)
            .env("COFFERDAM_WORKER", "w0");
        if let Some(session) = session {
            test.env("COFFERDAM_RECORD", session);
        }
        let status = test
            .stdin(Stdio::null())
            .status()
            .expect("the program was just built");
        assert!(status.success(), "{status}");
    }
    Some((cpu::of_children()? - before) / f64::from(PROCESSES) * 1e6)
}

#[expect(
    clippy::print_stdout,
    reason = "who reads the table has to know that it is not there"
)]
fn main() {
    if !harness::is_wanted() {
        return;
    }
    let program = Program::build("");
    let base = tempfile::TempDir::new().expect("a temporary folder");
    let (mut off, mut on, mut more) = (Series(Vec::new()), Series(Vec::new()), Series(Vec::new()));
    for _ in 0..ROUNDS {
        let plain = micros(&program, base.path(), None);
        let Some((plain, recorded)) = plain.zip(micros(&program, base.path(), Some("bench"))) else {
            println!("skipped: this system has no /proc to tell the processor time of children");
            return;
        };
        off.0.push(plain);
        on.0.push(recorded);
        more.0.push(recorded - plain);
    }
    let mut table = Table::new("Recording on, processor time of one test process");
    table.row("recording off", " µs", &off, ..);
    table.row("recording on", " µs", &on, ..);
    table.row("with ÷ without", "×", &on.over(&off), ..);
    table.row("the difference", " µs", &more, ..=300.0);
    table.print();
}
