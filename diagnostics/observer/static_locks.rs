//! Locks in statics: each attempt of a thread to take one, each release, and which locks are in use at an access. The reader
//! decides from that under which locks an access was made.

use crate::breakpoints::{self, table};
use crate::log::{self, Record};
use crate::log_format::{Kind, SHARED};
use crate::recording::{self, ReentrancyGuard};
use crate::site_table::{ACCESS, ATTEMPT, READ, SECOND, Site};
use crate::static_uses::word_at;
use crate::{dedupe, hold, thread};
use core::sync::atomic::Ordering::{Relaxed, SeqCst};
use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, AtomicUsize};

/// The locks that threads have taken or tried to take, by their places in a mask: the address, and above it the size of the
/// number that is 0 while nobody holds the lock.
static LOCKS: [AtomicUsize; 64] = [const { AtomicUsize::new(0) }; 64];
/// The locks under which an access was made, as a mask.
static USEFUL: AtomicU64 = AtomicU64::new(0);
const SIZE_SHIFT: u32 = 56;

/// [`Thread::lock_events`](thread::Thread::lock_events) of tests' own threads, by the number of the test: a lock that such a
/// thread holds counts for its helpers.
static OF_TESTS: [AtomicU32; 64] = [const { AtomicU32::new(0) }; 64];
/// How often a site has lost its breakpoint.
static LOSSES: AtomicU32 = AtomicU32::new(0);

/// An event in [`Thread::lock_events`](thread::Thread::lock_events), and the part with the number of open attempts.
const EVENT: u32 = 1 << 8;
const OPEN: u32 = EVENT - 1;

fn of_test(test: u32) -> Option<&'static AtomicU32> {
    OF_TESTS.get(test as usize % OF_TESTS.len())
}

/// Returns numbers of which one is new after each event that may change the locks of the calling thread: its accesses are
/// recorded again then.
pub(crate) fn events() -> [u64; 2] {
    let thread = thread::current();
    let is_helper = thread.helper.load(Relaxed) != 0;
    let of_test = of_test(thread.test.load(Relaxed)).filter(|_| is_helper);
    let others = of_test.map_or(0, |events| events.load(Relaxed));
    let own = thread.lock_events.load(Relaxed);
    let losses = if (own | others) & OPEN == 0 {
        0
    } else {
        LOSSES.load(Relaxed)
    };
    [u64::from(own) << 32 | u64::from(others), u64::from(losses)]
}

/// Notes an event of the calling thread, and returns its number of open attempts before.
fn count(is_attempt: bool) -> usize {
    let thread = thread::current();
    let before = thread.lock_events.load(Relaxed);
    let open = before & OPEN;
    let now = if is_attempt {
        OPEN.min(open + 1)
    } else {
        open.saturating_sub(1)
    };
    let events = (before - open).wrapping_add(EVENT) | now;
    thread.lock_events.store(events, Relaxed);
    if thread.helper.load(Relaxed) == 0
        && let Some(of_test) = of_test(thread.test.load(Relaxed))
    {
        of_test.store(events, Relaxed);
    }
    open as usize
}

/// Returns the place of a lock in a mask; `None` if there are too many. A number of `size` bytes at its beginning is 0 while
/// nobody holds it.
fn place_of(lock: usize, size: usize) -> Option<usize> {
    let entry = lock | size << SIZE_SHIFT;
    LOCKS.iter().position(|known| {
        let known = known
            .compare_exchange(0, entry, SeqCst, SeqCst)
            .unwrap_or_else(|known| known);
        known == 0 || known == entry
    })
}

/// Returns the mask of the locks that somebody holds.
fn in_use() -> u64 {
    let known = LOCKS
        .iter()
        .map(|lock| lock.load(Relaxed))
        .take_while(|lock| *lock != 0);
    known.enumerate().fold(0, |mask, (place, lock)| {
        let address = lock & ((1 << SIZE_SHIFT) - 1);
        // SAFETY: a lock in a static, which begins with an atomic number of that size.
        let is_free = unsafe {
            match lock >> SIZE_SHIFT {
                1 => AtomicU8::from_ptr(address as *mut u8).load(Relaxed) == 0,
                4 => AtomicU32::from_ptr(address as *mut u32).load(Relaxed) == 0,
                _ => AtomicU64::from_ptr(address as *mut u64).load(Relaxed) == 0,
            }
        };
        mask | u64::from(!is_free) << place
    })
}

/// Called before a new access of the calling thread is recorded: records the locks that are in use, if they are others than at
/// the thread's last access.
pub(crate) fn accessed() {
    let thread = thread::current();
    thread.accesses.fetch_add(1, Relaxed);
    if LOCKS[0].load(Relaxed) == 0 || hold::is_requested() {
        return;
    }
    let mask = in_use();
    // A thread that works for another test now says it again.
    let state = mask ^ u64::from(thread.test.load(Relaxed)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    if thread.locks_in_use.swap(state, Relaxed) != state {
        append(Kind::LocksInUse, b"", 0, mask);
    }
}

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
    let depth = count(is_attempt);
    let number = lock.wrapping_sub(table::program()) as u64 | (index as u64) << 32;
    let shared = shared(site);
    if is_attempt {
        // Those of std begin with 32 bits; the others are parking_lot's, whose mutex has 8 and whose reader-writer lock 64.
        let size = match (site.how & SECOND, shared) {
            (0, 0) => 1,
            (0, _) => 8,
            _ => 4,
        };
        let place = place_of(lock, size);
        append(
            Kind::TakesLock,
            name,
            shared | (place.unwrap_or(LOCKS.len()) as u64) << 8,
            number,
        );
    } else {
        append(Kind::ReleasesLock, name, shared, number);
    }
    let thread = thread::current();
    let mask = LOCKS
        .iter()
        .position(|known| known.load(Relaxed) << 8 == lock << 8)
        .map_or(0, |place| 1 << place);
    let depth = if is_attempt {
        depth
    } else {
        depth.saturating_sub(1)
    };
    if let Some(before) = thread
        .accesses_before
        .get(depth.min(thread.accesses_before.len() - 1))
    {
        let accesses = thread.accesses.load(Relaxed);
        if is_attempt {
            before.store(accesses, Relaxed);
        } else if before.load(Relaxed) != accesses {
            USEFUL.fetch_or(mask, Relaxed);
        }
    }
    USEFUL.load(Relaxed) & mask != 0
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

/// Records that a site is about to lose its breakpoint, or that all are, for good.
pub(crate) fn lose(site: Option<(usize, &Site)>) {
    // The observer itself may have called this.
    let _guard = ReentrancyGuard::enter();
    if log::is_on() && !hold::is_requested() {
        let (index, shared) = site.map_or((u32::MAX as usize, 0), |(index, site)| (index, shared(site)));
        append(Kind::LocksUnseen, b"", shared, (index as u64) << 32);
    }
    LOSSES.fetch_add(1, Relaxed);
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
