//! `run`: commands with recording on, then the conflicts between their tests.

use super::batch::{Batch, Row};
use super::feed::{self, Feed};
use super::plan::{Plan, Work};
use super::ratchet::Ratchet;
use super::recorder::{self, Asked, Recorder};
use super::suite::{self, is_test_command};
use super::watch::{BatchBegun, Begun, Watch};
use super::{Findings, Outcome, here, session};
use crate::cli::RunArgs;
use crate::executor;
use crate::executor::event::{Ending, Event, Tally, Why};
use crate::executor::options::{Folders, Options, Place};
use crate::exit_code::{self, Ended, NoRecords};
use crate::jobs::rounds::Rounds;
use crate::ledger::Status;
use cofferdam::Namespace;
use cofferdam::diagnostics::{CleanOptions, clean};
use cofferdam_conflicts::{Conflict, Evidence, ReadError, Severity, reserve};
use std::cell::{Cell, RefCell};
use std::error::Error;
use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::sync::Arc;

pub(crate) fn run(args: &RunArgs, watch: &mut dyn Watch) -> Result<Outcome, Box<dyn Error>> {
    let dir = here::working_dir();
    let ratchet = Ratchet::read(&args.baseline)?;
    let plan = Plan::of(args, &dir)?;
    for bad in &plan.skipped {
        watch.warn(&format!("left out {bad}"));
    }
    let base = cofferdam::base_dir(Some(&dir))?;
    let name = session::new_name();
    let mut namespace = session::namespace(args.run_namespace.as_deref(), &name)?;
    if args.resume
        && namespace.as_str() == name
        && let Some(last) = recorder::last_namespace(&base)?
    {
        namespace = Namespace::named(&last)?;
    }
    let asked = Asked {
        name: &name,
        namespace: namespace.as_str(),
        scope: plan.scope(),
        // Another command would have to share the terminal of the one.
        takes_jobs: !matches!(plan.work, Work::One(_)),
        resume: args.resume,
        wait: args.wait(),
        dir: &dir,
    };
    let recorder = Recorder::begin(&base, &asked, |refused| {
        watch.warn(&refused.waiting());
    })?;
    let recorder = RefCell::new(recorder);
    let session = Session {
        args,
        base: &base,
        name: &name,
        recorder: &recorder,
    };
    let told = session
        .work(plan, namespace, watch)
        .map(|outcome| ratchet.hold(outcome));
    let mut recorder = recorder.into_inner();
    match &told {
        Ok(outcome) => recorder.end(status(outcome), Some(&outcome.findings)),
        // It counts as interrupted once more, and can still be resumed.
        Err(_) if args.resume => {}
        Err(_) => recorder.end(Status::Failed, None),
    }
    for warning in recorder.warnings() {
        watch.warn(&warning);
    }
    told
}

fn status(outcome: &Outcome) -> Status {
    let stopped = outcome.batch.as_ref().and_then(|batch| batch.tally.stopped);
    match (stopped, outcome.exit_code()) {
        (Some(Why::Signal(_)), _) => Status::Cancelled,
        (_, exit_code::NONE) => Status::Passed,
        _ => Status::Failed,
    }
}

/// A session that was admitted.
struct Session<'a> {
    args: &'a RunArgs,
    base: &'a Path,
    name: &'a str,
    recorder: &'a RefCell<Recorder>,
}

