//! Spaces starts evenly, for a limit of starts per second.

use governor::clock::{Clock, DefaultClock};
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use std::time::Duration;

/// Permits one start per interval.
///
/// A late start is made up for by at most one interval; otherwise each delay of the machine would lower the rate. At a
/// rate of 50, no second therefore has more than 51 starts, even after a pause.
pub(super) struct StartLimiter<C: Clock = DefaultClock> {
    limiter: RateLimiter<NotKeyed, InMemoryState, C, NoOpMiddleware<C::Instant>>,
    clock: C,
}

impl StartLimiter {
    /// Permits one start per `interval`; `None` if it is zero.
    pub(super) fn new(interval: Duration) -> Option<Self> {
        Self::with_clock(interval, DefaultClock::default())
    }
}

impl<C: Clock + Clone> StartLimiter<C> {
    fn with_clock(interval: Duration, clock: C) -> Option<Self> {
        let two = std::num::NonZeroU32::MIN.saturating_add(1);
        let quota = Quota::with_period(interval)?.allow_burst(two);
        let limiter = RateLimiter::direct_with_clock(quota, clock.clone());
        // There is nothing to make up for at the beginning.
        let _ = limiter.check();
        Some(Self { limiter, clock })
    }

    /// Takes the permission for one start, or returns how long to wait for it.
    pub(super) fn take(&self) -> Result<(), Duration> {
        self.limiter
            .check()
            .map_err(|not_yet| not_yet.wait_time_from(self.clock.now()).max(SHORTEST))
    }
}

/// The shortest wait: a wait of zero could repeat forever.
const SHORTEST: Duration = Duration::from_micros(1);

#[cfg(test)]
mod tests {
    use super::*;
    use governor::clock::FakeRelativeClock;

    /// Returns the times of `count` starts in milliseconds, if each wake-up comes `late`.
    fn starts(rate: &StartLimiter<FakeRelativeClock>, count: usize, late: Duration) -> Vec<u128> {
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
    fn starts_are_one_interval_apart_and_the_first_is_immediate() {
        let rate = StartLimiter::with_clock(Duration::from_millis(20), FakeRelativeClock::default()).unwrap();
        assert_eq!(starts(&rate, 4, Duration::ZERO), [0, 20, 40, 60]);
    }

    #[test]
    fn late_wake_ups_neither_lower_nor_exceed_the_rate() {
        let rate = StartLimiter::with_clock(Duration::from_millis(20), FakeRelativeClock::default()).unwrap();
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
    fn after_a_pause_at_most_one_start_is_made_up_for() {
        let rate = StartLimiter::with_clock(Duration::from_millis(20), FakeRelativeClock::default()).unwrap();
        assert_eq!(rate.take(), Ok(()));
        rate.clock.advance(Duration::from_secs(60));
        assert_eq!((rate.take(), rate.take()), (Ok(()), Ok(())));
        assert!(rate.take().is_err());
    }
}
