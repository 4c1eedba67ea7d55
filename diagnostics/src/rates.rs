//! Failure rates: Fisher's exact test to compare two, the confidence interval of one, and the number of passed runs that
//! refutes one.

use serde::{Deserialize, Serialize};

/// Runs of a test, and the number of those that failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FailureRate {
    pub(crate) failed: u32,
    pub(crate) runs: u32,
}

impl FailureRate {
    pub(crate) fn add(&mut self, failed: bool) {
        self.runs += 1;
        self.failed += u32::from(failed);
    }

    /// Returns Wilson's interval: the rates that these runs do not contradict, at 95 %; all rates if there are no runs.
    pub(crate) fn interval(self) -> (f64, f64) {
        if self.runs == 0 {
            return (0.0, 1.0);
        }
        let runs = f64::from(self.runs);
        let rate = f64::from(self.failed) / runs;
        let square = Z * Z;
        let center = rate + square / (2.0 * runs);
        let margin = Z * (rate * (1.0 - rate) / runs + square / (4.0 * runs * runs)).sqrt();
        let scale = 1.0 + square / runs;
        // At the ends, rounding would leave a little more than nothing.
        let low = if self.failed == 0 {
            0.0
        } else {
            (center - margin) / scale
        };
        let high = if self.failed == self.runs {
            1.0
        } else {
            (center + margin) / scale
        };
        (low, high)
    }

    /// Returns the number of passed runs that refute this rate: at the lower end of its interval, at least one of them would
    /// fail with a probability of 95 %. `None` if it never failed.
    pub(crate) fn runs_to_refute(self) -> Option<u32> {
        let (low, _) = self.interval();
        // A rate that is too low overflows into a number of runs that nothing reaches.
        (low > 0.0).then(|| (REFUTED.ln() / (1.0 - low).ln()).ceil() as u32)
    }
}

/// The accepted probability that all runs pass although nothing has changed.
const REFUTED: f64 = 0.05;

/// The quantile of the normal distribution that leaves out 2.5 % on either side.
const Z: f64 = 1.959_963_984_540_054;

/// Returns the one-sided probability of at least `beside.failed` failures among the runs beside the other test, if all the
/// failures were spread over all the runs by chance.
pub(crate) fn p_value(beside: FailureRate, alone: FailureRate) -> f64 {
    let failed = beside.failed + alone.failed;
    let all = beside.runs + alone.runs;
    let tail = (beside.failed..=failed.min(beside.runs))
        .map(|here| choose(beside.runs, here) * choose(alone.runs, failed - here));
    tail.sum::<f64>() / choose(all, failed)
}

/// The numbers of runs beside or after the other test after which its rate is compared with that alone.
pub(crate) const CHECKPOINTS: [u32; 2] = [4, 10];
/// The number of solo runs under the same conditions.
pub(crate) const SOLO_RUNS: u32 = 10;
/// The significance level over all checkpoints together.
const ACCEPTED: f64 = 0.05;

/// Returns the p-value if the test fails significantly more often beside the other. Each checkpoint is a chance to find that
/// by accident, so they share the level (Bonferroni).
pub(crate) fn significance(beside: FailureRate, alone: FailureRate) -> Option<f64> {
    let p = p_value(beside, alone);
    (alone.runs >= SOLO_RUNS && p < ACCEPTED / CHECKPOINTS.len() as f64).then_some(p)
}

