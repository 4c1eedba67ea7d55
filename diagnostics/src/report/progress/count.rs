//! Counts the jobs of a batch and estimates durations, from events alone and in bounded space.

use cofferdam_batch::executor::job_event::{AttemptOutcome, Event};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// The progress of a batch.
#[derive(Debug)]
pub(super) struct Count {
    /// `None` if jobs run until one fails. It grows with submitted jobs.
    pub(super) total: Option<u64>,
    /// The number of jobs that started.
    known: u64,
    pub(super) running: u64,
    pub(super) passed: u64,
    pub(super) failed: u64,
    pub(super) cancelled: u64,
    began: Instant,
    /// The total duration and number of passed jobs, by their group or name.
    times: HashMap<String, (Duration, u32)>,
}

/// The highest number of groups and names whose durations are stored.
const KINDS: usize = 1000;

impl Default for Count {
    fn default() -> Self {
        Self::new(None)
    }
}

impl Count {
    pub(super) fn new(total: Option<u64>) -> Self {
        Self {
            total,
            known: 0,
            running: 0,
            passed: 0,
            failed: 0,
            cancelled: 0,
            began: now(),
            times: HashMap::new(),
        }
    }

    pub(super) fn see(&mut self, event: &Event) {
        self.known += u64::from(is_first_of_its_job(event));
        match event {
            Event::Started { .. } => self.running += 1,
            Event::Ended {
                name,
                group,
                outcome,
                duration,
                retry,
                ..
            } => {
                // An attempt that could not start was not counted.
                self.running -= u64::from(!matches!(outcome, AttemptOutcome::NotStarted { .. }));
                let key = group.as_ref().unwrap_or(name);
                if outcome.passed() && (self.times.len() < KINDS || self.times.contains_key(key)) {
                    let (sum, count) = self.times.entry(key.clone()).or_default();
                    *sum += *duration;
                    *count += 1;
                }
                match outcome {
                    _ if *retry => {}
                    AttemptOutcome::Passed => self.passed += 1,
                    AttemptOutcome::Cancelled => self.cancelled += 1,
                    _ => self.failed += 1,
                }
            }
            Event::Dropped { .. } => self.cancelled += 1,
            _ => {}
        }
        self.total = self.total.map(|total| total.max(self.known).max(self.done()));
    }

    pub(super) fn done(&self) -> u64 {
        self.passed + self.failed + self.cancelled
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Estimates the duration of a job from earlier ones of its group or name.
    pub(super) fn expected(&self, group: Option<&str>, name: &str) -> Option<Duration> {
        let (sum, count) = self.times.get(group.unwrap_or(name))?;
        Some(*sum / *count)
    }

    fn left(&self) -> Option<Duration> {
        left(self.elapsed(), self.done(), self.total?)
    }

    /// Formats the counts as `42 of 100 (42 %), 3 failed`.
    pub(super) fn counts(&self) -> String {
        let done = self.done();
        let mut line = match self.total {
            Some(total) if total > 0 => format!("{done} of {total} ({} %)", done * 100 / total),
            _ => format!("{done} done"),
        };
        if self.failed > 0 {
            line = format!("{line}, {} failed", self.failed);
        }
        if self.cancelled > 0 {
            line = format!("{line}, {} cancelled", self.cancelled);
        }
        line
    }

    /// Formats the counts with the elapsed and the estimated remaining time.
    pub(super) fn line(&self) -> String {
        let line = format!("{}, {}", self.counts(), super::words::span(self.elapsed()));
        match self.left() {
            Some(left) => format!("{line}, about {} left", super::words::span(left)),
            None => line,
        }
    }
}

/// Returns whether this is the first event of its job.
fn is_first_of_its_job(event: &Event) -> bool {
    match event {
        Event::Started { attempt, .. } => *attempt == 1,
        // There was no event for its start.
        Event::Ended {
            attempt,
            outcome: AttemptOutcome::NotStarted { .. },
            ..
        } => *attempt == 1,
        _ => false,
    }
}

/// Estimates the remaining time from the progress so far; `None` without progress.
pub(super) fn left(elapsed: Duration, done: u64, total: u64) -> Option<Duration> {
    let left = total.checked_sub(done).filter(|_| done > 0)?;
    #[expect(clippy::cast_precision_loss, reason = "it is an estimate")]
    let share = left as f64 / done as f64;
    Duration::try_from_secs_f64(elapsed.as_secs_f64() * share)
        .ok()
        .filter(|left| !left.is_zero())
}

pub(super) fn now() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "the elapsed time is displayed")]
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;
    use cofferdam_batch::executor::job::JobId;

    fn ended(outcome: AttemptOutcome, retry: bool) -> Event {
        Event::Ended {
            job: JobId(1),
            name: "unit".to_owned(),
            group: None,
            attempt: 1,
            outcome,
            duration: Duration::from_secs(4),
            log: None,
            log_bytes: 0,
            stopped_processes: 0,
            memory: None,
            retry,
        }
    }

    fn started() -> Event {
        Event::Started {
            job: JobId(1),
            name: "unit".to_owned(),
            group: None,
            attempt: 1,
            pid: 7,
            log: None,
        }
    }

    #[test]
    fn retried_jobs_count_once_and_passed_jobs_give_the_estimate() {
        let mut count = Count::new(Some(4));
        let failed = AttemptOutcome::Failed {
            code: 1,
            signal: None,
            critical: false,
        };
        let error = "gone".to_owned();
        for (outcome, retry) in [(failed, true), (AttemptOutcome::Passed, false)] {
            count.see(&started());
            assert_eq!(count.running, 1);
            count.see(&ended(outcome, retry));
        }
        count.see(&ended(AttemptOutcome::NotStarted { error }, false));
        assert_eq!(
            (count.done(), count.passed, count.failed, count.running),
            (2, 1, 1, 0)
        );
        assert_eq!(count.expected(None, "unit"), Some(Duration::from_secs(4)));
        assert_eq!(count.expected(None, "other"), None);
        assert!(
            count.line().starts_with("2 of 4 (50 %), 1 failed, "),
            "{}",
            count.line()
        );
    }

    #[test]
    fn submitted_jobs_increase_the_total() {
        let mut count = Count::new(Some(1));
        for _ in 0..2 {
            count.see(&started());
            count.see(&ended(AttemptOutcome::Passed, false));
        }
        assert_eq!(count.counts(), "2 of 2 (100 %)");
    }
}
