//! Threads that wait for a build of another thread: all get its outcome.

use super::{ServiceHandle, ServiceLocator, views};
use crate::error::{BoxError, Error};
use crate::worker::Worker;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

const ASKING: u64 = 3;

/// Requests a service from several threads; its first build ends when all of them have requested it.
fn all_ask(
    first: fn() -> Result<Arc<u64>, BoxError>,
) -> (ServiceLocator, Vec<Result<ServiceHandle<u64>, Error>>) {
    let slot: Arc<OnceLock<ServiceLocator>> = Arc::default();
    let (within, builds) = (Arc::clone(&slot), AtomicU64::new(0));
    let locator = ServiceLocator::builder()
        .register::<u64>(move |_| {
            let build = builds.fetch_add(1, Ordering::SeqCst);
            if build > 0 {
                return Ok(Arc::new(build));
            }
            while views(within.get())[0].misses < ASKING {
                std::thread::yield_now();
            }
            first()
        })
        .build();
    assert!(slot.set(locator.clone()).is_ok());
    let worker = Worker::current();
    let answers = std::thread::scope(|scope| {
        let ask = || locator.try_get::<u64>();
        let threads: Vec<_> = (0..ASKING).map(|_| scope.spawn(worker.wrap(ask))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    (locator, answers)
}

fn all_fail(first: fn() -> Result<Arc<u64>, BoxError>, with: &str) {
    let (locator, answers) = all_ask(first);
    for answer in answers {
        let error = answer.unwrap_err().to_string();
        assert!(error.contains(with), "{error}");
    }
    assert_eq!(*locator.get::<u64>(), 1, "the next call tries again");
    assert_eq!(
        views(Some(&locator))[0].builds,
        1,
        "a failed build is not counted"
    );
}

#[test]
fn an_error_reaches_all_waiters_and_the_next_call_tries_again() {
    all_fail(|| Err("no disk".into()), "no disk");
}

#[test]
fn a_panic_reaches_all_waiters_and_the_next_call_tries_again() {
    all_fail(|| panic!("as it should"), "panicked for worker");
}

#[test]
fn all_waiters_get_the_same_instance() {
    let (locator, answers) = all_ask(|| Ok(Arc::new(0)));
    let one = locator.get::<u64>();
    assert!(
        answers
            .into_iter()
            .all(|answer| std::ptr::eq(&*answer.unwrap(), &*one))
    );
    let view = &views(Some(&locator))[0];
    assert_eq!((view.builds, view.misses, view.hits), (1, ASKING, 1));
}