impl Session<'_> {
    fn work(
        &self,
        plan: Plan,
        namespace: Namespace,
        watch: &mut dyn Watch,
    ) -> Result<Outcome, Box<dyn Error>> {
        let space = session::Space::take(namespace, self.base).map_err(|error| unusable(&error))?;
        let folders = match plan.work {
            Work::One(_) => None,
            _ => Some(session::JobFolders::make(self.base, self.name, &space.output)?),
        };
        // What finds no room later is known by its account: without one nothing is recorded.
        let unrecorded = reserve(self.base, self.name).err();
        if let Some(error) = &unrecorded {
            watch.warn(&format!("{UNRECORDED}: {}", unusable(error)));
        }
        let options = self.options(&plan, &space, folders.as_ref(), unrecorded.is_none());
        let rows = plan.rows();
        let resumed = self.recorder.borrow_mut().resumed(options.grace);
        if self.args.resume && resumed.is_none() {
            watch.warn("there is no interrupted session to go on with: all jobs are run");
        }
        let out = Cell::new(0);
        let (mut feed, carried) = Feed::new(plan.work, self.recorder, &out, resumed)?;
        let number = self.recorder.borrow().number();
        watch.begin(&Begun {
            number,
            namespace: space.namespace.as_str(),
            output: &space.output,
            batch: folders.as_ref().map(|folders| BatchBegun {
                jobs: feed.known(),
                at_once: options.ceiling.get(),
                logs: &folders.logs,
            }),
        });
        let ran = match &folders {
            None => self.one(&options, &mut feed, watch),
            Some(folders) => {
                let batch = Batch {
                    carried,
                    rows,
                    logs: folders.logs.clone(),
                    ..Batch::default()
                };
                self.many(&options, &mut feed, batch, &out, watch)
            }
        }?;
        watch.end();
        drop(folders);
        drop(space);
        Ok(self.judge(ran, &options, unrecorded.as_ref()))
    }

    fn options(
        &self,
        plan: &Plan,
        space: &session::Space,
        folders: Option<&session::JobFolders>,
        is_recorded: bool,
    ) -> Options {
        let mut variables: Vec<(OsString, OsString)> = vec![
            ("COFFERDAM_DIR".into(), self.base.into()),
            ("COFFERDAM_RUN_NAMESPACE".into(), space.namespace.as_str().into()),
            ("COFFERDAM_RUN_DIR".into(), space.output.clone().into()),
        ];
        if is_recorded {
            variables.push(("COFFERDAM_RECORD".into(), self.name.into()));
        }
        variables.extend(folders.and_then(session::JobFolders::host_dir));
        Options {
            ceiling: plan.ceiling(),
            groups: plan.groups.clone(),
            interval: plan.limits.rate.map(|rate| rate.0),
            timeout: plan.limits.timeout.map(|timeout| timeout.0),
            retries: plan.limits.retries.unwrap_or(0),
            grace: plan.grace(),
            policy: plan.policy.clone(),
            memory: plan.memory(executor::memory_in_all()),
            output: plan.limits.max_output.map(|size| size.0),
            session: self.name.to_owned(),
            variables,
            lock: self.recorder.borrow().jobs_lock().map(Arc::new),
            place: folders.map_or(Place::Foreground, |folders| {
                Place::Folders(Folders {
                    logs: folders.logs.clone(),
                    temp: folders.temp.path().to_owned(),
                    output: space.output.clone(),
                    prefix: session::job_prefix(),
                })
            }),
        }
    }

    /// The one command keeps its exit code, whatever that is.
    fn one(
        &self,
        options: &Options,
        feed: &mut Feed<'_>,
        watch: &mut dyn Watch,
    ) -> Result<Ran, Box<dyn Error>> {
        let mut ending = None;
        self.drive(options, feed, watch, &mut |event| {
            if let Event::Ended { ending: how, .. } = event {
                ending = Some(how.clone());
            }
        })?;
        let (ended, is_stopped) = match ending {
            Some(Ending::Passed) => (Ended::Passed, false),
            Some(Ending::Failed { code, signal, .. }) => (Ended::Failed { code, signal }, false),
            Some(Ending::NotStarted { error }) => return Err(error.into()),
            Some(_) => (JOB_FAILED, true),
            // It had ended in the session that this one goes on with.
            None => (Ended::Passed, false),
        };
        Ok(Ran {
            ended,
            is_stopped,
            batch: None,
        })
    }

    fn many(
        &self,
        options: &Options,
        feed: &mut Feed<'_>,
        mut batch: Batch,
        out: &Cell<u64>,
        watch: &mut dyn Watch,
    ) -> Result<Ran, Box<dyn Error>> {
        #[expect(clippy::disallowed_methods, reason = "how long a session takes is told")]
        let begun = std::time::Instant::now();
        batch.tally = self.drive(options, feed, watch, &mut |event| {
            batch.see(event);
            out.set(out.get() - u64::from(feed::is_end(event)));
        })?;
        batch.took = begun.elapsed();
        batch.unusable = self.recorder.borrow().unusable();
        Ok(Ran {
            ended: if batch.has_passed() {
                Ended::Passed
            } else {
                JOB_FAILED
            },
            is_stopped: false,
            batch: Some(batch),
        })
    }

    fn drive(
        &self,
        options: &Options,
        feed: &mut Feed<'_>,
        watch: &mut dyn Watch,
        see: &mut dyn FnMut(&Event),
    ) -> io::Result<Tally> {
        for warning in self.recorder.borrow_mut().warnings() {
            watch.warn(&warning);
        }
        executor::run(options, feed, &mut |event| {
            see(event);
            let mut recorder = self.recorder.borrow_mut();
            recorder.see(event);
            watch.see(event);
            if let Event::Unguarded { error } = event {
                watch.warn(&format!(
                    "no guard could be started, so jobs go on if cofferdam is killed: {error}"
                ));
            }
            for warning in recorder.warnings() {
                watch.warn(&warning);
            }
        })
    }

    fn judge(&self, ran: Ran, options: &Options, unrecorded: Option<&ReadError>) -> Outcome {
        let recorded = session::evidence(self.base, self.name);
        // What came of the jobs is told all the same.
        let (evidence, unread) = match recorded {
            Ok(evidence) => (evidence, None),
            Err(error) => (Evidence::of_session(self.name), Some(error.to_string())),
        };
        let mut findings = Findings::new(vec![self.base.join("runs")], &evidence);
        drop(evidence);
        unread.into_iter().for_each(|what| findings.problem(what));
        let account = session::account(self.base, self.name);
        if let Some(error) = unrecorded {
            findings
                .account
                .lose("the command", &format!("{UNRECORDED}: {error}"), 1);
        } else if !account.exists() {
            findings.problem(format!(
                "{} was removed while the command ran, as `cargo clean` does, and what was recorded until then with it: \
                 choose a base folder outside of the target folder by COFFERDAM_DIR",
                account.display()
            ));
        }
        let batch = ran.batch.map(|batch| self.count_conflicts(batch, options));
        session::forget_old(self.base);
        // What no test had the time for. A folder that cannot be removed now is tried again by the next session.
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
        outcome.has_library = suite::has_library(&here::working_dir());
        outcome.batch = batch;
        outcome
    }

    /// Conflicts within the rounds of each number of workers.
    fn count_conflicts(&self, mut batch: Batch, options: &Options) -> Batch {
        let Place::Folders(folders) = &options.place else {
            return batch;
        };
        for row in &mut batch.rows {
            // What cannot be read is told with the findings of all.
            if let Ok(evidence) = session::evidence_of(self.base, self.name, &folders.prefix, &row.jobs) {
                let conflicts = evidence.conflicts();
                let is_one = |told: &&Conflict| told.severity() == Severity::Conflict;
                row.conflicts = conflicts.iter().filter(is_one).count() as u64;
            }
        }
        batch
    }
}

