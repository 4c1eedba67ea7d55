//! When a failure is shown to come from the other test.

use super::fisher::{Rate, p_value};
use super::pauses::Pauses;

/// Pauses that bring out a failure: after the usual ones, such as lead to other meetings.
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
/// The numbers of runs beside the other test after which the rates are compared.
pub(super) const LOOKS: [u32; 2] = [4, 10];
/// The number of solo runs with the same pauses.
pub(super) const SOLO_RUNS: u32 = 10;
/// The greatest probability of a chance result that is accepted, over all looks.
const ACCEPTED: f64 = 0.05;

/// Returns the probability that so many failures are chance, if it is small enough. What two looks accept together is what
/// one may.
pub(super) fn shown(beside: Rate, alone: Rate) -> Option<f64> {
    let p = p_value(beside, alone);
    (alone.runs >= SOLO_RUNS && p < ACCEPTED / LOOKS.len() as f64).then_some(p)
}

/// The rates in words.
pub(super) fn rates(victim: &str, other: &str, beside: Rate, alone: Rate) -> String {
    format!(
        "{victim} failed in {} of {} runs beside {other} and in {} of {} alone",
        beside.failed, beside.runs, alone.failed, alone.runs
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(failed: u32, runs: u32) -> Rate {
        Rate { failed, runs }
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
            assert_eq!(shown(beside, alone).is_some(), is_shown, "{beside:?} {alone:?}");
        }
    }
}
