//! The commands. They return data and print nothing.

pub(crate) mod backup;
pub(crate) mod baseline_check;
pub(crate) mod check;
pub(crate) mod clean;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod env;
#[cfg(has_observer)]
mod failed_tests;
pub(crate) mod fix;
pub(crate) mod guard;
mod here;
#[cfg(has_observer)]
pub(crate) mod hunt;
pub(crate) mod list;
pub(crate) mod locks;
pub(crate) mod man;
pub(crate) mod metrics;
pub(crate) mod next_steps;
pub(crate) mod observe;
mod recordings;
#[cfg(has_observer)]
pub(crate) mod rerun;
pub(crate) mod run;
pub(crate) mod shards;
pub(crate) mod show;
pub(crate) mod status;
pub(crate) mod submit;
#[cfg(has_observer)]
mod suite;
mod test_command;

use crate::exit_code::{self, Ended, NoRecords, Seen, Verdict};
use crate::findings::{self, Coverage, Statics, TestEnd, TestResult, TestTime};
use crate::fix::proposal::Proposal;
use crate::fixtures::Declared;
use crate::settings::{Settings, SettingsError, Source};
use baseline_check::Compared;
use cofferdam_batch::ledger::RecordedJob;
#[cfg(has_observer)]
use cofferdam_batch::{
    executor::{foreground, job::JobId, job_event::AttemptOutcome},
    jobs::spec,
};
use cofferdam_conflicts::{Conflict, Evidence, Severity, Watched};
use run::batch_summary::Batch;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A request that cannot be met as stated: exit code 2, and nothing was started.
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

/// Starts the fixtures that the settings file declares. `announce` gets their names before.
pub(crate) fn start_fixtures(
    settings: Option<&Path>,
    keep_warm: Option<Duration>,
    announce: impl FnOnce(&[&str]),
) -> Result<(), Box<dyn std::error::Error>> {
    let Some(declared) = declared(settings)? else {
        return Ok(());
    };
    announce(&declared.names());
    Ok(declared.start(&here::working_dir(), keep_warm)?)
}

/// Returns the settings of the commands of `cli` in the working directory.
///
/// # Errors
///
/// They cannot be used.
pub(crate) fn settings(
    cli: &clap::Command,
    source: &Source,
    profile: Option<&str>,
) -> Result<Settings, SettingsError> {
    Settings::read(cli, &here::working_dir(), source, profile)
}

/// Returns the fixtures that the settings file declares; `None` if there are none.
fn declared(settings: Option<&Path>) -> Result<Option<Declared>, Box<dyn std::error::Error>> {
    let Some(file) = settings else { return Ok(None) };
    let file = std::path::absolute(file)?;
    let declared = Declared::read(&file).map_err(|error| Refused::new(&error))?;
    if declared.names().is_empty() {
        return Ok(None);
    }
    if cfg!(not(has_observer)) {
        return Err(Box::new(Refused::new(
            &"declared fixtures need Linux with glibc, where cofferdam starts the test programs",
        )));
    }
    Ok(Some(declared))
}

/// Tears down the declared fixtures, and returns a conflict for each command that failed.
#[cfg(has_observer)]
fn end_fixtures() -> Vec<Conflict> {
    let mut evidence = Evidence::new();
    for failed in crate::fixtures::end() {
        evidence.add_failed_teardown(failed);
    }
    evidence.conflicts()
}

/// Runs a command to its end under observation, with the streams of this process. `base` is the directory of cofferdam's own
/// files, in case the suite uses the library.
#[cfg(has_observer)]
fn run_observed(
    observed: &crate::observe::ObservedCommand,
    command: &[std::ffi::OsString],
    base: &std::path::Path,
) -> Result<Ended, Box<dyn std::error::Error>> {
    run_in_foreground(command, observed_variables(observed, base).collect())
}

/// The same with further variables and a time limit; `None` if the command was stopped at that limit.
#[cfg(has_observer)]
fn run_observed_within(
    limit: Duration,
    more: &[(&str, &str)],
    observed: &crate::observe::ObservedCommand,
    command: &[std::ffi::OsString],
    base: &std::path::Path,
) -> Result<Option<Ended>, Box<dyn std::error::Error>> {
    let more = more.iter().map(|(name, value)| (name.into(), value.into()));
    run_within(
        Some(limit),
        command,
        observed_variables(observed, base).chain(more).collect(),
    )
}

#[cfg(has_observer)]
fn observed_variables(
    observed: &crate::observe::ObservedCommand,
    base: &std::path::Path,
) -> impl Iterator<Item = (OsString, OsString)> {
    let variables = observed.variables().into_iter();
    let variables = variables.map(|(name, value)| (name.into(), value));
    variables.chain([("COFFERDAM_DIR".into(), base.into())])
}

#[cfg(has_observer)]
fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get)
}

/// A signal came before there was anything to report.
#[cfg(has_observer)]
#[derive(Debug)]
pub(crate) struct Interrupted;

