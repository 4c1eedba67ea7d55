//! The jobs of a session in order: its own first, then those that other processes submit.

use super::super::Refused;
use super::batch_summary::CarriedJobs;
use super::plan::Work;
use super::recorder::{self, Recorder, ResumedJobs};
use cofferdam_batch::executor::job::{Job, JobId};
use cofferdam_batch::executor::job_event::Event;
use cofferdam_batch::jobs::rounds::Rounds;
use cofferdam_batch::jobs::spec::JobSpec;
use cofferdam_batch::ledger::{ResumedJob, Submission};

/// Returns jobs with their numbers in the ledger.
pub(super) struct SessionJobs<'a> {
    recorder: &'a mut Recorder,
    /// Jobs that were known and recorded at the beginning.
    own: std::vec::IntoIter<Job>,
    /// Rounds without end, recorded one by one.
    endless: Option<Rounds>,
    submitted: std::vec::IntoIter<Submission>,
    /// The number of jobs that were returned and have not ended.
    unfinished: u64,
    /// No more jobs are taken from other processes.
    is_closed: bool,
}

impl<'a> SessionJobs<'a> {
    /// Records the jobs, and leaves out those that had ended in a resumed session.
    pub(super) fn new(
        work: Work,
        recorder: &'a mut Recorder,
        resumed: Option<ResumedJobs>,
    ) -> Result<(Self, CarriedJobs), Refused> {
        let is_closed = matches!(work, Work::One(_));
        let mut endless = None;
        let mut submitted = Vec::new();
        let known = resumed.as_ref().map_or(0, |resumed| resumed.jobs.len());
        let mut jobs: Vec<Job> = match work {
            Work::One(job) => vec![job],
            Work::Jobs(jobs) => jobs,
            Work::Rounds(mut rounds) if rounds.is_endless() => {
                let first = rounds.by_ref().take(known).collect();
                endless = Some(rounds);
                first
            }
            Work::Rounds(rounds) => rounds.collect(),
        };
        let mut carried = CarriedJobs::default();
        if let Some(resumed) = resumed {
            let names = jobs.iter().map(|job| (job.name.as_str(), job.group.as_deref()));
            recorder::check_same_jobs(&resumed, names, endless.is_none())?;
            // A session that was killed before it recorded its jobs has none; all jobs are new then.
            if known > 0 {
                jobs = unfinished(jobs, &resumed.jobs, &mut carried);
            }
            for ended in &resumed.ended {
                carried.count(*ended);
            }
            submitted = resumed.submitted;
        }
        if known == 0 && !jobs.is_empty() {
            let first = recorder.add(&jobs);
            for (job, number) in jobs.iter_mut().zip(first..) {
                job.id = JobId(number);
            }
        }
        let jobs = Self {
            recorder,
            own: jobs.into_iter(),
            endless,
            submitted: submitted.into_iter(),
            unfinished: 0,
            is_closed,
        };
        Ok((jobs, carried))
    }

    pub(super) fn recorder(&mut self) -> &mut Recorder {
        self.recorder
    }

    /// Returns the number of jobs known so far; `None` if they never end.
    pub(super) fn known(&self) -> Option<u64> {
        let known = self.own.len() as u64 + self.submitted.len() as u64;
        self.endless.is_none().then_some(known)
    }

    pub(super) fn is_endless(&self) -> bool {
        self.endless.is_some()
    }

    pub(super) fn next_job(&mut self) -> Option<Job> {
        let job = self.own.next().or_else(|| self.next_submitted());
        let job = job.or_else(|| self.next_endless());
        self.unfinished += u64::from(job.is_some());
        job
    }

    pub(super) fn observe(&mut self, event: &Event) {
        self.unfinished -= u64::from(event.is_end_of_job());
        self.recorder.observe(event);
    }

    fn next_endless(&mut self) -> Option<Job> {
        let mut job = self.endless.as_mut()?.next()?;
        job.id = JobId(self.recorder.add(std::slice::from_ref(&job)));
        Some(job)
    }

    fn next_submitted(&mut self) -> Option<Job> {
        loop {
            if let Some(submission) = self.submitted.next() {
                match job(&submission) {
                    Ok(job) => return Some(job),
                    Err(reason) => self.recorder.reject(submission.number, &reason),
                }
                continue;
            }
            if self.is_closed {
                return None;
            }
            // When nothing is left to run, a later submission comes too late.
            let is_last = self.unfinished == 0 && self.endless.is_none();
            let found = self.recorder.submitted(is_last);
            if found.is_empty() {
                self.is_closed = is_last;
                return None;
            }
            self.submitted = found.into_iter();
        }
    }
}

/// Returns the jobs that had not ended, with their numbers.
fn unfinished(jobs: Vec<Job>, known: &[ResumedJob], carried: &mut CarriedJobs) -> Vec<Job> {
    let both = jobs.into_iter().zip(known);
    let left = both.filter(|(_, known)| !carried.count(known.state));
    let left = left.map(|(mut job, known)| {
        job.id = JobId(known.number);
        job
    });
    left.collect()
}

fn job(submission: &Submission) -> Result<Job, String> {
    let spec = submission
        .spec
        .as_deref()
        .ok_or("the file with its command is gone")?;
    let spec = std::str::from_utf8(spec).map_err(|_| "its command is not UTF-8")?;
    let mut job = JobSpec::from_json(spec)?.job(JobId(submission.number))?;
    job.name.clone_from(&submission.name);
    job.group.clone_from(&submission.group);
    Ok(job)
}
