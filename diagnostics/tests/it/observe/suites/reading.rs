//! Pairs of tests of which one reads a resource before it changes it: with a reader-writer lock, and without.

use std::path::PathBuf;
use std::sync::RwLock;
use std::{env, fs};

static LOCK: RwLock<()> = RwLock::new(());

fn place(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("met").join(name)
}

fn read(name: &str) {
    let _shared = LOCK.read();
    let _ = fs::read(place(name));
}

/// The lock cannot be upgraded, so it is released in between.
fn change(name: &str) {
    read(name);
    let _alone = LOCK.write();
    fs::write(place(name), "").unwrap();
}

fn read_openly(name: &str) {
    let _ = fs::read(place(name));
}

fn change_openly(name: &str) {
    read_openly(name);
    fs::write(place(name), "").unwrap();
}

#[test]
fn locked_for_one_reads() {
    read("locked-for-one");
}
#[test]
fn locked_for_one_writes() {
    change("locked-for-one");
}

#[test]
fn locked_for_both_a() {
    change("locked-for-both");
}
#[test]
fn locked_for_both_b() {
    change("locked-for-both");
}

#[test]
fn open_for_one_reads() {
    read_openly("open-for-one");
}
#[test]
fn open_for_one_writes() {
    change_openly("open-for-one");
}

#[test]
fn open_for_both_a() {
    change_openly("open-for-both");
}
#[test]
fn open_for_both_b() {
    change_openly("open-for-both");
}

// The reader takes no lock.
#[test]
fn half_locked_reads() {
    read_openly("half-locked");
}
#[test]
fn half_locked_writes() {
    change("half-locked");
}

#[test]
fn variable_locked_reads() {
    let _shared = LOCK.read();
    let _ = env::var("LOCKED");
}
#[test]
fn variable_locked_writes() {
    let shared = LOCK.read();
    let _ = env::var("LOCKED");
    drop(shared);
    let _alone = LOCK.write();
    unsafe { env::set_var("LOCKED_BEFORE", "1") };
    unsafe { env::set_var("LOCKED", "1") };
}

#[test]
fn variable_open_reads() {
    let _ = env::var("OPEN");
}
#[test]
fn variable_open_writes() {
    let _ = env::var("OPEN");
    unsafe { env::set_var("OPEN", "1") };
}

// Between its read and its change, the writer waits for std's lock around all variables, which the reader holds in its pause.
#[test]
fn variable_behind_another_reads() {
    let _ = env::var("BEHIND_ANOTHER");
}
#[test]
fn variable_behind_another_writes() {
    let _ = env::var("BEHIND_ANOTHER");
    unsafe { env::set_var("ANOTHER", "1") };
    unsafe { env::set_var("BEHIND_ANOTHER", "1") };
}
