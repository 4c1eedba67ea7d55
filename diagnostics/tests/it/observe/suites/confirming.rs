//! Pairs of conflicting tests, each with another guard or none.

use std::fs::{self, File};
use std::path::PathBuf;
use std::sync::Mutex;
use std::thread::sleep;
use std::time::Duration;

static ONE: Mutex<()> = Mutex::new(());
static FOLDER: Mutex<()> = Mutex::new(());

fn place(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("met").join(name)
}

// A lock between threads.
#[test]
fn variable_behind_a_lock_a() {
    let _alone = ONE.lock();
    unsafe { std::env::set_var("BEHIND", "a") };
    assert_eq!(std::env::var("BEHIND").unwrap(), "a");
}
#[test]
fn variable_behind_a_lock_b() {
    let _alone = ONE.lock();
    unsafe { std::env::set_var("BEHIND", "b") };
    assert_eq!(std::env::var("BEHIND").unwrap(), "b");
}
#[test]
fn folder_behind_a_lock_a() {
    let _alone = FOLDER.lock();
    let before = std::env::current_dir().unwrap();
    std::env::set_current_dir("/").unwrap();
    std::env::set_current_dir(before).unwrap();
}
#[test]
fn folder_behind_a_lock_b() {
    let _alone = FOLDER.lock();
    assert!(fs::metadata("Cargo.toml").is_ok());
}
#[test]
fn file_behind_a_lock_a() {
    let _alone = ONE.lock();
    fs::write(place("behind"), "a").unwrap();
}
#[test]
fn file_behind_a_lock_b() {
    let _alone = ONE.lock();
    fs::write(place("behind"), "b").unwrap();
    let _ = fs::read(place("behind"));
}

// A lock on a file, which the observer records.
#[test]
fn file_behind_a_file_lock_a() {
    let lock = File::create(place("lock")).unwrap();
    lock.lock().unwrap();
    fs::write(place("locked"), "a").unwrap();
}
#[test]
fn file_behind_a_file_lock_b() {
    let lock = File::create(place("lock")).unwrap();
    lock.lock().unwrap();
    fs::write(place("locked"), "b").unwrap();
}

// No guard, and neither test fails because of it.
#[test]
fn file_in_the_open_a() {
    fs::write(place("open"), "a").unwrap();
}
#[test]
fn file_in_the_open_b() {
    let _ = fs::read(place("open"));
}
#[test]
fn variable_in_the_open_a() {
    unsafe { std::env::set_var("OPEN", "a") };
}
#[test]
fn variable_in_the_open_b() {
    let _ = std::env::var("OPEN");
}

// No guard, and one test is so late that they never overlap by themselves.
#[test]
fn file_that_is_used_late_a() {
    fs::write(place("late"), "a").unwrap();
}
#[test]
fn file_that_is_used_late_b() {
    sleep(Duration::from_millis(300));
    let _ = fs::read(place("late"));
}

// No guard, and one test fails because of it.
#[test]
fn file_that_somebody_minds_a() {
    fs::write(place("minded"), "a").unwrap();
    assert_eq!(fs::read_to_string(place("minded")).unwrap(), "a");
}
#[test]
fn file_that_somebody_minds_b() {
    fs::write(place("minded"), "b").unwrap();
    assert_eq!(fs::read_to_string(place("minded")).unwrap(), "b");
}
// A listing of a directory depends on names that come and go in it.
#[test]
fn folder_that_is_listed_a() {
    fs::create_dir_all(place("listed")).unwrap();
    fs::write(place("listed/x"), "a").unwrap();
    fs::remove_file(place("listed/x")).unwrap();
}
#[test]
fn folder_that_is_listed_b() {
    fs::create_dir_all(place("listed")).unwrap();
    let _ = fs::read_dir(place("listed")).unwrap().count();
}
// Removing a directory removes its contents.
#[test]
fn folder_that_is_removed_a() {
    fs::create_dir_all(place("removed")).unwrap();
    fs::write(place("removed/x"), "a").unwrap();
    let _ = fs::remove_dir_all(place("removed"));
}
#[test]
fn folder_that_is_removed_b() {
    fs::create_dir_all(place("removed")).unwrap();
    let _ = fs::write(place("removed/y"), "b");
}
