//! Failures caused by another resource, or by the test itself.

use std::fs;

fn place(name: &str) -> String {
    format!("{}/met/{name}", env!("CARGO_MANIFEST_DIR"))
}

// The test fails because of the file, and not because of the variable.
fn minds_one_of_two(name: &str) {
    fs::write(place("minded"), name).unwrap();
    let found = fs::read_to_string(place("minded")).unwrap();
    unsafe { std::env::set_var("UNMINDED", name) };
    assert_eq!(found, name);
}
#[test]
fn minds_one_of_two_a() {
    minds_one_of_two("a");
}
#[test]
fn minds_one_of_two_b() {
    // Late enough that they fail only with a pause at this resource.
    std::thread::sleep(std::time::Duration::from_millis(15));
    minds_one_of_two("b");
}

// Fails in every second run, regardless of the other test.
#[test]
fn fails_now_and_then_a() {
    let runs = fs::read_to_string(place("runs")).unwrap_or_default() + "x";
    fs::write(place("runs"), &runs).unwrap();
    fs::write(place("used"), "a").unwrap();
    assert!(runs.len() % 2 == 1);
}
#[test]
fn fails_now_and_then_b() {
    let _ = fs::read(place("used"));
}
