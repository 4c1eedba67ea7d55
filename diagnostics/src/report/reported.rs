//! The result of a command, from which its reports are made.

#[cfg(has_observer)]
use super::hunt;
use super::observed::test_explained;
use super::summary;
use crate::commands::Outcome;
#[cfg(has_observer)]
use crate::commands::hunt::Hunted;
use crate::exit_code;
use crate::findings::{TestResult, TestTime};
use cofferdam_batch::ledger::RecordedJob;
use cofferdam_conflicts::Conflict;

/// The result of a command, from which its text and every report file are made.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reported<'a> {
    /// The result of `run`, `observe` or `check`.
    Outcome(&'a Outcome),
    #[cfg(has_observer)]
    Hunt(&'a Hunted),
}

impl<'a> Reported<'a> {
    /// Returns the results of the tests, as far as they were observed.
    pub(super) fn results(&self) -> &'a [TestResult] {
        match self {
            Self::Outcome(outcome) => {
                let observed = outcome.findings.observed.as_ref();
                observed.map_or(&[], |observed| &observed.results)
            }
            #[cfg(has_observer)]
            Self::Hunt(hunted) => &hunted.results,
        }
    }

    /// Returns when the tests ran: as observed, or as recorded.
    pub(super) fn executions(&self) -> Vec<TestTime> {
        match self {
            Self::Outcome(outcome) if outcome.findings.observed.is_none() => {
                outcome.findings.executions.clone()
            }
            _ => self.results().iter().filter_map(TestTime::of).collect(),
        }
    }

    /// Returns what reruns of a failed test showed, if there were any.
    pub(super) fn examined(&self, result: &TestResult) -> Option<String> {
        let observed = match self {
            Self::Outcome(outcome) => outcome.findings.observed.as_ref()?,
            #[cfg(has_observer)]
            Self::Hunt(_) => return None,
        };
        let mut tests = observed.failed.iter().chain(&observed.unfinished);
        let test = tests.find(|test| test.binary == result.binary && test.name == result.name)?;
        test_explained(test)
    }

    /// Returns the conflicts; for a hunt, those of its first run.
    pub(super) fn conflicts(&self) -> &'a [Conflict] {
        match self {
            Self::Outcome(outcome) => &outcome.findings.conflicts,
            #[cfg(has_observer)]
            Self::Hunt(hunted) => &hunted.conflicts,
        }
    }

    /// Returns the jobs of the session, if there was one, or the reason they are not known.
    pub(super) fn jobs(&self) -> Result<&'a [RecordedJob], &'a str> {
        match self {
            Self::Outcome(outcome) => outcome.jobs.as_deref().map_err(String::as_str),
            #[cfg(has_observer)]
            Self::Hunt(_) => Ok(&[]),
        }
    }

    /// Returns the last line of the text report.
    pub(super) fn last_line(&self) -> String {
        match self {
            Self::Outcome(outcome) => summary::last_line(outcome),
            #[cfg(has_observer)]
            Self::Hunt(hunted) => hunt::last_line(hunted),
        }
    }

    /// Returns whether a verdict was possible.
    pub(super) fn has_verdict(&self) -> bool {
        let code = match self {
            Self::Outcome(outcome) => outcome.verdict.code(),
            #[cfg(has_observer)]
            Self::Hunt(hunted) => hunted.exit_code(),
        };
        code == exit_code::NONE || code == exit_code::CONFLICTS
    }
}
