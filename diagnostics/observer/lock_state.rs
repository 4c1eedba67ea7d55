//! State of the locks in statics: which are in use, and how many events at them each thread has had.

use crate::thread;
use core::sync::atomic::Ordering::{Relaxed, SeqCst};
use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, AtomicUsize};

/// The locks that threads have taken or tried to take, by their places in a mask: the address, and above it the size of the
/// number that is 0 while nobody holds the lock.
static LOCKS: [AtomicUsize; MOST] = [const { AtomicUsize::new(0) }; MOST];
/// The locks under which an access was made, as a mask.
static USEFUL: AtomicU64 = AtomicU64::new(0);
const SIZE_SHIFT: u32 = 56;
const ADDRESS: usize = (1 << SIZE_SHIFT) - 1;

/// The number of locks in a mask.
pub(crate) const MOST: usize = 64;

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

/// Notes that the calling thread takes a lock, or tries to, or that it releases it. Returns whether an access has ever been made
/// under that lock.
pub(crate) fn event(lock: usize, is_attempt: bool) -> bool {
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
    let is_it = |known: &AtomicUsize| known.load(Relaxed) & ADDRESS == lock;
    let mask = LOCKS.iter().position(is_it).map_or(0, |place| 1 << place);
    let depth = (open.min(now) as usize).min(thread.accesses_before.len() - 1);
    let accesses = thread.accesses.load(Relaxed);
    let before = thread.accesses_before.get(depth);
    if is_attempt {
        before
            .into_iter()
            .for_each(|before| before.store(accesses, Relaxed));
    } else if before.is_some_and(|before| before.load(Relaxed) != accesses) {
        USEFUL.fetch_or(mask, Relaxed);
    }
    USEFUL.load(Relaxed) & mask != 0
}

/// Returns the place of a lock in a mask; `None` if there are too many. A number of `size` bytes at its beginning is 0 while
/// nobody holds it.
pub(crate) fn place_of(lock: usize, size: usize) -> Option<usize> {
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
        let address = lock & ADDRESS;
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

/// Called before a new access of the calling thread is recorded. Returns the mask of the locks in use if that has to be recorded,
/// because they are others than at the thread's last access.
pub(crate) fn accessed() -> Option<u64> {
    let thread = thread::current();
    thread.accesses.fetch_add(1, Relaxed);
    if LOCKS[0].load(Relaxed) == 0 {
        return None;
    }
    let mask = in_use();
    // A thread that works for another test now says it again.
    let state = mask ^ u64::from(thread.test.load(Relaxed)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (thread.locks_in_use.swap(state, Relaxed) != state).then_some(mask)
}

/// Notes that a site has lost its breakpoint.
pub(crate) fn lost() {
    LOSSES.fetch_add(1, Relaxed);
}
