//! The system calls that the observer makes for itself, past its own hooks.

use crate::sys::interpose::real_functions;
use crate::sys::{self, Timespec, c_char, c_int, c_long, c_uint, c_void, nr};
use core::sync::atomic::AtomicU32;

mod real {
    use super::*;
    real_functions! {
        syscall(number: c_long, a: usize, b: usize, c: usize, d: usize, e: usize, f: usize) -> c_long;
    }
}

real_functions! {
    close(fd: c_int) -> c_int;
    getcwd(to: *mut c_char, length: usize) -> *mut c_char;
    open(name: *const c_char, flags: c_int, mode: c_uint) -> c_int;
    openat(folder: c_int, name: *const c_char, flags: c_int, mode: c_uint) -> c_int;
    readlink(name: *const c_char, to: *mut c_char, length: usize) -> isize;
    stat(name: *const c_char, to: *mut c_void) -> c_int;
}

/// Looks up the functions above.
pub(crate) fn resolve_all() {
    real::resolve();
    resolve();
}

/// Makes a system call with up to six arguments, by libc's `syscall`, whose code the kernel reports no calls from.
/// Returns -1 and sets `errno` if it fails.
///
/// # Safety
/// That of the call.
#[inline(always)]
pub(crate) unsafe fn syscall<const COUNT: usize>(number: c_long, arguments: [usize; COUNT]) -> c_long {
    let mut all = [0; 6];
    for (place, argument) in all.iter_mut().zip(arguments) {
        *place = argument;
    }
    let [a, b, c, d, e, f] = all;
    // SAFETY: the caller's promise.
    unsafe { real::syscall(number, a, b, c, d, e, f) }
}

pub(crate) const FUTEX_WAIT: usize = 128;
pub(crate) const FUTEX_WAKE: usize = 128 + 1;

/// Waits at a word while it has the value, for at most that time, or wakes that many threads that wait at it.
pub(crate) fn futex(word: &'static AtomicU32, operation: usize, value: usize, limit: Option<&Timespec>) {
    let limit = limit.map_or(0, |limit| (core::ptr::from_ref(limit)).addr());
    // SAFETY: a word that is never freed, and a time that is null or valid.
    unsafe {
        syscall(
            nr::FUTEX,
            [core::ptr::from_ref(word).addr(), operation, value, limit],
        )
    };
}

/// Closes a descriptor of the observer's own.
pub(crate) fn close_own(fd: c_int) {
    // SAFETY: our own descriptor.
    unsafe { close(fd) };
}

/// Returns whether the page at that address can be read, according to the kernel. Sets `errno`.
///
/// The call reads a signal mask from there before it rejects the way in which it is to be applied.
pub(crate) fn is_readable(at: usize) -> bool {
    const INVALID_WAY: usize = usize::MAX;
    // SAFETY: changes nothing.
    let answer = unsafe { syscall(nr::RT_SIGPROCMASK, [INVALID_WAY, at & !7, 0, 8]) };
    answer == -1 && sys::errno() == sys::EINVAL
}
