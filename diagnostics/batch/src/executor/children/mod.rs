//! Waits for children and signals at the same time, and signals processes.

#[cfg(not(unix))]
mod other;
#[cfg(unix)]
mod unix;

#[cfg(not(unix))]
pub(super) use other::Children;
#[cfg(unix)]
pub(super) use unix::Children;

use crate::spawn::Ended;

/// The end of a child, or a signal to this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ChildEvent {
    /// A child ended. It may be one that this process adopted from a job.
    Ended { pid: u32, ended: Ended },
    /// This process received a signal that would end it.
    #[cfg_attr(not(unix), expect(dead_code, reason = "only Unix has signals"))]
    Signal {
        number: i32,
        /// A key at the terminal sent it, to the whole process group.
        from_terminal: bool,
        /// A closed terminal and `timeout` send it both to the process and to its group.
        may_come_twice: bool,
    },
}

/// The receiver of a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SignalTarget {
    Process(u32),
    Group(u32),
}

/// A signal to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StopSignal {
    /// A request to end.
    Terminate,
    Kill,
    /// The signal that this process received.
    Forward(i32),
}
