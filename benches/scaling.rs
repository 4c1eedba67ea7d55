//! The scaling of two workers on two cores.

mod harness;
#[path = "harness/race.rs"]
mod race;

use cofferdam::{ServiceLocator, WorkerLocal};
use harness::{Series, Table};
use once_cell::sync::Lazy;
use std::hint::black_box;

const ROUNDS: usize = 51;
const CALLS: u64 = 50_000;

struct Repo;

static STATIC: WorkerLocal<Repo> = WorkerLocal::new(|_| Ok(Repo));
static LOCATOR: Lazy<ServiceLocator> = Lazy::new(|| {
    let builder = ServiceLocator::builder();
    builder.register::<Repo>(|_| Ok(Repo.into())).build()
});

fn spin(calls: u64) {
    let mut number = 1_u64;
    for _ in 0..calls * 10 {
        number = black_box(number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    }
}

fn get(calls: u64) {
    for _ in 0..calls {
        black_box(LOCATOR.get::<Repo>());
    }
}

fn worker_local(calls: u64) {
    for _ in 0..calls {
        black_box(STATIC.get());
    }
}

fn main() {
    if !harness::is_wanted() {
        return;
    }
    let works: [(&str, race::Work<'_>); 3] = [
        ("bare spinning", &spin),
        ("`ServiceLocator::get`", &get),
        ("`WorkerLocal::get`", &worker_local),
    ];
    let all = works.map(|(_, work)| work);
    let mut speedups = works.map(|_| Series(Vec::new()));
    // Round by round, so that both numbers of a speed-up are from the same time.
    for _ in 0..ROUNDS {
        let (alone, together) = (race::run(1, 1, CALLS, &all), race::run(2, 1, CALLS, &all));
        for (speedup, (alone, together)) in speedups.iter_mut().zip(alone.iter().zip(&together)) {
            speedup.0.push(2.0 * alone.median() / together.median());
        }
    }
    let mut table = Table::new("Two workers on two cores, against one");
    for ((name, _), speedup) in works.iter().zip(&speedups) {
        table.row(&format!("speed-up of {name}"), "×", speedup, ..);
    }
    for ((name, _), speedup) in works.iter().zip(&speedups).skip(1) {
        let ratio = speedup.over(&speedups[0]);
        table.row(&format!("{name} ÷ bare spinning"), "×", &ratio, 0.95..);
    }
    table.print();
}
