//! A test program that is started again: its process group and its end.

use cofferdam_batch::processes::ProcessTable;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

/// The time that stopped programs have to clean up before they are killed.
const GRACE: Duration = Duration::from_secs(2);
/// The interval for polling deadlines and interrupts.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// A test program that was started again.
#[derive(Debug)]
pub(super) struct TestProcess {
    child: Child,
    /// Set if it did not end by itself.
    pub(super) was_stopped: bool,
    pub(super) status: Option<ExitStatus>,
}

impl TestProcess {
    /// Starts the program in a process group of its own, which can be stopped as a whole. A Ctrl-C does not reach it; this
    /// process stops it.
    pub(super) fn begin(command: &mut Command) -> io::Result<Self> {
        Ok(Self {
            child: command.process_group(0).spawn()?,
            was_stopped: false,
            status: None,
        })
    }

    /// Waits at most that long, and returns whether the program itself has ended.
    pub(super) fn has_ended(&mut self, within: Duration) -> bool {
        if self.status.is_some() {
            return true;
        }
        let pidfd = self
            .pid()
            .and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
        let slice = Timespec {
            tv_sec: 0,
            tv_nsec: i64::from(within.subsec_nanos()),
        };
        if let Some(pidfd) = pidfd {
            // An interrupted wait counts as one that timed out.
            let _ = poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&slice));
        }
        match self.child.try_wait() {
            Ok(None) => false,
            Ok(status) => {
                self.status = status;
                true
            }
            Err(_) => true,
        }
    }

    /// Signals the process and its descendants. The process must not have been reaped, because its process group ID may be
    /// reused afterwards.
    fn signal(&self, signal: Signal) {
        if let Some(pid) = self.pid().filter(|_| self.status.is_none()) {
            // The process may have just ended.
            let _ = kill_process_group(pid, signal);
        }
    }

    /// Returns whether any process of the group is left, without reaping the first one.
    fn is_alive(&self) -> bool {
        ProcessTable::default().group_size(self.child.id()) > 0
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    fn pid(&self) -> Option<Pid> {
        i32::try_from(self.child.id()).ok().and_then(Pid::from_raw)
    }
}

/// Waits until all processes have ended, and stops the rest once `is_over` returns `true`.
pub(super) fn wait_for_all(running: &mut [TestProcess], is_over: &dyn Fn() -> bool) {
    for one in 0..running.len() {
        while !running[one].has_ended(POLL_INTERVAL) {
            if is_over() {
                stop(&mut running[one..]);
                return;
            }
        }
    }
}

/// Stops these processes and their descendants: first with SIGTERM, so that they can clean up, then with SIGKILL.
fn stop(running: &mut [TestProcess]) {
    let mut left: Vec<&mut TestProcess> = running
        .iter_mut()
        .filter_map(|one| (!one.has_ended(Duration::ZERO)).then_some(one))
        .collect();
    for one in &mut left {
        one.was_stopped = true;
        one.signal(Signal::TERM);
    }
    let killed = now() + GRACE;
    for one in &mut left {
        while one.is_alive() && now() < killed {
            #[expect(
                clippy::disallowed_methods,
                reason = "the end of a process group is no event to wait for"
            )]
            thread::sleep(POLL_INTERVAL / 2);
        }
        one.signal(Signal::KILL);
        one.status = one.child.wait().ok();
    }
}

fn now() -> Instant {
    #[expect(
        clippy::disallowed_methods,
        reason = "stopped programs have a time to clean up"
    )]
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    #[test]
    fn a_descendant_that_outlives_its_parent_is_killed_before_the_parent_is_reaped() {
        let script =
            "trap 'exit 0' TERM; sh -c 'trap \"\" TERM; echo ready; sleep 60 & wait; sleep 60' & wait";
        #[expect(clippy::disallowed_methods, reason = "a process to be stopped")]
        let mut child = Command::new("sh")
            .args(["-c", script])
            .stdout(std::process::Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        let mut out = child.stdout.take().unwrap();
        let mut ready = [0; 6];
        out.read_exact(&mut ready).unwrap();
        let mut running = [TestProcess {
            child,
            was_stopped: false,
            status: None,
        }];
        assert!(running[0].is_alive());
        stop(&mut running);
        // The process that outlives the program holds the pipe open as long as it lives.
        assert_eq!(out.read(&mut ready).unwrap(), 0);
        assert!(running[0].was_stopped && running[0].status.is_some_and(|status| status.success()));
    }
}
