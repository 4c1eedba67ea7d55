//! What is told: conflicts, warnings and notes, with the parties and the mending.

use cofferdam::{Access, Resource};
use std::fmt;

/// Two tests that get in each other's way, or something that soon will.
///
/// Its [`Display`](fmt::Display) is the one-sentence message.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Conflict {
    /// What sort of thing it is.
    pub kind: Kind,
    /// The resource, where there is one.
    pub resource: Option<Resource>,
    /// The service, where there is one.
    pub service: Option<String>,
    /// The first two are in each other's way, if any two are; then others that are concerned, up to 8 in all
    /// unless more were asked for.
    pub parties: Vec<Party>,
    /// All executions that are concerned, also those that are not listed.
    pub concerned: u64,
    /// Whether it was seen to happen at one time. If not, another schedule can make it so.
    pub overlapped: bool,
    /// Whether the first two parties belong to different runs.
    pub between_runs: bool,
    /// What is the matter, in one sentence.
    pub message: String,
    /// What would end it.
    pub help: String,
}

/// The sort of a [`Conflict`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Kind {
    /// One instance in the hands of two workers, and not declared as shared.
    SharedInstance,
    /// Claims on one resource by two workers, one of them to write, with no lock in common.
    SharedResource,
    /// One worker ID alive in two processes of a run.
    WorkerTwice,
    /// A lazy proxy used by another worker than the one whose instance it holds.
    ForeignUse,
    /// Instances of one service from two epochs, both held.
    TwoEpochs,
    /// A file that tests of several programs use which follow one another: what the first leaves, the next finds.
    OrderLeak,
    /// Still held when nobody should hold it any more.
    Leaked,
    /// Evicted and rebuilt again and again.
    Thrashing,
    /// A test that ended while work it had started still ran.
    Quarantined,
    /// Built many times in one run, at a cost: a candidate for a fixture.
    Rebuilt,
}

/// How grave a [`Conflict`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Severity {
    /// Tests are in each other's way: a check fails.
    Conflict,
    /// Worth a look; a check passes.
    Warning,
    /// Could be better.
    Note,
}

impl Kind {
    /// Every kind, the gravest first.
    pub const ALL: &'static [Self] = &[
        Self::SharedInstance,
        Self::SharedResource,
        Self::WorkerTwice,
        Self::ForeignUse,
        Self::TwoEpochs,
        Self::OrderLeak,
        Self::Leaked,
        Self::Thrashing,
        Self::Quarantined,
        Self::Rebuilt,
    ];

    /// The word for it in reports: `shared-resource`, `worker-twice`, …
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SharedInstance => "shared-instance",
            Self::SharedResource => "shared-resource",
            Self::WorkerTwice => "worker-twice",
            Self::ForeignUse => "foreign-use",
            Self::TwoEpochs => "two-epochs",
            Self::OrderLeak => "order-leak",
            Self::Leaked => "leaked",
            Self::Thrashing => "thrashing",
            Self::Quarantined => "quarantined",
            Self::Rebuilt => "rebuilt",
        }
    }

    /// How grave it is.
    pub fn severity(self) -> Severity {
        match self {
            Self::SharedInstance | Self::SharedResource | Self::WorkerTwice | Self::ForeignUse => {
                Severity::Conflict
            }
            Self::TwoEpochs | Self::OrderLeak | Self::Leaked | Self::Thrashing | Self::Quarantined => {
                Severity::Warning
            }
            Self::Rebuilt => Severity::Note,
        }
    }
}

impl Severity {
    /// The word for it in reports: `conflict`, `warning` or `note`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Conflict => "conflict",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// An execution that a [`Conflict`] concerns.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Party {
    /// The run.
    pub run: String,
    /// The worker, unique in the run; empty where the test was seen from outside.
    pub worker: String,
    /// The process.
    pub pid: u32,
    /// What a person calls the program.
    pub binary: String,
    /// The test; a snapshot does not know it.
    pub test: Option<String>,
    /// 1, or more for a retry.
    pub attempt: u64,
    /// How it uses the resource, where there is one.
    pub access: Option<Access>,
    /// The service through which it does, if not by itself.
    pub service: Option<String>,
    /// The source place (`file:line`, possibly `:column`), where it is known.
    pub place: Option<String>,
    /// From when to when, in microseconds since 1970.
    pub window: (u64, u64),
}

impl fmt::Display for Party {
    /// The test, or what is known of it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.test {
            Some(test) => f.write_str(test)?,
            None => write!(f, "a test of {}", self.binary)?,
        }
        if self.attempt > 1 {
            write!(f, " (attempt {})", self.attempt)?;
        }
        Ok(())
    }
}

impl Conflict {
    /// How grave it is.
    pub fn severity(&self) -> Severity {
        self.kind.severity()
    }
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
