//! Tests that use several variables one after another.

use std::env;
use std::sync::{Mutex, MutexGuard, PoisonError};

const OPEN: [&str; 4] = ["OPEN_1", "OPEN_2", "OPEN_3", "OPEN_4"];
const LOCKED: [&str; 4] = ["LOCKED_1", "LOCKED_2", "LOCKED_3", "LOCKED_4"];

static LOCK: Mutex<()> = Mutex::new(());

fn lock() -> MutexGuard<'static, ()> {
    LOCK.lock().unwrap_or_else(PoisonError::into_inner)
}

fn set(names: [&str; 4]) {
    for name in names {
        unsafe { env::set_var(name, "1") };
    }
}

fn read(names: [&str; 4]) {
    for name in names {
        _ = env::var(name);
    }
}

#[test]
fn sets() {
    set(OPEN);
}

#[test]
fn reads() {
    read(OPEN);
}

#[test]
fn sets_behind_a_lock() {
    let _guard = lock();
    set(LOCKED);
}

#[test]
fn reads_behind_a_lock() {
    let _guard = lock();
    read(LOCKED);
}
