//! Writing under a limit on the size of files.

use std::io;

/// Runs `write` so that a file that must not grow is an error, `EFBIG`, and does not end the process: by default the
/// kernel also sends SIGXFSZ. Costs three system calls.
#[cfg(all(unix, not(miri)))]
#[expect(unsafe_code, reason = "std does not know signal masks")]
pub(crate) fn checked<T>(write: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    // SAFETY: a set is plain bytes, which `sigemptyset` makes valid.
    let mut blocked: libc::sigset_t = unsafe { std::mem::zeroed() };
    let mut before = blocked;
    // SAFETY: valid places, and the signal's number is one.
    let is_blocked = unsafe {
        libc::sigemptyset(&raw mut blocked);
        libc::sigaddset(&raw mut blocked, libc::SIGXFSZ);
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const blocked, &raw mut before) == 0
    };
    let written = write();
    if is_blocked {
        // SAFETY: valid sets. A signal that is pending now came in between, for one that was pending before would have
        // been delivered.
        unsafe {
            if libc::sigismember(&raw const before, libc::SIGXFSZ) != 1 {
                take(&blocked);
            }
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const before, std::ptr::null_mut());
        }
    }
    written
}

/// Takes a pending signal of that set, if there is one.
#[cfg(all(any(target_os = "linux", target_os = "android"), not(miri)))]
#[expect(unsafe_code, reason = "std does not know signals")]
fn take(set: &libc::sigset_t) {
    let now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: valid places, and no time to wait.
    unsafe { libc::sigtimedwait(set, std::ptr::null_mut(), &raw const now) };
}

/// Takes a pending signal of that set, if there is one.
#[cfg(all(unix, not(any(target_os = "linux", target_os = "android")), not(miri)))]
#[expect(unsafe_code, reason = "std does not know signals")]
fn take(set: &libc::sigset_t) {
    // SAFETY: valid places; waits only for what is pending.
    unsafe {
        let mut pending: libc::sigset_t = std::mem::zeroed();
        let mut signal = 0;
        if libc::sigpending(&raw mut pending) == 0
            && libc::sigismember(&raw const pending, libc::SIGXFSZ) == 1
        {
            libc::sigwait(set, &raw mut signal);
        }
    }
}

/// See the Unix version: elsewhere there is no such signal.
#[cfg(not(all(unix, not(miri))))]
pub(crate) fn checked<T>(write: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    write()
}

#[cfg(all(test, target_os = "linux", not(miri), not(loom)))]
mod tests {
    use super::*;
    use crate::sys::role::{play, plays, role};
    use std::io::Write as _;

    const ROLE: &str = "sys::file_size::tests::writes_too_much";

    #[test]
    #[ignore = "a role"]
    fn writes_too_much() {
        if !plays(ROLE) {
            return;
        }
        let limit = libc::rlimit {
            rlim_cur: 4,
            rlim_max: libc::RLIM_INFINITY,
        };
        #[expect(unsafe_code, reason = "std does not know limits")]
        // SAFETY: a valid limit, of this process alone.
        let is_set = unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit) } == 0;
        assert!(is_set);
        let dir = tempfile::tempdir().unwrap();
        let mut file = std::fs::File::create(dir.path().join("file")).unwrap();
        checked(|| file.write_all(b"1234")).unwrap();
        let error = checked(|| file.write_all(b"5")).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EFBIG));
    }

    #[test]
    fn a_file_that_must_not_grow_is_an_error_and_no_signal() {
        // libtest's own output may be a file: it is a pipe here.
        play(&mut role(ROLE, "file-size")).end().passed();
    }
}
