//! Tests of guided tours that fail sometimes though no other test is to blame, and one that makes another fail. They run only
//! when they are asked for: `--test tour`.

use std::collections::HashSet;
use std::net::TcpListener;
use std::sync::Mutex;
use std::time::Duration;
use std::{env, fs, thread};

static CLOAKROOM: Mutex<Vec<u32>> = Mutex::new(Vec::new());

#[test]
fn the_first_guest_is_anna() {
    let guests = HashSet::from(["Anna", "Ben"]);
    // A set has another order in each run.
    assert_eq!(guests.iter().next(), Some(&"Anna"));
}

#[test]
fn the_guide_is_ready_in_time() {
    let guide = thread::spawn(|| (0..2_000_000_u64).fold(0, |sum, step| sum ^ step.wrapping_mul(31)));
    thread::sleep(Duration::from_millis(100));
    assert!(guide.is_finished());
}

#[test]
fn the_guest_book_is_empty() {
    let book = env::temp_dir().join("museum-guest-book");
    assert!(!book.exists(), "someone has signed");
    fs::write(book, "Anna").unwrap();
}

#[test]
fn the_audio_guide_is_served() {
    let _server = TcpListener::bind(("127.0.0.1", 27496)).unwrap();
    // The guest listens for a while.
    thread::sleep(Duration::from_millis(30));
}

#[test]
fn coats_are_returned() {
    let mut coats = CLOAKROOM.lock().unwrap();
    coats.push(1);
    assert_eq!(coats.pop(), Some(2));
}

#[test]
fn umbrellas_are_returned() {
    CLOAKROOM.lock().unwrap().clear();
}
