//! SIGSYS stays ours and open; a program's own handler for it is kept and called for what is not ours.

use crate::real::reals;
use crate::sys::{self, SA_NODEFER, SA_RESTART, SA_SIGINFO, SIGSYS, Sigaction, Sigset, c_int, c_void};
use core::cell::UnsafeCell;
use core::sync::atomic::AtomicBool;
use core::sync::atomic::Ordering::{Acquire, Release};

pub(crate) mod real {
    use super::*;
    reals! {
        sigaction(signal: c_int, new: *const Sigaction, old: *mut Sigaction) -> c_int;
        signal(signal: c_int, handler: usize) -> usize;
        pthread_sigmask(how: c_int, set: *const Sigset, old: *mut Sigset) -> c_int;
        sigprocmask(how: c_int, set: *const Sigset, old: *mut Sigset) -> c_int;
    }
}

/// What the program wants done with SIGSYS.
struct Kept(UnsafeCell<Sigaction>);

// SAFETY: written in `sigaction` only, which a program that has several threads calls from one at a time for a signal,
// or cannot tell which of its handlers is set.
unsafe impl Sync for Kept {}

static KEPT: Kept = Kept(UnsafeCell::new(Sigaction {
    handler: 0,
    mask: Sigset::EMPTY,
    flags: 0,
    restorer: 0,
}));
static IS_OURS: AtomicBool = AtomicBool::new(false);

/// `SIG_DFL` and `SIG_IGN`.
const DEFAULT: usize = 0;
const IGNORED: usize = 1;
/// Where a signal's description says what it is, and that it is a seccomp filter's.
pub(crate) const CODE: usize = 2;
const SYS_SECCOMP: c_int = 1;

/// Puts our handler in place.
pub(crate) fn install(handler: usize) -> bool {
    let ours = Sigaction {
        handler,
        mask: Sigset::EMPTY,
        flags: SA_SIGINFO | SA_NODEFER | SA_RESTART,
        restorer: 0,
    };
    // SAFETY: a handler that returns, and a place for the old one; there is one thread.
    let done = unsafe { real::sigaction(SIGSYS, &raw const ours, KEPT.0.get()) == 0 };
    IS_OURS.store(done, Release);
    done
}

/// Unblocks SIGSYS for this thread: blocked it would end the process.
pub(crate) fn open() {
    let set = Sigset::only_sigsys();
    // SAFETY: a valid set.
    unsafe { real::pthread_sigmask(sys::SIG_UNBLOCK, &raw const set, core::ptr::null_mut()) };
}

/// A SIGSYS that is not the kernel's report to us: a seccomp filter's, or one that somebody sent.
///
/// # Safety
/// Called in the handler with what the kernel gave it.
pub(crate) unsafe fn hand_on(signal: c_int, info: *mut c_int, context: *mut c_void) {
    // SAFETY: the kernel's description; what the program itself set, called as it asked.
    unsafe {
        let kept = *KEPT.0.get();
        match kept.handler {
            // A filter's is not to be ignored: the kernel would put the default back.
            IGNORED if *info.add(CODE) != SYS_SECCOMP => {}
            DEFAULT | IGNORED => {
                // As if we were not here. Nothing brings it again, so it is sent again, and ends the process.
                let default = Sigaction {
                    handler: DEFAULT,
                    ..kept
                };
                IS_OURS.store(false, Release);
                real::sigaction(SIGSYS, &raw const default, core::ptr::null_mut());
                sys::raise(SIGSYS);
            }
            handler if kept.flags & SA_SIGINFO != 0 => {
                core::mem::transmute::<usize, unsafe extern "C" fn(c_int, *mut c_void, *mut c_void)>(handler)(
                    signal,
                    info.cast(),
                    context,
                );
            }
            handler => core::mem::transmute::<usize, unsafe extern "C" fn(c_int)>(handler)(signal),
        }
    }
}

/// # Safety
/// That of libc's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sigaction(signal: c_int, new: *const Sigaction, old: *mut Sigaction) -> c_int {
    if !IS_OURS.load(Acquire) {
        // SAFETY: the program's call.
        return unsafe { real::sigaction(signal, new, old) };
    }
    // SAFETY: the program's own structures, which libc would read and write.
    unsafe {
        if signal == SIGSYS {
            let kept = KEPT.0.get();
            let before = *kept;
            if !new.is_null() {
                *kept = *new;
            }
            if !old.is_null() {
                *old = before;
            }
            return 0;
        }
        if new.is_null() {
            return real::sigaction(signal, new, old);
        }
        let mut open = *new;
        open.mask = open.mask.without_sigsys();
        real::sigaction(signal, &raw const open, old)
    }
}

/// # Safety
/// That of libc's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn signal(signal: c_int, handler: usize) -> usize {
    // SAFETY: the program's call.
    unsafe {
        if signal == SIGSYS && IS_OURS.load(Acquire) {
            let kept = KEPT.0.get();
            let before = (*kept).handler;
            (*kept).handler = handler;
            (*kept).flags = 0;
            return before;
        }
        real::signal(signal, handler)
    }
}

/// The set without SIGSYS, if it says what is to be blocked.
///
/// # Safety
/// The program handed it to libc.
unsafe fn opened(how: c_int, set: *const Sigset) -> Option<Sigset> {
    if set.is_null() || how == sys::SIG_UNBLOCK || !IS_OURS.load(Acquire) {
        return None;
    }
    // SAFETY: the caller's promise. libc reads the first words only, and that is all there may be.
    let first = unsafe { *set.cast::<u64>() };
    let mut opened = Sigset::EMPTY;
    opened.0[0] = first;
    Some(opened.without_sigsys())
}

/// # Safety
/// That of libc's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pthread_sigmask(how: c_int, set: *const Sigset, old: *mut Sigset) -> c_int {
    // SAFETY: the program's call.
    unsafe {
        match opened(how, set) {
            Some(open) => real::pthread_sigmask(how, &raw const open, old),
            None => real::pthread_sigmask(how, set, old),
        }
    }
}

/// # Safety
/// That of libc's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sigprocmask(how: c_int, set: *const Sigset, old: *mut Sigset) -> c_int {
    // SAFETY: the program's call.
    unsafe {
        match opened(how, set) {
            Some(open) => real::sigprocmask(how, &raw const open, old),
            None => real::sigprocmask(how, set, old),
        }
    }
}
