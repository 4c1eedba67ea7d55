//! Documentation tests that use the library: rustdoc compiles each by itself, or from edition 2024 on all as one program.

use crate::observe::package::Package;
use crate::recording::{CommandOutput, make_pipe};
use std::collections::BTreeSet;
use std::fs;

/// Doctests that append a line about themselves; two of them run at the same time, because each waits for the other at a pipe.
const DOCUMENTED: &str = r#"
/// ```
/// let worker = cofferdam::Worker::current();
/// documented::describe(&worker);
/// std::fs::write("met/pipe", worker.id()).unwrap();
/// ```
pub fn waits_for_a_reader() {}

/// ```
/// let worker = cofferdam::Worker::current();
/// documented::describe(&worker);
/// assert_ne!(std::fs::read_to_string("met/pipe").unwrap(), worker.id());
/// ```
pub fn waits_for_a_writer() {}

/// ```standalone_crate
/// let worker = cofferdam::Worker::current();
/// let test = std::thread::spawn(|| cofferdam::Worker::begin("named").worker().test().map(str::to_owned));
/// assert_eq!(test.join().unwrap().as_deref(), Some("named"));
/// documented::describe(&worker);
/// ```
pub fn describe(worker: &cofferdam::Worker) {
    use std::io::Write as _;
    let (id, test, run, pid) = (worker.id(), worker.test(), worker.run(), std::process::id());
    std::fs::write(worker.test_dir().unwrap().join("file"), "").unwrap();
    let file = std::fs::OpenOptions::new().append(true).create(true).open("met/seen");
    file.unwrap().write_all(format!("{id} {test:?} {run} {pid}\n").as_bytes()).unwrap();
}
"#;

fn each_has_a_process_and_a_worker_and_no_name(edition: &str) {
    let package = Package::with_library("documented", "");
    let manifest = fs::read_to_string(package.path().join("Cargo.toml")).unwrap();
    let manifest = manifest.replace("edition = \"2024\"", &format!("edition = \"{edition}\""));
    package.write(
        "Cargo.toml",
        &manifest.replace("dev-dependencies", "dependencies"),
    );
    package.write("src/lib.rs", DOCUMENTED);
    make_pipe(&package.path().join("met/pipe"));
    let command = ["cargo", "test", "--offline", "--doc", "--", "--test-threads=2"];
    let output: CommandOutput = package.cofferdam(&["run"], &command).output().unwrap().into();
    assert_eq!(output.code, Some(0), "{}{}", output.out, output.err);
    let seen = fs::read_to_string(package.path().join("met/seen")).unwrap();
    let seen: Vec<Vec<&str>> = seen.lines().map(|line| line.split(' ').collect()).collect();
    assert_eq!(seen.len(), 3, "{seen:?}");
    let column = |index: usize| seen.iter().map(|line| line[index]).collect::<BTreeSet<_>>();
    assert_eq!(column(0), BTreeSet::from(["w0", "w1"]), "{seen:?}");
    assert_eq!(column(1), BTreeSet::from(["None"]), "{seen:?}");
    assert_eq!((column(2).len(), column(3).len()), (1, 3), "{seen:?}");
}

#[test]
fn doctests_of_edition_2021_have_a_worker_each() {
    each_has_a_process_and_a_worker_and_no_name("2021");
}

#[test]
fn doctests_of_edition_2024_have_a_worker_each() {
    each_has_a_process_and_a_worker_and_no_name("2024");
}
