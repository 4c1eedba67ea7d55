//! A test that never ends when it is rerun.

use std::fs;
use std::process::Command;

fn place(name: &str) -> String {
    format!("{}/met/{name}", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn comes_to_no_end() {
    fs::write(place("used"), "a").unwrap();
    if fs::File::create_new(place("first")).is_ok() {
        return;
    }
    fs::File::create_new(place("lock")).unwrap();
    let tidies = "trap 'rm -f tidied; exit' TERM; touch tidied; sleep 600 & wait";
    let mut child = Command::new("sh").args(["-c", tidies]).current_dir(place(".")).spawn().unwrap();
    child.wait().unwrap();
}

#[test]
fn ends() {
    let _ = fs::read(place("used"));
}
