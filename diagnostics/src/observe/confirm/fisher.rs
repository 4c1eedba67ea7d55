//! Fisher's exact test: does a test fail more often beside another than alone?

/// Runs of a test, and the number of those that failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct FailureRate {
    pub(super) failed: u32,
    pub(super) runs: u32,
}

impl FailureRate {
    pub(super) fn add(&mut self, failed: bool) {
        self.runs += 1;
        self.failed += u32::from(failed);
    }
}

/// Returns the one-sided probability of at least `beside.failed` failures among the runs beside the other test, if all the
/// failures were spread over all the runs by chance.
pub(super) fn p_value(beside: FailureRate, alone: FailureRate) -> f64 {
    let failed = beside.failed + alone.failed;
    let all = beside.runs + alone.runs;
    let tail = (beside.failed..=failed.min(beside.runs))
        .map(|here| choose(beside.runs, here) * choose(alone.runs, failed - here));
    tail.sum::<f64>() / choose(all, failed)
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
