//! Processes that we wait for, and signals that we are sent: whichever comes first.

#[cfg(not(unix))]
mod other;
#[cfg(unix)]
mod unix;

#[cfg(not(unix))]
pub(super) use other::Children;
#[cfg(unix)]
pub(super) use unix::Children;

use crate::child::Ended;

/// What came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// A child ended. It may be one that a job left to us.
    Ended { pid: u32, ended: Ended },
    /// We were sent a signal that would end us.
    #[cfg_attr(not(unix), expect(dead_code, reason = "there are none"))]
    Signal {
        number: i32,
        /// A key at the terminal, which reaches its whole process group.
        from_terminal: bool,
        /// One that is sent to a process and to its group for one reason: when a terminal is closed, and by `timeout`.
        may_come_twice: bool,
    },
}

/// Whom a signal is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whom {
    Process(u32),
    Group(u32),
}

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// Please end.
    Stop,
    Kill,
    /// What we were sent.
    Signal(i32),
}
