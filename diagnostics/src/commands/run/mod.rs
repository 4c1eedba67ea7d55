//! `run`: runs commands with recording on, then reports the conflicts between their tests.

pub(crate) mod batch_summary;
mod job_source;
mod origin;
mod plan;
mod recorder;
mod session_dirs;
pub(crate) mod watch;

use super::baseline_check::BaselineCheck;
use super::test_command::{self, is_test_command};
use super::{Findings, Outcome, here, recordings};
use crate::cli::{FileFormat, RunArgs};
use crate::exit_code::{self, Ended, NoRecords};
use crate::fixtures;
#[cfg(has_observer)]
use crate::observe::launch::FixtureRunner;
use batch_summary::Batch;
use cofferdam::diagnostics::{CleanOptions, clean};
use cofferdam::namespace::Namespace;
use cofferdam_batch::executor::job::Job;
use cofferdam_batch::executor::job_event::{AttemptOutcome, Event, StopReason};
use cofferdam_batch::executor::options::{JobDirs, Options, Placement};
use cofferdam_batch::executor::{self, JobSource};
use cofferdam_batch::ledger::Status;
use cofferdam_conflicts::{Conflict, Evidence, ReadError, Severity, reserve};
use job_source::SessionJobs;
use plan::{Plan, Work};
use recorder::{Recorder, SessionRequest};
use session_dirs::{OutputDir, SessionDirs};
use std::error::Error;
use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::sync::Arc;
use watch::{BatchStart, SessionStart, Watch};

pub(crate) fn run(
    args: &RunArgs,
    settings: Option<&Path>,
    watch: &mut dyn Watch,
) -> Result<Outcome, Box<dyn Error>> {
    let dir = here::working_dir();
    let baseline = BaselineCheck::read(&args.baseline)?;
    let plan = Plan::of(args, settings)?;
    let base = cofferdam::diagnostics::base_dir(Some(&dir))?;
    let name = recordings::new_name();
    let mut namespace = session_dirs::namespace(args.run_namespace.as_deref(), &name)?;
    if args.resume
        && namespace.as_str() == name
        && let Some(last) = recorder::last_namespace(&base)?
    {
        namespace = Namespace::named(&last)?;
    }
    let request = SessionRequest {
        name: &name,
        namespace: namespace.as_str(),
        scope: plan.scope(),
        // A single command owns the terminal, which a submitted one would have to share.
        takes_jobs: !matches!(plan.work, Work::One(_)),
        resume: args.resume,
        wait: args.wait(),
        dir: &dir,
    };
    let mut recorder = Recorder::begin(&base, &request, |blocking| {
        watch.warn(&blocking.waiting());
    })?;
    let session = Session {
        args,
        base: &base,
        name: &name,
    };
    let number = recorder.number();
    let mut result = session
        .run(plan, namespace, &mut recorder, watch)
        .map(|outcome| baseline.apply(outcome));
    match &result {
        Ok(outcome) => recorder.end(status(outcome), Some(&outcome.findings)),
        // It stays interrupted, and can be resumed again.
        Err(_) if args.resume => {}
        Err(_) => recorder.end(Status::Failed, None),
    }
    if let Ok(outcome) = &mut result
        && args
            .report
            .files
            .iter()
            .any(|file| file.format == FileFormat::Junit)
    {
        outcome.jobs = recorder.jobs(number);
    }
    for warning in recorder.take_warnings() {
        watch.warn(&warning);
    }
    result
}

fn status(outcome: &Outcome) -> Status {
    let stopped = outcome.batch.as_ref().and_then(|batch| batch.tally.stopped);
    match (stopped, outcome.exit_code()) {
        (Some(StopReason::Signal(_)), _) => Status::Cancelled,
        (_, exit_code::NONE) => Status::Passed,
        _ => Status::Failed,
    }
}

/// An admitted session.
struct Session<'a> {
    args: &'a RunArgs,
    base: &'a Path,
    name: &'a str,
}

