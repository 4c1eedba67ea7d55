//! The jobs of a session, in the order in which they come: its own, then those that others submit while it goes on.

use super::super::Refused;
use super::plan::Work;
use super::recorder;
use super::recorder::{Recorder, Resumed};
use cofferdam_batch::executor::event::Event;
use cofferdam_batch::executor::job::{Job, JobId};
use cofferdam_batch::jobs::rounds::Rounds;
use cofferdam_batch::jobs::spec::Spec;
use cofferdam_batch::ledger::{JobState, ResumedJob, Submission};
use std::cell::{Cell, RefCell};

/// Hands jobs out, each with its number in the ledger.
pub(super) struct Feed<'a> {
    recorder: &'a RefCell<Recorder>,
    /// Known and written down from the beginning.
    own: std::vec::IntoIter<Job>,
    /// Written down as they come, for there is no end to them.
    endless: Option<Rounds>,
    submitted: std::vec::IntoIter<Submission>,
    /// Jobs that were handed out and have not ended.
    out: &'a Cell<u64>,
    /// No more are taken from others.
    is_closed: bool,
}

/// What was done by the session that this one goes on with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Carried {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) cancelled: u64,
}

impl Carried {
    /// Counts a job that was in this state; `false` if it had not ended.
    fn count(&mut self, state: JobState) -> bool {
        match state {
            JobState::Completed => self.passed += 1,
            JobState::Failed => self.failed += 1,
            JobState::Cancelled => self.cancelled += 1,
            JobState::Pending | JobState::Running | JobState::Interrupted => return false,
        }
        true
    }
}

impl<'a> Feed<'a> {
    /// Writes the jobs down. With `resumed`, those that had ended there are left out.
    pub(super) fn new(
        work: Work,
        recorder: &'a RefCell<Recorder>,
        out: &'a Cell<u64>,
        resumed: Option<Resumed>,
    ) -> Result<(Self, Carried), Refused> {
        let mut feed = Self {
            recorder,
            own: Vec::new().into_iter(),
            endless: None,
            submitted: Vec::new().into_iter(),
            out,
            is_closed: matches!(work, Work::One(_)),
        };
        let known = resumed.as_ref().map_or(0, |resumed| resumed.jobs.len());
        let mut jobs: Vec<Job> = match work {
            Work::One(job) => vec![job],
            Work::Jobs(jobs) => jobs,
            Work::Rounds(mut rounds) if rounds.size_hint().1.is_none() => {
                let first = rounds.by_ref().take(known).collect();
                feed.endless = Some(rounds);
                first
            }
            Work::Rounds(rounds) => rounds.collect(),
        };
        let mut carried = Carried::default();
        if let Some(resumed) = resumed {
            let names = jobs.iter().map(|job| (job.name.as_str(), job.group.as_deref()));
            recorder::check(&resumed, names, feed.endless.is_none())?;
            // Killed before it had written its jobs down, it has none, and they are new.
            if known > 0 {
                jobs = left(jobs, &resumed.jobs, &mut carried);
            }
            for ended in &resumed.ended {
                carried.count(*ended);
            }
            feed.submitted = resumed.submitted.into_iter();
        }
        if known == 0 && !jobs.is_empty() {
            let first = recorder.borrow_mut().add(&jobs);
            for (job, number) in jobs.iter_mut().zip(first..) {
                job.id = JobId(number);
            }
        }
        feed.own = jobs.into_iter();
        Ok((feed, carried))
    }

    /// How many there are as far as is known; `None` where there is no end.
    pub(super) fn known(&self) -> Option<u64> {
        let known = self.own.len() as u64 + self.submitted.len() as u64;
        self.endless.is_none().then_some(known)
    }

    fn next_endless(&mut self) -> Option<Job> {
        let mut job = self.endless.as_mut()?.next()?;
        job.id = JobId(self.recorder.borrow_mut().add(std::slice::from_ref(&job)));
        Some(job)
    }

    fn next_submitted(&mut self) -> Option<Job> {
        loop {
            if let Some(submission) = self.submitted.next() {
                match job(&submission) {
                    Ok(job) => return Some(job),
                    Err(what) => self.recorder.borrow_mut().refuse(submission.number, &what),
                }
                continue;
            }
            if self.is_closed {
                return None;
            }
            // With nothing left to run, whoever submits something more comes too late.
            let last = self.out.get() == 0 && self.endless.is_none();
            let found = self.recorder.borrow_mut().submitted(last);
            if found.is_empty() {
                self.is_closed = last;
                return None;
            }
            self.submitted = found.into_iter();
        }
    }
}

/// The jobs that had not ended, with their numbers.
fn left(jobs: Vec<Job>, known: &[ResumedJob], carried: &mut Carried) -> Vec<Job> {
    let both = jobs.into_iter().zip(known);
    let left = both.filter(|(_, known)| !carried.count(known.state));
    let left = left.map(|(mut job, known)| {
        job.id = JobId(known.number);
        job
    });
    left.collect()
}

/// Whether a job that was handed out is over with this.
pub(super) fn is_end(event: &Event) -> bool {
    matches!(event, Event::Ended { again: false, .. } | Event::Dropped { .. })
}

impl Iterator for Feed<'_> {
    type Item = Job;

    fn next(&mut self) -> Option<Job> {
        let job = self.own.next().or_else(|| self.next_submitted());
        let job = job.or_else(|| self.next_endless());
        self.out.set(self.out.get() + u64::from(job.is_some()));
        job
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        match &self.endless {
            None => self.own.size_hint(),
            Some(_) => (usize::MAX, None),
        }
    }
}

fn job(submission: &Submission) -> Result<Job, String> {
    let spec = submission
        .spec
        .as_deref()
        .ok_or("what it runs is not there any more")?;
    let spec = std::str::from_utf8(spec).map_err(|_| "it is not UTF-8")?;
    let mut job = Spec::of_json(spec)?.job(JobId(submission.number))?;
    job.name.clone_from(&submission.name);
    job.group.clone_from(&submission.group);
    Ok(job)
}
