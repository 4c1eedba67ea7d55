//! A queue of tasks, some of which must not run at the same time.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;

/// A task. Two tasks with a mark in common never run at the same time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Task<T> {
    pub(super) work: T,
    pub(super) marks: BTreeSet<usize>,
}

/// The answer to a thread that asks for a task.
#[derive(Debug, PartialEq, Eq)]
enum NextTask<T> {
    Run(Task<T>),
    /// No task may run until a running one is done.
    Wait,
    Done,
}

#[derive(Debug)]
struct TaskQueue<T> {
    waiting: VecDeque<Task<T>>,
    /// The marks of the running tasks.
    running: Vec<BTreeSet<usize>>,
}

impl<T> TaskQueue<T> {
    fn new(tasks: Vec<Task<T>>) -> Self {
        Self {
            waiting: tasks.into(),
            running: Vec::new(),
        }
    }

    /// Takes the first task that may run now.
    fn take(&mut self) -> NextTask<T> {
        let is_free = |task: &Task<T>| self.running.iter().all(|marks| marks.is_disjoint(&task.marks));
        let next = self.waiting.iter().position(is_free);
        match next.and_then(|next| self.waiting.remove(next)) {
            Some(task) => {
                self.running.push(task.marks.clone());
                NextTask::Run(task)
            }
            None if self.waiting.is_empty() => NextTask::Done,
            None => NextTask::Wait,
        }
    }

    fn done(&mut self, marks: &BTreeSet<usize>) {
        if let Some(position) = self.running.iter().position(|running| running == marks) {
            self.running.swap_remove(position);
        }
    }
}

/// Runs these tasks, at most `jobs` at the same time. Starts none once `is_over` returns true.
pub(super) fn run_all<T: Send>(
    tasks: Vec<Task<T>>,
    jobs: usize,
    is_over: &(dyn Fn() -> bool + Sync),
    work: &(dyn Fn(T) + Sync),
) {
    let threads = jobs.clamp(1, tasks.len().max(1));
    let queue = Mutex::new(TaskQueue::new(tasks));
    let changed = Condvar::new();
    let next = || {
        let mut queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if is_over() {
                queue.waiting.clear();
            }
            match queue.take() {
                NextTask::Run(task) => return Some(task),
                NextTask::Done => return None,
                NextTask::Wait => queue = changed.wait(queue).unwrap_or_else(PoisonError::into_inner),
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(Task { work: task, marks }) = next() {
                    work(task);
                    queue.lock().unwrap_or_else(PoisonError::into_inner).done(&marks);
                    changed.notify_all();
                }
            });
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn task(work: &'static str, marks: &[usize]) -> Task<&'static str> {
        Task {
            work,
            marks: marks.iter().copied().collect(),
        }
    }

    fn taken(queue: &mut TaskQueue<&'static str>) -> Option<&'static str> {
        match queue.take() {
            NextTask::Run(task) => Some(task.work),
            NextTask::Wait | NextTask::Done => None,
        }
    }

    #[test]
    fn tasks_with_a_common_mark_never_run_at_the_same_time() {
        let mut queue = TaskQueue::new(vec![
            task("ab", &[1, 2]),
            task("bc", &[2, 3]),
            task("de", &[4, 5]),
        ]);
        assert_eq!(taken(&mut queue), Some("ab"));
        assert_eq!(taken(&mut queue), Some("de"));
        assert_eq!(queue.take(), NextTask::Wait);
        queue.done(&[1, 2].into());
        assert_eq!(taken(&mut queue), Some("bc"));
        assert_eq!(queue.take(), NextTask::Done);
    }

    #[test]
    fn every_task_runs_once_and_none_starts_after_the_time_is_over() {
        for (jobs, allowed, ran) in [(1, 100, 50), (4, 100, 50), (1, 3, 3), (1, 0, 0)] {
            let tasks = (0..50).map(|number| Task {
                work: number,
                marks: [number % 7].into(),
            });
            let count = AtomicUsize::new(0);
            run_all(
                tasks.collect(),
                jobs,
                &|| count.load(Ordering::Relaxed) >= allowed,
                &|_| {
                    count.fetch_add(1, Ordering::Relaxed);
                },
            );
            assert_eq!(count.into_inner(), ran);
        }
    }
}