#[cfg(has_observer)]
impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("interrupted before any test was examined")
    }
}

#[cfg(has_observer)]
impl std::error::Error for Interrupted {}

/// The end of a command that was stopped.
#[cfg(has_observer)]
const STOPPED: Ended = Ended::Failed {
    code: exit_code::JOB_FAILED,
    signal: None,
};

/// Runs a command to its end with additional variables and the streams of this process.
#[cfg(has_observer)]
fn run_in_foreground(
    command: &[OsString],
    variables: Vec<(OsString, OsString)>,
) -> Result<Ended, Box<dyn std::error::Error>> {
    Ok(run_within(None, command, variables)?.unwrap_or(STOPPED))
}

/// The same with a time limit, if there is one; `None` if the command was stopped.
#[cfg(has_observer)]
fn run_within(
    limit: Option<Duration>,
    command: &[OsString],
    variables: Vec<(OsString, OsString)>,
) -> Result<Option<Ended>, Box<dyn std::error::Error>> {
    let mut job = spec::from_words(JobId(1), command.to_vec())?;
    job.timeout = limit;
    match foreground::run(job, variables)? {
        AttemptOutcome::Passed => Ok(Some(Ended::Passed)),
        AttemptOutcome::Failed { code, signal, .. } => Ok(Some(Ended::Failed { code, signal })),
        AttemptOutcome::NotStarted { error } => Err(error.into()),
        _ => Ok(None),
    }
}

/// Returns the reason no suite can be observed on this system.
#[cfg(not(has_observer))]
pub(crate) fn unobservable() -> Box<dyn std::error::Error> {
    "observation needs Linux with glibc, on x86_64 or aarch64; on this system, `cargo cofferdam run -- COMMAND` reports the \
     conflicts that a suite with cofferdam records itself"
        .into()
}

/// What a command came to.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The directory that reported paths are relative to.
    pub(crate) dir: PathBuf,
    /// The end of the started command, if there was one.
    pub(crate) command: Option<Ended>,
    /// Set if the command was stopped because it exceeded a limit.
    pub(crate) is_stopped: bool,
    /// The jobs, if there are several.
    pub(crate) batch: Option<Batch>,
    /// The jobs of the session, if a report file lists them, or the reason they are not known.
    pub(crate) jobs: Result<Vec<RecordedJob>, String>,
    pub(crate) findings: Findings,
    pub(crate) verdict: Verdict,
    pub(crate) no_records: NoRecords,
    /// `true` if the workspace depends on cofferdam; `None` if that was not determined.
    pub(crate) has_library: Option<bool>,
    /// Set if a program that cannot be recorded is an error.
    pub(crate) is_strict: bool,
    /// The words of the command that finds out why tests failed. They hold the user's command, so only terminals get them.
    pub(crate) hunt: Option<Vec<OsString>>,
}

impl Outcome {
    fn new(command: Option<Ended>, findings: Findings, no_records: NoRecords, is_strict: bool) -> Self {
        Self {
            dir: here::working_dir(),
            command,
            is_stopped: false,
            batch: None,
            jobs: Ok(Vec::new()),
            verdict: Verdict::of(findings.seen(is_strict), no_records),
            findings,
            no_records,
            has_library: None,
            is_strict,
            hunt: None,
        }
    }

    /// Adds the command that finds out why tests failed, if it can be run here.
    fn hunt_with(&mut self, words: Vec<String>, command: &[OsString]) {
        let words = words.into_iter().chain(["--".to_owned()]).map(OsString::from);
        let words = words.chain(command.iter().cloned());
        self.hunt = cfg!(has_observer).then(|| words.collect());
    }

    /// Recomputes the verdict after the findings changed.
    fn judge(&mut self) {
        self.verdict = Verdict::of(self.findings.seen(self.is_strict), self.no_records);
    }

    /// Returns whether the observed command failed and no conflict explains it.
    pub(crate) fn is_unexplained(&self) -> bool {
        matches!(self.command, Some(Ended::Failed { .. }))
            && self.findings.observed.is_some()
            && self.findings.of_severity(Severity::Conflict).next().is_none()
    }

    pub(crate) fn exit_code(&self) -> u8 {
        exit_code::of(self.command, self.verdict)
    }
}

/// The findings in a recording.
#[derive(Debug)]
pub(crate) struct Findings {
    /// The searched directories and files.
    pub(crate) places: Vec<PathBuf>,
    pub(crate) watched: Watched,
    /// The started and the recorded programs.
    pub(crate) account: findings::Account,
    pub(crate) conflicts: Vec<Conflict>,
    pub(crate) problems: Vec<String>,
    /// The number of problems, including those not in `problems`.
    pub(crate) problem_count: u64,
    /// Set for an observed suite.
    pub(crate) observed: Option<Observed>,
    /// The comparison with a baseline, if requested.
    pub(crate) baseline: Option<Compared>,
    /// The first executions of a recording. Those of an observed suite are its results.
    pub(crate) executions: Vec<TestTime>,
    /// The changes that `fix` proposes for an observed suite.
    pub(crate) proposal: Option<Proposal>,
}

