//! The breakpoints at the instructions that use statics: where they are, and while they are set. They are set when a test
//! begins, and removed one by one when they have nothing new to report.

pub(crate) mod copies;
mod running_tests;
pub(crate) mod table;

use crate::log_format::{self, header};
use crate::site_table::{ATTEMPT, BEHIND_ARGUMENT, IN_ARGUMENT, RELEASE, Site};
use crate::sys;
use crate::{log, this_process, thread};
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize};

const BREAKPOINT: u8 = 0xcc;

/// The number of reports without new information after which a site's breakpoint is removed.
const MOST_REPEATS: u8 = 16;
/// The reports by threads of earlier tests that remove no breakpoint. After that, such a thread has cost enough.
const MOST_STRAYS: u32 = 100_000;
/// The same for sites that take or release locks: a pool may do so often.
const MOST_STRAYS_AT_LOCKS: u32 = 2_000;
/// The number of reports that remove no breakpoint while tests pause at a static: each thread has to reach it.
const MOST_HELD: u32 = 10_000;
/// How often [`MOST_REPEATS`] is halved for a site that brings nothing new.
const MOST_HALVINGS: u8 = 4;
/// The same for the entry of a function with one new report for each test: its next call may get another static.
const MOST_HALVINGS_OF_ENTRIES: u8 = 3;
/// The number of reports after which the breakpoint of a site that takes or releases locks is removed.
const MOST_LOCKS: u8 = 64;

/// Set while breakpoints may be set.
static IS_ON: AtomicBool = AtomicBool::new(false);
/// The thread that is setting breakpoints, by the address of its state; 0 for none.
static SETTING: AtomicUsize = AtomicUsize::new(0);
/// The tests that are over, by their numbers.
static OVER: [AtomicU64; 1024] = [const { AtomicU64::new(0) }; 1024];
/// The number of reports by threads of tests that are over.
static STRAYS: AtomicU32 = AtomicU32::new(0);
/// The number of reports of statics at which tests pause.
static HELD: AtomicU32 = AtomicU32::new(0);
/// The state of each site.
static STATES: AtomicPtr<SiteState> = AtomicPtr::new(core::ptr::null_mut());

/// What a site has reported since its breakpoint was set.
struct SiteState {
    /// The running tests that the site has ever reported, by their bits.
    seen: AtomicU64,
    /// Reports with something new.
    news: AtomicU8,
    repeats: AtomicU8,
    /// How often the number of repeats was reached without news, for an entry with at most one new report for each test.
    halvings: AtomicU8,
}

/// Prepares the breakpoints of the table that was read. Returns `false` if that is impossible.
pub(crate) fn prepare() -> bool {
    table::fits() && allocate_states() && copies::make() && table::make_writable()
}

/// Enables breakpoints.
pub(crate) fn enable() {
    IS_ON.store(true, SeqCst);
}

fn allocate_states() -> bool {
    let size = table::sites().len() * size_of::<SiteState>();
    let (protection, flags) = (
        sys::PROT_READ | sys::PROT_WRITE,
        sys::MAP_PRIVATE | sys::MAP_ANONYMOUS,
    );
    // SAFETY: fresh memory.
    let found = unsafe { sys::mmap(core::ptr::null_mut(), size.max(1), protection, flags, -1, 0) };
    if found != sys::MAP_FAILED {
        STATES.store(found.cast(), Relaxed);
    }
    found != sys::MAP_FAILED
}

fn state_of(site: usize) -> Option<&'static SiteState> {
    let states = STATES.load(Relaxed);
    // SAFETY: there is a state for each site, zeros are valid, and the memory stays.
    (!states.is_null() && site < table::sites().len()).then(|| unsafe { &*states.add(site) })
}

/// Returns the first byte of a site.
fn first_byte(site: &Site) -> &'static AtomicU8 {
    // SAFETY: a byte of the program's code, writable since `prepare`.
    unsafe { AtomicU8::from_ptr(table::place_of(site)) }
}

/// Sets a breakpoint, unless the program has changed its code there.
fn set_breakpoint(site: &Site) {
    replace(site, site.first, BREAKPOINT);
}

fn remove_breakpoint(site: &Site) {
    replace(site, BREAKPOINT, site.first);
}

fn replace(site: &Site, expected: u8, new: u8) {
    let byte = first_byte(site);
    // An attempt to write costs threads that execute the code.
    if byte.load(Relaxed) == expected {
        let _ = byte.compare_exchange(expected, new, Relaxed, Relaxed);
    }
}

/// Sets all breakpoints for the calling thread's test, which begins. `within` is the number that the thread had before.
pub(crate) fn test_begins(within: u32) {
    if !IS_ON.load(Acquire) {
        return;
    }
    let own = core::ptr::from_ref(thread::current()).addr();
    while SETTING.compare_exchange(0, own, SeqCst, Relaxed).is_err() {
        // SAFETY: only gives up the rest of this turn.
        unsafe { sys::sched_yield() };
    }
    let bit = running_tests::begin(thread::current().test.load(Relaxed), within);
    let states = || (0..table::sites().len()).filter_map(state_of);
    // An earlier test had the bit, so it is cleared before it counts.
    states().for_each(|state| _ = state.seen.fetch_and(!bit, SeqCst));
    running_tests::run(bit);
    for (state, site) in states().zip(table::sites()) {
        state.news.store(0, Relaxed);
        state.repeats.store(0, Relaxed);
        if IS_ON.load(SeqCst) {
            set_breakpoint(site);
        }
    }
    SETTING.store(0, Release);
}

