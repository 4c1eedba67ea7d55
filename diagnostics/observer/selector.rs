//! Syscall User Dispatch: the kernel reports a thread's raw system calls while the thread's selector says so.

use crate::log_format::{self, header};
use crate::stack::modules;
use crate::sys::c_int;
use crate::sys::interpose::real_functions;
use crate::thread::Thread;
use crate::{breakpoints, log, this_process, thread};
use core::sync::atomic::AtomicBool;
use core::sync::atomic::Ordering::Relaxed;

pub(crate) const PR_SET_SYSCALL_USER_DISPATCH: c_int = 59;
const LET_THROUGH: u8 = 0;
const REPORT: u8 = 1;

/// Set while threads are to be armed.
static IS_ON: AtomicBool = AtomicBool::new(false);

real_functions! {
    mod real;
    prctl(option: c_int, a: usize, b: usize, c: usize, d: usize) -> c_int;
}

pub(crate) fn is_on() -> bool {
    IS_ON.load(Relaxed)
}

/// Arms the only thread, and enables arming of the later ones. Returns `false` if that is impossible.
pub(crate) fn begin() -> bool {
    IS_ON.store(true, Relaxed);
    let is_armed = arm();
    IS_ON.store(is_armed, Relaxed);
    is_armed
}

/// Has this thread's raw calls reported from now on. Returns `false` if that is impossible.
///
/// The kernel drops the setting at exec and in new threads and processes, so each of those calls this again.
pub(crate) fn arm() -> bool {
    if !is_on() {
        return false;
    }
    let own = thread::current();
    if !own.is_sigsys_blocked() {
        own.selector.store(REPORT, Relaxed);
    }
    let (start, length) = modules::libc();
    let selector = (&raw const own.selector) as usize;
    // SAFETY: the selector lives as long as its thread.
    let failed = unsafe { real::prctl(PR_SET_SYSCALL_USER_DISPATCH, 1, start, length, selector) };
    own.is_armed.store(u8::from(failed == 0), Relaxed);
    failed == 0
}

/// Has raw calls reported again after one that was let through.
pub(crate) fn rearm() {
    let own = thread::current();
    if own.is_armed.load(Relaxed) != 0 && !own.is_sigsys_blocked() && is_on() {
        own.selector.store(REPORT, Relaxed);
    }
}

/// Lets the thread's raw calls through until [`rearm`].
pub(crate) fn let_through(own: &Thread) {
    own.selector.store(LET_THROUGH, Relaxed);
}

/// Ends the observer's system calls and reports for good: the program is about to restrict its own calls, and ours
/// would be no exception.
pub(crate) fn stop() {
    if log::is_on() {
        breakpoints::stop();
        this_process::stop_calling();
        IS_ON.store(false, Relaxed);
        let own = thread::current();
        let_through(own);
        if own.is_armed.swap(0, Relaxed) != 0 {
            if this_process::is_original() {
                log::set(header::RAW, log_format::RAW_ENDED);
            }
            // SAFETY: only takes back what `arm` set.
            unsafe { real::prctl(PR_SET_SYSCALL_USER_DISPATCH, 0, 0, 0, 0) };
        }
    }
}
