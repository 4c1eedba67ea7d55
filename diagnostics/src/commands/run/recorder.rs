//! The session in the ledger: admitted, its jobs written down, finished.
//!
//! A ledger that cannot be used is told once, and the session goes on without it.

use super::super::{Findings, Refused, here, recordings};
use super::origin;
use cofferdam_batch::executor::event::{Ending, Event};
use cofferdam_batch::executor::guard;
use cofferdam_batch::executor::job::{Job, JobId};
use cofferdam_batch::jobs::spec;
use cofferdam_batch::ledger::{
    Admitted, Conflict, Filter, Holder, JobEnd, JobNumber, JobState, Ledger, LedgerError, NewJob, NewSession,
    NotAdmitted, Reader, ResumedJob, ResumedSpec, SessionId, Status, Submission, Wait,
};
use std::collections::BTreeMap;
use std::error::Error;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

/// So many sessions stay in the ledger, with the logs of their jobs.
const KEPT: usize = 100;

/// A log that is larger than this at a session's end is worth a note.
const LARGE: u64 = 16 << 20;

/// Writes a session down, as far as there is a ledger.
pub(super) struct Recorder {
    base: PathBuf,
    admitted: Option<Admitted>,
    /// The attempts that run, and when they began.
    running: BTreeMap<JobId, Began>,
    /// Submitted jobs that could not be run.
    unusable: u64,
    /// What should be told, and ends nothing.
    warnings: Vec<String>,
    /// That the ledger cannot be used is among what was told.
    is_told: bool,
}

/// An attempt that began.
struct Began {
    attempt: u32,
    at: u64,
    is_written: bool,
}

/// How a session asks to be admitted.
pub(super) struct Asked<'a> {
    pub(super) name: &'a str,
    pub(super) namespace: &'a str,
    pub(super) scope: &'a str,
    pub(super) takes_jobs: bool,
    pub(super) resume: bool,
    pub(super) wait: Wait,
    pub(super) dir: &'a Path,
}

/// A session that was interrupted, as far as this one goes on with it.
#[derive(Debug)]
pub(super) struct Resumed {
    /// The name of that session.
    pub(super) name: String,
    /// Its jobs that are known by the command line or a file, in order.
    pub(super) jobs: Vec<ResumedJob>,
    /// Those that were submitted and have not ended.
    pub(super) submitted: Vec<Submission>,
    /// How the others that were submitted had ended.
    pub(super) ended: Vec<JobState>,
}

impl Recorder {
    /// Is admitted, or refused because another session works in the namespace.
    pub(super) fn begin(
        base: &Path,
        asked: &Asked<'_>,
        waiting: impl FnMut(&cofferdam_batch::ledger::Refused),
    ) -> Result<Self, Box<dyn Error>> {
        let mut recorder = Self {
            base: base.to_owned(),
            admitted: None,
            running: BTreeMap::new(),
            unusable: 0,
            warnings: Vec::new(),
            is_told: false,
        };
        let new = NewSession {
            name: asked.name.to_owned(),
            namespace: asked.namespace.to_owned(),
            scope: asked.scope.to_owned(),
            takes_jobs: asked.takes_jobs,
            trigger: origin::trigger(),
            beside: recordings::is_beside(),
            resume: asked.resume,
            revision: origin::revision(asked.dir),
        };
        let admitted = Ledger::open(base, here::create_dir).map_err(NotAdmitted::from);
        match admitted.and_then(|ledger| ledger.start_session(&new, asked.wait, waiting)) {
            Ok(admitted) => recorder.admitted = Some(admitted),
            Err(NotAdmitted::Refused(refused)) => return Err(refused.to_string().into()),
            Err(NotAdmitted::Ledger(error)) if asked.resume => return Err(error.into()),
            Err(NotAdmitted::Ledger(error)) => recorder.warn(&error),
        }
        Ok(recorder)
    }

    /// Its number in the ledger.
    pub(super) fn number(&self) -> Option<SessionId> {
        self.admitted.as_ref().map(Admitted::id)
    }

