//! A test that fails in its second and third runs, and one that changes what it reads.

use std::fs;
use std::path::PathBuf;

fn place(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("met").join(name)
}

#[test]
fn fails_now_and_then() {
    let run: u32 = fs::read_to_string(place("runs")).map_or(1, |runs| runs.parse().unwrap());
    fs::write(place("runs"), (run + 1).to_string()).unwrap();
    let _ = fs::read(place("shared"));
    assert!(run != 2 && run != 3, "as it happens");
}

#[test]
fn writes() {
    fs::write(place("shared"), "").unwrap();
}
