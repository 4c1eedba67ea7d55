//! The functions for signals of BSD and System V, by those of POSIX.

use crate::hooks::signal_masks::{IGNORED, OF_LIBC, change_shown, sigaction, signal, sigsuspend};
use crate::sys::{self, SA_NODEFER, SA_RESETHAND, Sigaction, Sigset, bit, c_int, c_uint};

/// Changes the shown mask for the old functions, which know the first 32 signals. Returns the old mask, or -1.
fn change_old(how: c_int, set: u64) -> c_int {
    let mut old = 0;
    // SAFETY: masks of ours.
    match unsafe { change_shown(how, &raw const set, &raw mut old, OF_LIBC) } {
        0 => old as c_int,
        _ => -1,
    }
}

/// # Safety
/// The contract of libc's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sigblock(mask: c_int) -> c_int {
    change_old(sys::SIG_BLOCK, u64::from(mask as c_uint))
}

/// # Safety
/// The contract of libc's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sigsetmask(mask: c_int) -> c_int {
    change_old(sys::SIG_SETMASK, u64::from(mask as c_uint))
}

/// Returns the bit of a signal, or sets `errno` and returns `None` if there is no such signal.
fn checked_bit(signal: c_int) -> Option<u64> {
    if (1..=64).contains(&signal) {
        return Some(bit(signal));
    }
    sys::set_errno(sys::EINVAL);
    None
}

/// Changes one signal's bit in the shown mask, for the functions of System V.
fn change_one(how: c_int, signal: c_int) -> c_int {
    let Some(set) = checked_bit(signal) else {
        return -1;
    };
    // SAFETY: a mask of ours.
    unsafe { change_shown(how, &raw const set, core::ptr::null_mut(), OF_LIBC) as c_int }
}

/// # Safety
/// The contract of libc's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sighold(signal: c_int) -> c_int {
    change_one(sys::SIG_BLOCK, signal)
}

/// # Safety
/// The contract of libc's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sigrelse(signal: c_int) -> c_int {
    change_one(sys::SIG_UNBLOCK, signal)
}

/// # Safety
/// The contract of libc's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sigignore(signal: c_int) -> c_int {
    let new = Sigaction {
        handler: IGNORED,
        ..Sigaction::DEFAULT
    };
    // SAFETY: an action of ours.
    unsafe { sigaction(signal, &raw const new, core::ptr::null_mut()) }
}

/// # Safety
/// The contract of libc's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sigset(signal: c_int, handler: usize) -> usize {
    const HOLD: usize = 2;
    const FAILED: usize = usize::MAX;
    let Some(set) = checked_bit(signal) else {
        return FAILED;
    };
    let mut before = 0;
    let how = if handler == HOLD {
        sys::SIG_BLOCK
    } else {
        sys::SIG_UNBLOCK
    };
    let new = Sigaction {
        handler,
        ..Sigaction::DEFAULT
    };
    let mut old = new;
    // SAFETY: actions and masks of ours.
    unsafe {
        let new = if handler == HOLD {
            core::ptr::null()
        } else {
            &raw const new
        };
        let failed = sigaction(signal, new, &raw mut old) != 0
            || change_shown(how, &raw const set, &raw mut before, OF_LIBC) != 0;
        match before & set {
            _ if failed => FAILED,
            0 => old.handler,
            _ => HOLD,
        }
    }
}

/// Waits with the mask of that number, or with the current one without that signal.
///
/// # Safety
/// The contract of libc's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __sigpause(mask_or_signal: c_int, is_signal: c_int) -> c_int {
    let mut mask = u64::from(mask_or_signal as c_uint);
    if is_signal != 0 {
        let Some(signal) = checked_bit(mask_or_signal) else {
            return -1;
        };
        // SAFETY: a mask of ours.
        unsafe { change_shown(sys::SIG_BLOCK, core::ptr::null(), &raw mut mask, 0) };
        mask &= !signal;
    }
    let mut set = Sigset::EMPTY;
    set.0[0] = mask;
    // SAFETY: the program's call, with a mask of ours.
    unsafe { sigsuspend(set.0.as_ptr()) }
}

/// # Safety
/// The contract of libc's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sigpause(mask: c_int) -> c_int {
    // SAFETY: the program's call.
    unsafe { __sigpause(mask, 0) }
}

/// # Safety
/// The contract of libc's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __xpg_sigpause(signal: c_int) -> c_int {
    // SAFETY: the program's call.
    unsafe { __sigpause(signal, 1) }
}

/// # Safety
/// The contract of libc's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bsd_signal(number: c_int, handler: usize) -> usize {
    // SAFETY: the program's call.
    unsafe { signal(number, handler) }
}

/// # Safety
/// The contract of libc's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ssignal(number: c_int, handler: usize) -> usize {
    // SAFETY: the program's call.
    unsafe { signal(number, handler) }
}

/// # Safety
/// The contract of libc's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __sysv_signal(number: c_int, handler: usize) -> usize {
    let new = Sigaction {
        handler,
        mask: Sigset::EMPTY,
        flags: SA_RESETHAND | SA_NODEFER,
        restorer: 0,
    };
    let mut old = new;
    // SAFETY: actions of ours.
    match unsafe { sigaction(number, &raw const new, &raw mut old) } {
        0 => old.handler,
        _ => usize::MAX,
    }
}

/// # Safety
/// The contract of libc's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sysv_signal(number: c_int, handler: usize) -> usize {
    // SAFETY: the program's call.
    unsafe { __sysv_signal(number, handler) }
}
