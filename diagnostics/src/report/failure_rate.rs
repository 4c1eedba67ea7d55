//! Failure rates in texts and in JSON.

use super::text::count;
use crate::rates::FailureRate;
use serde::Serialize;

/// Returns `3 of 7 runs`.
pub(super) fn rate(rate: FailureRate) -> String {
    format!("{} of {}", rate.failed, count(rate.runs.into(), "run"))
}

#[derive(Serialize)]
pub(super) struct RateView {
    failed: u32,
    runs: u32,
}

impl RateView {
    pub(super) fn of(rate: FailureRate) -> Self {
        Self {
            failed: rate.failed,
            runs: rate.runs,
        }
    }
}
