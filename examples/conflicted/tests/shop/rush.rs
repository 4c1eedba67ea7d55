//! Makes sure that two tests are in the shop at once, so that this example's report is the same every time. A suite
//! of yours needs no such thing: there it is chance, and that is the trouble.

use cofferdam::Worker;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Nobody comes where the tests are kept apart, as `cargo cofferdam fix` would have it.
const LONGEST: Duration = Duration::from_secs(5);

/// The first two tests of the process wait for each other, each in its worker; all others go on.
///
/// Every test calls this, so where two may run at once a second one comes.
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

/// How many tests of this process run at once: 1 also where it was told which ones to run, for that may be one
/// alone. nextest tells every process so; two of its processes are always there at once.
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
