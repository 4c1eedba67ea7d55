//! What a failure means for the jobs that are left. Decides from endings alone.

use super::event::{Ending, Why};
use super::job::JobId;
use clap::ValueEnum;
use regex::bytes::Regex;
use serde::Deserialize;

/// What is done when a job fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnError {
    /// The others go on.
    #[default]
    Continue,
    /// Nothing more is started, and what runs is stopped.
    Stop,
    /// The same, if the failure is critical: by its exit code or by what it wrote.
    StopCritical,
}

/// Which failures are critical.
#[derive(Clone, Debug, Default)]
pub struct Critical {
    pub codes: Vec<u8>,
    pub pattern: Option<Regex>,
}

/// The policy of a session.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    pub on_error: OnError,
    /// So many failed jobs end the session.
    pub max_fail: Option<u32>,
    pub critical: Critical,
}

impl Policy {
    /// Whether the session goes on after a job's last attempt, `failed` of which have failed by now.
    pub fn after(&self, job: JobId, ending: &Ending, failed: u64) -> Option<Why> {
        if matches!(ending, Ending::Passed | Ending::Cancelled) {
            return None;
        }
        let is_critical = matches!(ending, Ending::Failed { critical: true, .. });
        match (self.on_error, self.max_fail) {
            (OnError::Stop, _) => Some(Why::Failed(job)),
            (OnError::StopCritical, _) if is_critical => Some(Why::Critical(job)),
            (_, Some(most)) if failed >= u64::from(most) => Some(Why::MaxFail(most)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(critical: bool) -> Ending {
        Ending::Failed {
            code: 1,
            signal: None,
            critical,
        }
    }

    fn policy(on_error: OnError, max_fail: Option<u32>) -> Policy {
        Policy {
            on_error,
            max_fail,
            critical: Critical::default(),
        }
    }

    #[test]
    fn each_policy_stops_for_what_it_says_and_for_nothing_else() {
        let job = JobId(7);
        let after = |on_error, ending: &Ending| policy(on_error, None).after(job, ending, 1);
        assert_eq!(after(OnError::Continue, &failed(true)), None);
        assert_eq!(after(OnError::Stop, &failed(false)), Some(Why::Failed(job)));
        assert_eq!(after(OnError::StopCritical, &failed(false)), None);
        assert_eq!(
            after(OnError::StopCritical, &failed(true)),
            Some(Why::Critical(job))
        );
        for ending in [Ending::Passed, Ending::Cancelled] {
            assert_eq!(after(OnError::Stop, &ending), None);
        }
    }

    #[test]
    fn the_last_failure_that_is_allowed_ends_it() {
        let policy = policy(OnError::Continue, Some(3));
        assert_eq!(policy.after(JobId(1), &failed(false), 2), None);
        assert_eq!(policy.after(JobId(1), &failed(false), 3), Some(Why::MaxFail(3)));
    }
}
