//! `atexit`: the only hook that the operating system offers a library for the end of a process.

use std::sync::atomic::{AtomicI32, Ordering};

/// Whether [`code`] is known at the end of the process.
pub(crate) const HAS_CODE: bool = cfg!(all(target_os = "linux", target_env = "gnu", not(miri)));

const UNKNOWN: i32 = i32::MIN;

static CODE: AtomicI32 = AtomicI32::new(UNKNOWN);

/// Returns the exit code of this process while its hooks run, where the system reports it.
pub(crate) fn code() -> Option<i32> {
    Some(CODE.load(Ordering::Relaxed)).filter(|code| *code != UNKNOWN)
}

/// Registers `hook` for a normal end of the process or `process::exit`, as opposed to an abort or a kill.
///
/// Returns `false` where the system has no such hook or no room for another one.
#[cfg(all(unix, not(miri)))]
#[expect(unsafe_code, reason = "atexit is a C function")]
pub(crate) fn at_exit(hook: extern "C" fn()) -> bool {
    // SAFETY: `hook` is a plain function of the program, valid until the process ends; it takes and returns
    // nothing, as atexit asks. `exit::at_exit` catches every panic before it could unwind into C.
    let is_registered = unsafe { libc::atexit(hook) == 0 };
    // The last hook is called first, so `hook` finds the code.
    note_code();
    is_registered
}

/// Registers a hook that notes the exit code.
#[cfg(all(target_os = "linux", target_env = "gnu", not(miri)))]
#[expect(unsafe_code, reason = "on_exit is a C function")]
fn note_code() {
    use libc::{c_int, c_void};
    // Not in the libc crate.
    unsafe extern "C" {
        fn on_exit(hook: extern "C" fn(c_int, *mut c_void), argument: *mut c_void) -> c_int;
    }
    extern "C" fn note(code: c_int, _: *mut c_void) {
        CODE.store(code, Ordering::Relaxed);
    }
    // SAFETY: the declaration is glibc's. `note` is valid until the process ends, cannot panic, and ignores its argument.
    unsafe { on_exit(note, std::ptr::null_mut()) };
}

#[cfg(all(unix, not(all(target_os = "linux", target_env = "gnu")), not(miri)))]
fn note_code() {}

/// See the Unix version.
#[cfg(not(all(unix, not(miri))))]
pub(crate) fn at_exit(_hook: extern "C" fn()) -> bool {
    false
}
