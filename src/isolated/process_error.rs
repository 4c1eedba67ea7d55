//! The errors of an isolated test's process, as opposed to failures of the test itself.

use std::fmt;
use std::io;
use std::time::Duration;

/// The end of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    Code(i32),
    Signal(i32),
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exited with code {code}"),
            Self::Signal(signal) => match name(*signal) {
                Some(name) => write!(f, "was ended by signal {signal} ({name})"),
                None => write!(f, "was ended by signal {signal}"),
            },
        }
    }
}

/// Returns the name of a signal that ends tests, if its number is the same on all systems.
fn name(signal: i32) -> Option<&'static str> {
    let found = match signal {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        6 => "SIGABRT",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        14 => "SIGALRM",
        15 => "SIGTERM",
        _ => return None,
    };
    Some(found)
}

/// An error of a test's process.
#[derive(Debug)]
pub(super) enum ProcessError {
    NotStarted(io::Error),
    /// Each process started the next one.
    TooDeep {
        depth: u64,
    },
    TimedOut(Duration),
    NotReached(Duration),
    EndedAfter(Ended),
    EndedInside(Ended),
    EndedBefore(Ended),
}

impl fmt::Display for ProcessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotStarted(source) => write!(
                f,
                "could not start a process for the test: {source}. Check that its directory exists, and that the system \
                 allows another process (`ulimit -u`)"
            ),
            Self::TooDeep { depth } => write!(
                f,
                "the process for the test does not know that it is one, and {depth} have been started: the program may be \
                 started by another one, such as an emulator. Run the suite with `cargo nextest run`, without arguments \
                 of #[isolated]"
            ),
            Self::TimedOut(timeout) => write!(
                f,
                "the test did not end within {timeout:?}: it was killed, with the processes of its group. `timeout` sets \
                 the limit"
            ),
            Self::NotReached(limit) => write!(
                f,
                "the test's process did not reach the test within {limit:?}, and was killed: if code around the test \
                 takes a lock that this process holds, such as a lock on a file, put #[isolated] outside of it, or use \
                 cofferdam::serial, which passes its locks on"
            ),
            Self::EndedAfter(ended) => write!(
                f,
                "the test returned, but then its process {ended}: look at what runs at its end, such as destructors"
            ),
            Self::EndedInside(ended) => write!(
                f,
                "the test's process {ended} before the test returned: look for what ends it, such as \
                 `std::process::exit` or a signal"
            ),
            Self::EndedBefore(ended) => write!(
                f,
                "the test's process {ended} before the test began: #[isolated] needs the harness of `#[test]`, and a body \
                 that runs in each process"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::page::hold;

    #[test]
    fn every_message_about_isolated_tests_is_in_the_list_of_errors() {
        let all = [
            ProcessError::NotStarted(io::Error::from_raw_os_error(11)),
            ProcessError::TooDeep { depth: 8 },
            ProcessError::TimedOut(Duration::from_secs(30)),
            ProcessError::NotReached(Duration::from_secs(10)),
            ProcessError::EndedAfter(Ended::Signal(11)),
            ProcessError::EndedInside(Ended::Code(3)),
            ProcessError::EndedBefore(Ended::Code(0)),
        ];
        let mut messages: Vec<String> = all.iter().map(ToString::to_string).collect();
        messages.push(super::super::UNIX_ONLY.to_owned());
        hold(&messages, Some("Isolated tests"));
    }
}
