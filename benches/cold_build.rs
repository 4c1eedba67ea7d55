//! The cost of the first build of cofferdam in a suite, compared with other test helpers.

#[path = "harness/cpu.rs"]
mod cpu;
mod harness;
#[path = "harness/scratch.rs"]
mod scratch;

use harness::{Series, Table};
use scratch::{Scratch, cofferdam};
use std::fs;

const ROUNDS: usize = 3;
/// The features whose cost is measured.
const FEATURES: [&str; 3] = ["fixtures", "macros", "tokio"];

/// Returns the processor seconds of a clean build.
fn seconds(scratch: &Scratch) -> Option<f64> {
    let target = scratch.path().join("target");
    if target.exists() {
        fs::remove_dir_all(&target).expect("our own folder");
    }
    let before = cpu::of_children()?;
    let built = scratch.cargo(&["test", "--no-run", "--offline"], "--cap-lints=allow");
    built.unwrap_or_else(|error| panic!("the scratch crate does not build: {error}"));
    Some(cpu::of_children()? - before)
}

/// Returns the rounds of each contender, or the reason why there are none.
fn measure(scratches: &[Scratch]) -> Result<Vec<Series>, String> {
    for scratch in scratches {
        scratch
            .cargo(&["fetch"], "")
            .map_err(|error| format!("a peer cannot be fetched: {error}"))?;
    }
    let mut all = vec![Series(Vec::new()); scratches.len()];
    for _ in 0..ROUNDS {
        for (series, scratch) in all.iter_mut().zip(scratches) {
            let seconds = seconds(scratch).ok_or("this system has no /proc to tell processor time")?;
            series.0.push(seconds);
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
    let peers = ["rstest 0.28", "serial_test 4.0", "test-context 0.5", "shaku 0.6"];
    let with_files = "serial_test = { version = \"4.0\", features = [\"file_locks\"] }";
    let by_version = peers.map(|peer| peer.split_once(' ').expect("a name and a version"));
    let by_version = by_version.map(|(name, version)| format!("{name} = \"{version}\""));
    let dependencies = [String::new(), cofferdam(&[])]
        .into_iter()
        .chain(by_version)
        .chain([with_files.to_owned()])
        .chain(FEATURES.map(|feature| cofferdam(&[feature])));
    let scratches: Vec<_> = dependencies
        .map(|dependency| Scratch::new(&format!("[dev-dependencies]\n{dependency}"), ("src/lib.rs", "")))
        .collect();
    let all = match measure(&scratches) {
        Ok(all) => all,
        Err(reason) => {
            println!("skipped: {reason}");
            return;
        }
    };
    let mut table = Table::new("Cold build of a crate with one dev-dependency, processor time");
    let names = ["no dependency", "cofferdam"].into_iter().chain(peers);
    let names = names
        .map(str::to_owned)
        .chain(["serial_test 4.0 with file_locks".to_owned()]);
    let names = names.chain(FEATURES.map(|feature| format!("cofferdam with {feature}")));
    for (name, series) in names.zip(&all) {
        table.row(&name, " s", series, ..);
    }
    table.row("cofferdam ÷ rstest", "×", &all[1].over(&all[2]), ..=0.75);
    let of_serial_test = all[1].over(&all[6]);
    table.row(
        "cofferdam ÷ serial_test with file_locks",
        "×",
        &of_serial_test,
        ..=1.2,
    );
    table.print();
}
