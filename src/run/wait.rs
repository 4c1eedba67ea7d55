//! Waiting for a kernel lock, with a bound.
//!
//! The kernel waits for ever or not at all. Asking again and again would be unfair to those who wait in its queue, and
//! wakes a busy machine for nothing, so a thread of its own stands in the queue, and whoever wants the lock waits for
//! that thread as long as it likes. One that nobody waits for any more gives the lock back as soon as it gets it.

use crate::sys::clock::Deadline;
use crate::sys::file_lock::{self, Locked, Mode};
use crate::sys::sync::{Condvar, Mutex, lock, lock_when};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How long a waiter says nothing.
const POLITE: Duration = Duration::from_secs(1);

enum State {
    Queueing,
    Got(io::Result<Locked>),
    /// Nobody waits any more.
    GivenUp,
}

struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

/// Waits until the lock is had or the time is over (`None`); calls `say` once if that takes a while.
pub(super) fn wait(
    path: &Path,
    mode: Mode,
    timeout: Duration,
    say: impl FnOnce(),
) -> io::Result<Option<Locked>> {
    let deadline = Deadline::after(timeout);
    let queue = Arc::new(Queue {
        state: Mutex::new(State::Queueing),
        changed: Condvar::new(),
    });
    let (theirs, file) = (Arc::clone(&queue), path.to_owned());
    // The name says what the thread is, and that no test is meant.
    let queueing = std::thread::Builder::new().name("cofferdam-lock".to_owned());
    queueing.spawn(move || {
        let got = file_lock::wait_lock(&file, mode);
        let mut state = lock(&theirs.state);
        if matches!(*state, State::Queueing) {
            *state = State::Got(got);
            theirs.changed.notify_all();
        }
    })?;
    let has_ended = |state: &State| !matches!(state, State::Queueing);
    let left = || deadline.left().unwrap_or_default();
    let mut state = lock_when(&queue.state, &queue.changed, left().min(POLITE), has_ended);
    if matches!(*state, State::Queueing) && !left().is_zero() {
        drop(state);
        say();
        state = lock_when(&queue.state, &queue.changed, left(), has_ended);
    }
    match std::mem::replace(&mut *state, State::GivenUp) {
        State::Got(got) => got.map(Some),
        State::Queueing | State::GivenUp => Ok(None),
    }
}

/// Runs `work`, which blocks, on a thread of its own. Whoever drops the future is rid of it; what the work brings is
/// then dropped too.
#[cfg(feature = "tokio")]
pub(super) async fn elsewhere<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    use std::task::{Poll, Waker};
    struct Desk<T> {
        brought: Option<io::Result<T>>,
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
            return Poll::Ready(brought);
        }
        desk.waker = Some(context.waker().clone());
        Poll::Pending
    })
    .await
}
