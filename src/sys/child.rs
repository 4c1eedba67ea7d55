//! Child processes in their own groups, and handles to wait for the end of processes.

use super::clock::Deadline;
use super::poll;
use super::process::Living;
use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::time::Duration;

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

/// Sends a signal to the group that `leader` leads. The leader must not have been waited for, because its number could be
/// reused.
pub(crate) fn signal_group(leader: u32, signal: i32) {
    #[expect(unsafe_code, reason = "kill is a C function")]
    // SAFETY: it takes numbers. A group that has ended is an error that can be ignored.
    unsafe {
        libc::kill(-(leader as i32), signal);
    }
}

/// Makes this process adopt descendants whose parents end, so that they remain known.
pub(crate) fn adopt_orphans() {
    #[expect(unsafe_code, reason = "prctl is a C function")]
    // SAFETY: it takes numbers.
    unsafe {
        libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1);
    }
}

/// The time limit for the end of killed processes.
const LAST: Duration = Duration::from_secs(5);

/// Ends the processes that `find` returns: sends the signal, waits for the grace period, and kills those that are left and
/// those that they started meanwhile.
pub(crate) fn end_all(find: impl Fn() -> Vec<Living>, signal: i32, grace: Duration) {
    let found = find();
    if found.is_empty() {
        return;
    }
    wait_for(&signal_all(&found, signal), Deadline::after(grace));
    let patience = Deadline::after(LAST);
    loop {
        let left = find();
        if left.is_empty() || patience.left().is_none() {
            return;
        }
        wait_for(&signal_all(&left, libc::SIGKILL), patience);
    }
}

/// Sends a signal to each process, and returns handles to wait for.
pub(crate) fn signal_all(processes: &[Living], signal: i32) -> Vec<Handle> {
    let signal_one = |process: &Living| {
        // Opened first, so that the handle refers to the process that is checked next.
        let handle = Handle::open(process.pid);
        if process.is_alive() {
            #[expect(unsafe_code, reason = "kill is a C function")]
            // SAFETY: it takes numbers. A process that has ended is an error that can be ignored.
            unsafe {
                match &handle {
                    Ok(handle) => {
                        _ = libc::syscall(libc::SYS_pidfd_send_signal, handle.fd(), signal, 0_usize, 0)
                    }
                    Err(_) => _ = libc::kill(process.pid as i32, signal),
                }
            }
        }
        handle.ok()
    };
    processes.iter().filter_map(signal_one).collect()
}

/// Waits until all have ended or the deadline has passed.
pub(crate) fn wait_for(handles: &[Handle], by: Deadline) {
    for handle in handles {
        handle.ended(by);
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

/// Reaps a child if it has ended.
pub(crate) fn reap_if_ended(child: u32) {
    #[expect(unsafe_code, reason = "std waits only for its own children")]
    // SAFETY: it takes numbers, and wants no status.
    unsafe {
        libc::waitpid(child as i32, std::ptr::null_mut(), libc::WNOHANG);
    }
}

/// Returns the exit status of a child as text, or `None` while it runs. The child is not reaped, so its number is not
/// reused.
pub(crate) fn how_it_ended(child: u32) -> Option<String> {
    #[expect(unsafe_code, reason = "std always reaps")]
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
