//! Tests that share a server and wait to be released.

mod server;

use server::{SERVER, meet};

fn held() {
    let folder = SERVER.get();
    meet("test", &folder);
    assert_eq!(*SERVER.get(), *folder);
}

#[test]
fn a() {
    held();
}

#[test]
fn b() {
    held();
}

/// Starts after one of the others has ended, because there are two threads.
#[test]
fn c() {
    if std::env::var_os("LATER").is_some() {
        meet("later", &SERVER.get());
    }
}
