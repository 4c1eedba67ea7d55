//! Threads: each works for the test of the thread that started it, and those that a test harness starts are tests.

use crate::hooks::{signal_masks, signal_stacks, thread_names};
use crate::log::{self, Record};
use crate::log_format::{Kind, header};
use crate::recording::{self, ReentrancyGuard};
use crate::stack::work_memory;
use crate::sys::interpose::{hooks, real_functions};
use crate::sys::{c_char, c_int, c_void};
use crate::{breakpoints, hold, order, rerun_arguments, selector, static_bytes, sys, this_process, thread};
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU16, AtomicU32, AtomicUsize};

type Start = unsafe extern "C" fn(*mut c_void) -> *mut c_void;

/// The data that a new thread takes over. One is in use for each thread that was started and does not run yet.
struct Launch {
    taken: AtomicBool,
    start: AtomicUsize,
    argument: AtomicPtr<c_void>,
    test: AtomicU32,
    /// The observer's signals that its creator has blocked.
    masked: AtomicU32,
    /// Set if the thread is the test itself, and not one of its helpers.
    is_test: AtomicBool,
    /// The gate at which the test waits for its turn; 0 for none.
    gate: AtomicU32,
}

static LAUNCHES: [Launch; 256] = [const {
    Launch {
        taken: AtomicBool::new(false),
        start: AtomicUsize::new(0),
        argument: AtomicPtr::new(core::ptr::null_mut()),
        test: AtomicU32::new(0),
        masked: AtomicU32::new(0),
        is_test: AtomicBool::new(false),
        gate: AtomicU32::new(0),
    }
}; 256];

/// The number of tests in this process so far.
static TESTS: AtomicU32 = AtomicU32::new(0);
/// The number of threads that tests have started.
static HELPERS: AtomicU16 = AtomicU16::new(0);
/// Set if the process works for a single test, and its threads need not be distinguished.
static IS_ONE_TEST: AtomicBool = AtomicBool::new(false);

pub(crate) fn set_one_test() {
    IS_ONE_TEST.store(true, Relaxed);
}

pub(crate) fn is_one_test() -> bool {
    IS_ONE_TEST.load(Relaxed)
}

/// Called by the library in a suite that uses cofferdam: the calling thread works for the test of this number, or for
/// [`RUN`](crate::log_format::RUN), from now on. Returns the number until now.
#[unsafe(no_mangle)]
pub extern "C" fn cofferdam_observer_works_for(test: u32) -> u32 {
    thread::current().test.swap(test, Relaxed)
}

/// Called by the library when a custom harness begins a test on the calling thread, which works for that test from now on.
/// Returns the number until now.
///
/// # Safety
/// `length` bytes can be read at `name`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cofferdam_observer_begins(name: *const u8, length: usize) -> u32 {
    let own = thread::current();
    let before = own.test.load(Relaxed);
    if has_tests()
        && let Some(_guard) = ReentrancyGuard::enter()
    {
        // SAFETY: the caller's promise.
        let name = unsafe { core::slice::from_raw_parts(name, length) };
        own.test.store(record_test(name, Some(before)), Relaxed);
        static_bytes::test_begins(before);
        breakpoints::test_begins(before);
    }
    before
}

/// Called by the library when that test ends, with the number that the thread had before. Returns the test's number.
#[unsafe(no_mangle)]
pub extern "C" fn cofferdam_observer_ends(before: u32) -> u32 {
    let own = thread::current();
    if own.test.load(Relaxed) != before
        && let Some(_guard) = ReentrancyGuard::enter()
    {
        end_test(before);
    }
    own.test.swap(before, Relaxed)
}

/// Returns whether threads of this process are tests.
fn has_tests() -> bool {
    this_process::is_test() && this_process::is_original() && !is_one_test()
}

/// Records a test and returns its number. `within` is the number that the test's thread had before, or `None` if the test
/// is a thread of its own.
fn record_test(name: &[u8], within: Option<u32>) -> u32 {
    let number = TESTS.fetch_add(1, Relaxed) + 1;
    hold::test_begins(number, name);
    rerun_arguments::test_begins(name);
    let mut record = Record::new(Kind::Test, name);
    record.value = u64::from(number);
    let within = within.map(|within| u64::from(within).to_ne_bytes());
    record.second = [&[], within.as_ref().map_or(&[], |within| &within[..])];
    recording::append(&record, false);
    number
}

/// Records the end of the calling thread's test. `within` is the number that the thread had before.
fn end_test(within: u32) {
    hold::test_ends();
    static_bytes::test_ends(within);
    recording::append(&Record::new(Kind::TestOver, b""), false);
    breakpoints::test_ends(within);
}

real_functions! {
    mod real;
    pthread_create(thread: *mut c_void, attributes: *const c_void, start: usize, argument: *mut c_void) -> c_int;
}

