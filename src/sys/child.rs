//! Processes that this one starts, in groups of their own, and handles to processes that end.

use super::clock::Deadline;
use super::poll;
use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// The process is killed when the thread that starts it ends, however it ends.
pub(crate) fn dies_with_us(command: &mut Command) {
    let us = super::process::id();
    #[expect(unsafe_code, reason = "prctl has to be called in the child")]
    // SAFETY: between fork and exec the closure makes two system calls and allocates nothing.
    unsafe {
        command.pre_exec(move || {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            // Whoever died before that call sends no signal any more.
            if libc::getppid() as u32 == us {
                Ok(())
            } else {
                Err(io::Error::from_raw_os_error(libc::ESRCH))
            }
        });
    }
}

/// Sends a signal to the group that `leader` leads. The leader must not have been waited for: its number could lead
/// another group by then.
pub(crate) fn signal_group(leader: u32, signal: i32) {
    #[expect(unsafe_code, reason = "kill is a C function")]
    // SAFETY: it takes numbers. A group that is gone is an error, and not worth a word.
    unsafe {
        libc::kill(-(leader as i32), signal);
    }
}

/// Whether there is a group of that number, whoever is in it.
pub(crate) fn has_members(group: u32) -> bool {
    #[expect(unsafe_code, reason = "kill is a C function")]
    // SAFETY: it takes numbers, and no signal is sent.
    let failed = unsafe { libc::kill(-(group as i32), 0) } != 0;
    // It may also say that they are not ours to send signals to.
    !failed || io::Error::last_os_error().raw_os_error() != Some(libc::ESRCH)
}

/// Kills one process.
pub(crate) fn kill(pid: u32) {
    #[expect(unsafe_code, reason = "kill is a C function")]
    // SAFETY: it takes numbers. A process that is gone is an error, and not worth a word.
    unsafe {
        libc::kill(pid as i32, libc::SIGKILL);
    }
}

/// A process, to wait for its end without being its parent; the number may be used again and this still means the first.
#[derive(Debug)]
pub(crate) struct Handle(OwnedFd);

impl Handle {
    pub(crate) fn open(pid: u32) -> io::Result<Self> {
        #[expect(unsafe_code, reason = "std does not offer pidfd_open")]
        // SAFETY: the call takes numbers, and the descriptor it returns is new and nobody else's.
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

    /// Whether it ended before the deadline.
    pub(crate) fn ended(&self, by: Deadline) -> bool {
        loop {
            let left = by.left();
            if poll::ready(&[self.fd()], left.unwrap_or_default()).contains(&true) {
                return true;
            }
            if left.is_none() {
                return false;
            }
        }
    }
}

/// How a child ended, or `None` while it runs. It stays to be waited for, so its number is not used again.
pub(crate) fn how_it_ended(child: u32) -> Option<String> {
    #[expect(unsafe_code, reason = "std waits for children only for good")]
    // SAFETY: `info` is plain data that the call fills, and its fields are read as the call says they are set.
    let (code, status) = unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
        let failed = libc::waitid(libc::P_PID, child, &raw mut info, flags) != 0;
        if failed || info.si_pid() == 0 {
            return None;
        }
        (info.si_code, info.si_status())
    };
    Some(if code == libc::CLD_EXITED {
        format!("exit code {status}")
    } else {
        format!("signal {status}")
    })
}
