//! What each command does; they return data and print nothing.

pub(crate) mod backup;
pub(crate) mod batch;
pub(crate) mod check;
pub(crate) mod clean;
pub(crate) mod completions;
mod feed;
pub(crate) mod fix;
#[cfg(has_observer)]
mod foreground;
pub(crate) mod guard;
mod here;
pub(crate) mod list;
pub(crate) mod locks;
pub(crate) mod metrics;
pub(crate) mod observe;
mod origin;
mod plan;
pub(crate) mod ratchet;
mod recorder;
pub(crate) mod run;
mod session;
pub(crate) mod show;
pub(crate) mod status;
pub(crate) mod submit;
mod suite;
pub(crate) mod watch;

use crate::exit_code::{self, Ended, NoRecords, Seen, Verdict};
use crate::findings::{self, Coverage};
use batch::Batch;
use cofferdam_conflicts::{Conflict, Evidence, Severity, Watched};
use ratchet::Compared;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// What was asked for cannot be done as it was asked: exit code 2, and nothing was started.
#[derive(Debug)]
pub(crate) struct Refused(pub(crate) Vec<String>);

impl Refused {
    fn new(what: &dyn fmt::Display) -> Self {
        Self(vec![what.to_string()])
    }

    fn lines(what: Vec<String>) -> Self {
        Self(what)
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("; "))
    }
}

impl std::error::Error for Refused {}

/// What a command came to.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// How the command ended that was run, if one was.
    pub(crate) command: Option<Ended>,
    /// The one command went over a limit and was stopped.
    pub(crate) is_stopped: bool,
    /// The jobs, if there were several.
    pub(crate) batch: Option<Batch>,
    pub(crate) findings: Findings,
    pub(crate) verdict: Verdict,
    pub(crate) no_records: NoRecords,
    /// Whether the workspace depends on cofferdam, where that was asked.
    pub(crate) has_library: Option<bool>,
    /// Whether it is an error that something cannot be recorded.
    pub(crate) is_strict: bool,
}

impl Outcome {
    fn new(command: Option<Ended>, findings: Findings, no_records: NoRecords, is_strict: bool) -> Self {
        Self {
            command,
            is_stopped: false,
            batch: None,
            verdict: Verdict::of(findings.seen(is_strict), no_records),
            findings,
            no_records,
            has_library: None,
            is_strict,
        }
    }

    fn judge(&mut self) {
        self.verdict = Verdict::of(self.findings.seen(self.is_strict), self.no_records);
    }

    /// Whether a test failed, or all of the command, and nothing that was seen says why.
    pub(crate) fn is_unexplained(&self) -> bool {
        matches!(self.command, Some(Ended::Failed { .. }))
            && self.findings.observed.is_some()
            && self.findings.of_severity(Severity::Conflict).next().is_none()
    }

    pub(crate) fn exit_code(&self) -> u8 {
        exit_code::of(self.command, self.verdict)
    }
}

/// What was found in a recording.
#[derive(Debug)]
pub(crate) struct Findings {
    /// Where was looked.
    pub(crate) places: Vec<PathBuf>,
    pub(crate) watched: Watched,
    /// What was started, and what of it was recorded.
    pub(crate) account: findings::Account,
    pub(crate) conflicts: Vec<Conflict>,
    pub(crate) problems: Vec<String>,
    /// Also those that are not kept.
    pub(crate) problem_count: u64,
    /// For a suite that was seen from outside.
    pub(crate) observed: Option<Observed>,
    /// What is known of it, if that was asked for.
    pub(crate) baseline: Option<Compared>,
}

/// The facts about an observed suite besides its conflicts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Observed {
    pub(crate) coverage: Coverage,
    /// The outcome of `--confirm`.
    pub(crate) confirmed: Option<Confirmed>,
    /// The reasons for which files could not be written, each a sentence.
    pub(crate) not_kept: Vec<String>,
}

/// The outcome of running tests again, besides the grades.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Confirmed {
    /// The conflicts that turned out to be prevented by something.
    pub(crate) guarded: Vec<Conflict>,
    /// Tests that were stopped, because a run took too long or the time was over.
    pub(crate) stopped: Vec<Stopped>,
    /// Files that the runs left in the packages.
    pub(crate) left: Vec<PathBuf>,
}

/// Tests of one run that was stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stopped {
    pub(crate) tests: Vec<String>,
    pub(crate) after: Duration,
}

/// What the processes said of themselves; of a recording without a session's account, what was found.
fn account(evidence: &Evidence) -> findings::Account {
    let said = evidence.account();
    let found = evidence.watched().processes;
    let mut account = findings::Account {
        started: said.started.max(found),
        recorded: said.recorded.max(found),
        complete: said.complete,
        incomplete: said.incomplete,
        ..findings::Account::default()
    };
    for lost in &said.lost {
        account.lose(&lost.name, &lost.reason, lost.count);
    }
    account
}

impl Findings {
    fn new(places: Vec<PathBuf>, evidence: &Evidence) -> Self {
        Self {
            places,
            watched: evidence.watched(),
            account: account(evidence),
            conflicts: evidence.conflicts(),
            problems: evidence.problems().iter().map(ToString::to_string).collect(),
            problem_count: evidence.problem_count(),
            observed: None,
            baseline: None,
        }
    }

    /// What could not be read, or written.
    fn problem(&mut self, what: String) {
        self.problems.push(what);
        self.problem_count += 1;
    }

    /// Removes the conflicts for which `settle` returns something, and returns both.
    fn take_out<T>(&mut self, mut settle: impl FnMut(&Conflict) -> Option<T>) -> Vec<(Conflict, T)> {
        let mut taken = Vec::new();
        for conflict in std::mem::take(&mut self.conflicts) {
            match settle(&conflict) {
                Some(settled) => taken.push((conflict, settled)),
                None => self.conflicts.push(conflict),
            }
        }
        taken
    }

    pub(crate) fn of_severity(&self, severity: Severity) -> impl Iterator<Item = &Conflict> {
        self.conflicts
            .iter()
            .filter(move |conflict| conflict.severity() == severity)
    }

    /// Returns the number of resources on which tests may meet at one time and that runs could show nothing about.
    pub(crate) fn not_tried(&self) -> usize {
        let conflicts = self.conflicts.iter();
        conflicts.filter(|conflict| conflict.is_undecided()).count()
    }

    fn seen(&self, is_strict: bool) -> Seen {
        Seen {
            anything: match &self.observed {
                Some(observed) => observed.coverage.tests > 0,
                None => self.watched.processes > 0,
            },
            conflicts: self.of_severity(Severity::Conflict).next().is_some(),
            problems: self.problem_count > 0,
            lost: !self.account.lost.is_empty(),
            out_of_reach: is_strict && !self.account.out_of_reach.is_empty(),
            not_tried: self.not_tried() > 0,
        }
    }
}
