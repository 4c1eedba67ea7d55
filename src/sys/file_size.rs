//! Writes of ours under a limit of a file's size (`ulimit -f`) that is meant for the test.

use std::fs::File;
use std::io::{self, Write};

/// A file in which a write beyond the limit is an error, and never the signal that ends the process.
#[derive(Debug)]
pub(crate) struct Limited<'a>(pub(crate) &'a File);

impl Write for Limited<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        spared(|| self.0.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Calls `work` while a write beyond the limit fails with an error on this thread and sends it no signal.
#[cfg(all(unix, not(miri)))]
pub(crate) fn spared<R>(work: impl FnOnce() -> R) -> R {
    let _blocked = is_limited().then(Blocked::new);
    work()
}

#[cfg(not(all(unix, not(miri))))]
pub(crate) fn spared<R>(work: impl FnOnce() -> R) -> R {
    work()
}

/// Blocks the signal for this thread and all that it starts. Programs that are started get it back.
#[cfg(all(target_os = "linux", not(miri)))]
pub(crate) fn spare_for_good() {
    std::mem::forget(Blocked::new());
}

#[cfg(all(unix, not(miri)))]
fn is_limited() -> bool {
    let mut limit = libc::rlimit {
        rlim_cur: libc::RLIM_INFINITY,
        rlim_max: libc::RLIM_INFINITY,
    };
    #[expect(unsafe_code, reason = "std knows no limits")]
    // SAFETY: the structure lives through the call. If it fails it stays as it is.
    unsafe {
        libc::getrlimit(libc::RLIMIT_FSIZE, &raw mut limit);
    }
    limit.rlim_cur != libc::RLIM_INFINITY
}

/// While it lives its thread does not get the signal.
#[cfg(all(unix, not(miri)))]
struct Blocked {
    mask: libc::sigset_t,
    /// One was pending before, which is not ours.
    was_pending: bool,
}

#[cfg(all(unix, not(miri)))]
impl Blocked {
    fn new() -> Self {
        let signal = only();
        #[expect(unsafe_code, reason = "std knows no signals")]
        // SAFETY: both sets live through the calls, and all of a set may be zeros.
        unsafe {
            let mut mask = std::mem::zeroed();
            libc::pthread_sigmask(libc::SIG_BLOCK, &raw const signal, &raw mut mask);
            Self {
                mask,
                was_pending: is_pending(),
            }
        }
    }
}

#[cfg(all(unix, not(miri)))]
impl Drop for Blocked {
    fn drop(&mut self) {
        let signal = only();
        #[expect(unsafe_code, reason = "std knows no signals")]
        // SAFETY: the sets and the number live through the calls. What is pending and blocked is taken without waiting.
        unsafe {
            if !self.was_pending && is_pending() {
                let mut taken = 0;
                libc::sigwait(&raw const signal, &raw mut taken);
            }
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.mask, std::ptr::null_mut());
        }
    }
}

#[cfg(all(unix, not(miri)))]
fn only() -> libc::sigset_t {
    #[expect(unsafe_code, reason = "std knows no signals")]
    // SAFETY: the set lives through the calls, and all of it may be zeros.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, libc::SIGXFSZ);
        set
    }
}

#[cfg(all(unix, not(miri)))]
fn is_pending() -> bool {
    #[expect(unsafe_code, reason = "std knows no signals")]
    // SAFETY: the set lives through the calls, and all of it may be zeros.
    unsafe {
        let mut pending = std::mem::zeroed();
        libc::sigpending(&raw mut pending);
        libc::sigismember(&raw const pending, libc::SIGXFSZ) == 1
    }
}

#[cfg(all(test, target_os = "linux", not(miri), not(loom)))]
mod tests {
    use super::*;
    use crate::sys::role::{play, plays, role};

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
        spared(|| file.write_all(b"1234")).unwrap();
        let error = spared(|| file.write_all(b"5")).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EFBIG));
    }

    #[test]
    fn a_file_that_must_not_grow_is_an_error_and_no_signal() {
        // libtest's own output may be a file: it is a pipe here.
        play(&mut role(ROLE, "file-size")).end().passed();
    }
}
