//! A test changes the variable that leads another test to its files.

use std::path::{Path, PathBuf};
use std::{env, fs};

fn place(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

#[test]
fn a_changes_the_home() {
    let home = place("met/home");
    fs::create_dir_all(&home).unwrap();
    fs::write(home.join("settings"), "a").unwrap();
    unsafe { env::set_var("LEADING_HOME", home) };
    fs::write(place("both"), "a").unwrap();
}

#[test]
fn b_reads_the_settings_at_home() {
    if let Ok(home) = env::var("LEADING_HOME") {
        _ = fs::read(Path::new(&home).join("settings"));
    }
    _ = fs::read(place("both"));
}
