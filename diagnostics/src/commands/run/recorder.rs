//! Records a session in the ledger: its admission, its jobs and its end.
//!
//! If the ledger cannot be used, the session continues without it, after one warning.

use super::super::{Findings, Refused, here};
use super::{origin, session_dirs};
use cofferdam_batch::executor::job::{Job, JobId};
use cofferdam_batch::executor::job_event::{AttemptOutcome, Event};
use cofferdam_batch::executor::job_guard;
use cofferdam_batch::jobs::spec;
use cofferdam_batch::ledger::{
    AdmissionError, BlockingSession, JobEnd, JobNumber, JobState, Ledger, LedgerError, NewJob, NewSession,
    Reader, RecordedConflict, RecordedJob, ResumedJob, ResumedSpec, SessionFilter, SessionId, SessionWriter,
    Status, Submission, WaitPolicy, now,
};
use cofferdam_batch::processes::NamedProcess;
use std::collections::BTreeMap;
use std::error::Error;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The number of sessions that stay in the ledger, with the logs of their jobs.
const KEPT: usize = 100;

/// The size of the write-ahead log at a session's end that is worth a warning.
const LARGE: u64 = 16 << 20;

/// Records a session, as long as the ledger can be used.
pub(super) struct Recorder {
    base: PathBuf,
    writer: Option<SessionWriter>,
    /// The running attempts.
    running: BTreeMap<JobId, RunningAttempt>,
    /// The number of submitted jobs that could not run.
    unusable: u64,
    warnings: Vec<String>,
    /// The warning that the ledger cannot be used was issued.
    has_warned: bool,
}

struct RunningAttempt {
    attempt: u32,
    started: u64,
    is_recorded: bool,
}

/// A request for admission.
pub(super) struct SessionRequest<'a> {
    pub(super) name: &'a str,
    pub(super) namespace: &'a str,
    pub(super) scope: &'a str,
    pub(super) takes_jobs: bool,
    pub(super) resume: bool,
    pub(super) wait: WaitPolicy,
    pub(super) dir: &'a Path,
}

/// The jobs of an interrupted session that this one continues.
#[derive(Debug)]
pub(super) struct ResumedJobs {
    /// The name of the interrupted session.
    pub(super) session: String,
    /// The jobs that the command line or a file describes, in order.
    pub(super) jobs: Vec<ResumedJob>,
    /// The submitted jobs that have not ended.
    pub(super) submitted: Vec<Submission>,
    /// The states of the other submitted jobs.
    pub(super) ended: Vec<JobState>,
}

impl Recorder {
    /// Requests admission. Fails if another session is active in the namespace.
    pub(super) fn begin(
        base: &Path,
        request: &SessionRequest<'_>,
        waiting: impl FnMut(&BlockingSession),
    ) -> Result<Self, Box<dyn Error>> {
        let mut recorder = Self {
            base: base.to_owned(),
            writer: None,
            running: BTreeMap::new(),
            unusable: 0,
            warnings: Vec::new(),
            has_warned: false,
        };
        let new = NewSession {
            name: request.name.to_owned(),
            namespace: request.namespace.to_owned(),
            scope: request.scope.to_owned(),
            takes_jobs: request.takes_jobs,
            trigger: origin::trigger(),
            concurrent: session_dirs::is_concurrent(),
            resume: request.resume,
            revision: origin::revision(request.dir),
        };
        let ledger = Ledger::open(base, here::create_dir).map_err(AdmissionError::from);
        match ledger.and_then(|ledger| ledger.start_session(&new, request.wait, waiting)) {
            Ok(writer) => recorder.writer = Some(writer),
            Err(AdmissionError::Blocked(blocking)) => return Err(blocking.to_string().into()),
            Err(AdmissionError::Ledger(error)) if request.resume => return Err(error.into()),
            Err(AdmissionError::Ledger(error)) => recorder.warn(&error),
        }
        Ok(recorder)
    }

    /// Returns the session's number in the ledger.
    pub(super) fn number(&self) -> Option<SessionId> {
        self.writer.as_ref().map(SessionWriter::id)
    }

    /// Returns the lock for the guard of the jobs, if the session is recorded.
    pub(super) fn jobs_lock(&self) -> Option<File> {
        self.writer.as_ref()?.jobs_lock().ok()
    }

