//! Which job is next: the first in line whose group has room.

use super::job::Job;
use std::collections::{BTreeMap, HashMap, VecDeque};

/// Jobs that wait, and how many of each group run.
#[derive(Debug, Default)]
pub(super) struct Queue {
    limits: BTreeMap<String, usize>,
    groups: HashMap<Option<String>, Group>,
    /// The first in line of each group that has room, by its place in line.
    ready: BTreeMap<u64, Option<String>>,
    next_place: u64,
}

#[derive(Debug, Default)]
struct Group {
    line: VecDeque<(u64, Waiting)>,
    running: usize,
}

/// A job in line, and which attempt would be next.
#[derive(Debug)]
pub(super) struct Waiting {
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

    /// To the end of the line.
    pub(super) fn push(&mut self, waiting: Waiting) {
        let key = waiting.job.group.clone();
        self.groups
            .entry(key.clone())
            .or_default()
            .line
            .push_back((self.next_place, waiting));
        self.next_place += 1;
        self.refresh(key);
    }

    /// To the head of its group's line: it ran, and shall run again.
    pub(super) fn push_front(&mut self, waiting: Waiting) {
        let key = waiting.job.group.clone();
        let line = &mut self.groups.entry(key.clone()).or_default().line;
        let place = line.front().map_or(self.next_place, |(place, _)| *place);
        if let Some((head, _)) = line.front_mut() {
            // They share a place, so the head moves behind without passing anybody of its group.
            self.ready.remove(head);
        } else {
            self.next_place += 1;
        }
        line.push_front((place, waiting));
        self.refresh(key);
    }

    /// The first in line whose group has room; it counts as running from now on.
    pub(super) fn pop(&mut self) -> Option<Waiting> {
        let (_, key) = self.ready.pop_first()?;
        let group = self.groups.get_mut(&key)?;
        let (_, waiting) = group.line.pop_front()?;
        group.running += 1;
        self.refresh(key);
        Some(waiting)
    }

    /// One of the group runs no more.
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

    /// All that wait, in order.
    pub(super) fn drain(&mut self) -> Vec<Job> {
        let mut left: Vec<(u64, Waiting)> = self
            .groups
            .values_mut()
            .flat_map(|group| group.line.drain(..))
            .collect();
        left.sort_by_key(|(place, _)| *place);
        self.ready.clear();
        left.into_iter().map(|(_, waiting)| waiting.job).collect()
    }

    fn refresh(&mut self, key: Option<String>) {
        let Some(group) = self.groups.get(&key) else {
            return;
        };
        let limit = key.as_ref().and_then(|name| self.limits.get(name));
        let has_room = limit.is_none_or(|limit| group.running < *limit);
        if let Some((place, _)) = group.line.front() {
            if has_room {
                self.ready.insert(*place, key);
            } else {
                self.ready.remove(place);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executor::job::JobId;

    fn job(number: u64, group: Option<&str>) -> Waiting {
        let job = Job {
            id: JobId(number),
            name: String::new(),
            group: group.map(str::to_owned),
            command: Vec::new(),
            env: Vec::new(),
            cwd: None,
            timeout: None,
            retries: None,
            keeps_temp: false,
        };
        Waiting { job, attempt: 1 }
    }

    fn popped(queue: &mut Queue) -> Vec<u64> {
        std::iter::from_fn(|| queue.pop())
            .map(|waiting| waiting.job.id.0)
            .collect()
    }

    #[test]
    fn a_full_group_lets_others_pass_and_keeps_its_order() {
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
        assert_eq!(popped(&mut queue), [1, 3, 5]);
        assert!(!queue.is_ready());
        queue.ended(Some("db"));
        assert_eq!(popped(&mut queue), [2]);
        queue.ended(Some("db"));
        queue.ended(None);
        assert_eq!(popped(&mut queue), [4]);
        assert!(!queue.is_ready());
    }

    #[test]
    fn one_that_is_tried_again_is_the_next_of_its_group() {
        let mut queue = Queue::new(BTreeMap::from([("db".to_owned(), 1)]));
        for number in 1..=3 {
            queue.push(job(number, Some("db")));
        }
        let first = queue.pop().unwrap();
        queue.push_front(first);
        assert!(!queue.is_ready());
        queue.ended(Some("db"));
        for number in [1, 2, 3] {
            assert_eq!(popped(&mut queue), [number]);
            queue.ended(Some("db"));
        }
        assert!(queue.groups.is_empty());
    }

    #[test]
    fn what_is_left_comes_out_in_order_and_nothing_is_ready_then() {
        let mut queue = Queue::default();
        for (number, group) in [(1, Some("a")), (2, None), (3, Some("a"))] {
            queue.push(job(number, group));
        }
        let left: Vec<u64> = queue.drain().iter().map(|job| job.id.0).collect();
        assert_eq!(left, [1, 2, 3]);
        assert!(!queue.is_ready() && queue.pop().is_none());
    }
}
