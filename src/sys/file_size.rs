//! Writes of cofferdam under a limit of the file size (`ulimit -f`) that is meant for the test.

use std::fs::File;
use std::io::{self, Write};

/// A file for which a write beyond the limit is an error, not a signal that ends the process.
#[derive(Debug)]
pub(crate) struct Limited<'a>(pub(crate) &'a File);

impl Write for Limited<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        unsignaled(|| self.0.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Calls `work` with the signal of the limit blocked for this thread, so that a write beyond the limit is an error.
#[cfg(all(unix, not(miri)))]
pub(crate) fn unsignaled<R>(work: impl FnOnce() -> R) -> R {
    let _blocked = is_limited().then(Blocked::new);
    work()
}

#[cfg(not(all(unix, not(miri))))]
pub(crate) fn unsignaled<R>(work: impl FnOnce() -> R) -> R {
    work()
}

/// Blocks the signal permanently for this thread and the threads that it starts. Started programs have it unblocked.
#[cfg(all(feature = "fixtures", target_os = "linux", not(miri)))]
pub(crate) fn block_permanently() {
    std::mem::forget(Blocked::new());
}

#[cfg(all(unix, not(miri)))]
fn is_limited() -> bool {
    let mut limit = libc::rlimit {
        rlim_cur: libc::RLIM_INFINITY,
        rlim_max: libc::RLIM_INFINITY,
    };
    #[expect(unsafe_code, reason = "std has no limits")]
    // SAFETY: the structure outlives the call. If the call fails, the structure is unchanged.
    unsafe {
        libc::getrlimit(libc::RLIMIT_FSIZE, &raw mut limit);
    }
    limit.rlim_cur != libc::RLIM_INFINITY
}

/// Blocks the signal for the current thread until it is dropped.
#[cfg(all(unix, not(miri)))]
struct Blocked {
    mask: libc::sigset_t,
    /// Whether the signal was pending before, and so must not be consumed.
    was_pending: bool,
}

#[cfg(all(unix, not(miri)))]
impl Blocked {
    fn new() -> Self {
        let signal = signal_set();
        #[expect(unsafe_code, reason = "std has no signals")]
        // SAFETY: both sets outlive the calls, and a set may be all zeros.
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
        let signal = signal_set();
        #[expect(unsafe_code, reason = "std has no signals")]
        // SAFETY: the sets and the number outlive the calls. A pending blocked signal is consumed without waiting.
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
fn signal_set() -> libc::sigset_t {
    #[expect(unsafe_code, reason = "std has no signals")]
    // SAFETY: the set outlives the calls, and it may be all zeros.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, libc::SIGXFSZ);
        set
    }
}

#[cfg(all(unix, not(miri)))]
fn is_pending() -> bool {
    #[expect(unsafe_code, reason = "std has no signals")]
    // SAFETY: the set outlives the calls, and it may be all zeros.
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
        unsignaled(|| file.write_all(b"1234")).unwrap();
        let error = unsignaled(|| file.write_all(b"5")).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EFBIG));
    }

    #[test]
    fn a_write_beyond_the_limit_is_an_error_and_no_signal() {
        // libtest's own output could be a file; here it is a pipe.
        play(&mut role(ROLE, "file-size")).end().passed();
    }
}
