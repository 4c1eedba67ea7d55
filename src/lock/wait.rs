//! Waiting for a kernel lock, with a bound.
//!
//! The kernel waits for ever or not at all. Asking again and again would be unfair to those who wait in its queue, and
//! wakes a busy machine for nothing, so a thread of its own stands in the queue, and whoever wants the lock waits for
//! that thread as long as it likes. One that nobody waits for any more gives the lock back as soon as it gets it.

use crate::sys::clock::Deadline;
use crate::sys::sync::{Condvar, Mutex, lock, lock_when};
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// How long a waiter says nothing.
const POLITE: Duration = Duration::from_secs(1);

enum State<T> {
    Queueing,
    Got(T),
    /// Nobody waits any more.
    GivenUp,
}

/// Between the thread that stands in the queue and whoever waits for it.
struct Queue<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

impl<T> Queue<T> {
    fn new() -> Self {
        Self {
            state: Mutex::new(State::Queueing),
            changed: Condvar::new(),
        }
    }

    /// What was queued for; it is dropped if nobody waits any more.
    fn deliver(&self, got: T) {
        let mut state = lock(&self.state);
        if matches!(*state, State::Queueing) {
            *state = State::Got(got);
            self.changed.notify_all();
        } else {
            // Outside: it may be a lock that is given back.
            drop(state);
            drop(got);
        }
    }

    /// Whether something was delivered within the time.
    fn is_there(&self, within: Duration) -> bool {
        let has_ended = |state: &State<T>| !matches!(state, State::Queueing);
        has_ended(&lock_when(&self.state, &self.changed, within, has_ended))
    }

    /// What was delivered, if it was. Afterwards nobody waits any more.
    fn leave(&self) -> Option<T> {
        match std::mem::replace(&mut *lock(&self.state), State::GivenUp) {
            State::Got(got) => Some(got),
            State::Queueing | State::GivenUp => None,
        }
    }
}

/// Waits until `queue`, which blocks, has brought something, or the time is over (`None`); calls `say` once if that
/// takes a while. An error is that no thread could be started.
pub(super) fn wait<T: Send + 'static, E: Send + 'static>(
    timeout: Duration,
    queue: impl FnOnce() -> Result<T, E> + Send + 'static,
    say: impl FnOnce(),
) -> io::Result<Result<Option<T>, E>> {
    let deadline = Deadline::after(timeout);
    let ours = Arc::new(Queue::new());
    let theirs = Arc::clone(&ours);
    // The name says what the thread is, and that no test is meant.
    let thread = std::thread::Builder::new().name("cofferdam-lock".to_owned());
    thread.spawn(move || theirs.deliver(queue()))?;
    let left = || deadline.left().unwrap_or_default();
    if !ours.is_there(left().min(POLITE)) && !left().is_zero() {
        say();
        ours.is_there(left());
    }
    Ok(ours.leave().transpose())
}

/// Runs `work`, which blocks, on a thread of its own. Whoever drops the future is rid of it; what the work brings is
/// then dropped too.
#[cfg(feature = "tokio")]
pub(super) async fn elsewhere<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    use std::task::{Poll, Waker};
    struct Desk<T> {
        brought: Option<T>,
        waker: Option<Waker>,
    }
    let desk = Arc::new(Mutex::new(Desk {
        brought: None,
        waker: None,
    }));
    let theirs = Arc::clone(&desk);
    let thread = std::thread::Builder::new().name("cofferdam-lock".to_owned());
    thread.spawn(move || {
        let brought = work();
        let waker = {
            let mut desk = lock(&theirs);
            desk.brought = Some(brought);
            desk.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    })?;
    std::future::poll_fn(move |context| {
        let mut desk = lock(&desk);
        if let Some(brought) = desk.brought.take() {
            return Poll::Ready(Ok(brought));
        }
        desk.waker = Some(context.waker().clone());
        Poll::Pending
    })
    .await
}

/// Every schedule of a waiter that gives up while the kernel grants the lock to its thread.
#[cfg(all(test, loom))]
mod loom_model {
    use super::*;
    use ::loom::model;
    use ::loom::sync::atomic::{AtomicUsize, Ordering};
    use ::loom::thread;

    /// A lock that somebody has.
    struct Held(Arc<AtomicUsize>);

    impl Held {
        fn new(holders: &Arc<AtomicUsize>) -> Self {
            assert_eq!(holders.fetch_add(1, Ordering::SeqCst), 0, "two hold it");
            Self(Arc::clone(holders))
        }
    }

    impl Drop for Held {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn a_lock_that_is_granted_is_the_waiters_or_nobodys() {
        model(|| {
            let holders = Arc::new(AtomicUsize::new(0));
            let queue = Arc::new(Queue::new());
            let thread = {
                let (queue, holders) = (Arc::clone(&queue), Arc::clone(&holders));
                thread::spawn(move || queue.deliver(Held::new(&holders)))
            };
            let had_it = queue.is_there(POLITE);
            let got = queue.leave();
            assert!(got.is_some() || !had_it, "what was there is lost");
            if let Some(got) = got {
                assert_eq!(holders.load(Ordering::SeqCst), 1);
                drop(got);
            }
            thread.join().unwrap();
            assert_eq!(holders.load(Ordering::SeqCst), 0, "it is held for nobody");
            assert!(queue.leave().is_none());
        });
    }
}