/// Notes that the calling thread's test is over, and that the thread works for the test `within` again.
pub(crate) fn test_ends(within: u32) {
    if IS_ON.load(Relaxed) {
        let test = thread::current().test.load(Relaxed);
        running_tests::end(test, within);
        if let Some(word) = OVER.get(test as usize / 64) {
            word.fetch_or(1 << (test % 64), Relaxed);
        }
    }
}

/// Returns whether the calling thread works for a test that is over.
pub(crate) fn is_stray() -> bool {
    let test = thread::current().test.load(Relaxed);
    let word = OVER.get(test as usize / 64);
    word.is_some_and(|word| word.load(Relaxed) & 1 << (test % 64) != 0)
}

/// Ends the observation of statics for good.
pub(crate) fn stop() {
    if IS_ON.swap(false, SeqCst) {
        let own = core::ptr::from_ref(thread::current()).addr();
        // A copy of the process has no other threads, and a handler may have interrupted this one.
        let is_set_by_another = || {
            let setting = SETTING.load(SeqCst);
            setting != 0 && setting != own
        };
        while this_process::is_itself() && is_set_by_another() {
            // SAFETY: only gives up the rest of this turn.
            unsafe { sys::sched_yield() };
        }
        table::sites().iter().for_each(remove_breakpoint);
        if this_process::is_original() {
            log::set(header::MEMORY, log_format::MEMORY_ENDED);
        }
    }
}

/// Called in a forked copy of the process, whose statics no test shares.
pub(crate) fn forked() {
    if IS_ON.swap(false, SeqCst) {
        table::sites().iter().for_each(remove_breakpoint);
    }
}

/// Notes a report of a site, with whether it was new and whether pauses are requested. Removes the breakpoint if it has nothing
/// new to report, and returns whether it stays. Calls `lose` before it removes that of a site which takes or releases locks.
pub(crate) fn reported(index: usize, site: &Site, is_news: bool, is_held: bool, lose: impl FnOnce()) -> bool {
    let Some(state) = state_of(index) else {
        return true;
    };
    let takes_locks = site.how & (ATTEMPT | RELEASE) != 0;
    let most = if takes_locks {
        MOST_STRAYS_AT_LOCKS
    } else {
        MOST_STRAYS
    };
    if is_stray() && STRAYS.fetch_add(1, Relaxed) < most {
        return IS_ON.load(Relaxed);
    }
    if is_news && is_held && HELD.fetch_add(1, Relaxed) < MOST_HELD {
        return IS_ON.load(Relaxed);
    }
    let is_entry = site.how & (IN_ARGUMENT | BEHIND_ARGUMENT) != 0;
    let own = running_tests::bit_of(thread::current().test.load(Relaxed));
    let seen = state.seen.fetch_or(own, SeqCst) | own;
    let running = running_tests::bits();
    let may_go = !is_entry && !takes_locks;
    let is_complete = |running: Option<u64>| may_go && running.is_some_and(|running| running & !seen == 0);
    let is_spent = || takes_locks && state.news.load(Relaxed) >= MOST_LOCKS;
    if !is_complete(running) && may_bring_news(state, is_entry, is_news, seen) && !is_spent() {
        return IS_ON.load(Relaxed);
    }
    if takes_locks {
        lose();
    }
    remove_breakpoint(site);
    // A test has begun meanwhile, and may have set the breakpoint before it was removed here.
    if running_tests::bits() != running && IS_ON.load(SeqCst) {
        set_breakpoint(site);
    }
    false
}

/// Counts a report. Returns whether the site may still bring something new before the next test begins.
fn may_bring_news(state: &SiteState, is_entry: bool, is_news: bool, seen: u64) -> bool {
    let halvings = state.halvings.load(Relaxed);
    if is_news {
        let news = state.news.fetch_add(1, Relaxed).saturating_add(1);
        let is_more = !is_entry || u32::from(news) > seen.count_ones();
        let most = if is_more { 0 } else { MOST_HALVINGS_OF_ENTRIES };
        state.halvings.store(halvings.min(most), Relaxed);
        return true;
    }
    let repeats = state.repeats.fetch_add(1, Relaxed).saturating_add(1);
    let may_bring = repeats < MOST_REPEATS >> halvings;
    let most = match u32::from(state.news.load(Relaxed)) {
        0 => MOST_HALVINGS,
        news if is_entry && news <= seen.count_ones() => MOST_HALVINGS_OF_ENTRIES,
        _ => 0,
    };
    if !may_bring && halvings < most {
        state.halvings.store(halvings + 1, Relaxed);
    }
    may_bring
}
