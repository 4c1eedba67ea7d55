//! What the process ends with; docs/exit-codes.md tells it to people.

use crate::cli::NoRecords;
use crate::commands::Findings;

/// No conflict in what was watched.
pub(crate) const NONE: u8 = 0;
/// Conflicts.
pub(crate) const CONFLICTS: u8 = 1;
/// The command line was wrong.
pub(crate) const USAGE: u8 = 2;
/// Could not tell.
pub(crate) const UNKNOWN: u8 = 3;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    Passed,
    Failed {
        code: u8,
        /// The signal that ended it, if one did.
        signal: Option<i32>,
    },
}

impl Ended {
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Passed => 0,
            Self::Failed { code, .. } => code,
        }
    }
}

/// What the recording says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// No conflict in what was watched.
    None,
    Conflicts,
    /// Something could not be read, so a conflict may have been missed.
    Unreadable,
    /// Nothing was recorded, and that is as good as no conflict.
    NothingRecorded,
    /// Nothing was recorded, and that should not be.
    NoRecords,
}

impl Verdict {
    /// Conflicts that were found are certain, whatever else could not be read.
    pub(crate) fn of(findings: &Findings, no_records: NoRecords) -> Self {
        if findings.has_conflicts() {
            Self::Conflicts
        } else if findings.problem_count > 0 {
            Self::Unreadable
        } else if findings.watched_nothing() {
            match no_records {
                NoRecords::Fail => Self::NoRecords,
                NoRecords::Pass | NoRecords::Warn => Self::NothingRecorded,
            }
        } else {
            Self::None
        }
    }

    pub(crate) fn code(self) -> u8 {
        match self {
            Self::None | Self::NothingRecorded => NONE,
            Self::Conflicts => CONFLICTS,
            Self::Unreadable | Self::NoRecords => UNKNOWN,
        }
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::None => "none-seen",
            Self::Conflicts => "conflicts",
            Self::Unreadable => "unreadable",
            Self::NothingRecorded | Self::NoRecords => "no-records",
        }
    }
}

/// A command that failed keeps its code; else the recording decides.
pub(crate) fn of(command: Option<Ended>, verdict: Verdict) -> u8 {
    match command {
        Some(Ended::Failed { code, .. }) => code,
        Some(Ended::Passed) | None => verdict.code(),
    }
}
