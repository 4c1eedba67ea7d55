//! The time and memory of `cargo cofferdam check` for long journals.

mod harness;

use cofferdam_conflicts::Evidence;
use harness::{Series, Table};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

const WORKERS: u64 = 16;
const ROUNDS: usize = 5;
const SIZES: [u64; 2] = [100_000, 1_000_000];

/// Writes journals with this number of lines in total, of tests with `uses` claims each. Of every 100 claims one is
/// on a file that other workers also write.
fn record(base: &Path, lines: u64, uses: u64) {
    for worker in 0..WORKERS {
        let dir = base.join(format!("runs/bench/workers/w{worker}"));
        fs::create_dir_all(&dir).expect("a folder in our own");
        fs::write(dir.join("journal.ndjson"), journal(worker, lines / WORKERS, uses))
            .expect("a file in our own");
    }
}

fn journal(worker: u64, lines: u64, uses: u64) -> String {
    let mut text = format!(
        "\n{{\"at\":1,\"pid\":7,\"event\":\"process\",\"version\":1,\"run\":\"bench\",\"session\":\"bench\",\
         \"runner\":\"cargo test\",\"binary\":\"it\",\"boot\":\"b\",\"started\":1,\"worker\":\"w{worker}\"}}\n"
    );
    let mut left = lines.saturating_sub(1);
    let mut number = worker + 1;
    let mut line = |event: std::fmt::Arguments<'_>| {
        let at = lines - left;
        let _ = writeln!(text, "{{\"at\":{at},\"pid\":7,{event}}}");
        left = left.saturating_sub(1);
        left
    };
    'tests: loop {
        // Numbers are unique in the process.
        number += WORKERS;
        let execution = number;
        line(format_args!(
            "\"event\":\"test\",\"execution\":{execution},\"test\":\"orders::test_{execution}\",\"attempt\":1"
        ));
        for use_ in 0..uses {
            number += WORKERS;
            let file = if number.is_multiple_of(100) {
                "shared".to_owned()
            } else {
                format!("w{worker}/{}", use_ % 50)
            };
            line(format_args!(
                "\"event\":\"claimed\",\"execution\":{execution},\"claim\":{number},\"instance\":0,\
                 \"resource\":\"file:{file}\",\"access\":\"write\",\"guards\":[],\"place\":\"tests/it.rs:{use_}\""
            ));
            if line(format_args!("\"event\":\"released\",\"claim\":{number}")) < 3 {
                break 'tests;
            }
        }
        line(format_args!("\"event\":\"end\",\"execution\":{execution}"));
    }
    text
}

/// The child process: reads, and prints its time in microseconds and its peak memory in KiB.
#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
#[expect(clippy::print_stdout, reason = "this is how the child answers")]
fn read(base: &Path) {
    let start = Instant::now();
    let mut evidence = Evidence::new();
    evidence.read(base);
    let conflicts = evidence.conflicts();
    let micros = start.elapsed().as_micros();
    assert!(evidence.problems().is_empty(), "{:?}", evidence.problems());
    assert!(!conflicts.is_empty(), "one file was written by all workers");
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak
        .and_then(|peak| peak.split_whitespace().next())
        .unwrap_or("NaN");
    println!("{micros} {peak}");
}

/// Returns the seconds and MiB of a process that reads these journals.
#[expect(
    clippy::disallowed_methods,
    reason = "memory is measured in a process of its own"
)]
fn measure(base: &Path) -> (f64, f64) {
    let itself = std::env::current_exe().expect("this program runs");
    let done = Command::new(itself)
        .arg("--bench")
        .arg(base)
        .output()
        .expect("it runs once more");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let text = String::from_utf8_lossy(&done.stdout);
    let mut numbers = text
        .split_whitespace()
        .filter_map(|number| number.parse::<f64>().ok());
    let mut number = || numbers.next().expect("two numbers");
    (number() / 1e6, number() / 1024.0)
}

fn compare(table: &mut Table, what: &str, uses: u64) {
    let bases = SIZES.map(|lines| {
        let base = tempfile::TempDir::new().expect("a temporary folder");
        record(base.path(), lines, uses);
        base
    });
    let mut seconds = [Series(Vec::new()), Series(Vec::new())];
    let mut memory = [Series(Vec::new()), Series(Vec::new())];
    for _ in 0..ROUNDS {
        for (index, base) in bases.iter().enumerate() {
            let (took, most) = measure(base.path());
            seconds[index].0.push(took);
            memory[index].0.push(most);
        }
    }
    table.row(&format!("100,000 lines, {what}"), " s", &seconds[0], ..);
    table.row(&format!("1,000,000 lines, {what}"), " s", &seconds[1], ..=10.0);
    table.row(
        "time for ten times the lines",
        "×",
        &seconds[1].over(&seconds[0]),
        ..=12.0,
    );
    table.row("most memory, 100,000 lines", " MiB", &memory[0], ..);
    table.row("most memory, 1,000,000 lines", " MiB", &memory[1], ..=100.0);
}

#[expect(
    clippy::disallowed_methods,
    reason = "a benchmark has no other way to its arguments"
)]
fn main() {
    if !harness::is_wanted() {
        return;
    }
    // The directory that a child reads; cargo itself passes `--bench` and filters, which are no directories.
    if let Some(base) = std::env::args_os().nth(2).filter(|base| Path::new(base).is_dir()) {
        read(Path::new(&base));
        return;
    }
    let mut table = Table::new("Reading journals and finding the conflicts in them");
    compare(&mut table, "tests of 3 claims", 3);
    compare(&mut table, "tests of 1,000 claims", 1_000);
    table.print();
}
