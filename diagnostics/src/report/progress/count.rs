//! What has been and what is to be expected: from events alone, and in bounded space.

use cofferdam_batch::executor::event::{Ending, Event};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// How far a session is.
#[derive(Debug)]
pub(super) struct Count {
    /// `None` where there is no end but a failure. It grows with jobs that are submitted.
    pub(super) total: Option<u64>,
    /// Jobs that were begun.
    known: u64,
    pub(super) running: u64,
    pub(super) passed: u64,
    pub(super) failed: u64,
    pub(super) cancelled: u64,
    begun: Instant,
    /// How long jobs that passed took, by what they have in common.
    times: HashMap<String, (Duration, u32)>,
}

/// So many kinds of jobs are told apart.
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
            begun: now(),
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
                ending,
                took,
                again,
                ..
            } => {
                // One that could not be started was not counted.
                self.running -= u64::from(!matches!(ending, Ending::NotStarted { .. }));
                let key = group.as_ref().unwrap_or(name);
                if ending.passed() && (self.times.len() < KINDS || self.times.contains_key(key)) {
                    let (sum, count) = self.times.entry(key.clone()).or_default();
                    *sum += *took;
                    *count += 1;
                }
                match ending {
                    _ if *again => {}
                    Ending::Passed => self.passed += 1,
                    Ending::Cancelled => self.cancelled += 1,
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
        self.begun.elapsed()
    }

    /// How long a job like this takes, going by those before it.
    pub(super) fn expected(&self, group: Option<&str>, name: &str) -> Option<Duration> {
        let (sum, count) = self.times.get(group.unwrap_or(name))?;
        Some(*sum / *count)
    }

    fn left(&self) -> Option<Duration> {
        left(self.elapsed(), self.done(), self.total?)
    }

    /// `42 of 100 (42 %), 3 failed`.
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

    /// The same with what it took, and about what it still takes.
    pub(super) fn line(&self) -> String {
        let line = format!("{}, {}", self.counts(), super::words::span(self.elapsed()));
        match self.left() {
            Some(left) => format!("{line}, about {} left", super::words::span(left)),
            None => line,
        }
    }
}

/// Whether nothing was said of the job before.
fn is_first_of_its_job(event: &Event) -> bool {
    match event {
        Event::Started { attempt, .. } => *attempt == 1,
        // It was not said to begin.
        Event::Ended {
            attempt,
            ending: Ending::NotStarted { .. },
            ..
        } => *attempt == 1,
        _ => false,
    }
}

/// How long the rest takes, if it goes on as it went; `None` where that cannot be known yet.
pub(super) fn left(elapsed: Duration, done: u64, total: u64) -> Option<Duration> {
    let left = total.checked_sub(done).filter(|_| done > 0)?;
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    let share = left as f64 / done as f64;
    Duration::try_from_secs_f64(elapsed.as_secs_f64() * share)
        .ok()
        .filter(|left| !left.is_zero())
}

pub(super) fn now() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "how long it took is shown")]
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;
    use cofferdam_batch::executor::job::JobId;

    fn ended(ending: Ending, again: bool) -> Event {
        Event::Ended {
            job: JobId(1),
            name: "unit".to_owned(),
            group: None,
            attempt: 1,
            ending,
            took: Duration::from_secs(4),
            log: None,
            written: 0,
            stopped: 0,
            memory: None,
            again,
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
    fn attempts_are_counted_once_and_what_passed_says_what_to_expect() {
        let mut count = Count::new(Some(4));
        let failed = Ending::Failed {
            code: 1,
            signal: None,
            critical: false,
        };
        let error = "gone".to_owned();
        for (ending, again) in [(failed, true), (Ending::Passed, false)] {
            count.see(&started());
            assert_eq!(count.running, 1);
            count.see(&ended(ending, again));
        }
        count.see(&ended(Ending::NotStarted { error }, false));
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
    fn jobs_that_are_submitted_count_among_all_of_them() {
        let mut count = Count::new(Some(1));
        for _ in 0..2 {
            count.see(&started());
            count.see(&ended(Ending::Passed, false));
        }
        assert_eq!(count.counts(), "2 of 2 (100 %)");
    }
}
