//! So many starts a second, evenly.

use governor::clock::{Clock, DefaultClock};
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use std::time::Duration;

/// Lets one start pass for each interval.
///
/// A start that comes late is caught up with, by one interval at most: else each delay of the machine would make the
/// rate a little lower. So of a rate of 50 at most 51 fall into any second, also after a pause.
pub(super) struct Rate<C: Clock = DefaultClock> {
    limiter: RateLimiter<NotKeyed, InMemoryState, C, NoOpMiddleware<C::Instant>>,
    clock: C,
}

impl Rate {
    /// One start for each `interval`, which is not zero.
    pub(super) fn new(interval: Duration) -> Option<Self> {
        Self::with_clock(interval, DefaultClock::default())
    }
}

impl<C: Clock + Clone> Rate<C> {
    fn with_clock(interval: Duration, clock: C) -> Option<Self> {
        let two = std::num::NonZeroU32::MIN.saturating_add(1);
        let quota = Quota::with_period(interval)?.allow_burst(two);
        let limiter = RateLimiter::direct_with_clock(quota, clock.clone());
        // What could be caught up with before anything began.
        let _ = limiter.check();
        Some(Self { limiter, clock })
    }

    /// Takes the right to start one, or says how long there is none.
    pub(super) fn take(&self) -> Result<(), Duration> {
        self.limiter
            .check()
            .map_err(|not_yet| not_yet.wait_time_from(self.clock.now()).max(MOMENT))
    }
}

/// Never wait for nothing, for ever.
const MOMENT: Duration = Duration::from_micros(1);

#[cfg(test)]
mod tests {
    use super::*;
    use governor::clock::FakeRelativeClock;

    /// When `count` starts came, in milliseconds, with each wake-up `late` by so much.
    fn starts(rate: &Rate<FakeRelativeClock>, count: usize, late: Duration) -> Vec<u128> {
        let mut at = Duration::ZERO;
        let mut starts = Vec::new();
        while starts.len() < count {
            match rate.take() {
                Ok(()) => starts.push(at.as_millis()),
                Err(wait) => {
                    rate.clock.advance(wait + late);
                    at += wait + late;
                }
            }
        }
        starts
    }

    #[test]
    fn starts_are_one_interval_apart_and_the_first_is_at_once() {
        let rate = Rate::with_clock(Duration::from_millis(20), FakeRelativeClock::default()).unwrap();
        assert_eq!(starts(&rate, 4, Duration::ZERO), [0, 20, 40, 60]);
    }

    #[test]
    fn who_comes_late_each_time_keeps_the_rate_and_is_never_above_it() {
        let rate = Rate::with_clock(Duration::from_millis(20), FakeRelativeClock::default()).unwrap();
        let starts = starts(&rate, 501, Duration::from_millis(7));
        let took = starts[500];
        assert!(
            (9_990..=10_010).contains(&took),
            "{took} ms for 500 intervals of 20"
        );
        for window in starts.windows(52) {
            assert!(window[51] - window[0] >= 1_000, "{window:?}");
        }
    }

    #[test]
    fn after_a_pause_at_most_one_is_caught_up_with() {
        let rate = Rate::with_clock(Duration::from_millis(20), FakeRelativeClock::default()).unwrap();
        assert_eq!(rate.take(), Ok(()));
        rate.clock.advance(Duration::from_secs(60));
        assert_eq!((rate.take(), rate.take()), (Ok(()), Ok(())));
        assert!(rate.take().is_err());
    }
}
