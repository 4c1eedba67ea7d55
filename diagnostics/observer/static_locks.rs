//! Locks in statics: each attempt of a thread to take one, and each release. The reader decides from them at which accesses a
//! lock was held.

use crate::breakpoints::{self, table};
use crate::log::{self, Record};
use crate::log_format::{ALL_SITES, Kind, SHARED};
use crate::recording::{self, ReentrancyGuard};
use crate::site_table::{ACCESS, ATTEMPT, READ, SECOND, Site};
use crate::static_uses::word_at;
use crate::{dedupe, hold, thread};
use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering::Relaxed;

/// The events of tests' own threads, by the number of the test: a lock that such a thread holds counts for its helpers.
static OF_TESTS: [AtomicU32; 64] = [const { AtomicU32::new(0) }; 64];
/// How often breakpoints at which locks were seen were removed.
static LOSSES: AtomicU32 = AtomicU32::new(0);

fn of_test(test: u32) -> Option<&'static AtomicU32> {
    OF_TESTS.get(test as usize % OF_TESTS.len())
}

/// Returns a number that is new after each event which may change the locks of the calling thread: its accesses are recorded
/// again then.
pub(crate) fn events() -> u64 {
    let own = thread::current();
    let is_helper = own.helper.load(Relaxed) != 0;
    let of_test = of_test(own.test.load(Relaxed)).filter(|_| is_helper);
    let others = of_test.map_or(0, |count| count.load(Relaxed));
    u64::from(own.lock_events.load(Relaxed)) << 32 | u64::from(others.wrapping_add(LOSSES.load(Relaxed)))
}

/// Records that the calling thread has come to a site at which locks are taken or released, if the lock is in a static of the
/// table. Returns whether it is.
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
    let own = thread::current();
    own.lock_events.fetch_add(1, Relaxed);
    if own.helper.load(Relaxed) == 0
        && let Some(count) = of_test(own.test.load(Relaxed))
    {
        count.fetch_add(1, Relaxed);
    }
    let is_attempt = site.how & ATTEMPT != 0;
    let number = (lock.wrapping_sub(table::program()) as u64 | (index as u64) << 32).to_ne_bytes();
    let kind = if is_attempt {
        Kind::TakesLock
    } else {
        Kind::ReleasesLock
    };
    let mut record = Record::new(kind, name);
    record.second = [&[], &number];
    record.value = if site.how & ACCESS == READ { SHARED } else { 0 };
    recording::append(&record, false);
    true
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

/// Records that a site is about to lose its breakpoint. `has_locks` is whether it has ever reported a lock.
pub(crate) fn lose(index: usize, has_locks: bool) {
    // The observer itself may have called this.
    let _guard = ReentrancyGuard::enter();
    if log::is_on() {
        let mut record = Record::new(Kind::LocksUnseen, b"");
        record.value = index as u64;
        recording::append(&record, false);
    }
    if has_locks {
        LOSSES.fetch_add(1, Relaxed);
    }
}

/// Records that all sites are about to lose their breakpoints for good.
pub(crate) fn lose_all() {
    lose(ALL_SITES as usize, true);
}
