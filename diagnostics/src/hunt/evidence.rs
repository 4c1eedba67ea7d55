//! When results are no chance: one hypothesis against that of a test that fails at random.

use crate::rates::{FailureRate, p_value};

/// The greatest accepted probability that a test which fails at random gave exactly these results. It is small because many
/// other results would be taken for a proof, too.
const ACCEPTED_LIKELIHOOD: f64 = 0.001;
/// The greatest accepted probability that two rates differ by chance.
const ACCEPTED_P: f64 = 0.01;

/// Returns whether a test that fails at random, at whichever rate, would hardly have given exactly these results. `looks` is
/// the number of hypotheses among which the one that explains them was chosen.
pub(super) fn is_no_chance(explained: FailureRate, looks: usize) -> bool {
    if explained.runs == 0 {
        return false;
    }
    let share = f64::from(explained.failed) / f64::from(explained.runs);
    let power = |base: f64, times: u32| {
        if times == 0 {
            1.0
        } else {
            base.powf(f64::from(times))
        }
    };
    let likelihood = power(share, explained.failed) * power(1.0 - share, explained.runs - explained.failed);
    likelihood * looks as f64 <= ACCEPTED_LIKELIHOOD
}

/// Returns whether the first rate is higher than the second by more than chance. `looks` is the number of comparisons among
/// which this one was chosen.
pub(crate) fn is_higher(with: FailureRate, without: FailureRate, looks: usize) -> bool {
    with.failed >= 2 && p_value(with, without) * (looks as f64) < ACCEPTED_P
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(failed: u32, runs: u32) -> FailureRate {
        FailureRate { failed, runs }
    }

    #[test]
    fn results_of_one_kind_show_nothing() {
        for runs in 0..50 {
            assert!(!is_no_chance(rate(0, runs), 1), "{runs}");
            assert!(!is_no_chance(rate(runs, runs), 1), "{runs}");
        }
    }

    #[test]
    fn more_hypotheses_need_more_results() {
        // 2^-10 = 0.00098.
        assert!(is_no_chance(rate(5, 10), 1));
        assert!(!is_no_chance(rate(5, 10), 2));
        assert!(!is_no_chance(rate(4, 8), 1));
        assert!(is_no_chance(rate(10, 20), 1000));
    }

    #[test]
    fn a_rate_is_higher_by_two_failures_at_least() {
        assert!(!is_higher(rate(1, 1), rate(0, 200), 1));
        assert!(is_higher(rate(2, 2), rate(0, 30), 1));
        assert!(is_higher(rate(2, 3), rate(0, 30), 1));
        assert!(!is_higher(rate(2, 3), rate(0, 10), 1));
        assert!(!is_higher(rate(2, 3), rate(0, 30), 2));
        assert!(!is_higher(rate(5, 10), rate(15, 30), 1));
    }
}
