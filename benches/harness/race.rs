//! Contenders that repeat an operation, timed in turn.

use super::harness::Series;
use std::hint;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Barrier, Mutex};
use std::time::{Duration, Instant};

/// Repeats the operation this many times.
pub(crate) type Work<'a> = &'a (dyn Fn(u64) + Sync);

/// The maximum number of repetitions of a time slice that was disturbed by other processes.
const TRIES: usize = 20;

/// Returns the nanoseconds of one call of each contender, round by round, on one thread or on two at once (then of
/// the slower thread).
///
/// The threads have names as libtest gives them to tests, and no name occurs twice, so each has its own worker. A
/// slice in which the kernel preempted one of them, or in which they hardly overlapped, is repeated.
pub(crate) fn run(threads: usize, rounds: usize, calls: u64, works: &[Work<'_>]) -> Vec<Series> {
    static NAMES: AtomicUsize = AtomicUsize::new(0);
    let start = Start::new(threads);
    let slices = Mutex::new(Vec::new());
    let times = Mutex::new(vec![Series(Vec::new()); works.len()]);
    let contest = || {
        for work in works {
            work(calls / 10);
        }
        for index in (0..rounds).flat_map(|_| 0..works.len()) {
            let mut tries = 0;
            loop {
                start.together();
                let slice = Slice::of(works[index], calls);
                slices.lock().expect("no slice panics").push(slice);
                start.barrier.wait();
                let is_good = are_undisturbed(&slices.lock().expect("no slice panics"));
                tries += 1;
                let is_last = start.barrier.wait().is_leader();
                let is_enough = is_good || tries == TRIES;
                if is_last {
                    let slices = std::mem::take(&mut *slices.lock().expect("no slice panics"));
                    let longest = slices.iter().map(|slice| slice.took).max();
                    if is_enough {
                        let longest = longest.unwrap_or_default().as_nanos() as f64;
                        let mut times = times.lock().expect("no slice panics");
                        times[index].0.push(longest / calls as f64);
                    }
                }
                if is_enough {
                    break;
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..threads {
            let name = format!("bench::thread_{}", NAMES.fetch_add(1, Ordering::Relaxed));
            // If one panicked, the other would wait at the barrier forever.
            let contest = || {
                if catch_unwind(AssertUnwindSafe(contest)).is_err() {
                    std::process::abort();
                }
            };
            let builder = std::thread::Builder::new().name(name);
            builder.spawn_scoped(scope, contest).expect("a thread");
        }
    });
    times.into_inner().expect("no slice panics")
}

/// The work of one thread for one contender.
struct Slice {
    start: Instant,
    took: Duration,
    /// The number of times that the thread was preempted.
    interruptions: u64,
}

impl Slice {
    #[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
    fn of(work: Work<'_>, calls: u64) -> Self {
        let before = turns();
        let start = Instant::now();
        work(calls);
        let took = start.elapsed();
        Self {
            start,
            took,
            interruptions: turns() - before,
        }
    }
}

fn are_undisturbed(slices: &[Slice]) -> bool {
    let ends = slices.iter().map(|slice| slice.start + slice.took);
    let together = ends.min().zip(slices.iter().map(|slice| slice.start).max());
    let together = together.map_or(Duration::ZERO, |(end, start)| {
        end.saturating_duration_since(start)
    });
    slices
        .iter()
        .all(|slice| slice.interruptions == 0 && together * 10 >= slice.took * 8)
}

/// Returns the number of time slices of this thread; 0 if the system does not report it.
fn turns() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split_whitespace()
        .nth(2)
        .and_then(|turns| turns.parse().ok())
        .unwrap_or(0)
}

/// Lets threads begin at the same moment. A barrier wakes them about ten microseconds apart, so they spin for each
/// other afterwards.
struct Start {
    barrier: Barrier,
    threads: usize,
    arrived: AtomicUsize,
}

impl Start {
    fn new(threads: usize) -> Self {
        Self {
            barrier: Barrier::new(threads),
            threads,
            arrived: AtomicUsize::new(0),
        }
    }

    fn together(&self) {
        if self.barrier.wait().is_leader() {
            self.arrived.store(0, Ordering::Relaxed);
        }
        self.barrier.wait();
        self.arrived.fetch_add(1, Ordering::Relaxed);
        while self.arrived.load(Ordering::Relaxed) < self.threads {
            hint::spin_loop();
        }
    }
}
