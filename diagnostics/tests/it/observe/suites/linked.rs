//! Pairs of tests that access a file through links.

use std::fs;
use std::path::PathBuf;
use std::sync::Mutex;

static ONE: Mutex<()> = Mutex::new(());

fn place(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("met").join(name)
}

#[test]
fn link_to_a_file_a() {
    fs::write(place("link"), "a").unwrap();
}
#[test]
fn link_to_a_file_b() {
    fs::write(place("other-link"), "b").unwrap();
}

#[test]
fn link_to_a_folder_a() {
    fs::write(place("way/x"), "a").unwrap();
}
#[test]
fn link_to_a_folder_b() {
    fs::write(place("way/x"), "b").unwrap();
}

#[test]
fn link_behind_a_lock_a() {
    let _alone = ONE.lock();
    fs::write(place("link-to-locked"), "a").unwrap();
}
#[test]
fn link_behind_a_lock_b() {
    let _alone = ONE.lock();
    fs::write(place("link-to-locked"), "b").unwrap();
}
