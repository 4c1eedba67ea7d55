//! Tests that use variables only if another test has set them.

use std::env;
use std::sync::{Mutex, MutexGuard, PoisonError};

static LOCK: Mutex<()> = Mutex::new(());

fn lock() -> MutexGuard<'static, ()> {
    LOCK.lock().unwrap_or_else(PoisonError::into_inner)
}

fn set(name: &str, value: &str) {
    unsafe { env::set_var(name, value) };
}

/// Looks up each variable whose name has this beginning.
fn look_up(beginning: &str) {
    for (name, value) in env::vars() {
        if name.starts_with(beginning) {
            assert_eq!(env::var(name), Ok(value));
        }
    }
}

#[test]
fn a_sets_one_in_the_open() {
    set("LISTED_OPEN", "a");
}

#[test]
fn b_lists_all_in_the_open() {
    look_up("LISTED_OPEN");
}

#[test]
fn a_sets_one_behind_a_lock() {
    let _lock = lock();
    set("LISTED_LOCKED", "a");
}

#[test]
fn b_lists_all_behind_a_lock() {
    let _lock = lock();
    look_up("LISTED_LOCKED");
}

#[test]
fn a_sets_two_behind_a_lock() {
    let _lock = lock();
    set("LOCKED_FIRST", "a");
    set("LOCKED_SECOND", "a");
}

/// What it reads does not depend on the names that it lists.
#[test]
fn b_lists_all_and_then_reads_behind_a_lock() {
    _ = env::vars().count();
    let _lock = lock();
    if env::var("LOCKED_FIRST").is_ok() {
        _ = env::var("LOCKED_SECOND");
    }
}

#[test]
fn c_only_lists_all() {
    _ = env::vars().count();
}

#[test]
fn a_sets_two_in_the_open() {
    set("FIRST", "a");
    set("SECOND", "a");
}

#[test]
fn b_reads_the_second_if_there_is_the_first() {
    if env::var("FIRST").is_ok() {
        _ = env::var("SECOND");
    }
}