impl Session<'_> {
    fn run(
        &self,
        plan: Plan,
        namespace: Namespace,
        recorder: &mut Recorder,
        watch: &mut dyn Watch,
    ) -> Result<Outcome, Box<dyn Error>> {
        let output = OutputDir::take(namespace, self.base).map_err(|error| unusable(&error))?;
        let dirs = match plan.work {
            Work::One(_) => None,
            _ => Some(SessionDirs::create(self.base, self.name, &output.path)?),
        };
        // Reserved first: programs that later find no room are known by the account, so nothing is recorded without one.
        let unrecorded = reserve(self.base, self.name).err();
        if let Some(error) = &unrecorded {
            watch.warn(&format!("{UNRECORDED}: {}", unusable(error)));
        }
        let mut options = self.options(&plan, &output, dirs.as_ref(), recorder);
        #[cfg(has_observer)]
        let fixture_runner = FixtureRunner::new(&here::working_dir())?;
        #[cfg(has_observer)]
        if let Some(runner) = &fixture_runner {
            let variables = runner.variables().into_iter();
            options
                .variables
                .extend(variables.map(|(name, value)| (name.into(), value)));
        }
        if unrecorded.is_none() {
            let record = ("COFFERDAM_RECORD".into(), self.name.into());
            options.variables.push(record);
        }
        let rounds = plan.rounds();
        let resumed = recorder.resumed(options.grace);
        if self.args.resume && resumed.is_none() {
            watch.warn("there is no interrupted session to continue: all jobs are run");
        }
        let number = recorder.number();
        let (jobs, carried) = SessionJobs::new(plan.work, recorder, resumed)?;
        watch.begin(&SessionStart {
            number,
            namespace: output.namespace.as_str(),
            output: &output.path,
            batch: dirs.as_ref().map(|dirs| BatchStart {
                jobs: jobs.known(),
                at_once: options.at_once.get(),
                logs: &dirs.logs,
            }),
        });
        let mut running = RunningSession {
            jobs,
            batch: Batch {
                carried,
                rounds,
                logs: dirs.as_ref().map(|dirs| dirs.logs.clone()).unwrap_or_default(),
                ..Batch::default()
            },
            single: None,
            watch: &mut *watch,
        };
        running.drive(&options)?;
        let RunningSession { batch, single, .. } = running;
        watch.end();
        let ran = match dirs {
            None => Ran::of_command(single)?,
            Some(_) => Ran::of_batch(batch),
        };
        drop(dirs);
        drop(output);
        let begin = || watch.warn("waiting for the teardown of the run's fixtures");
        for run in recordings::wait_for_teardowns(self.base, self.name, begin) {
            watch.warn(&format!(
                "the fixtures in {} are not torn down yet, so a failure of their teardown is not reported",
                run.display()
            ));
        }
        Ok(self.judge(ran, &options, unrecorded.as_ref()))
    }

    fn options(
        &self,
        plan: &Plan,
        output: &OutputDir,
        dirs: Option<&SessionDirs>,
        recorder: &Recorder,
    ) -> Options {
        let mut variables: Vec<(OsString, OsString)> = vec![
            ("COFFERDAM_DIR".into(), self.base.into()),
            ("COFFERDAM_RUN_NAMESPACE".into(), output.namespace.as_str().into()),
            ("COFFERDAM_RUN_DIR".into(), output.path.clone().into()),
        ];
        variables.extend(dirs.and_then(SessionDirs::host_dir));
        Options {
            at_once: plan.at_once(),
            groups: plan.groups.clone(),
            interval: plan.limits.rate.map(|rate| rate.0),
            timeout: plan.limits.timeout.map(|timeout| timeout.0),
            retries: plan.limits.retries.unwrap_or(0),
            grace: plan.grace(),
            policy: plan.policy.clone(),
            memory: plan.memory(),
            session: self.name.to_owned(),
            lock: recorder.jobs_lock().map(Arc::new),
            placement: dirs.map_or(Placement::Foreground, |dirs| {
                Placement::Sandboxed(JobDirs {
                    logs: dirs.logs.clone(),
                    temp: dirs.temp.path().to_owned(),
                    output: output.path.clone(),
                    prefix: session_dirs::job_prefix(),
                })
            }),
            variables,
        }
    }

    fn judge(&self, ran: Ran, options: &Options, unrecorded: Option<&ReadError>) -> Outcome {
        let recorded = recordings::evidence(self.base, self.name);
        // The outcome of the jobs is reported even if the recording cannot be read.
        let (mut evidence, unread) = match recorded {
            Ok(evidence) => (evidence, None),
            Err(error) => (Evidence::of_session(self.name), Some(error.to_string())),
        };
        for failed in fixtures::end() {
            evidence.add_failed_teardown(failed);
        }
        let mut findings = Findings::new(vec![self.base.join("runs")], &evidence);
        drop(evidence);
        unread.into_iter().for_each(|what| findings.problem(what));
        self.check_account(&mut findings, unrecorded);
        let batch = ran.batch.map(|batch| self.count_conflicts(batch, options));
        recordings::remove_old(self.base);
        // Cleanup that no test had the time for. A folder that cannot be removed now is tried again by the next session.
        let _ = clean(self.base, CleanOptions::default());
        let no_records = self
            .args
            .no_records
            .unwrap_or(if is_test_command(&self.args.command) {
                NoRecords::Fail
            } else {
                NoRecords::Pass
            });
        let mut outcome = Outcome::new(Some(ran.ended), findings, no_records, self.args.strict);
        outcome.is_stopped = ran.is_stopped;
        outcome.has_library = test_command::depends_on(&here::working_dir(), "cofferdam");
        outcome.batch = batch;
        let has_failed = matches!(ran.ended, Ended::Failed { .. }) && !ran.is_stopped;
        if has_failed && is_test_command(&self.args.command) {
            let words = ["cargo", "cofferdam", "hunt"].map(str::to_owned).to_vec();
            outcome.hunt_with(words, &self.args.command);
        }
        outcome
    }

    /// Adds a finding if the account of the session is missing.
    fn check_account(&self, findings: &mut Findings, unrecorded: Option<&ReadError>) {
        let account = recordings::account(self.base, self.name);
        if let Some(error) = unrecorded {
            findings
                .account
                .lose("the command", &format!("{UNRECORDED}: {error}"), 1);
        } else if !account.exists() {
            findings.problem(format!(
                "{} was removed while the command ran, as `cargo clean` does, and with it the recording up to then: set \
                 COFFERDAM_DIR to a base directory outside of the target directory",
                account.display()
            ));
        }
    }

    /// Counts the conflicts within the rounds of each number of workers.
    fn count_conflicts(&self, mut batch: Batch, options: &Options) -> Batch {
        let Placement::Sandboxed(dirs) = &options.placement else {
            return batch;
        };
        for rounds in &mut batch.rounds {
            // An unreadable recording is reported once, with the findings of the session.
            if let Ok(evidence) =
                recordings::evidence_of_jobs(self.base, self.name, &dirs.prefix, &rounds.jobs)
            {
                let conflicts = evidence.conflicts();
                let is_conflict = |found: &&Conflict| found.severity() == Severity::Conflict;
                rounds.conflicts = conflicts.iter().filter(is_conflict).count() as u64;
            }
        }
        batch
    }
}

