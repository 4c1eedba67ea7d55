//! Exit codes, documented in docs/reference/exit-codes.md.

use clap::ValueEnum;
pub(crate) use cofferdam_batch::spawn::Ended;

/// No conflict was found.
pub(crate) const NONE: u8 = 0;
/// Conflicts were found.
pub(crate) const CONFLICTS: u8 = 1;
/// The command line was wrong.
pub(crate) const USAGE: u8 = 2;
/// No verdict is possible.
pub(crate) const UNKNOWN: u8 = 3;
/// One of several jobs failed or was stopped, or the command was stopped because it exceeded a limit.
pub(crate) const JOB_FAILED: u8 = 4;
/// A hunt or a rerun was interrupted.
#[cfg(has_observer)]
pub(crate) const INTERRUPTED: u8 = 130;

/// Result when nothing was recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum NoRecords {
    /// Exit code 0.
    Pass,
    /// Exit code 0 and a warning.
    Warn,
    /// Exit code 3.
    Fail,
}

/// The verdict on a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// No conflict was recorded.
    None,
    Conflicts,
    /// A file could not be read, so a conflict may have been missed.
    Unreadable,
    /// Programs are missing from the recording, so a conflict may have been missed.
    Lost,
    /// Reruns could not decide whether tests interfere through a resource.
    NotTried,
    /// A program cannot be recorded, and `--strict` was given.
    OutOfReach,
    /// Nothing was recorded, which counts as no conflict.
    NothingRecorded,
    /// Nothing was recorded, which is an error.
    NoRecords,
}

/// The facts that determine a verdict.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    pub(crate) anything: bool,
    pub(crate) conflicts: bool,
    pub(crate) problems: bool,
    pub(crate) lost: bool,
    pub(crate) not_tried: bool,
    /// Set only with `--strict`.
    pub(crate) out_of_reach: bool,
}

impl Verdict {
    /// Returns the verdict. Conflicts come first: they are certain even if something could not be read.
    pub(crate) fn of(seen: Seen, no_records: NoRecords) -> Self {
        if seen.conflicts {
            Self::Conflicts
        } else if seen.lost {
            Self::Lost
        } else if seen.problems {
            Self::Unreadable
        } else if seen.not_tried {
            Self::NotTried
        } else if seen.out_of_reach {
            Self::OutOfReach
        } else if seen.anything {
            Self::None
        } else if no_records == NoRecords::Fail {
            Self::NoRecords
        } else {
            Self::NothingRecorded
        }
    }

    pub(crate) fn code(self) -> u8 {
        match self {
            Self::None | Self::NothingRecorded => NONE,
            Self::Conflicts => CONFLICTS,
            Self::Unreadable | Self::Lost | Self::NotTried | Self::OutOfReach | Self::NoRecords => UNKNOWN,
        }
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::None => "none-seen",
            Self::Conflicts => "conflicts",
            Self::Unreadable => "unreadable",
            Self::Lost => "lost",
            Self::NotTried => "not-tried",
            Self::OutOfReach => "out-of-reach",
            Self::NothingRecorded | Self::NoRecords => "no-records",
        }
    }
}

/// Returns the exit code: that of a failed command, otherwise that of the verdict.
pub(crate) fn of(command: Option<Ended>, verdict: Verdict) -> u8 {
    match command {
        Some(Ended::Failed { code, .. }) => code,
        Some(Ended::Passed) | None => verdict.code(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(anything: bool, conflicts: bool, problems: bool, no_records: NoRecords) -> u8 {
        let seen = Seen {
            anything,
            conflicts,
            problems,
            lost: false,
            not_tried: false,
            out_of_reach: false,
        };
        Verdict::of(seen, no_records).code()
    }

    #[test]
    fn a_conflict_outranks_unreadable_files_and_these_outrank_no_records() {
        assert_eq!(verdict(true, false, false, NoRecords::Fail), 0);
        assert_eq!(verdict(true, true, false, NoRecords::Fail), 1);
        assert_eq!(verdict(true, true, true, NoRecords::Pass), 1);
        assert_eq!(verdict(true, false, true, NoRecords::Pass), 3);
        assert_eq!(verdict(false, false, true, NoRecords::Pass), 3);
        assert_eq!(verdict(false, false, false, NoRecords::Fail), 3);
        assert_eq!(verdict(false, false, false, NoRecords::Pass), 0);
        assert_eq!(verdict(false, false, false, NoRecords::Warn), 0);
    }

    #[test]
    fn a_conflict_outranks_a_loss_and_a_loss_outranks_a_clean_report() {
        let none = Seen {
            anything: true,
            conflicts: false,
            problems: false,
            lost: false,
            not_tried: false,
            out_of_reach: false,
        };
        let code = |seen| Verdict::of(seen, NoRecords::Pass).code();
        let lost = Seen { lost: true, ..none };
        assert_eq!(code(none), 0);
        assert_eq!(code(lost), 3);
        assert_eq!(
            code(Seen {
                conflicts: true,
                ..lost
            }),
            1
        );
        assert_eq!(
            code(Seen {
                out_of_reach: true,
                ..none
            }),
            3
        );
    }

    #[test]
    fn a_failed_command_keeps_its_code_with_every_verdict() {
        let failed = Ended::Failed {
            code: 42,
            signal: None,
        };
        for verdict in [
            Verdict::None,
            Verdict::Conflicts,
            Verdict::Unreadable,
            Verdict::NoRecords,
        ] {
            assert_eq!(of(Some(failed), verdict), 42);
            assert_eq!(of(Some(Ended::Passed), verdict), verdict.code());
            assert_eq!(of(None, verdict), verdict.code());
        }
    }
}
