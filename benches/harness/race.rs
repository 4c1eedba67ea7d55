//! Contenders that do the same many times, timed in turn.

use super::harness::Series;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Barrier, Mutex};
use std::time::Instant;

/// Does it so many times.
pub(crate) type Work<'a> = &'a (dyn Fn(u64) + Sync);

/// Nanoseconds that one call takes.
#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
fn time(work: Work<'_>, calls: u64) -> f64 {
    let start = Instant::now();
    work(calls);
    start.elapsed().as_nanos() as f64 / calls as f64
}

/// What one call of each costs, on one thread or on two at once; then it is the slower thread's.
///
/// The threads are named as libtest names a test's, and no name comes twice, so each has a worker of its own.
pub(crate) fn run(threads: usize, rounds: usize, calls: u64, works: &[Work<'_>]) -> Vec<Series> {
    let barrier = Barrier::new(threads);
    let slowest = Mutex::new(vec![vec![0.0_f64; rounds]; works.len()]);
    static NAMES: AtomicUsize = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            let (barrier, slowest) = (&barrier, &slowest);
            let contest = move || {
                for work in works {
                    work(calls / 10);
                }
                for round in 0..rounds {
                    for (index, work) in works.iter().enumerate() {
                        barrier.wait();
                        let took = time(*work, calls);
                        let mut slowest = slowest.lock().expect("no round panics");
                        slowest[index][round] = slowest[index][round].max(took);
                    }
                }
            };
            // One that panicked would leave the other at the barrier for ever.
            let contest = move || {
                if catch_unwind(AssertUnwindSafe(contest)).is_err() {
                    std::process::abort();
                }
            };
            let name = format!("bench::thread_{}", NAMES.fetch_add(1, Ordering::Relaxed));
            let builder = std::thread::Builder::new().name(name);
            builder.spawn_scoped(scope, contest).expect("a thread");
        }
    });
    let all = slowest.into_inner().expect("no round panics");
    all.into_iter().map(Series).collect()
}
