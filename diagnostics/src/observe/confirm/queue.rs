//! What is run next, and what may run beside it: data in, data out.

use std::collections::{BTreeSet, VecDeque};

/// Something to run, with marks: two that have one in common never run at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Task<T> {
    pub(super) work: T,
    pub(super) marks: BTreeSet<usize>,
    /// Nothing runs beside it.
    pub(super) alone: bool,
}

/// What there is to do now.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Turn<T> {
    Run(Task<T>),
    /// Until one that runs is done.
    Wait,
    Over,
}

#[derive(Debug)]
pub(super) struct Queue<T> {
    waiting: VecDeque<Task<T>>,
    /// The marks of those that run, and whether it is one that has to be alone.
    running: Vec<(BTreeSet<usize>, bool)>,
}

impl<T> Queue<T> {
    pub(super) fn new(tasks: Vec<Task<T>>) -> Self {
        Self {
            waiting: tasks.into(),
            running: Vec::new(),
        }
    }

    /// The first that may run now. One that has to be alone is not overtaken, for it would never come.
    pub(super) fn take(&mut self) -> Turn<T> {
        let is_free = |task: &Task<T>| {
            let mut running = self.running.iter();
            running.all(|(marks, alone)| !alone && marks.is_disjoint(&task.marks))
        };
        let first_alone = self.waiting.iter().position(|task| task.alone);
        let end = first_alone.unwrap_or(self.waiting.len());
        let next = match self.waiting.iter().take(end).position(is_free) {
            None if self.running.is_empty() => first_alone,
            found => found,
        };
        match next.and_then(|next| self.waiting.remove(next)) {
            Some(task) => {
                self.running.push((task.marks.clone(), task.alone));
                Turn::Run(task)
            }
            None if self.waiting.is_empty() && self.running.is_empty() => Turn::Over,
            None => Turn::Wait,
        }
    }

    pub(super) fn done(&mut self, marks: &BTreeSet<usize>) {
        if let Some(position) = self.running.iter().position(|(running, _)| running == marks) {
            self.running.swap_remove(position);
        }
    }

    /// Before all others.
    pub(super) fn put_first(&mut self, task: Task<T>) {
        self.waiting.push_front(task);
    }

    /// After all others.
    pub(super) fn put_last(&mut self, task: Task<T>) {
        self.waiting.push_back(task);
    }

    /// What is not run any more.
    pub(super) fn give_up(&mut self) -> usize {
        std::mem::take(&mut self.waiting).len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(work: &'static str, marks: &[usize], alone: bool) -> Task<&'static str> {
        Task {
            work,
            marks: marks.iter().copied().collect(),
            alone,
        }
    }

    fn taken(queue: &mut Queue<&'static str>) -> Option<&'static str> {
        match queue.take() {
            Turn::Run(task) => Some(task.work),
            Turn::Wait | Turn::Over => None,
        }
    }

    #[test]
    fn what_has_a_mark_in_common_never_runs_at_once() {
        let mut queue = Queue::new(vec![
            task("ab", &[1, 2], false),
            task("bc", &[2, 3], false),
            task("de", &[4, 5], false),
        ]);
        assert_eq!(taken(&mut queue), Some("ab"));
        assert_eq!(taken(&mut queue), Some("de"));
        assert_eq!(queue.take(), Turn::Wait);
        queue.done(&[1, 2].into());
        assert_eq!(taken(&mut queue), Some("bc"));
        queue.done(&[2, 3].into());
        assert_eq!(queue.take(), Turn::Wait);
        queue.done(&[4, 5].into());
        assert_eq!(queue.take(), Turn::Over);
    }

    #[test]
    fn one_that_has_to_be_alone_is_not_overtaken() {
        let mut queue = Queue::new(vec![task("a", &[1], false), task("b", &[2], false)]);
        assert_eq!(taken(&mut queue), Some("a"));
        queue.put_first(task("alone", &[9], true));
        assert_eq!(queue.take(), Turn::Wait);
        queue.done(&[1].into());
        assert_eq!(taken(&mut queue), Some("alone"));
        assert_eq!(queue.take(), Turn::Wait);
        queue.done(&[9].into());
        assert_eq!(taken(&mut queue), Some("b"));
    }

    #[test]
    fn when_time_is_up_nothing_more_begins() {
        let mut queue = Queue::new((0..50).map(|number| task("a", &[number], false)).collect());
        let begun = (0..3).filter_map(|_| taken(&mut queue)).count();
        assert_eq!((begun, queue.give_up()), (3, 47));
        assert_eq!(queue.take(), Turn::Wait);
        for number in 0..3 {
            queue.done(&[number].into());
        }
        assert_eq!(queue.take(), Turn::Over);
    }
}
