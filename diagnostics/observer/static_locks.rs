//! Locks in statics: records each attempt of a thread to take one, and each release. The reader decides from that under which
//! locks an access was made.

use crate::breakpoints::{self, table};
use crate::log::Record;
use crate::log_format::{Kind, SHARED};
use crate::recording::{self, ReentrancyGuard};
use crate::site_table::{ACCESS, ATTEMPT, READ, SECOND, Site};
use crate::sys::own_calls::is_readable;
use crate::{dedupe, hold, lock_state};

/// Records that the calling thread has come to a site at which locks are taken or released, if the lock is in a static of the
/// table. Returns whether an access has been made under that lock.
pub(crate) fn record(index: usize, site: &Site, [first, second]: [usize; 2]) -> bool {
    // With pauses, the log is read for what happens at them alone.
    if hold::is_requested() || breakpoints::is_stray() {
        return false;
    }
    let lock = match site.how & (ATTEMPT | SECOND) {
        ATTEMPT => Some(first),
        0 => word_at(first),
        SECOND => word_at(first.wrapping_add(size_of::<usize>())),
        _ => Some(second),
    };
    let found = lock.and_then(|lock| Some((lock, table::static_at(lock)?)));
    let Some((lock, (name, _))) = found.and_then(|(lock, found)| Some((lock, table::texts_of(found)?)))
    else {
        return false;
    };
    let is_attempt = site.how & ATTEMPT != 0;
    let number = lock.wrapping_sub(table::program()) as u64 | (index as u64) << 32;
    let shared = shared(site);
    if is_attempt {
        // Those of std begin with 32 bits; the others are parking_lot's, whose mutex has 8 and whose reader-writer lock 64.
        let size = match (site.how & SECOND, shared) {
            (0, 0) => 1,
            (0, _) => 8,
            _ => 4,
        };
        let place = lock_state::place_of(lock, size).unwrap_or(lock_state::MOST);
        append(Kind::TakesLock, name, shared | (place as u64) << 8, number);
    } else {
        append(Kind::ReleasesLock, name, shared, number);
    }
    lock_state::event(lock, is_attempt)
}

/// Records that the calling thread's test uses a static with a lock in it. Returns whether that is new.
pub(crate) fn used(name: &[u8]) -> bool {
    let record = Record::new(Kind::UsesLock, name);
    let is_new = !hold::is_requested() && dedupe::insert(dedupe::key_of_test(&record));
    if is_new {
        recording::append(&record, false);
    }
    is_new
}

/// Records that a site at which locks are taken or released is about to lose its breakpoint.
pub(crate) fn lose(index: usize, site: &Site) {
    if let Some(_guard) = ReentrancyGuard::enter().filter(|_| !hold::is_requested()) {
        append(Kind::LocksUnseen, b"", shared(site), (index as u64) << 32);
    }
    lock_state::lost();
}

/// Returns the word at an address, if it can be read.
pub(crate) fn word_at(address: usize) -> Option<usize> {
    let is_aligned = address.is_multiple_of(align_of::<usize>());
    // SAFETY: readable, and aligned as a guard's pointer is.
    (is_aligned && is_readable(address)).then(|| unsafe { *(address as *const usize) })
}

fn shared(site: &Site) -> u64 {
    if site.how & ACCESS == READ { SHARED } else { 0 }
}

fn append(kind: Kind, name: &[u8], value: u64, number: u64) {
    let number = number.to_ne_bytes();
    let mut record = Record::new(kind, name);
    record.second = [&[], &number];
    record.value = value;
    recording::append(&record, false);
}
