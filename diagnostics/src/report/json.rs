//! The report for programs: one line of JSON with a version. docs/reference/reports.md describes it.

use super::batch::BatchView;
use super::json_line::{self, path};
use crate::baseline::Standing;
use crate::commands::{
    Confirmed, FailedTest, Findings, Observed, Outcome, Stopped, baseline_check::Compared,
};
use crate::exit_code::Ended;
use crate::findings::{Account, Coverage, Entry, SharedStatic};
use cofferdam_conflicts::{Conflict, Severity, Watched};
use serde::Serialize;
use std::borrow::Cow;
use std::io::{self, Write};

/// The version of the report that this build writes.
const VERSION: u64 = 2;

pub(super) struct Json<'a>(pub(super) &'a Outcome);

impl Json<'_> {
    pub(super) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        json_line::write(out, &OutcomeView::of(self.0))
    }
}

#[derive(Serialize)]
struct OutcomeView<'a> {
    version: u64,
    verdict: &'static str,
    exit_code: ExitCodes,
    signal: Option<i32>,
    jobs: Option<BatchView>,
    watched: &'a Watched,
    account: &'a Account,
    conflicts: Vec<ConflictView<'a>>,
    problems: &'a [String],
    problem_count: u64,
    observed: Option<ObservedView<'a>>,
    baseline: Option<BaselineView<'a>>,
    looked_in: Vec<Cow<'a, str>>,
}

#[derive(Serialize)]
struct ExitCodes {
    process: u8,
    command: Option<u8>,
    verdict: u8,
}

impl<'a> OutcomeView<'a> {
    fn of(outcome: &'a Outcome) -> Self {
        let findings: &Findings = &outcome.findings;
        Self {
            version: VERSION,
            verdict: outcome.verdict.as_str(),
            exit_code: ExitCodes {
                process: outcome.exit_code(),
                command: outcome.command.map(Ended::code),
                verdict: outcome.verdict.code(),
            },
            signal: match outcome.command {
                Some(Ended::Failed { signal, .. }) => signal,
                Some(Ended::Passed) | None => None,
            },
            jobs: outcome.batch.as_ref().map(BatchView::new),
            watched: &findings.watched,
            account: &findings.account,
            conflicts: views(&findings.conflicts),
            problems: &findings.problems,
            problem_count: findings.problem_count,
            observed: findings.observed.as_ref().map(ObservedView::of),
            baseline: findings.baseline.as_ref().map(BaselineView::of),
            looked_in: findings.places.iter().map(|place| path(place)).collect(),
        }
    }
}

/// A conflict with its severity.
#[derive(Serialize)]
struct ConflictView<'a> {
    severity: Severity,
    #[serde(flatten)]
    conflict: &'a Conflict,
}

fn views(conflicts: &[Conflict]) -> Vec<ConflictView<'_>> {
    let view = |conflict| ConflictView {
        severity: Conflict::severity(conflict),
        conflict,
    };
    conflicts.iter().map(view).collect()
}

#[derive(Serialize)]
struct ObservedView<'a> {
    #[serde(flatten)]
    coverage: &'a Coverage,
    failed: Vec<FailedView<'a>>,
    unfinished: Vec<FailedView<'a>>,
    /// Null without `--confirm`, like those that follow.
    stopped: Option<Vec<StoppedView<'a>>>,
    left_behind: Option<Vec<Cow<'a, str>>>,
    guarded: Option<Vec<ConflictView<'a>>>,
    /// Null if they were not to be observed.
    statics: Option<StaticsView<'a>>,
}

#[derive(Serialize)]
struct StaticsView<'a> {
    programs: u64,
    shared: usize,
    /// Null without `--confirm`.
    pairs: Option<StaticPairsView>,
    /// Null unless they are to be listed.
    list: Option<&'a [SharedStatic]>,
    unwatched: &'a [Entry],
    kept_apart: &'a [String],
}

#[derive(Serialize)]
struct StaticPairsView {
    tried: u64,
    total: u64,
}

