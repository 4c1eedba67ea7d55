//! Waits for children and signals with a single self-pipe, without threads, for any number of jobs.

use super::{ChildEvent, SignalTarget, StopSignal};
use crate::signals::SignalScope;
use crate::spawn::Ended;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{
    Pid, Signal, WaitOptions, kill_process, kill_process_group, test_kill_process_group, wait,
};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGTERM};
use signal_hook::iterator::backend::SignalDelivery;
use signal_hook::iterator::exfiltrator::origin::WithOrigin;
use signal_hook::low_level::siginfo::Cause;
use std::io;
use std::os::unix::net::UnixStream;
use std::process::Child;
use std::time::Duration;

/// While it exists, signals do not end this process, and it waits for every child of this process.
pub(in crate::executor) struct Children {
    signals: SignalDelivery<UnixStream, WithOrigin>,
    _scope: SignalScope,
}

/// The longest wait. It keeps this process working if `SIGCHLD` was blocked before it was started.
const LONGEST: Duration = Duration::from_secs(1);

impl Children {
    /// Starts to handle signals. With `adopts`, this process becomes the parent of orphans, where the system knows that.
    pub(in crate::executor) fn new(adopts: bool) -> io::Result<Self> {
        let failed = |error: io::Error| {
            let text = format!("could not listen for signals and for the end of commands: {error}");
            io::Error::new(error.kind(), text)
        };
        let (read, write) = UnixStream::pair().map_err(failed)?;
        let scope = SignalScope::enter();
        let all = scope.signals().iter().chain(&[SIGCHLD]);
        let signals = SignalDelivery::with_pipe(read, write, WithOrigin::default(), all).map_err(failed)?;
        if adopts {
            adopt();
        }
        Ok(Self {
            signals,
            _scope: scope,
        })
    }

    /// Reports the end of this child from now on.
    #[expect(
        clippy::unused_self,
        reason = "where there is no `wait` for all children, they are kept"
    )]
    pub(in crate::executor) fn add(&mut self, child: Child) {
        // Dropping a handle neither kills the child nor waits for it.
        drop(child);
    }

    /// Waits for events, at most for `longest`.
    pub(in crate::executor) fn wait(
        &mut self,
        longest: Option<Duration>,
        events: &mut Vec<ChildEvent>,
    ) -> io::Result<()> {
        self.collect(events)?;
        if events.is_empty() {
            let longest = longest.unwrap_or(LONGEST).min(LONGEST);
            let timeout = Timespec::try_from(longest).ok();
            let mut pipe = [PollFd::new(self.signals.get_read(), PollFlags::IN)];
            match poll(&mut pipe, timeout.as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            self.collect(events)?;
        }
        Ok(())
    }

    fn collect(&mut self, events: &mut Vec<ChildEvent>) -> io::Result<()> {
        for origin in self.signals.pending() {
            if origin.signal != SIGCHLD {
                events.push(ChildEvent::Signal {
                    number: origin.signal,
                    from_terminal: matches!(origin.cause, Cause::Kernel),
                    may_come_twice: matches!(origin.signal, SIGHUP | SIGTERM),
                });
            }
        }
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) => events.push(ChildEvent::Ended {
                    pid: pid.as_raw_nonzero().get().cast_unsigned(),
                    ended: Ended::new(status.exit_status(), status.terminating_signal()),
                }),
                Ok(None) | Err(Errno::CHILD) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Sends a signal; a target that is gone is no error.
    #[expect(clippy::unused_self, reason = "elsewhere a child is reached by its handle")]
    pub(in crate::executor) fn send(&self, target: SignalTarget, signal: StopSignal) {
        let number = match signal {
            StopSignal::Terminate => Some(Signal::TERM),
            StopSignal::Kill => Some(Signal::KILL),
            StopSignal::Forward(number) => Signal::from_named_raw(number),
        };
        let Some(number) = number else { return };
        let send = |number| match target {
            SignalTarget::Process(process) => pid(process).map(|pid| kill_process(pid, number)),
            SignalTarget::Group(leader) => pid(leader).map(|pid| kill_process_group(pid, number)),
        };
        let _ = send(number);
        if signal == StopSignal::Terminate {
            // A suspended process must continue to react to the request.
            let _ = send(Signal::CONT);
        }
    }

    /// Returns whether the group has a member, be it a zombie.
    #[expect(clippy::unused_self, reason = "elsewhere a child is reached by its handle")]
    pub(in crate::executor) fn has_group(&self, leader: u32) -> bool {
        pid(leader).is_some_and(|leader| test_kill_process_group(leader).is_ok())
    }
}

fn pid(number: u32) -> Option<Pid> {
    // Process 1 is never a job, and -1 would address all processes.
    Pid::from_raw(number.cast_signed()).filter(|pid| pid.as_raw_nonzero().get() > 1)
}

#[cfg(target_os = "linux")]
fn adopt() {
    // If it is refused, orphans go to init, as they would without it.
    let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
}

#[cfg(not(target_os = "linux"))]
fn adopt() {}
