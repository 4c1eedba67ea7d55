//! The tests that run, each with a bit of its own, so that a site can note which of them it has reported.

use core::sync::atomic::Ordering::{Relaxed, SeqCst};
use core::sync::atomic::{AtomicU32, AtomicU64};

/// The number of the test with each bit; 0 for none.
static TESTS: [AtomicU32; 64] = [const { AtomicU32::new(0) }; 64];
/// The bits of the tests that run.
static BITS: AtomicU64 = AtomicU64::new(0);
/// The number of tests that run without a bit, because there were too many.
static WITHOUT_BIT: AtomicU32 = AtomicU32::new(0);

/// Returns the bit of a test; 0 if it has none.
pub(crate) fn bit_of(test: u32) -> u64 {
    let found = TESTS.iter().position(|one| one.load(Relaxed) == test);
    found.filter(|_| test != 0).map_or(0, |place| 1 << place)
}

/// Gives a bit to a test that begins: that of the test `within`, if the thread has worked for one. The test counts as running
/// once the bit is passed to [`run`].
pub(crate) fn begin(test: u32, within: u32) -> u64 {
    if within != 0
        && let Some(place) = TESTS.iter().position(|one| replace(one, within, test))
    {
        return 1 << place;
    }
    let place = TESTS.iter().position(|one| replace(one, 0, test));
    if place.is_none() {
        WITHOUT_BIT.fetch_add(1, SeqCst);
    }
    place.map_or(0, |place| 1 << place)
}

/// Counts the tests with these bits as running.
pub(crate) fn run(bits: u64) {
    BITS.fetch_or(bits, SeqCst);
}

/// Takes back the bit of a test that has ended, and returns it to the test `within`, if there is one.
pub(crate) fn end(test: u32, within: u32) {
    let is_next = within != 0 && bit_of(within) == 0;
    match bit_of(test) {
        0 => _ = WITHOUT_BIT.fetch_update(SeqCst, Relaxed, |count| count.checked_sub(1)),
        bit => {
            if !is_next {
                BITS.fetch_and(!bit, SeqCst);
            }
            let next = if is_next { within } else { 0 };
            TESTS.iter().for_each(|one| _ = replace(one, test, next));
        }
    }
}

fn replace(one: &AtomicU32, expected: u32, new: u32) -> bool {
    one.compare_exchange(expected, new, SeqCst, Relaxed).is_ok()
}

/// Returns the bits of all running tests, or `None` if one of them has no bit.
pub(crate) fn bits() -> Option<u64> {
    (WITHOUT_BIT.load(SeqCst) == 0).then(|| BITS.load(SeqCst))
}