    /// Returns the lock that the guard of the jobs keeps, if the session is recorded.
    pub(super) fn jobs_lock(&self) -> Option<File> {
        self.admitted.as_ref()?.jobs_lock().ok()
    }

    /// What is to be told, once.
    pub(super) fn warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.warnings)
    }

    /// Says so once: what the ledger misses further on follows from it.
    fn warn(&mut self, error: &LedgerError) {
        if !std::mem::replace(&mut self.is_told, true) {
            let since = if self.admitted.is_some() {
                " from here on"
            } else {
                ""
            };
            self.warnings
                .push(format!("this session is not recorded{since}: {error}"));
        }
    }

    /// What the namespace's last session left, if its owner died. Processes of it that are still there are ended.
    pub(super) fn resumed(&mut self, grace: Duration) -> Option<Resumed> {
        let resumed = self.admitted.as_ref()?.resumed()?.clone();
        let swept = guard::sweep(&resumed.name, grace);
        if swept > 0 {
            let text = format!("ended {swept} processes that the interrupted session had left");
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
        Some(Resumed {
            name: resumed.name,
            jobs,
            submitted,
            ended,
        })
    }

    /// Writes jobs down, all pending, and returns the number of the first; the others follow it one by one.
    pub(super) fn add(&mut self, jobs: &[Job]) -> u64 {
        let Some(admitted) = &mut self.admitted else {
            return jobs.first().map_or(1, |job| job.id.0);
        };
        let new = |job: &'_ Job| (job.name.clone(), job.group.clone(), spec::summary(&job.command));
        let named: Vec<_> = jobs.iter().map(new).collect();
        let new: Vec<NewJob<'_>> = named
            .iter()
            .map(|(name, group, command)| NewJob {
                name,
                command,
                group: group.as_deref(),
            })
            .collect();
        let (first, added) = admitted.add_jobs(&new);
        self.told(added);
        first
    }

    /// Jobs that others submitted meanwhile; with `last` no more are taken unless there are some.
    pub(super) fn submitted(&mut self, last: bool) -> Vec<Submission> {
        let Some(admitted) = &mut self.admitted else {
            return Vec::new();
        };
        let found = if last {
            admitted.close()
        } else {
            admitted.submitted()
        };
        found.unwrap_or_else(|error| {
            self.warn(&error);
            Vec::new()
        })
    }

    /// How many submitted jobs could not be run.
    pub(super) fn unusable(&self) -> u64 {
        self.unusable
    }

    /// A submitted job cannot be run, and has failed.
    pub(super) fn refuse(&mut self, number: JobNumber, what: &str) {
        self.unusable += 1;
        let moment = now();
        if let Some(admitted) = &mut self.admitted {
            let told = admitted.job_finished(&JobEnd {
                job: number,
                attempt: 1,
                state: JobState::Failed,
                retried: false,
                exit_code: None,
                signal: None,
                reason: Some("not-started".to_owned()),
                started: moment,
                ended: moment,
                memory: None,
                log: None,
            });
            self.told(told);
        }
        self.warnings
            .push(format!("j{number} was submitted and cannot be run: {what}"));
    }

    /// Writes down what happened.
    pub(super) fn see(&mut self, event: &Event) {
        let Some(admitted) = &mut self.admitted else {
            return;
        };
        let told = match event {
            Event::Started { job, attempt, .. } => {
                let began = Began {
                    attempt: *attempt,
                    at: now(),
                    is_written: false,
                };
                self.running.insert(*job, began);
                Ok(())
            }
            Event::Rest => return self.write_running(),
            Event::Ended {
                job,
                attempt,
                ending,
                log,
                memory,
                again,
                ..
            } => {
                let ended = now();
                let (exit_code, signal) = match ending {
                    Ending::Passed => (Some(0), None),
                    Ending::Failed {
                        code, signal: None, ..
                    } => (Some(i32::from(*code)), None),
                    Ending::Failed { signal, .. } => (None, *signal),
                    _ => (None, None),
                };
                let is_own = matches!(ending, Ending::Passed | Ending::Failed { critical: false, .. });
                admitted.job_finished(&JobEnd {
                    job: job.0,
                    attempt: *attempt,
                    state: match ending {
                        Ending::Passed => JobState::Completed,
                        Ending::Cancelled => JobState::Cancelled,
                        _ => JobState::Failed,
                    },
                    retried: *again,
                    exit_code,
                    signal,
                    reason: (!is_own).then(|| ending.reason().to_owned()),
                    started: self.running.remove(job).map_or(ended, |began| began.at),
                    ended,
                    memory: *memory,
                    log: log.clone(),
                })
            }
            // Those that never began are marked at the session's end.
            _ => Ok(()),
        };
        self.told(told);
    }

    /// Writes down which attempts run. Of one that is over soon it is enough to write that.
    fn write_running(&mut self) {
        let Some(admitted) = &mut self.admitted else {
            return;
        };
        let mut told = Ok(());
        for (job, began) in self.running.iter_mut().filter(|(_, began)| !began.is_written) {
            began.is_written = true;
            told = told.and(admitted.job_started(job.0, began.attempt, began.at));
        }
        self.told(told);
    }

    fn told(&mut self, told: Result<(), LedgerError>) {
        if let Err(error) = told {
            self.warn(&error);
        }
    }

    /// Ends the session, and forgets old ones.
    pub(super) fn end(&mut self, status: Status, findings: Option<&Findings>) {
        let Some(admitted) = self.admitted.take() else {
            return;
        };
        let conflicts: Vec<Conflict> = findings
            .into_iter()
            .flat_map(|findings| &findings.conflicts)
            .map(|told| Conflict {
                kind: told.kind.as_str().to_owned(),
                severity: told.severity().as_str().to_owned(),
                message: told.message.clone(),
                help: told.help.clone(),
            })
            .collect();
        match admitted.finish(status, &conflicts) {
            Ok(finished) if finished.log > LARGE => {
                let readers = Holder::list(&finished.readers);
                self.warnings.push(format!(
                    "the ledger's log has {} MiB, as long as somebody reads it: {}",
                    finished.log >> 20,
                    readers
                ));
            }
            Ok(_) => {}
            Err(error) if !self.is_told => {
                let text = format!("this session's end is not recorded, and it counts as abandoned: {error}");
                self.warnings.push(text);
            }
            Err(_) => {}
        }
        if let Ok(ledger) = Ledger::open(&self.base, here::create_dir) {
            // Tried again at the end of the next one.
            let _ = ledger.retain(KEPT);
        }
    }
}

