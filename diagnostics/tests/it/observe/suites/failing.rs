//! Tests of which one ends the process, as the variable `ENDS` says; the others conflicted before.

use std::path::Path;
use std::sync::Barrier;

/// Waits for all three tests before one of them ends the process.
static THERE: Barrier = Barrier::new(3);

fn meet() {
    std::fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join("met/report"), "1").unwrap();
    THERE.wait();
}

#[test]
fn a_meets() {
    meet();
}

#[test]
fn b_meets() {
    meet();
}

#[test]
fn c_ends() {
    THERE.wait();
    match std::env::var("ENDS").unwrap().as_str() {
        "panic" => panic!("as it was told"),
        "abort" => std::process::abort(),
        "exit" => std::process::exit(3),
        "kill" => {
            let own = std::process::id().to_string();
            std::process::Command::new("kill").args(["-9", &own]).status().unwrap();
            std::thread::park();
        }
        _ => {}
    }
}
