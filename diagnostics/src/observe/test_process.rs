//! A test program that is started again: its process group, its end, and its output.

use cofferdam_batch::processes::ProcessTable;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use std::io::{self, Read as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How long stopped programs have to clean up before they are killed.
const GRACE: Duration = Duration::from_secs(2);
/// The interval at which the end of everything is noticed.
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// The part of a program's output that is kept, from its beginning.
const MAX_OUTPUT: usize = 1 << 20;

/// A test program that was started again.
#[derive(Debug)]
pub(super) struct TestProcess {
    child: Child,
    output: Arc<Mutex<Vec<u8>>>,
    /// Hears when all was said.
    output_end: Option<Receiver<()>>,
    /// Set if it did not end by itself.
    pub(super) was_stopped: bool,
    pub(super) status: Option<ExitStatus>,
}

impl TestProcess {
    /// Starts the program in a process group of its own, so that all of it can be ended; a Ctrl-C reaches it through us. Its
    /// output is kept if the command asks for a pipe.
    pub(super) fn begin(command: &mut Command) -> io::Result<Self> {
        let mut child = command.process_group(0).spawn()?;
        let output = Arc::new(Mutex::new(Vec::new()));
        let output_end = child.stdout.take().map(|mut out| {
            let output = Arc::clone(&output);
            let (tell, output_end) = mpsc::channel();
            thread::spawn(move || {
                let mut buffer = [0; 4096];
                while let Ok(length @ 1..) = out.read(&mut buffer) {
                    let mut output = output.lock().unwrap_or_else(PoisonError::into_inner);
                    let room = MAX_OUTPUT.saturating_sub(output.len()).min(length);
                    output.extend(&buffer[..room]);
                }
                // Nobody may wait for it any more.
                let _ = tell.send(());
            });
            output_end
        });
        Ok(Self {
            child,
            output,
            output_end,
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
            // An interruption is as good as time that is over.
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

    /// Signals it with all that it started. Its end must not have been collected: from then on, the number of its group may
    /// be another's.
    fn signal(&self, signal: Signal) {
        if let Some(pid) = self.pid().filter(|_| self.status.is_none()) {
            // It may have ended just now.
            let _ = kill_process_group(pid, signal);
        }
    }

    /// Returns whether something is left of all that it started, without collecting its own end.
    fn is_alive(&self) -> bool {
        ProcessTable::default().group_size(self.child.id()) > 0
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Returns what the program printed, as far as it is kept.
    pub(super) fn output(&mut self) -> String {
        // A process that a test started may keep the pipe open for long; the program itself has printed everything.
        if let Some(output_end) = self.output_end.take() {
            let _ = output_end.recv_timeout(2 * POLL_INTERVAL);
        }
        let output = self.output.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&output).into_owned()
    }

    fn pid(&self) -> Option<Pid> {
        i32::try_from(self.child.id()).ok().and_then(Pid::from_raw)
    }
}

/// Waits until all have ended; those that have not when `is_over` says so are stopped.
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

/// Stops these processes with all that they started: first in a way that lets them clean up.
pub(super) fn stop(running: &mut [TestProcess]) {
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

    #[test]
    fn what_outlives_the_process_that_started_it_is_killed_before_that_process_is_collected() {
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
            output: Arc::default(),
            output_end: None,
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