/// # Safety
/// The contract of libc's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pthread_create(
    thread: *mut c_void,
    attributes: *const c_void,
    start: usize,
    argument: *mut c_void,
) -> c_int {
    let Some(launch) = prepare(start, argument) else {
        // SAFETY: the program's call.
        return unsafe { real::pthread_create(thread, attributes, start, argument) };
    };
    let place = core::ptr::from_ref(launch).cast_mut().cast();
    // SAFETY: the program's call with a start function of ours, which calls the program's; the launch is static.
    let failed = unsafe { real::pthread_create(thread, attributes, begin as Start as usize, place) };
    if failed != 0 {
        if launch.is_test.load(Relaxed) {
            order::thread_refused();
        }
        launch.taken.store(false, Release);
    }
    failed
}

fn prepare(start: usize, argument: *mut c_void) -> Option<&'static Launch> {
    let _guard = ReentrancyGuard::enter()?;
    let Some(launch) = free_launch() else {
        log::count(header::UNKNOWN_THREADS);
        return None;
    };
    let creator = thread::current().test.load(Relaxed);
    let is_test = creator == 0 && has_tests();
    let mut gate = 0;
    let test = if is_test {
        let mut memory = work_memory::take();
        let buffer = memory.as_mut().map(|memory| &mut memory.paths[0]);
        let name = buffer.map(|buffer| thread_names::of_thread(argument as usize, buffer));
        let name = name.unwrap_or_default();
        let number = record_test(name, None);
        gate = order::gate_of(name);
        number
    } else {
        creator
    };
    launch.start.store(start, Relaxed);
    launch.argument.store(argument, Relaxed);
    launch.test.store(test, Relaxed);
    launch
        .masked
        .store(thread::current().masked.load(Relaxed), Relaxed);
    launch.is_test.store(is_test, Relaxed);
    launch.gate.store(gate, Relaxed);
    Some(launch)
}

/// Takes a launch that is not in use.
fn free_launch() -> Option<&'static Launch> {
    let free = |launch: &&Launch| {
        launch
            .taken
            .compare_exchange(false, true, AcqRel, Relaxed)
            .is_ok()
    };
    // The threads that hold launches release them as soon as they run, which may take long on a busy machine.
    const TRIES: u32 = 100_000;
    for _ in 0..TRIES {
        let found = LAUNCHES.iter().find(free);
        if found.is_some() {
            return found;
        }
        // SAFETY: only gives up the rest of this turn.
        unsafe { sys::sched_yield() };
    }
    if order::is_arriving() {
        order::thread_refused();
    }
    None
}

fn next_helper() -> u16 {
    let next = |count: u16| count.checked_add(1);
    HELPERS
        .fetch_update(Relaxed, Relaxed, next)
        .map_or(u16::MAX, |count| count + 1)
}

/// The start function of every thread that was started here.
///
/// # Safety
/// Called by libc with the launch.
unsafe extern "C" fn begin(launch: *mut c_void) -> *mut c_void {
    // SAFETY: the launch that `pthread_create` passed, which is static.
    let launch = unsafe { &*launch.cast::<Launch>() };
    let (start, argument) = (launch.start.load(Acquire), launch.argument.load(Acquire));
    let (is_test, gate) = (launch.is_test.load(Relaxed), launch.gate.load(Relaxed));
    let own = thread::current();
    own.test.store(launch.test.load(Relaxed), Relaxed);
    own.awaits_name.store(u8::from(is_test), Relaxed);
    if !is_test {
        own.helper.store(next_helper(), Relaxed);
    }
    own.masked.store(launch.masked.load(Relaxed), Relaxed);
    launch.taken.store(false, Release);
    if selector::is_on() {
        signal_masks::unblock();
        selector::arm();
    }
    signal_stacks::give();
    if gate != 0 {
        order::wait(gate);
    }
    if is_test {
        hold::wait_for_change(own.test.load(Relaxed));
        static_bytes::test_begins(0);
        breakpoints::test_begins(0);
    }
    // SAFETY: the start function that the program passed to `pthread_create`.
    let answer = unsafe { core::mem::transmute::<usize, Start>(start)(argument) };
    if is_test && let Some(_guard) = ReentrancyGuard::enter() {
        end_test(0);
    }
    signal_stacks::take_back();
    answer
}

hooks! {
    mod real_naming;
    pthread_setname_np(thread: usize, name: *const c_char) -> c_int, |_done| after_set_name(name);
}

/// Records the short name of a test's thread: std sets it first of all, cut to 15 bytes. The name read from memory must
/// begin with it.
///
/// # Safety
/// The program passed the name to libc.
unsafe fn after_set_name(name: *const c_char) {
    let own = thread::current();
    if own.awaits_name.load(Relaxed) == 0 {
        return;
    }
    if let Some(_guard) = ReentrancyGuard::enter() {
        own.awaits_name.store(0, Relaxed);
        // SAFETY: the caller's promise.
        recording::append(&Record::new(Kind::ShortName, unsafe { sys::text(name) }), false);
    }
}
