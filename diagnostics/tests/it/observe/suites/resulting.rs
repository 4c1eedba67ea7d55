//! Tests with every result that libtest has.

use std::sync::Mutex;

static LOCK: Mutex<()> = Mutex::new(());

#[test]
fn passes() {}

#[test]
fn größe_fails() {
    println!("test passes ... FAILED");
    panic!("as it was asked to");
}

#[test]
fn poisons() {
    let _held = LOCK.lock();
    panic!("with the lock held");
}

#[test]
#[ignore = "not now ... ok"]
fn is_ignored() {}

#[test]
#[should_panic]
fn panics_as_expected() {
    panic!();
}

#[test]
#[should_panic]
fn does_not_panic() {}

#[test]
fn prints_much() {
    if std::env::var_os("MUCH").is_some() {
        println!("{}", "x".repeat(6 << 20));
        panic!();
    }
}
