//! What the process ends with; docs/exit-codes.md tells it to people.

use clap::ValueEnum;
pub(crate) use cofferdam_batch::child::Ended;

/// No conflict in what was watched.
pub(crate) const NONE: u8 = 0;
/// Conflicts.
pub(crate) const CONFLICTS: u8 = 1;
/// The command line was wrong.
pub(crate) const USAGE: u8 = 2;
/// Could not tell.
pub(crate) const UNKNOWN: u8 = 3;
/// Of several jobs one failed or was stopped; or the one command was stopped, for it went over a limit.
pub(crate) const JOB_FAILED: u8 = 4;

/// What it means when nothing was recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum NoRecords {
    /// Exit code 0.
    Pass,
    /// Exit code 0, and a warning.
    Warn,
    /// Exit code 3.
    Fail,
}

/// What the recording says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// No conflict in what was watched.
    None,
    Conflicts,
    /// Something could not be read, so a conflict may have been missed.
    Unreadable,
    /// Programs are missing in what was recorded, so a conflict may have been missed.
    Lost,
    /// Runs could show nothing about a resource on which tests may meet.
    NotTried,
    /// Something cannot be recorded, and `--strict` asks for all of it.
    OutOfReach,
    /// Nothing was recorded, and that is as good as no conflict.
    NothingRecorded,
    /// Nothing was recorded, and that should not be.
    NoRecords,
}

/// What a verdict rests on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    pub(crate) anything: bool,
    pub(crate) conflicts: bool,
    pub(crate) problems: bool,
    pub(crate) lost: bool,
    pub(crate) not_tried: bool,
    /// Counted only where it was asked for.
    pub(crate) out_of_reach: bool,
}

impl Verdict {
    /// Conflicts that were found are certain, whatever else could not be read.
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

/// A command that failed keeps its code; else the recording decides.
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
    fn a_conflict_is_certain_and_what_is_unread_is_not_nothing() {
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
    fn a_conflict_goes_before_a_loss_and_a_loss_before_a_clean_report() {
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
    fn a_command_that_failed_keeps_its_code_whatever_was_seen() {
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
