//! The first run of a hunt: the command as it is, observed, and stopped if it takes too long.

use crate::commands::{STOPPED, processors, run_observed_within};
use crate::exit_code::Ended;
use crate::observe::{ObservationResult, ObservedCommand, SuitePrograms};
use crate::scene::{Outcome, SceneResult, TestId};
use rustix::process::Signal;
use std::error::Error;
use std::ffi::OsString;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A test hung if it ran for at least the time after which the command was stopped, divided by this number.
const HUNG_SHARE: u32 = 2;

/// A process of a scene is stopped after this multiple of the command's time, plus `LIMIT_EXTRA`.
const LIMIT_FACTOR: u32 = 10;
const LIMIT_EXTRA: Duration = Duration::from_secs(30);
/// After a test hung in the command itself, the extra time is the budget divided by this number.
const HUNG_LIMIT_SHARE: u32 = 20;
const LEAST_LIMIT: Duration = Duration::from_secs(1);

/// A command that was stopped.
#[derive(Debug)]
pub(crate) struct StoppedCommand {
    pub(crate) after: Duration,
    /// The tests that had run for a long time without an end.
    pub(crate) hung: Vec<TestId>,
}

/// The first run.
pub(super) struct FirstRun {
    pub(super) ended: Ended,
    pub(super) observed: ObservationResult,
    pub(super) outcomes: SceneResult,
    pub(super) lasted: Duration,
    /// The time from the beginning of the first test to the last known end of one.
    tests_lasted: Duration,
    pub(super) stopped: Option<StoppedCommand>,
}

impl FirstRun {
    /// Returns the tests that hung.
    pub(super) fn hung(&self) -> &[TestId] {
        self.stopped.as_ref().map_or(&[], |stopped| &stopped.hung)
    }

    /// Returns whether the runner was killed, perhaps by a test: that would kill this process, too.
    pub(super) fn was_killed(&self) -> bool {
        is_killed(self.ended)
    }

    /// Returns the time after which a process of a scene is stopped; `budget` is that of the hunt.
    pub(super) fn limit_of_scenes(&self, budget: Duration) -> Duration {
        if self.hung().is_empty() {
            return LIMIT_FACTOR * self.lasted + LIMIT_EXTRA;
        }
        // Tests that ran on all cores take that many times as long one after the other.
        let cores = u32::try_from(processors()).unwrap_or(u32::MAX);
        let in_order = (2 * self.tests_lasted).saturating_mul(cores);
        let limit = in_order.saturating_add((budget / HUNG_LIMIT_SHARE).clamp(LEAST_LIMIT, LIMIT_EXTRA));
        // The report and its commands have it in full seconds.
        Duration::from_secs(limit.as_secs_f64().ceil() as u64)
    }

    /// Runs the command for at most `limit`. `base` is the directory of cofferdam's own files.
    pub(super) fn run(
        observed_command: &ObservedCommand,
        command: &[OsString],
        base: &Path,
        session: &str,
        suite: &SuitePrograms,
        limit: Duration,
    ) -> Result<Self, Box<dyn Error>> {
        let begun = super::now();
        let ended = run_observed_within(limit, &[], observed_command, command, base)?;
        let lasted = begun.elapsed();
        let hung_since = match ended {
            None => Some(micros_ago(limit / HUNG_SHARE)),
            // The tests may go on after their runner: one without an end did not fail.
            Some(ended) => is_killed(ended).then_some(0),
        };
        let observed = observed_command.end(session, base, true);
        let outcomes = observed_command.outcomes(&observed, suite, hung_since);
        let stopped = ended.is_none().then(|| StoppedCommand {
            after: limit,
            hung: observed_command
                .without_end(&observed, suite)
                .filter(|test| outcomes.outcome(test) == Outcome::Failed)
                .collect(),
        });
        let began = observed.results.iter().map(|result| result.began).min();
        let last = observed.results.iter().filter_map(|result| result.ended).max();
        let tests_lasted = last
            .zip(began)
            .map_or(0, |(last, began)| last.saturating_sub(began));
        Ok(Self {
            ended: ended.unwrap_or(STOPPED),
            observed,
            outcomes,
            lasted,
            tests_lasted: Duration::from_micros(tests_lasted),
            stopped,
        })
    }
}

fn is_killed(ended: Ended) -> bool {
    matches!(ended, Ended::Failed { signal: Some(signal), .. } if signal == Signal::KILL.as_raw())
}

/// Returns the moment this long ago, in microseconds of real time.
fn micros_ago(ago: Duration) -> u64 {
    #[expect(clippy::disallowed_methods, reason = "the observer's records have real times")]
    let now = SystemTime::now();
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.saturating_sub(ago).as_micros()).unwrap_or(u64::MAX)
}