#[derive(Serialize)]
struct FailedView<'a> {
    test: &'a str,
    binary: &'a str,
    /// Null if it was not run again, like `after_preceding`.
    alone: Option<AloneView>,
    after_preceding: Option<&'static str>,
    /// The test that poisoned the lock at which it failed, and the lock.
    poisoned_by: Option<&'a str>,
    lock: Option<&'a str>,
    not_examined: Option<&'a str>,
}

#[derive(Serialize)]
struct AloneView {
    failed: u32,
    runs: u32,
}

impl<'a> FailedView<'a> {
    fn of(test: &'a FailedTest) -> Self {
        let examination = test.examination.as_ref();
        let alone = examination.filter(|examination| examination.runs > 0);
        let after = examination.and_then(|examination| examination.fails_after_preceding);
        Self {
            test: &test.name,
            binary: &test.binary,
            alone: alone.map(|examination| AloneView {
                failed: examination.failed,
                runs: examination.runs,
            }),
            after_preceding: after.map(|fails| if fails { "failed" } else { "passed" }),
            poisoned_by: test.poisoned.as_ref().map(|lock| lock.by.as_str()),
            lock: test.poisoned.as_ref().and_then(|lock| lock.name.as_deref()),
            not_examined: examination.and_then(|examination| examination.not_run.as_deref()),
        }
    }
}

#[derive(Serialize)]
struct StoppedView<'a> {
    tests: &'a [String],
    seconds: u64,
}

impl<'a> ObservedView<'a> {
    fn of(observed: &'a Observed) -> Self {
        let stopped = |stopped: &'a Stopped| StoppedView {
            tests: &stopped.tests,
            seconds: stopped.after.as_secs(),
        };
        let confirmed: Option<&Confirmed> = observed.confirmed.as_ref();
        Self {
            coverage: &observed.coverage,
            failed: observed.failed.iter().map(FailedView::of).collect(),
            unfinished: observed.unfinished.iter().map(FailedView::of).collect(),
            stopped: confirmed.map(|confirmed| confirmed.stopped.iter().map(stopped).collect()),
            left_behind: confirmed.map(|confirmed| confirmed.left.iter().map(|file| path(file)).collect()),
            guarded: confirmed.map(|confirmed| views(&confirmed.guarded)),
            statics: observed.statics.as_ref().map(|statics| StaticsView {
                programs: statics.programs,
                shared: statics.shared.len(),
                pairs: statics
                    .pairs
                    .map(|(tried, total)| StaticPairsView { tried, total }),
                list: observed.lists_statics.then_some(&statics.shared[..]),
                unwatched: &statics.unwatched,
                kept_apart: &statics.kept_apart,
            }),
        }
    }
}

#[derive(Serialize)]
struct BaselineView<'a> {
    file: Cow<'a, str>,
    written: Option<usize>,
    not_written: Option<&'a str>,
    known: Vec<KnownView<'a>>,
    notes: &'a [String],
    gone: &'a [String],
}

#[derive(Serialize)]
struct KnownView<'a> {
    conflict: &'a Conflict,
    until: Option<&'a str>,
    reason: Option<&'a str>,
}

impl<'a> BaselineView<'a> {
    fn of(compared: &'a Compared) -> Self {
        let known = |(conflict, standing): &'a (Conflict, Standing)| {
            let (until, reason) = match standing {
                Standing::Allowed { until, reason } => (Some(until.as_str()), Some(reason.as_str())),
                Standing::New | Standing::NewTests(_) | Standing::Known | Standing::Ended { .. } => {
                    (None, None)
                }
            };
            KnownView {
                conflict,
                until,
                reason,
            }
        };
        Self {
            file: path(&compared.file),
            written: compared.written,
            not_written: compared.not_written.as_deref(),
            known: compared.accepted.iter().map(known).collect(),
            notes: &compared.notes,
            gone: &compared.missing,
        }
    }
}
