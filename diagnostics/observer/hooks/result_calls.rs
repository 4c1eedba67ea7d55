//! The results of tests: the text that a test harness prints on its main thread, and the status of the process.
//!
//! libtest prints the result of each test on the thread that started the tests, so what the tests themselves print is left
//! out. A process that is one test needs no text: its status says whether it passed.

use crate::hooks::thread_calls;
use crate::log::{self, Record};
use crate::log_format::{EXITED, Kind, LONGEST, MOST_PRINTED, TRUNCATED, header};
use crate::recording::{self, ReentrancyGuard};
use crate::sys::interpose::real_functions;
use crate::sys::{self, c_int, c_void};
use crate::{this_process, thread};
use core::sync::atomic::Ordering::Relaxed;
use core::sync::atomic::{AtomicBool, AtomicU64};

const STANDARD_OUTPUT: c_int = 1;

/// The number of bytes recorded so far, including those that found no room.
static PRINTED: AtomicU64 = AtomicU64::new(0);
static IS_TRUNCATED: AtomicBool = AtomicBool::new(false);

real_functions! {
    mod real;
    write(fd: c_int, from: *const c_void, length: usize) -> isize;
    _exit(status: c_int) -> ();
}

/// # Safety
/// The contract of libc's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn write(fd: c_int, from: *const c_void, length: usize) -> isize {
    // SAFETY: the program's call.
    let written = unsafe { real::write(fd, from, length) };
    if fd == STANDARD_OUTPUT {
        // SAFETY: the kernel has read that many bytes.
        unsafe { after_print(from, written) };
    }
    written
}

/// # Safety
/// `written` bytes can be read at `from`.
#[inline(never)]
unsafe fn after_print(from: *const c_void, written: isize) {
    let is_harness = this_process::is_test()
        && this_process::is_original()
        && thread::current().test.load(Relaxed) == 0
        && !thread_calls::is_one_test();
    let length = usize::try_from(written).unwrap_or(0);
    if !is_harness || length == 0 {
        return;
    }
    let Some(_guard) = ReentrancyGuard::enter() else {
        return;
    };
    let before = PRINTED.fetch_add(length as u64, Relaxed);
    let room = log::room_in_all().min(MOST_PRINTED).saturating_sub(before);
    // SAFETY: the caller's promise.
    let text = unsafe { core::slice::from_raw_parts(from.cast::<u8>(), length) };
    let kept = usize::try_from(room).unwrap_or(0).min(length);
    for part in text.get(..kept).unwrap_or_default().chunks(LONGEST) {
        recording::append(&Record::new(Kind::Printed, part), false);
    }
    if kept < length && !IS_TRUNCATED.swap(true, Relaxed) {
        let mut record = Record::new(Kind::Printed, b"");
        record.value = TRUNCATED;
        recording::append(&record, false);
    }
}

/// Has libc report the status with which the process exits.
pub(crate) fn begin() {
    // SAFETY: the function is never unloaded.
    unsafe { sys::on_exit(at_exit, core::ptr::null_mut()) };
}

/// Called by libc after the program's own exit functions.
extern "C" fn at_exit(status: c_int, _: *mut c_void) {
    set_status(status);
}

/// # Safety
/// The contract of libc's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn _exit(status: c_int) {
    set_status(status);
    // SAFETY: the program's call, which does not return.
    unsafe { real::_exit(status) };
}

/// # Safety
/// The contract of libc's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn _Exit(status: c_int) {
    // SAFETY: the program's call.
    unsafe { _exit(status) };
}

/// Writes the status and the time into the log's header, which has room for them even if the log is full or closed. A copy of
/// the process has a status of its own.
fn set_status(status: c_int) {
    let is_copy = || this_process::may_call() && this_process::kernel_pid() != this_process::pid();
    if log::is_on() && this_process::is_original() && !is_copy() {
        log::set(header::EXITED_AT, sys::now(sys::CLOCK_MONOTONIC));
        log::set(header::STATUS, EXITED | (status & 0xff) as u64);
    }
}