/// Returns the number of ways to choose `some` of `all`; 0 if there are fewer.
fn choose(all: u32, some: u32) -> f64 {
    if some > all {
        return 0.0;
    }
    (0..some).fold(1.0, |ways, next| {
        ways * f64::from(all - next) / f64::from(next + 1)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rate(failed: u32, runs: u32) -> FailureRate {
        FailureRate { failed, runs }
    }

    #[test]
    fn the_probability_is_that_of_the_tables() {
        for (beside, alone, p) in [
            (rate(4, 4), rate(0, 10), 1.0 / 1001.0),
            (rate(3, 4), rate(0, 10), 4.0 / 364.0),
            (rate(2, 4), rate(0, 10), 6.0 / 91.0),
            (rate(1, 1), rate(0, 10), 1.0 / 11.0),
            (rate(0, 4), rate(0, 10), 1.0),
            (rate(4, 4), rate(10, 10), 1.0),
            // Fisher's tea.
            (rate(3, 4), rate(1, 4), 17.0 / 70.0),
        ] {
            assert!((p_value(beside, alone) - p).abs() < 1e-12, "{beside:?} {alone:?}");
        }
    }

    #[test]
    fn a_failure_is_shown_by_its_rate_and_not_by_a_single_run() {
        for (beside, alone, is_shown) in [
            (rate(4, 4), rate(0, 10), true),
            (rate(3, 4), rate(0, 10), true),
            (rate(2, 4), rate(0, 10), false),
            (rate(5, 10), rate(0, 10), true),
            (rate(4, 10), rate(0, 10), false),
            // A test that fails three of five times alone.
            (rate(4, 4), rate(6, 10), false),
            (rate(10, 10), rate(6, 10), false),
            (rate(10, 10), rate(2, 10), true),
            // Too few runs alone.
            (rate(4, 4), rate(0, 9), false),
        ] {
            assert_eq!(
                significance(beside, alone).is_some(),
                is_shown,
                "{beside:?} {alone:?}"
            );
        }
    }

    #[test]
    fn the_interval_is_that_of_the_tables() {
        for (rate, low, high) in [
            (rate(0, 10), 0.0, 0.2775),
            (rate(10, 10), 0.7225, 1.0),
            (rate(5, 100), 0.0215, 0.1118),
            (rate(50, 100), 0.4038, 0.5962),
            (rate(14, 20), 0.4810, 0.8545),
            (rate(0, 0), 0.0, 1.0),
        ] {
            let (found_low, found_high) = rate.interval();
            let is_near = |found: f64, wanted: f64| (found - wanted).abs() < 5e-5;
            assert!(
                is_near(found_low, low) && is_near(found_high, high),
                "{rate:?}: {found_low} to {found_high}"
            );
        }
    }

    #[test]
    fn rarer_failures_need_more_runs_without_one() {
        for (rate, runs) in [
            (rate(0, 10), None),
            (rate(0, 0), None),
            (rate(20, 20), Some(2)),
            (rate(4, 4), Some(5)),
            (rate(14, 20), Some(5)),
            (rate(5, 100), Some(138)),
            (rate(2, 1000), Some(5459)),
        ] {
            assert_eq!(rate.runs_to_refute(), runs, "{rate:?}");
        }
    }

    /// Counts the ways to spread the failures, one by one.
    fn naive(beside: FailureRate, alone: FailureRate) -> f64 {
        let (all, failed) = (beside.runs + alone.runs, beside.failed + alone.failed);
        let spread = (0_u32..1 << all).filter(|ways| ways.count_ones() == failed);
        let (mut as_many, mut total) = (0, 0);
        for ways in spread {
            total += 1;
            let here = (ways & ((1 << beside.runs) - 1)).count_ones();
            as_many += u32::from(here >= beside.failed);
        }
        f64::from(as_many) / f64::from(total)
    }

    proptest! {
        #[test]
        fn the_interval_has_the_measured_rate_in_it_and_shrinks_with_more_runs(
            (failed, runs) in (1_u32..200).prop_flat_map(|runs| (0..=runs, Just(runs)))
        ) {
            let (low, high) = rate(failed, runs).interval();
            let measured = f64::from(failed) / f64::from(runs);
            prop_assert!(0.0 <= low && low <= measured && measured <= high && high <= 1.0);
            let (more_low, more_high) = rate(4 * failed, 4 * runs).interval();
            prop_assert!(more_high - more_low < high - low);
        }

        #[test]
        fn the_probability_is_the_share_of_all_spreads(
            (beside, alone) in (0_u32..7, 0_u32..8).prop_flat_map(|(beside, alone)| {
                let of = |runs: u32| (0..=runs).prop_map(move |failed| rate(failed, runs));
                (of(beside), of(alone))
            })
        ) {
            prop_assert!((p_value(beside, alone) - naive(beside, alone)).abs() < 1e-9);
        }
    }
}
