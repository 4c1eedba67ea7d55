//! Tests that change the environment by the library's guards, and one that does not use them.

use cofferdam::environment::{remove_env, set_current_dir, set_env};
use std::env;
use std::sync::{Condvar, Mutex};

const VARIABLE: &str = "GUARDING_MODE";

/// The number of tests that are done with their guards.
static DONE: (Mutex<usize>, Condvar) = (Mutex::new(0), Condvar::new());

fn done() {
    *DONE.0.lock().unwrap() += 1;
    DONE.1.notify_all();
}

#[test]
fn sets_one_value() {
    // SAFETY: no C function reads the environment here.
    let guard = unsafe { set_env(VARIABLE, "one") };
    assert_eq!(env::var(VARIABLE).unwrap(), "one");
    drop(guard);
    done();
}

#[test]
fn sets_another_value_on_two_threads() {
    // SAFETY: no C function reads the environment here.
    let guard = unsafe { set_env(VARIABLE, "two") };
    let removed = cofferdam::Worker::current().spawn(|| {
        // SAFETY: no C function reads the environment here.
        let removed = unsafe { remove_env(VARIABLE) };
        assert!(env::var(VARIABLE).is_err());
        removed
    });
    drop(guard);
    drop(removed.join().unwrap());
    done();
}

#[test]
fn works_in_a_directory() {
    let dir = cofferdam::lease::dir().unwrap();
    let guard = set_current_dir(dir.path());
    std::fs::write("file", "").unwrap();
    drop(guard);
    done();
}

#[test]
fn works_in_another_directory() {
    let dir = cofferdam::lease::dir().unwrap();
    let guard = set_current_dir(dir.path());
    std::fs::write("file", "").unwrap();
    drop(guard);
    done();
}

#[test]
fn reads_without_a_guard() {
    if env::var("GUARDING_READS").is_ok() {
        let all = DONE.1.wait_while(DONE.0.lock().unwrap(), |done| *done < 4);
        drop(all.unwrap());
        let _ = env::var(VARIABLE);
    }
}
