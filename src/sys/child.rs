//! Child processes that die with their parent, and handles to wait for the end of processes.

use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// Makes the process die with the thread that starts it, however that ends.
pub(crate) fn dies_with_us(command: &mut Command) {
    let us = super::process::id();
    #[expect(unsafe_code, reason = "prctl has to be called in the child")]
    // SAFETY: between fork and exec the closure makes two system calls and allocates nothing.
    unsafe {
        command.pre_exec(move || {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            // A parent that died before that call sends no signal.
            if libc::getppid() as u32 == us {
                Ok(())
            } else {
                Err(io::Error::from_raw_os_error(libc::ESRCH))
            }
        });
    }
}

/// A handle to wait for a process that need not be a child. It still refers to the same process if the number is reused.
#[derive(Debug)]
pub(crate) struct Handle(OwnedFd);

impl Handle {
    pub(crate) fn open(pid: u32) -> io::Result<Self> {
        #[expect(unsafe_code, reason = "std does not offer pidfd_open")]
        // SAFETY: the call takes numbers, and the descriptor that it returns is new and unowned.
        let handle = unsafe {
            let found = libc::syscall(libc::SYS_pidfd_open, pid, 0);
            if found < 0 {
                return Err(io::Error::last_os_error());
            }
            OwnedFd::from_raw_fd(found as RawFd)
        };
        Ok(Self(handle))
    }

    pub(crate) fn fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    /// Waits for the end and returns whether it came before the deadline.
    #[cfg(feature = "fixtures")]
    pub(crate) fn ended(&self, by: super::clock::Deadline) -> bool {
        loop {
            let left = by.left();
            if super::poll::ready(&[self.fd()], left.unwrap_or_default()).contains(&true) {
                return true;
            }
            if left.is_none() {
                return false;
            }
        }
    }
}
