//! Waits for a kernel lock with a timeout.
//!
//! The kernel waits forever or not at all. Polling would be unfair to the waiters in its queue and wake a busy machine for
//! nothing, so a separate thread waits in the queue, and the caller waits for that thread until its timeout. A thread whose
//! caller has given up releases the lock as soon as it gets it.

use crate::sys::clock::Deadline;
use crate::sys::sync::{Condvar, Mutex, lock, lock_when};
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// The time after which the holder is named.
const NOTIFY_AFTER: Duration = Duration::from_secs(1);

enum Delivery<T> {
    Queueing,
    Got(T),
    /// The caller no longer waits.
    GivenUp,
}

/// The connection between the thread in the queue and the caller.
struct Queue<T> {
    state: Mutex<Delivery<T>>,
    changed: Condvar,
}

impl<T> Queue<T> {
    fn new() -> Self {
        Self {
            state: Mutex::new(Delivery::Queueing),
            changed: Condvar::new(),
        }
    }

    /// Delivers the lock to the caller, or drops it if the caller has given up.
    fn deliver(&self, got: T) {
        let mut state = lock(&self.state);
        if matches!(*state, Delivery::Queueing) {
            *state = Delivery::Got(got);
            self.changed.notify_all();
        } else {
            // Outside the mutex, because dropping it may release a lock.
            drop(state);
            drop(got);
        }
    }

    /// Waits for a delivery and returns whether it came in time.
    fn wait_for_delivery(&self, within: Duration) -> bool {
        let has_ended = |state: &Delivery<T>| !matches!(state, Delivery::Queueing);
        has_ended(&lock_when(&self.state, &self.changed, within, has_ended))
    }

    /// Stops waiting and returns what was delivered.
    fn stop_waiting(&self) -> Option<T> {
        match std::mem::replace(&mut *lock(&self.state), Delivery::GivenUp) {
            Delivery::Got(got) => Some(got),
            Delivery::Queueing | Delivery::GivenUp => None,
        }
    }
}

/// Waits for the blocking function `queue`, and returns its result or `None` after the timeout. Calls `notify` once if that
/// takes a while. The outer error means that no thread could be started.
pub(super) fn wait<T: Send + 'static, E: Send + 'static>(
    timeout: Duration,
    queue: impl FnOnce() -> Result<T, E> + Send + 'static,
    notify: impl FnOnce(),
) -> io::Result<Result<Option<T>, E>> {
    let deadline = Deadline::after(timeout);
    let ours = Arc::new(Queue::new());
    let theirs = Arc::clone(&ours);
    // The `-` in the name keeps it from being taken for a test.
    let thread = std::thread::Builder::new().name("cofferdam-lock".to_owned());
    thread.spawn(move || theirs.deliver(queue()))?;
    let left = || deadline.left().unwrap_or_default();
    if !ours.wait_for_delivery(left().min(NOTIFY_AFTER)) && !left().is_zero() {
        notify();
        ours.wait_for_delivery(left());
    }
    Ok(ours.stop_waiting().transpose())
}

/// Runs the blocking function `work` on a separate thread. If the future is dropped, so is the result.
#[cfg(feature = "tokio")]
pub(super) async fn elsewhere<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    use std::task::{Poll, Waker};
    struct Shared<T> {
        result: Option<T>,
        waker: Option<Waker>,
    }
    let shared = Arc::new(Mutex::new(Shared {
        result: None,
        waker: None,
    }));
    let theirs = Arc::clone(&shared);
    let thread = std::thread::Builder::new().name("cofferdam-lock".to_owned());
    thread.spawn(move || {
        let result = work();
        let waker = {
            let mut shared = lock(&theirs);
            shared.result = Some(result);
            shared.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    })?;
    std::future::poll_fn(move |context| {
        let mut shared = lock(&shared);
        if let Some(result) = shared.result.take() {
            return Poll::Ready(Ok(result));
        }
        shared.waker = Some(context.waker().clone());
        Poll::Pending
    })
    .await
}

/// All schedules of a caller that gives up while the kernel grants the lock to its thread.
#[cfg(all(test, loom))]
mod loom_model {
    use super::*;
    use ::loom::model;
    use ::loom::sync::atomic::{AtomicUsize, Ordering};
    use ::loom::thread;

    /// A held lock.
    struct CountedLock(Arc<AtomicUsize>);

    impl CountedLock {
        fn new(holders: &Arc<AtomicUsize>) -> Self {
            assert_eq!(holders.fetch_add(1, Ordering::SeqCst), 0, "two hold it");
            Self(Arc::clone(holders))
        }
    }

    impl Drop for CountedLock {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn a_granted_lock_goes_to_the_caller_or_is_released() {
        model(|| {
            let holders = Arc::new(AtomicUsize::new(0));
            let queue = Arc::new(Queue::new());
            let thread = {
                let (queue, holders) = (Arc::clone(&queue), Arc::clone(&holders));
                thread::spawn(move || queue.deliver(CountedLock::new(&holders)))
            };
            let had_it = queue.wait_for_delivery(NOTIFY_AFTER);
            let got = queue.stop_waiting();
            assert!(got.is_some() || !had_it, "a delivery was lost");
            if let Some(got) = got {
                assert_eq!(holders.load(Ordering::SeqCst), 1);
                drop(got);
            }
            thread.join().unwrap();
            assert_eq!(
                holders.load(Ordering::SeqCst),
                0,
                "a lock is held without a caller"
            );
            assert!(queue.stop_waiting().is_none());
        });
    }
}
