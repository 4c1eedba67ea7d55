//! The accesses recorded so far: a test that reads one file a thousand times makes one record.

use crate::hash::Hash;
use crate::log::Record;
use crate::log_format::Kind;
use crate::{lock_state, this_process, thread};
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;

/// Hashes of the accesses. Of its eight megabytes only the used pages are in memory.
static KEYS: [AtomicU64; 1 << 20] = [const { AtomicU64::new(0) }; 1 << 20];
/// The number of slots to try, in the page of the test and then in the entire table. If other keys occupy all of them, an
/// access is recorded more than once.
const PROBES: [u64; 2] = [32, 16];
/// The number of keys in a page of memory.
const PAGE: u64 = 512;
/// The number of successive tests that begin in one page: most make a few dozen accesses.
const TESTS: u64 = 8;

/// Returns the places of a key, in the order in which they are taken. Those in a page of its test come first: each page
/// that is used for the first time costs a page fault, and the places of a suite's keys would be in all pages.
fn places(key: u64) -> impl Iterator<Item = &'static AtomicU64> {
    let pages = KEYS.len() as u64 / PAGE;
    let page = u64::from(thread::current().test.load(Relaxed)) / TESTS % pages;
    let near = (0..PROBES[0]).map(move |probe| page * PAGE + (key >> 1).wrapping_add(probe) % PAGE);
    let far = (0..PROBES[1]).map(move |probe| (key >> 10).wrapping_add(probe));
    near.chain(far)
        .filter_map(|place| KEYS.get((place % KEYS.len() as u64) as usize))
}

/// Returns the key of the access by the current test, from that stack.
pub(crate) fn key_of(record: &Record<'_>, stack: u32) -> u64 {
    key(record, u64::from(stack) << 8, record.value)
}

/// Returns the key of a record that is made once for each test, from any stack and under any locks.
pub(crate) fn key_of_test(record: &Record<'_>) -> u64 {
    with_locks(record, 0, 0, [0; 3])
}

fn key(record: &Record<'_>, place: u64, value: u64) -> u64 {
    let file_locks = thread::current().locks.load(Relaxed);
    // A lock in a static guards no static.
    let [own, losses] = match record.kind {
        Kind::UseStatic => [0; 2],
        _ => lock_state::events(),
    };
    with_locks(record, place, value, [file_locks, own, losses])
}

fn with_locks(record: &Record<'_>, place: u64, value: u64, locks: [u64; 3]) -> u64 {
    let thread = thread::current();
    let mut hash = Hash::new(0x9e37_79b9_7f4a_7c15);
    hash.word(u64::from(record.kind as u8) << 8 | u64::from(record.flags) | place << 16);
    hash.word(u64::from(thread.test.load(Relaxed)) | u64::from(this_process::pid()) << 32);
    locks.into_iter().for_each(|lock| hash.word(lock));
    hash.word(value);
    // A variable does not depend on the folder, and with an absolute path it is 0.
    hash.word(u64::from(record.folder));
    if record.kind != Kind::GetFolder {
        for part in record.first.iter().chain(&record.second) {
            hash.bytes(part);
        }
    }
    hash.end()
}

/// Returns the number of accesses to record for each test when they differ only in value or stack.
fn limit(kind: Kind) -> Option<u64> {
    match kind {
        // A second value is all that the reader needs to know.
        Kind::SetVariable => Some(4),
        // Each is looked up by its stack, which takes time.
        Kind::GetFolder => Some(32),
        _ => None,
    }
}

/// Returns whether the test has reached the limit for such accesses, with any value and from any stack.
pub(crate) fn is_enough(record: &Record<'_>) -> bool {
    limit(record.kind).is_some_and(|limit| has(key(record, limit, 0)))
}

/// Counts a new access towards its limit.
pub(crate) fn count(record: &Record<'_>) {
    let limit = limit(record.kind).unwrap_or(0);
    (1..=limit).any(|place| insert(key(record, place, 0)));
}

pub(crate) fn has(key: u64) -> bool {
    for place in places(key) {
        match place.load(Relaxed) {
            0 => return false,
            known if known == key => return true,
            _ => {}
        }
    }
    false
}

/// Inserts a key if there is room. Returns whether it was absent.
pub(crate) fn insert(key: u64) -> bool {
    for place in places(key) {
        let known = place.load(Relaxed);
        if known == key {
            return false;
        }
        if known == 0 {
            match place.compare_exchange(0, key, Relaxed, Relaxed) {
                Ok(_) => return true,
                Err(other) if other == key => return false,
                Err(_) => {}
            }
        }
    }
    true
}
