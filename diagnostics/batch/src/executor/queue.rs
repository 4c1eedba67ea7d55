//! Selects the next job: the first in line whose group is below its limit.

use super::job::Job;
use std::collections::{BTreeMap, HashMap, VecDeque};

/// The waiting jobs, and the number of running jobs in each group.
#[derive(Debug, Default)]
pub(super) struct Queue {
    limits: BTreeMap<String, usize>,
    groups: HashMap<Option<String>, GroupQueue>,
    /// For each group below its limit, the position of its first job in the common line.
    ready: BTreeMap<u64, Option<String>>,
    next_position: u64,
}

#[derive(Debug, Default)]
struct GroupQueue {
    line: VecDeque<(u64, QueuedJob)>,
    running: usize,
}

/// A waiting job and the number of its next attempt.
#[derive(Debug)]
pub(super) struct QueuedJob {
    pub(super) job: Job,
    pub(super) attempt: u32,
}

impl Queue {
    pub(super) fn new(limits: BTreeMap<String, usize>) -> Self {
        Self {
            limits,
            ..Self::default()
        }
    }

    pub(super) fn is_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.groups.values().all(|group| group.line.is_empty())
    }

    /// Appends a job to the line.
    pub(super) fn push(&mut self, queued: QueuedJob) {
        let key = queued.job.group.clone();
        self.groups
            .entry(key.clone())
            .or_default()
            .line
            .push_back((self.next_position, queued));
        self.next_position += 1;
        self.refresh(key);
    }

    /// Puts a job at the head of its group's line, for another attempt.
    pub(super) fn push_front(&mut self, queued: QueuedJob) {
        let key = queued.job.group.clone();
        let line = &mut self.groups.entry(key.clone()).or_default().line;
        let position = line.front().map_or(self.next_position, |(position, _)| *position);
        if let Some((head, _)) = line.front_mut() {
            // The new head takes over the old head's position; the order within the group stays.
            self.ready.remove(head);
        } else {
            self.next_position += 1;
        }
        line.push_front((position, queued));
        self.refresh(key);
    }

    /// Takes the first job whose group is below its limit; from now on it counts as running.
    pub(super) fn pop(&mut self) -> Option<QueuedJob> {
        let (_, key) = self.ready.pop_first()?;
        let group = self.groups.get_mut(&key)?;
        let (_, queued) = group.line.pop_front()?;
        group.running += 1;
        self.refresh(key);
        Some(queued)
    }

    /// Counts one running job of the group less.
    pub(super) fn ended(&mut self, group: Option<&str>) {
        let key = group.map(str::to_owned);
        if let Some(group) = self.groups.get_mut(&key) {
            group.running -= 1;
            if group.running == 0 && group.line.is_empty() {
                // There may be as many groups as jobs.
                self.groups.remove(&key);
            } else {
                self.refresh(key);
            }
        }
    }

    /// Removes all waiting jobs and returns them in order.
    pub(super) fn drain(&mut self) -> Vec<Job> {
        let mut left: Vec<(u64, QueuedJob)> = self
            .groups
            .values_mut()
            .flat_map(|group| group.line.drain(..))
            .collect();
        left.sort_by_key(|(position, _)| *position);
        self.ready.clear();
        left.into_iter().map(|(_, queued)| queued.job).collect()
    }

    fn refresh(&mut self, key: Option<String>) {
        let Some(group) = self.groups.get(&key) else {
            return;
        };
        let limit = key.as_ref().and_then(|name| self.limits.get(name));
        let is_below_limit = limit.is_none_or(|limit| group.running < *limit);
        if let Some((position, _)) = group.line.front() {
            if is_below_limit {
                self.ready.insert(*position, key);
            } else {
                self.ready.remove(position);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executor::job::JobId;

    fn job(number: u64, group: Option<&str>) -> QueuedJob {
        let job = Job {
            id: JobId(number),
            name: String::new(),
            group: group.map(str::to_owned),
            command: Vec::new(),
            env: Vec::new(),
            cwd: None,
            timeout: None,
            retries: None,
            inherits_temp: false,
        };
        QueuedJob { job, attempt: 1 }
    }

    fn pop_all(queue: &mut Queue) -> Vec<u64> {
        std::iter::from_fn(|| queue.pop())
            .map(|queued| queued.job.id.0)
            .collect()
    }

    #[test]
    fn a_full_group_keeps_its_order_and_holds_up_no_other() {
        let mut queue = Queue::new(BTreeMap::from([("db".to_owned(), 1)]));
        for (number, group) in [
            (1, Some("db")),
            (2, Some("db")),
            (3, None),
            (4, Some("db")),
            (5, None),
        ] {
            queue.push(job(number, group));
        }
        assert_eq!(pop_all(&mut queue), [1, 3, 5]);
        assert!(!queue.is_ready());
        queue.ended(Some("db"));
        assert_eq!(pop_all(&mut queue), [2]);
        queue.ended(Some("db"));
        queue.ended(None);
        assert_eq!(pop_all(&mut queue), [4]);
        assert!(!queue.is_ready());
    }

    #[test]
    fn a_retried_job_is_the_next_of_its_group() {
        let mut queue = Queue::new(BTreeMap::from([("db".to_owned(), 1)]));
        for number in 1..=3 {
            queue.push(job(number, Some("db")));
        }
        let first = queue.pop().unwrap();
        queue.push_front(first);
        assert!(!queue.is_ready());
        queue.ended(Some("db"));
        for number in [1, 2, 3] {
            assert_eq!(pop_all(&mut queue), [number]);
            queue.ended(Some("db"));
        }
        assert!(queue.groups.is_empty());
    }

    #[test]
    fn remaining_jobs_are_drained_in_order() {
        let mut queue = Queue::default();
        for (number, group) in [(1, Some("a")), (2, None), (3, Some("a"))] {
            queue.push(job(number, group));
        }
        let left: Vec<u64> = queue.drain().iter().map(|job| job.id.0).collect();
        assert_eq!(left, [1, 2, 3]);
        assert!(!queue.is_ready() && queue.pop().is_none());
    }
}