/// Checks that these are the jobs that an interrupted session had, so far as it knew them.
pub(super) fn check<'a>(
    resumed: &Resumed,
    mut jobs: impl Iterator<Item = (&'a str, Option<&'a str>)>,
    is_all: bool,
) -> Result<(), Refused> {
    let no_match = |what: String| {
        Refused::new(&format!(
            "{what}: give `--resume` the jobs that session {} was given, or begin anew without it",
            resumed.name
        ))
    };
    for known in &resumed.jobs {
        let same = jobs
            .next()
            .is_some_and(|(name, group)| name == known.name && group == known.group.as_deref());
        if !same {
            return Err(no_match(format!(
                "job {} was {:?} then, and is not now",
                known.number, known.name
            )));
        }
    }
    if is_all && !resumed.jobs.is_empty() && jobs.next().is_some() {
        return Err(no_match(format!(
            "there were {} jobs then, and are more now",
            resumed.jobs.len()
        )));
    }
    Ok(())
}

/// The namespace of the newest session, which `--resume` is about where none is named.
pub(super) fn last_namespace(base: &Path) -> Result<Option<String>, LedgerError> {
    let Some(reader) = Reader::open(base)? else {
        return Ok(None);
    };
    let newest = reader.sessions(&Filter {
        namespace: None,
        limit: 1,
    })?;
    Ok(newest.into_iter().next().map(|session| session.namespace))
}

/// In microseconds since 1970.
fn now() -> u64 {
    #[expect(
        clippy::disallowed_methods,
        reason = "when a job began and ended is written down"
    )]
    let now = std::time::SystemTime::now();
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}
