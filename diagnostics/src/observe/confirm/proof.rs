//! Statistical proof that a test fails because of the other one.

use super::pauses::Pauses;
use crate::rates::{FailureRate, SOLO_RUNS, p_value};

/// Pauses that may cause a failure: the usual ones, then ones that overlap differently.
pub(super) const PAUSES: [Pauses; 3] = [
    Pauses::USUAL,
    Pauses {
        first: 200,
        others: 30,
        ..Pauses::USUAL
    },
    Pauses {
        first: 20,
        others: 160,
        ..Pauses::USUAL
    },
];
/// The greatest accepted probability that the other test makes no difference.
const ACCEPTED: f64 = 0.05;
/// The maximum number of runs beside the other test for a test that fails alone.
pub(super) const BESIDE_RUNS: u32 = 4;

/// Returns whether a test that fails alone passes significantly more often beside the other.
pub(super) fn needs_other(alone: FailureRate, beside: FailureRate) -> bool {
    alone.runs >= SOLO_RUNS && p_value(alone, beside) < ACCEPTED
}

/// Returns the rates as a clause of a report.
pub(super) fn rates(victim: &str, other: &str, beside: FailureRate, alone: FailureRate) -> String {
    rates_of(victim, "beside", other, beside, alone)
}

/// The same; `how` is `beside` or `after`.
pub(super) fn rates_of(
    victim: &str,
    how: &str,
    other: &str,
    with: FailureRate,
    alone: FailureRate,
) -> String {
    format!(
        "{victim} failed in {} of {} runs {how} {other} and in {} of {} alone",
        with.failed, with.runs, alone.failed, alone.runs
    )
}

pub(super) fn chance(p: f64) -> String {
    if p < 0.001 {
        "p < 0.001".to_owned()
    } else {
        format!("p = {p:.3}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(failed: u32, runs: u32) -> FailureRate {
        FailureRate { failed, runs }
    }

    #[test]
    fn a_test_needs_another_if_it_fails_more_often_alone_than_by_chance() {
        for (alone, beside, needs) in [
            (rate(10, 10), rate(0, 2), true),
            (rate(10, 10), rate(1, 3), true),
            (rate(9, 10), rate(0, 2), true),
            // One run beside the other shows nothing, nor do the first runs alone.
            (rate(10, 10), rate(0, 1), false),
            (rate(2, 2), rate(0, 4), false),
            // A test that fails every other time.
            (rate(5, 10), rate(0, 4), false),
            (rate(8, 10), rate(0, 2), false),
        ] {
            assert_eq!(needs_other(alone, beside), needs, "{alone:?} {beside:?}");
        }
    }
}