/// The facts about an observed suite besides its conflicts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Observed {
    pub(crate) coverage: Coverage,
    /// The results of the tests, in the order in which their programs began.
    pub(crate) results: Vec<TestResult>,
    /// The tests that failed while they were observed.
    pub(crate) failed: Vec<FailedTest>,
    /// Whether the command ended at the first failure, so that other tests may not have run.
    pub(crate) ended_early: bool,
    /// The tests that were running when their program ended.
    pub(crate) unfinished: Vec<FailedTest>,
    /// The outcome of `--confirm`.
    pub(crate) confirmed: Option<Confirmed>,
    /// The reasons files could not be written, one sentence each.
    pub(crate) not_kept: Vec<String>,
    /// The statics, unless they were not to be observed.
    pub(crate) statics: Option<Statics>,
    /// Set if the shared statics are to be listed.
    pub(crate) lists_statics: bool,
}

impl Observed {
    /// Returns whether the report names a test that failed, or was running when its program ended.
    pub(crate) fn has_failed_tests(&self) -> bool {
        !self.failed.is_empty() || !self.unfinished.is_empty()
    }
}

/// A test that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FailedTest {
    pub(crate) binary: String,
    pub(crate) name: String,
    /// Its further runs, if they were wanted.
    pub(crate) examination: Option<Examination>,
    /// Set if it failed only at a lock that another test's panic had poisoned.
    pub(crate) poisoned: Option<PoisonedLock>,
}

/// A lock that a test held when it panicked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PoisonedLock {
    /// The test.
    pub(crate) by: String,
    /// The static, if only one can be it.
    pub(crate) name: Option<String>,
}

/// The further runs of a test that failed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Examination {
    /// The number of runs alone, and of those that failed.
    pub(crate) runs: u32,
    pub(crate) failed: u32,
    /// Whether it failed after the tests before it in its program; `None` if that was not run.
    pub(crate) fails_after_preceding: Option<bool>,
    /// The reason a run has no result.
    pub(crate) not_run: Option<String>,
}

/// The outcome of running tests again, besides the grades.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Confirmed {
    /// The conflicts that never occurred in the reruns.
    pub(crate) guarded: Vec<Conflict>,
    /// Tests that were stopped because a rerun took too long or the time budget was used up.
    pub(crate) stopped: Vec<Stopped>,
    /// Files that the reruns left in the packages.
    pub(crate) left: Vec<PathBuf>,
}

/// The tests of a stopped rerun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stopped {
    pub(crate) tests: Vec<String>,
    pub(crate) after: Duration,
}

/// Returns the account that the session recorded, or the number of recorded processes for a recording without one.
fn account(evidence: &Evidence) -> findings::Account {
    let recorded = evidence.account();
    let found = evidence.watched().processes;
    let mut account = findings::Account {
        started: recorded.started.max(found),
        recorded: recorded.recorded.max(found),
        complete: recorded.complete,
        incomplete: recorded.incomplete,
        ..findings::Account::default()
    };
    for lost in &recorded.lost {
        account.lose(&lost.name, &lost.reason, lost.count);
    }
    account
}

/// The most executions of a recording that a report shows: a session of many rounds has millions.
const EXECUTIONS: usize = 10_000;

fn executions(evidence: &Evidence) -> Vec<TestTime> {
    let executions = evidence.executions().take(EXECUTIONS);
    executions
        .map(|one| TestTime {
            worker: one.worker.to_owned(),
            binary: one.binary.to_owned(),
            name: one.test.to_owned(),
            pid: one.pid,
            attempt: one.attempt,
            began: one.begin,
            ended: Some(one.end),
            result: TestEnd::NotKnown,
        })
        .collect()
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
            executions: executions(evidence),
            proposal: None,
        }
    }

    /// Adds a problem: an input that could not be read, or an output that could not be written.
    fn problem(&mut self, what: String) {
        self.problems.push(what);
        self.problem_count += 1;
    }

    /// Removes the conflicts for which `settle` returns a value, and returns both.
    fn remove_conflicts<T>(&mut self, mut settle: impl FnMut(&Conflict) -> Option<T>) -> Vec<(Conflict, T)> {
        let mut taken = Vec::new();
        for conflict in std::mem::take(&mut self.conflicts) {
            match settle(&conflict) {
                Some(settled) => taken.push((conflict, settled)),
                None => self.conflicts.push(conflict),
            }
        }
        taken
    }

    /// Returns the conflicts with this severity.
    pub(crate) fn of_severity(&self, severity: Severity) -> impl Iterator<Item = &Conflict> {
        self.conflicts
            .iter()
            .filter(move |conflict| conflict.severity() == severity)
    }

    /// Returns whether tests were run again.
    pub(crate) fn is_confirmed(&self) -> bool {
        self.observed
            .as_ref()
            .is_some_and(|observed| observed.confirmed.is_some())
    }

    /// Returns the number of potential conflicts that are not decided.
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