/// The session while its jobs run: connects their source, the record, the summary and the display.
struct RunningSession<'a> {
    jobs: SessionJobs<'a>,
    batch: Batch,
    /// The outcome of the last attempt, for a single command.
    single: Option<AttemptOutcome>,
    watch: &'a mut dyn Watch,
}

impl RunningSession<'_> {
    fn drive(&mut self, options: &Options) -> io::Result<()> {
        self.show_warnings();
        #[expect(clippy::disallowed_methods, reason = "the report has the session's duration")]
        let began = std::time::Instant::now();
        self.batch.tally = executor::run(options, self)?;
        self.batch.duration = began.elapsed();
        self.batch.unusable = self.jobs.recorder().unusable();
        Ok(())
    }

    fn show_warnings(&mut self) {
        for warning in self.jobs.recorder().take_warnings() {
            self.watch.warn(&warning);
        }
    }
}

impl JobSource for RunningSession<'_> {
    fn next_job(&mut self) -> Option<Job> {
        self.jobs.next_job()
    }

    fn is_endless(&self) -> bool {
        self.jobs.is_endless()
    }

    fn observe(&mut self, event: &Event) {
        if let Event::Ended { outcome, .. } = event {
            self.single = Some(outcome.clone());
        }
        self.batch.observe(event);
        self.jobs.observe(event);
        self.watch.see(event);
        if let Event::Unguarded { error } = event {
            self.watch.warn(&format!(
                "could not start the guard, so jobs survive if cofferdam is killed: {error}"
            ));
        }
        self.show_warnings();
    }
}

/// Returns the message for an unusable base folder. Where permissions or space are missing, another folder helps.
fn unusable(error: &(dyn Error + 'static)) -> String {
    let source = error.source().and_then(<dyn Error>::downcast_ref::<io::Error>);
    match source.map(io::Error::kind) {
        Some(
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::StorageFull,
        ) => format!("{error}; a session needs a writable base directory: set COFFERDAM_DIR to another one"),
        _ => error.to_string(),
    }
}

/// The outcome of the jobs.
struct Ran {
    ended: Ended,
    /// The single command exceeded a limit and was stopped.
    is_stopped: bool,
    batch: Option<Batch>,
}

impl Ran {
    /// Keeps the exit code of a single command.
    fn of_command(outcome: Option<AttemptOutcome>) -> Result<Self, String> {
        let (ended, is_stopped) = match outcome {
            Some(AttemptOutcome::Passed) => (Ended::Passed, false),
            Some(AttemptOutcome::Failed { code, signal, .. }) => (Ended::Failed { code, signal }, false),
            Some(AttemptOutcome::NotStarted { error }) => return Err(error),
            Some(_) => (JOB_FAILED, true),
            // It had ended in the session that this one continues.
            None => (Ended::Passed, false),
        };
        Ok(Self {
            ended,
            is_stopped,
            batch: None,
        })
    }

    fn of_batch(batch: Batch) -> Self {
        Self {
            ended: if batch.has_passed() {
                Ended::Passed
            } else {
                JOB_FAILED
            },
            is_stopped: false,
            batch: Some(batch),
        }
    }
}

const UNRECORDED: &str = "nothing is recorded, because the session's account could not be reserved";

const JOB_FAILED: Ended = Ended::Failed {
    code: exit_code::JOB_FAILED,
    signal: None,
};
