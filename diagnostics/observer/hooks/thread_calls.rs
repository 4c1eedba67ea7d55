//! Threads: each works for the test of the thread that began it, and those that a test harness begins are tests.

use crate::format::{Kind, header};
use crate::hooks::{process_calls, thread_names};
use crate::log::{self, Entry};
use crate::record::Noting;
use crate::stack::work_memory;
use crate::sys::interpose::{hooks, reals};
use crate::sys::{c_char, c_int, c_void};
use crate::{dispatch, hold, sys, thread};
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicUsize};

type Start = unsafe extern "C" fn(*mut c_void) -> *mut c_void;

/// What a new thread is told. There are as many as threads that were begun and do not run yet.
struct Slot {
    taken: AtomicBool,
    start: AtomicUsize,
    argument: AtomicPtr<c_void>,
    test: AtomicU32,
    /// Whether its creator has blocked SIGSYS.
    masked: AtomicU8,
    /// Whether the thread is the test itself, and not one of its helpers.
    is_test: AtomicBool,
}

static SLOTS: [Slot; 256] = [const {
    Slot {
        taken: AtomicBool::new(false),
        start: AtomicUsize::new(0),
        argument: AtomicPtr::new(core::ptr::null_mut()),
        test: AtomicU32::new(0),
        masked: AtomicU8::new(0),
        is_test: AtomicBool::new(false),
    }
}; 256];

/// Tests of this process so far.
static TESTS: AtomicU32 = AtomicU32::new(0);
/// Whether the whole process works for one test, and threads need not be told apart.
static IS_ONE_TEST: AtomicBool = AtomicBool::new(false);

pub(crate) fn one_test() {
    IS_ONE_TEST.store(true, Relaxed);
}

/// For the library of a suite that uses cofferdam: the calling thread works for the test of this number, or for
/// [`RUN`](crate::format::RUN), from now on. Returns the number until now.
#[unsafe(no_mangle)]
pub extern "C" fn cofferdam_observer_works_for(test: u32) -> u32 {
    thread::current().test.swap(test, Relaxed)
}

pub(crate) mod real {
    use super::*;
    reals! {
        pthread_create(thread: *mut c_void, attributes: *const c_void, start: usize, argument: *mut c_void) -> c_int;
    }
}

/// # Safety
/// That of libc's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pthread_create(
    thread: *mut c_void,
    attributes: *const c_void,
    start: usize,
    argument: *mut c_void,
) -> c_int {
    let Some(slot) = prepared(start, argument) else {
        // SAFETY: the program's call.
        return unsafe { real::pthread_create(thread, attributes, start, argument) };
    };
    let place = core::ptr::from_ref(slot).cast_mut().cast();
    // SAFETY: the program's call with a start of ours, which calls the program's; the slot is static.
    let failed = unsafe { real::pthread_create(thread, attributes, begin as Start as usize, place) };
    if failed != 0 {
        slot.taken.store(false, Release);
    }
    failed
}

fn prepared(start: usize, argument: *mut c_void) -> Option<&'static Slot> {
    let _noting = Noting::begin()?;
    let free = |slot: &&Slot| slot.taken.compare_exchange(false, true, AcqRel, Relaxed).is_ok();
    let Some(slot) = SLOTS.iter().find(free) else {
        log::count(header::UNKNOWN_THREADS);
        return None;
    };
    let creator = thread::current().test.load(Relaxed);
    let is_test = creator == 0 && process_calls::is_test() && log::is_first() && !IS_ONE_TEST.load(Relaxed);
    let test = if is_test {
        let number = TESTS.fetch_add(1, Relaxed) + 1;
        let mut scratch = work_memory::take();
        let buffer = scratch.as_mut().map(|scratch| &mut scratch.paths[0]);
        let name = buffer.map(|buffer| thread_names::of_thread(argument as usize, buffer));
        let name = name.unwrap_or_default();
        hold::begins(number, name);
        let mut entry = Entry::new(Kind::Test, name);
        entry.value = u64::from(number);
        log::append(&entry, false);
        number
    } else {
        creator
    };
    slot.start.store(start, Relaxed);
    slot.argument.store(argument, Relaxed);
    slot.test.store(test, Relaxed);
    slot.masked.store(thread::current().masked.load(Relaxed), Relaxed);
    slot.is_test.store(is_test, Relaxed);
    Some(slot)
}

/// Where every thread begins that was begun here.
///
/// # Safety
/// Called by libc with the slot.
unsafe extern "C" fn begin(slot: *mut c_void) -> *mut c_void {
    // SAFETY: the slot that `pthread_create` handed over, which is static.
    let slot = unsafe { &*slot.cast::<Slot>() };
    let (start, argument) = (slot.start.load(Acquire), slot.argument.load(Acquire));
    let is_test = slot.is_test.load(Relaxed);
    let own = thread::current();
    own.test.store(slot.test.load(Relaxed), Relaxed);
    own.unnamed.store(u8::from(is_test), Relaxed);
    own.masked.store(slot.masked.load(Relaxed), Relaxed);
    slot.taken.store(false, Release);
    dispatch::arm_thread();
    // SAFETY: what the program handed to `pthread_create` as its start.
    let answer = unsafe { core::mem::transmute::<usize, Start>(start)(argument) };
    if is_test && let Some(_noting) = Noting::begin() {
        log::append(&Entry::new(Kind::TestOver, b""), false);
    }
    answer
}

mod naming {
    use super::*;
    hooks! {
        pthread_setname_np(thread: usize, name: *const c_char) -> c_int, |_done| named(name);
    }
}
pub(crate) use naming::real as names_of_threads;

/// std names a thread first thing, cut to 15 bytes: what was read from memory has to begin with that.
///
/// # Safety
/// The program handed the name to libc.
unsafe fn named(name: *const c_char) {
    let own = thread::current();
    if own.unnamed.load(Relaxed) == 0 {
        return;
    }
    if let Some(_noting) = Noting::begin() {
        own.unnamed.store(0, Relaxed);
        // SAFETY: the caller's promise.
        log::append(&Entry::new(Kind::ShortName, unsafe { sys::text(name) }), false);
    }
}
