//! One self-pipe for all signals, the end of a child among them. No thread, whatever the number of jobs.

use super::{Sent, Told, Whom};
use crate::child;
use crate::signals::Heard;
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

/// From its making on, signals do not end this process, and every child of it is waited for here.
pub(in crate::executor) struct Children {
    signals: SignalDelivery<UnixStream, WithOrigin>,
    _heard: Heard,
}

/// Who may have blocked the child's signal before we were started is served as often as this.
const AT_LEAST: Duration = Duration::from_secs(1);

impl Children {
    /// With `adopts`, processes whose parents are gone become our children, as far as the system knows that.
    pub(in crate::executor) fn new(adopts: bool) -> io::Result<Self> {
        let failed = |error: io::Error| {
            let text = format!("could not listen for signals and for the end of commands: {error}");
            io::Error::new(error.kind(), text)
        };
        let (read, write) = UnixStream::pair().map_err(failed)?;
        let heard = Heard::new();
        let all = heard.signals().iter().chain(&[SIGCHLD]);
        let signals = SignalDelivery::with_pipe(read, write, WithOrigin::default(), all).map_err(failed)?;
        if adopts {
            adopt();
        }
        Ok(Self {
            signals,
            _heard: heard,
        })
    }

    /// Its end will be told.
    #[expect(
        clippy::unused_self,
        reason = "where there is no `wait` for all, they are kept"
    )]
    pub(in crate::executor) fn take(&mut self, child: &mut Option<Child>) {
        // Dropped, it is neither killed nor waited for.
        drop(child.take());
    }

    /// What came, after waiting until something did or the time is over.
    pub(in crate::executor) fn wait(
        &mut self,
        longest: Option<Duration>,
        told: &mut Vec<Told>,
    ) -> io::Result<()> {
        self.collect(told)?;
        if told.is_empty() {
            let longest = longest.unwrap_or(AT_LEAST).min(AT_LEAST);
            let timeout = Timespec::try_from(longest).ok();
            let mut pipe = [PollFd::new(self.signals.get_read(), PollFlags::IN)];
            match poll(&mut pipe, timeout.as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            self.collect(told)?;
        }
        Ok(())
    }

    fn collect(&mut self, told: &mut Vec<Told>) -> io::Result<()> {
        for origin in self.signals.pending() {
            if origin.signal != SIGCHLD {
                told.push(Told::Signal {
                    number: origin.signal,
                    from_terminal: matches!(origin.cause, Cause::Kernel),
                    may_come_twice: matches!(origin.signal, SIGHUP | SIGTERM),
                });
            }
        }
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) => told.push(Told::Ended {
                    pid: pid.as_raw_nonzero().get().cast_unsigned(),
                    ended: child::ended(status.exit_status(), status.terminating_signal()),
                }),
                Ok(None) | Err(Errno::CHILD) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Sends it; whoever is gone already is not told.
    #[expect(clippy::unused_self, reason = "where a child is its handle, they are kept")]
    pub(in crate::executor) fn tell(&self, whom: Whom, sent: Sent) {
        tell(whom, sent);
    }

    /// Whether anybody, be it one that nobody waited for yet, is in the group.
    #[expect(clippy::unused_self, reason = "where a child is its handle, they are kept")]
    pub(in crate::executor) fn has_group(&self, leader: u32) -> bool {
        pid(leader).is_some_and(|leader| test_kill_process_group(leader).is_ok())
    }
}

fn tell(whom: Whom, sent: Sent) {
    let signal = match sent {
        Sent::Stop => Some(Signal::TERM),
        Sent::Kill => Some(Signal::KILL),
        Sent::Signal(number) => Signal::from_named_raw(number),
    };
    let Some(signal) = signal else { return };
    let send = |signal| match whom {
        Whom::Process(number) => pid(number).map(|pid| kill_process(pid, signal)),
        Whom::Group(leader) => pid(leader).map(|pid| kill_process_group(pid, signal)),
    };
    let _ = send(signal);
    if sent == Sent::Stop {
        // One that was suspended hears it, too.
        let _ = send(Signal::CONT);
    }
}

fn pid(number: u32) -> Option<Pid> {
    // 1 is never a job's, and -1 would be everybody.
    Pid::from_raw(number.cast_signed()).filter(|pid| pid.as_raw_nonzero().get() > 1)
}

#[cfg(target_os = "linux")]
fn adopt() {
    // Where it is refused, orphans go to init as they always did.
    let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
}

#[cfg(not(target_os = "linux"))]
fn adopt() {}
