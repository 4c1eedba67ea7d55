//! The test that the threads of a worker's runtime work for: the worker's current one.

use super::Worker;
use super::member::Member;
use crate::sys::observer::ObservedTest;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;

/// The test that the threads of a runtime work for.
#[derive(Default)]
pub(super) struct CurrentTest {
    /// 0 between tests.
    execution: AtomicU64,
    state: Mutex<TestState>,
    threads_changed: Condvar,
}

#[derive(Default)]
struct TestState {
    worker: Option<Worker>,
    /// The number of threads, those of `spawn_blocking` included.
    threads: usize,
    /// The number of tasks that belong to the worker's services: those that ran before the test, and those that factories
    /// have started since.
    tasks_of_services: usize,
    /// Keeps the lane of the runtime's last test while threads of the runtime are left.
    member: Option<Member>,
}

impl CurrentTest {
    fn lock(&self) -> MutexGuard<'_, TestState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn execution(&self) -> u64 {
        self.execution.load(Ordering::Acquire)
    }

    pub(super) fn worker(&self) -> Option<Worker> {
        self.lock().worker.clone()
    }

    /// Makes the observer attribute the accesses of the current thread, one of the runtime, to the test.
    pub(super) fn attribute(&self) {
        // Between tests, accesses by services still count for the last test.
        if ObservedTest::current().is_some()
            && let Some(worker) = self.worker()
        {
            worker.0.observed.and_then(ObservedTest::attribute);
        }
    }

    /// Begins a test, when the runtime has this many tasks.
    pub(super) fn begin(&self, worker: &Worker, alive_tasks: usize) {
        let mut state = self.lock();
        state.worker = Some(worker.clone());
        state.tasks_of_services = alive_tasks;
        self.execution.store(worker.execution(), Ordering::Release);
    }

    /// Ends the test. `member` keeps its lane for as long as the runtime has threads.
    pub(super) fn end(&self, member: Option<Member>) {
        let mut state = self.lock();
        self.execution.store(0, Ordering::Release);
        let worker = state.worker.take();
        let superfluous = match state.threads {
            0 => member,
            _ => std::mem::replace(&mut state.member, member),
        };
        drop(state);
        drop((worker, superfluous));
    }

    pub(super) fn tasks_of_services(&self) -> usize {
        self.lock().tasks_of_services
    }

    pub(super) fn add_tasks_of_services(&self, tasks: usize) {
        self.lock().tasks_of_services += tasks;
    }

    pub(super) fn threads(&self) -> usize {
        self.lock().threads
    }

    pub(super) fn start_thread(&self) {
        self.lock().threads += 1;
        self.threads_changed.notify_all();
    }

    pub(super) fn stop_thread(&self) {
        let mut state = self.lock();
        state.threads -= 1;
        let member = match state.threads {
            0 => state.member.take(),
            _ => None,
        };
        drop(state);
        self.threads_changed.notify_all();
        drop(member);
    }

    /// Waits until the number of threads is as `is_it` says, but no longer than the limit.
    pub(super) fn wait_for_threads(&self, limit: Duration, is_it: impl Fn(usize) -> bool) {
        let waited = self
            .threads_changed
            .wait_timeout_while(self.lock(), limit, |state| !is_it(state.threads));
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}

/// Returns whether the calling thread is inside a tokio runtime, which must not be blocked.
pub(crate) fn is_inside() -> bool {
    Handle::try_current().is_ok()
}
