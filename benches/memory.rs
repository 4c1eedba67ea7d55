//! Memory use when many workers build many more services than their caches hold.

mod harness;

use cofferdam::ServiceLocator;
use harness::{Series, Table};
use std::hint::black_box;
use std::num::NonZeroUsize;
use std::sync::{Arc, Barrier};
use std::time::Instant;

const WORKERS: usize = 16;
const SERVICES: usize = 10_000;
const EARLY: usize = 1_000;
const CAPACITY: usize = 50;
const ROUNDS: usize = 5;

/// A page of memory that is written to, so that each instance counts.
struct Page([u8; 4096]);

fn page() -> Arc<Page> {
    Arc::new(Page(black_box([7; 4096])))
}

/// Returns the resident MiB of this process; `None` without `/proc`.
fn resident() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib / 1024.0)
}

/// Lets all workers request all services twice. Returns the memory in use while they rest, and the microseconds of
/// wall time per service and worker.
#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
fn run(round: usize, kind: &str, ask: &(impl Fn(usize, &mut Own) + Sync)) -> ([f64; 3], f64) {
    let parts = [0..EARLY, EARLY..SERVICES, 0..SERVICES];
    let asked: usize = parts.iter().map(ExactSizeIterator::len).sum();
    let rest = Barrier::new(WORKERS + 1);
    let start = Instant::now();
    std::thread::scope(|scope| {
        for worker in 0..WORKERS {
            let (rest, parts) = (&rest, parts.clone());
            let work = move || {
                let mut own = Own::new(NonZeroUsize::new(CAPACITY).expect("not 0"));
                for part in parts {
                    part.for_each(|service| ask(service, &mut own));
                    rest.wait();
                    rest.wait();
                }
            };
            let thread = std::thread::Builder::new().name(format!("bench::{kind}_{round}_{worker}"));
            thread.spawn_scoped(scope, work).expect("a thread");
        }
        let resident = parts.each_ref().map(|_| {
            rest.wait();
            let resident = resident().unwrap_or(f64::NAN);
            rest.wait();
            resident
        });
        let micros = start.elapsed().as_micros() as f64 / (WORKERS * asked) as f64;
        (resident, micros)
    })
}

type Own = lru::LruCache<String, Arc<Page>>;

fn main() {
    if !harness::is_wanted() {
        return;
    }
    let names: Vec<_> = (0..SERVICES)
        .map(|service| format!("service {service}"))
        .collect();
    let builder = ServiceLocator::builder()
        .capacity(CAPACITY)
        .register::<Page>(|_| Ok(page()));
    let builder = names.iter().fold(builder, |builder, name| {
        builder.register::<Page>(|_| Ok(page())).named(name)
    });
    let locator = builder.build();
    let before = resident();
    let by_locator = |service: usize, _: &mut Own| {
        black_box(locator.get_named::<Page>(&names[service]).0[0]);
    };
    let by_hand = |service: usize, own: &mut Own| {
        let name = &names[service];
        let page = own.get_or_insert(name.clone(), page);
        black_box(page.0[0]);
    };
    let (mut micros, mut bare) = (Vec::new(), Vec::new());
    // Only the first round finds memory untouched.
    let mut resident = None;
    for round in 0..ROUNDS {
        let (found, took) = run(round, "locator", &by_locator);
        resident.get_or_insert(found);
        micros.push(took);
        bare.push(run(round, "by_hand", &by_hand).1);
    }
    let one = |mib: f64| Series(vec![mib]);
    let [early, late, later] = resident.unwrap_or([f64::NAN; 3]);
    let kept =
        (late - early) / (WORKERS * (SERVICES - EARLY) * size_of::<Page>()) as f64 * f64::from(1 << 20);
    let [micros, bare] = [micros, bare].map(Series);
    let mut table = Table::new("16 workers × 10,000 services of 4 KiB, a cap of 50");
    table.row("in memory before", " MiB", &one(before.unwrap_or(f64::NAN)), ..);
    table.row("after 1,000 services of each worker", " MiB", &one(early), ..);
    table.row("after 10,000", " MiB", &one(late), ..);
    table.row("after all 10,000 once more", " MiB", &one(later), ..);
    table.row("once more ÷ after 10,000", "×", &one(later / late), ..=1.05);
    table.row(
        "kept of what was built after the first 1,000",
        "×",
        &one(kept),
        ..=0.01,
    );
    table.row("a service built, one evicted", " µs", &micros, ..);
    table.row("the same with an `LruCache` in each thread", " µs", &bare, ..);
    table.row("locator ÷ by hand", "×", &micros.over(&bare), ..);
    table.print();
}
