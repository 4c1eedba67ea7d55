//! Decides from outcomes alone whether a session continues after a failure.

use super::job::JobId;
use super::job_event::{AttemptOutcome, StopReason};
use clap::ValueEnum;
use regex::bytes::Regex;
use serde::Deserialize;

/// The reaction to a failed job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnError {
    /// Run the other jobs.
    #[default]
    Continue,
    /// Start no further job and stop the running ones.
    Stop,
    /// Do the same, but only if the failure is critical by its exit code or output.
    StopCritical,
}

/// The failures that count as critical.
#[derive(Clone, Debug, Default)]
pub struct CriticalFailures {
    pub codes: Vec<u8>,
    pub pattern: Option<Regex>,
}

/// The error policy of a session.
#[derive(Clone, Debug, Default)]
pub struct ErrorPolicy {
    pub on_error: OnError,
    /// The number of failed jobs that stops the session.
    pub max_fail: Option<u32>,
    pub critical: CriticalFailures,
}

impl ErrorPolicy {
    /// Returns the reason to stop after a job's last attempt, if there is one. `failed` counts this job too.
    pub fn after(&self, job: JobId, outcome: &AttemptOutcome, failed: u64) -> Option<StopReason> {
        if !outcome.failed() {
            return None;
        }
        let is_critical = matches!(outcome, AttemptOutcome::Failed { critical: true, .. });
        match (self.on_error, self.max_fail) {
            (OnError::Stop, _) => Some(StopReason::Failed(job)),
            (OnError::StopCritical, _) if is_critical => Some(StopReason::Critical(job)),
            (_, Some(most)) if failed >= u64::from(most) => Some(StopReason::MaxFail(most)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(critical: bool) -> AttemptOutcome {
        AttemptOutcome::Failed {
            code: 1,
            signal: None,
            critical,
        }
    }

    fn policy(on_error: OnError, max_fail: Option<u32>) -> ErrorPolicy {
        ErrorPolicy {
            on_error,
            max_fail,
            critical: CriticalFailures::default(),
        }
    }

    #[test]
    fn each_policy_stops_for_its_own_reason_only() {
        let job = JobId(7);
        let after = |on_error, ending: &AttemptOutcome| policy(on_error, None).after(job, ending, 1);
        assert_eq!(after(OnError::Continue, &failed(true)), None);
        assert_eq!(
            after(OnError::Stop, &failed(false)),
            Some(StopReason::Failed(job))
        );
        assert_eq!(after(OnError::StopCritical, &failed(false)), None);
        assert_eq!(
            after(OnError::StopCritical, &failed(true)),
            Some(StopReason::Critical(job))
        );
        for ending in [AttemptOutcome::Passed, AttemptOutcome::Cancelled] {
            assert_eq!(after(OnError::Stop, &ending), None);
        }
    }

    #[test]
    fn the_session_stops_at_the_maximum_of_failures() {
        let policy = policy(OnError::Continue, Some(3));
        assert_eq!(policy.after(JobId(1), &failed(false), 2), None);
        assert_eq!(
            policy.after(JobId(1), &failed(false), 3),
            Some(StopReason::MaxFail(3))
        );
    }
}