    pub(super) fn take_warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.warnings)
    }

    /// Warns about the first failure only: later ones follow from it.
    fn warn(&mut self, error: &LedgerError) {
        if !std::mem::replace(&mut self.has_warned, true) {
            let since = if self.writer.is_some() {
                " from here on"
            } else {
                ""
            };
            self.warnings
                .push(format!("this session is not recorded{since}: {error}"));
        }
    }

    fn warn_on_error(&mut self, result: Result<(), LedgerError>) {
        if let Err(error) = result {
            self.warn(&error);
        }
    }

    /// Returns the jobs of the interrupted session that this one continues, and stops its remaining processes.
    pub(super) fn resumed(&mut self, grace: Duration) -> Option<ResumedJobs> {
        let resumed = self.writer.as_ref()?.resumed()?.clone();
        let stopped = job_guard::sweep(&resumed.name, grace);
        if stopped > 0 {
            let text = format!("stopped {stopped} processes that the interrupted session had left");
            self.warnings.push(text);
        }
        let (mut jobs, mut submitted, mut ended) = (Vec::new(), Vec::new(), Vec::new());
        for job in resumed.jobs {
            let spec = match &job.spec {
                ResumedSpec::Elsewhere => {
                    jobs.push(job);
                    continue;
                }
                ResumedSpec::Submitted { spec, .. } => Some(spec.clone()),
                ResumedSpec::Lost => None,
            };
            if job.state == JobState::Pending {
                submitted.push(Submission {
                    number: job.number,
                    name: job.name,
                    group: job.group,
                    spec,
                });
            } else {
                ended.push(job.state);
            }
        }
        Some(ResumedJobs {
            session: resumed.name,
            jobs,
            submitted,
            ended,
        })
    }

    /// Records pending jobs and returns the number of the first; the others follow it without gaps.
    pub(super) fn add(&mut self, jobs: &[Job]) -> u64 {
        let Some(writer) = &mut self.writer else {
            return jobs.first().map_or(1, |job| job.id.0);
        };
        let commands: Vec<String> = jobs.iter().map(|job| spec::summary(&job.command)).collect();
        let new = jobs.iter().zip(&commands).map(|(job, command)| NewJob {
            name: &job.name,
            command,
            group: job.group.as_deref(),
        });
        let new: Vec<NewJob<'_>> = new.collect();
        let (first, added) = writer.add_jobs(&new);
        self.warn_on_error(added);
        first
    }

    /// Returns the jobs that were submitted since the last call. With `is_last`, no more are taken if there are none.
    pub(super) fn submitted(&mut self, is_last: bool) -> Vec<Submission> {
        let Some(writer) = &mut self.writer else {
            return Vec::new();
        };
        let found = if is_last {
            writer.close()
        } else {
            writer.submitted()
        };
        found.unwrap_or_else(|error| {
            self.warn(&error);
            Vec::new()
        })
    }

    /// Returns the number of submitted jobs that could not run.
    pub(super) fn unusable(&self) -> u64 {
        self.unusable
    }

    /// Records that a submitted job cannot run.
    pub(super) fn reject(&mut self, number: JobNumber, reason: &str) {
        self.unusable += 1;
        let now = now();
        if let Some(writer) = &mut self.writer {
            let recorded = writer.job_finished(&JobEnd {
                job: number,
                attempt: 1,
                state: JobState::Failed,
                retried: false,
                exit_code: None,
                signal: None,
                reason: Some("not-started".to_owned()),
                started: now,
                ended: now,
                memory: None,
                log: None,
            });
            self.warn_on_error(recorded);
        }
        self.warnings
            .push(format!("submitted job j{number} cannot run: {reason}"));
    }

    pub(super) fn observe(&mut self, event: &Event) {
        match event {
            Event::Started { job, attempt, .. } => {
                let running = RunningAttempt {
                    attempt: *attempt,
                    started: now(),
                    is_recorded: false,
                };
                self.running.insert(*job, running);
            }
            Event::Idle => self.record_running(),
            Event::Ended {
                job,
                attempt,
                outcome,
                log,
                memory,
                retry,
                ..
            } => {
                let ended = now();
                let started = self.running.remove(job).map_or(ended, |running| running.started);
                let (exit_code, signal) = match outcome {
                    AttemptOutcome::Passed => (Some(0), None),
                    AttemptOutcome::Failed {
                        code, signal: None, ..
                    } => (Some(i32::from(*code)), None),
                    AttemptOutcome::Failed { signal, .. } => (None, *signal),
                    _ => (None, None),
                };
                let ended_by_itself = matches!(
                    outcome,
                    AttemptOutcome::Passed | AttemptOutcome::Failed { critical: false, .. }
                );
                let end = JobEnd {
                    job: job.0,
                    attempt: *attempt,
                    state: match outcome {
                        AttemptOutcome::Passed => JobState::Completed,
                        AttemptOutcome::Cancelled => JobState::Cancelled,
                        _ => JobState::Failed,
                    },
                    retried: *retry,
                    exit_code,
                    signal,
                    reason: (!ended_by_itself).then(|| outcome.reason().to_owned()),
                    started,
                    ended,
                    memory: *memory,
                    log: log.clone(),
                };
                let recorded = self
                    .writer
                    .as_mut()
                    .map_or(Ok(()), |writer| writer.job_finished(&end));
                self.warn_on_error(recorded);
            }
            // Jobs that never started are marked at the end of the session.
            _ => {}
        }
    }

    /// Records the running attempts. Of short attempts, only the end is recorded.
    fn record_running(&mut self) {
        let Some(writer) = &mut self.writer else {
            return;
        };
        let mut recorded = Ok(());
        for (job, running) in self
            .running
            .iter_mut()
            .filter(|(_, running)| !running.is_recorded)
        {
            running.is_recorded = true;
            recorded = recorded.and(writer.job_started(job.0, running.attempt, running.started));
        }
        self.warn_on_error(recorded);
    }

    /// Returns the jobs of this session after its end.
    pub(super) fn jobs(&self, session: Option<SessionId>) -> Result<Vec<RecordedJob>, String> {
        let known = session.filter(|_| !self.has_warned);
        let known = known.ok_or("this session is not recorded in full, so its jobs are not known")?;
        let jobs = Reader::open(&self.base).and_then(|reader| {
            let jobs = reader.map(|reader| reader.jobs(known, None));
            jobs.unwrap_or(Ok(Vec::new()))
        });
        jobs.map_err(|error| format!("the jobs could not be read: {error}"))
    }

    /// Ends the session and removes old ones.
    pub(super) fn end(&mut self, status: Status, findings: Option<&Findings>) {
        let Some(writer) = self.writer.take() else {
            return;
        };
        let conflicts: Vec<RecordedConflict> = findings
            .into_iter()
            .flat_map(|findings| &findings.conflicts)
            .map(|found| RecordedConflict {
                kind: found.kind.as_str().to_owned(),
                severity: found.severity().as_str().to_owned(),
                message: found.message.clone(),
                help: found.help.clone(),
            })
            .collect();
        match writer.finish(status, &conflicts) {
            Ok(wal) if wal.bytes > LARGE => {
                self.warnings.push(format!(
                    "the ledger's write-ahead log has {} MiB and cannot be truncated while processes read it: {}",
                    wal.bytes >> 20,
                    NamedProcess::list(&wal.readers)
                ));
            }
            Ok(_) => {}
            Err(error) if !self.has_warned => {
                let text =
                    format!("the end of this session is not recorded, so it counts as abandoned: {error}");
                self.warnings.push(text);
            }
            Err(_) => {}
        }
        if let Ok(ledger) = Ledger::open(&self.base, here::create_dir) {
            // A failure is no problem: the next session tries again.
            let _ = ledger.retain(KEPT);
        }
    }
}

