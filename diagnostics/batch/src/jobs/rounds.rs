//! Rounds: the same command repeatedly, with different numbers of workers.

use crate::executor::job::{Job, JobId};
use std::ffi::OsString;

/// The variables that limit the parallelism of test runners.
const VARIABLES: [&str; 2] = ["RUST_TEST_THREADS", "NEXTEST_TEST_THREADS"];

/// An iterator over the rounds of one command: all with the first number of workers, then all with the second.
///
/// Without a number of rounds it never ends, and the numbers of workers alternate.
#[derive(Clone, Debug)]
pub struct Rounds {
    job: Job,
    /// A single `None` if the command decides itself.
    workers: Vec<Option<u32>>,
    repeat: Option<u32>,
    /// The next round: an index into `workers`, and the number of rounds done with it.
    at: (usize, u32),
    next: u64,
}

impl Rounds {
    /// Creates `repeat` rounds for each number of workers. Unless they are isolated, a round finds in the temporary folder
    /// the files that earlier rounds left there, like a command that is repeated by hand.
    pub fn new(mut job: Job, workers: &[u32], repeat: Option<u32>, isolated: bool) -> Self {
        job.inherits_temp = !isolated;
        let workers = match workers {
            [] => vec![None],
            some => some.iter().copied().map(Some).collect(),
        };
        Self {
            job,
            workers,
            repeat,
            at: (0, 0),
            next: 1,
        }
    }

    /// Returns the group of the jobs with this number of workers.
    pub fn group(workers: Option<u32>) -> Option<String> {
        workers.map(|workers| match workers {
            1 => "1 worker".to_owned(),
            _ => format!("{workers} workers"),
        })
    }

    /// Returns the numbers of workers, in order.
    pub fn workers(&self) -> &[Option<u32>] {
        &self.workers
    }

    pub fn is_endless(&self) -> bool {
        self.repeat.is_none()
    }
}

impl Iterator for Rounds {
    type Item = Job;

    fn next(&mut self) -> Option<Job> {
        let (index, done) = self.at;
        let workers = *self.workers.get(index)?;
        self.at = match self.repeat {
            Some(repeat) if done + 1 < repeat => (index, done + 1),
            Some(_) => (index + 1, 0),
            None if index + 1 < self.workers.len() => (index + 1, done),
            None => (0, done.saturating_add(1)),
        };
        let group = Self::group(workers);
        let mut job = self.job.clone();
        job.id = JobId(self.next);
        self.next += 1;
        job.name = match &group {
            Some(group) => format!("{} at {group}, round {}", job.name, done + 1),
            None => format!("{}, round {}", job.name, done + 1),
        };
        job.group = group;
        if let Some(workers) = workers {
            let value = OsString::from(workers.to_string());
            job.env.extend(VARIABLES.map(|name| (name.into(), value.clone())));
        }
        Some(job)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.repeat.map(|repeat| {
            let (index, done) = self.at;
            (self.workers.len() - index) * repeat as usize - done as usize
        });
        (left.unwrap_or(usize::MAX), left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::spec;

    fn rounds(workers: &[u32], repeat: Option<u32>) -> Rounds {
        let job = spec::from_words(JobId(1), vec!["cargo".into(), "test".into()]).unwrap();
        Rounds::new(job, workers, repeat, false)
    }

    #[test]
    fn each_number_of_workers_has_its_own_rounds_and_variables() {
        let mut all = rounds(&[4, 1], Some(2));
        assert_eq!(all.size_hint(), (4, Some(4)));
        let first = all.next().unwrap();
        assert_eq!(first.env[0], ("RUST_TEST_THREADS".into(), "4".into()));
        assert_eq!(all.size_hint(), (3, Some(3)));
        let names: Vec<_> = all.map(|job| (job.id.0, job.name)).collect();
        let expected = [
            "cargo test at 4 workers, round 2",
            "cargo test at 1 worker, round 1",
            "cargo test at 1 worker, round 2",
        ];
        assert_eq!(names, (2..).zip(expected.map(str::to_owned)).collect::<Vec<_>>());
    }

    #[test]
    fn without_a_number_of_rounds_they_alternate_without_end() {
        let all = rounds(&[], None);
        assert_eq!(all.size_hint().1, None);
        let last = all.take(1000).last().unwrap();
        assert_eq!(
            (last.name.as_str(), last.env.len()),
            ("cargo test, round 1000", 0)
        );
        let names: Vec<_> = rounds(&[4, 8], None).take(3).map(|job| job.name).collect();
        let expected = [
            "cargo test at 4 workers, round 1",
            "cargo test at 8 workers, round 1",
            "cargo test at 4 workers, round 2",
        ];
        assert_eq!(names, expected);
    }
}
