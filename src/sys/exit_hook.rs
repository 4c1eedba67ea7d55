//! `atexit`: the only hook that the operating system offers a library for the end of a process.

/// Registers `hook` for a normal end of the process or `process::exit`, as opposed to an abort or a kill.
///
/// Returns `false` where the system has no such hook or no room for another one.
#[cfg(all(unix, not(miri)))]
#[expect(unsafe_code, reason = "atexit is a C function")]
pub(crate) fn at_exit(hook: extern "C" fn()) -> bool {
    // SAFETY: `hook` is a plain function of the program, valid until the process ends; it takes and returns
    // nothing, as atexit asks. `exit::at_exit` catches every panic before it could unwind into C.
    unsafe { libc::atexit(hook) == 0 }
}

/// See the Unix version.
#[cfg(not(all(unix, not(miri))))]
pub(crate) fn at_exit(_hook: extern "C" fn()) -> bool {
    false
}
