//! A small test process: three services, one built from another. Built and run by the benchmarks.
//!
//! `three_services ROUNDS ASKS`: builds everything ROUNDS times, and requests each service ASKS times.

use cofferdam::ServiceLocator;
use std::hint::black_box;
use std::sync::Arc;

struct Settings(u16);
struct Orders(Arc<Settings>);
trait Prices: Send + Sync {}
struct Fixed;
impl Prices for Fixed {}

fn main() {
    let mut numbers = std::env::args().skip(1).map(|number| number.parse().expect("a number"));
    let mut number = || numbers.next().unwrap_or(1_u32);
    let (rounds, asks) = (number(), number());
    let locator = ServiceLocator::builder()
        .register::<Settings>(|_| Ok(Arc::new(Settings(1))))
        .register::<Orders>(|cx| Ok(Arc::new(Orders(cx.get()?))))
        .register::<dyn Prices>(|_| Ok(Arc::new(Fixed)))
        .build();
    for _ in 0..rounds {
        for _ in 0..asks {
            black_box(locator.get::<Settings>().0);
            black_box(locator.get::<Orders>().0.0);
            black_box(locator.get::<dyn Prices>());
        }
        locator.clear_worker();
    }
}
