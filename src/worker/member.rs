//! Work of a test that may outlive it.

use super::Worker;

/// Work that belongs to a test and may outlive it. While it exists, the lane stays the test's.
#[derive(Debug)]
pub(super) struct Member(Worker);

impl Member {
    pub(super) fn new(worker: &Worker) -> Option<Self> {
        worker.0.lease.join().then(|| Self(worker.clone()))
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.0.0.lease.leave();
    }
}
