//! What is asked of a keeper, and what it answers.

use crate::place::order::Order;
use std::path::PathBuf;
use std::time::Duration;

/// What a fixture is, and who is meant by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Definition {
    /// `postgres`, or `postgres@w0` for one worker's own.
    pub(crate) key: String,
    /// Where it is defined.
    pub(crate) place: String,
    /// The type of its handle.
    pub(crate) handle: String,
}

impl Definition {
    /// Whether both are one. A module that several test binaries include is part of another crate in each, so the
    /// crates' names do not count: the place stands for them.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.key == other.key
            && self.place == other.place
            && without_crates(&self.handle) == without_crates(&other.handle)
    }
}

/// The name of a type, each path in it without its first part.
fn without_crates(handle: &str) -> String {
    let is_path = |sign: char| sign.is_alphanumeric() || sign == '_' || sign == ':';
    let mut left = handle;
    let mut name = String::with_capacity(handle.len());
    while !left.is_empty() {
        let (path, rest) = left.split_at(left.find(|sign| !is_path(sign)).unwrap_or(left.len()));
        name.push_str(path.split_once("::").map_or(path, |(_, inner)| inner));
        let (between, rest) = rest.split_at(rest.find(is_path).unwrap_or(rest.len()));
        name.push_str(between);
        left = rest;
    }
    name
}

/// How a process is asked to end, and how long it may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stop {
    pub(crate) signal: i32,
    pub(crate) grace: Duration,
}

/// What a test process asks of the keeper.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// The fixture, started or to be started. `attempt` is the test's, as the runner counts them.
    Want {
        definition: Definition,
        attempt: u64,
        pid: u32,
    },
    /// A process of the fixture that this connection starts; it `ends` by itself, or runs until the teardown.
    Spawn { order: Order, stop: Stop, ends: bool },
    /// Whether the process of that number, which was started to end by itself, has ended.
    Ran { pid: u32 },
    /// A command for its teardown.
    Teardown { order: Order },
    /// A port for it, by a lock in this folder.
    Lease { folder: PathBuf },
    /// Whether one of its processes ended by itself.
    Ended,
    /// It is complete and stays.
    Keep,
    /// It could not be started, for this reason.
    Fail { reason: String },
}

/// What the keeper answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// Another process starts it; the answer follows.
    Starting { pid: u32 },
    /// It stands.
    Ready,
    /// Start it.
    Yours,
    /// Somebody could not start it, for this reason.
    Failed { reason: String },
    /// Something else has its name.
    Other { place: String, handle: String },
    /// One of its processes ended by itself.
    Ended { how: String },
    /// Done; for a process its number.
    Done { pid: u32 },
    /// The command is still running.
    Running,
    /// The command has ended well, and left these processes behind.
    Left { processes: Vec<u32> },
    /// The port is the fixture's.
    Leased { port: u16 },
    /// That could not be done.
    Refused { reason: String },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_definition_is_one_in_every_binary_that_includes_it() {
        let of = |handle: &str| Definition {
            key: "postgres".to_owned(),
            place: "tests/support/mod.rs:9:37".to_owned(),
            handle: handle.to_owned(),
        };
        for (one, other, same) in [
            ("orders::support::Server", "reports::support::Server", true),
            ("orders::support::Server", "reports::support::Client", false),
            ("(orders::Server, u16)", "(reports::Server, u16)", true),
            ("(orders::Server, u16)", "(reports::Server, u32)", false),
            (
                "alloc::vec::Vec<orders::Server>",
                "alloc::vec::Vec<reports::Server>",
                true,
            ),
            ("alloc::string::String", "u32", false),
            ("[&str; 2]", "[&str; 3]", false),
        ] {
            assert_eq!(of(one).is(&of(other)), same, "{one} and {other}");
        }
        let elsewhere = Definition {
            place: "tests/other.rs:9:37".to_owned(),
            ..of("u32")
        };
        assert!(!of("u32").is(&elsewhere));
    }
}
