//! Futures that are polled inside a worker.

use super::Worker;
use super::current::{self, Entered};
use super::member::Member;
use std::pin::Pin;
use std::task::{Context, Poll};

/// A future that enters its worker at each poll; see [`Worker::instrument`].
#[must_use = "a future does nothing until it is polled"]
#[derive(Debug)]
pub struct Instrumented<F> {
    /// `None` after the drop has begun.
    future: Option<Pin<Box<F>>>,
    worker: Worker,
    builds: Vec<u64>,
    /// Keeps the lane, so that a poll needs no member of its own.
    _member: Option<Member>,
}

impl<F> Instrumented<F> {
    pub(super) fn new(worker: &Worker, future: F, member: Member) -> Self {
        Self {
            future: Some(Box::pin(future)),
            worker: worker.clone(),
            builds: current::builds(),
            _member: Some(member),
        }
    }

    /// Instruments the future of a build.
    #[cfg(feature = "tokio")]
    pub(crate) fn to_build(worker: &Worker, build: u64, future: Pin<Box<F>>) -> Self {
        Self {
            future: Some(future),
            worker: worker.clone(),
            builds: vec![build],
            // Its runtime ends it with the test.
            _member: None,
        }
    }

    fn enter(&self) -> Entered {
        Entered::new(&self.worker, self.builds.clone(), None)
    }
}

impl<F: Future> Future for Instrumented<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let _entered = self.enter();
        match &mut self.future {
            Some(future) => future.as_mut().poll(context),
            None => Poll::Pending,
        }
    }
}

impl<F> Drop for Instrumented<F> {
    fn drop(&mut self) {
        // The runtime may drop the task on any thread; the values in it belong to the worker there too.
        let _entered = self.enter();
        self.future = None;
    }
}
