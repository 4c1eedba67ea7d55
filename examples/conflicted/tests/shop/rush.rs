//! Makes two tests overlap, so that the report of this example is always the same. In a real suite that is chance,
//! which is the problem with such mistakes.

use cofferdam::Worker;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// The time limit of the wait: after `cargo cofferdam fix` the tests never overlap.
const LONGEST: Duration = Duration::from_secs(5);

/// Lets the first two tests of the process wait for each other, each in its worker.
///
/// Every test calls this, so if two may run at once, a second one arrives.
pub(crate) fn begin() {
    static HERE: Mutex<usize> = Mutex::new(0);
    static BOTH: Condvar = Condvar::new();
    let _lane = Worker::current();
    if tests_at_once() > 1 {
        let mut here = HERE.lock().unwrap_or_else(PoisonError::into_inner);
        *here += 1;
        BOTH.notify_all();
        let _here = BOTH.wait_timeout_while(here, LONGEST, |here| *here < 2);
    }
}

/// Returns the number of tests that run at once in this process; 1 if tests were selected by name, which may be a
/// single one, as in every process of nextest. Two of its processes always run at once.
fn tests_at_once() -> usize {
    let mut threads = std::env::var("RUST_TEST_THREADS")
        .ok()
        .and_then(|number| number.parse().ok());
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.split_once('=').unwrap_or((&arg, "")) {
            ("--test-threads", "") => threads = args.next().and_then(|number| number.parse().ok()),
            ("--test-threads", number) => threads = number.parse().ok(),
            ("--nocapture" | "--no-capture" | "--show-output" | "--quiet" | "-q", "") => {}
            _ => return 1,
        }
    }
    threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from))
}