impl Plan {
    /// What the session is about, in a word.
    fn scope(&self) -> &'static str {
        match self.work {
            Work::One(_) => "command",
            Work::Jobs(_) => "batch",
            Work::Rounds(_) => "rounds",
        }
    }

    fn rows(&self) -> Vec<Row> {
        let Work::Rounds(rounds) = &self.work else {
            return Vec::new();
        };
        let rows = rounds.workers().iter();
        rows.map(|workers| Row::new(*workers, Rounds::group(*workers)))
            .collect()
    }
}

/// Without a place of its own no session can work; where that is for want of rights or room, another place helps.
fn unusable(error: &(dyn Error + 'static)) -> String {
    let source = error.source().and_then(<dyn Error>::downcast_ref::<io::Error>);
    match source.map(io::Error::kind) {
        Some(
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::StorageFull,
        ) => format!("{error}; a session needs a base folder to write to: choose another by COFFERDAM_DIR"),
        _ => error.to_string(),
    }
}

/// What came of the jobs.
struct Ran {
    ended: Ended,
    /// It is the one command, and went over a limit.
    is_stopped: bool,
    batch: Option<Batch>,
}

const UNRECORDED: &str = "nothing is recorded, since the session's account could not be reserved";

const JOB_FAILED: Ended = Ended::Failed {
    code: exit_code::JOB_FAILED,
    signal: None,
};