/// Checks that the jobs are those of the interrupted session, as far as it knew them.
pub(super) fn check_same_jobs<'a>(
    resumed: &ResumedJobs,
    mut jobs: impl Iterator<Item = (&'a str, Option<&'a str>)>,
    is_all: bool,
) -> Result<(), Refused> {
    let mismatch = |what: String| {
        Refused::new(&format!(
            "{what}: give `--resume` the jobs of session {}, or start anew without it",
            resumed.session
        ))
    };
    for known in &resumed.jobs {
        let is_same = jobs
            .next()
            .is_some_and(|(name, group)| name == known.name && group == known.group.as_deref());
        if !is_same {
            return Err(mismatch(format!(
                "job {} was {:?} in the interrupted session and differs now",
                known.number, known.name
            )));
        }
    }
    if is_all && !resumed.jobs.is_empty() && jobs.next().is_some() {
        return Err(mismatch(format!(
            "the interrupted session had {} jobs, and now there are more",
            resumed.jobs.len()
        )));
    }
    Ok(())
}

/// Returns the namespace of the newest session, which `--resume` continues if no namespace is given.
pub(super) fn last_namespace(base: &Path) -> Result<Option<String>, LedgerError> {
    let Some(reader) = Reader::open(base)? else {
        return Ok(None);
    };
    let newest = reader.sessions(&SessionFilter {
        namespace: None,
        limit: 1,
    })?;
    Ok(newest.into_iter().next().map(|session| session.namespace))
}
