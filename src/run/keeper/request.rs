//! What is asked of a keeper, and what it answers.

use std::ffi::OsString;
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

/// A command as plain data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Order {
    pub(crate) program: OsString,
    pub(crate) args: Vec<OsString>,
    /// The whole environment.
    pub(crate) env: Vec<(OsString, OsString)>,
    pub(crate) dir: PathBuf,
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
    /// A process of the fixture that this connection starts.
    Spawn { order: Order, stop: Stop },
    /// A command for its teardown.
    Teardown { order: Order },
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
    /// That could not be done.
    Refused { reason: String },
}
