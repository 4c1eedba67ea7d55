//! `atexit`: the one thing the operating system lets a library hang on a process's end.

/// Runs `hook` when the process ends normally or by `process::exit`, not when it is aborted or killed.
///
/// Where the system offers no such hook, or has no room left for one, nothing is run and `false` comes back.
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
