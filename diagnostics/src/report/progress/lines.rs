//! Progress as lines, for logs and pipes: each failure, and the counts from time to time.

use super::count::{Count, now};
use super::{Show, say, words};
use crate::report::text::{count, plain};
use cofferdam_batch::executor::job_event::{AttemptOutcome, Event};
use cofferdam_batch::executor::tail as last_lines;
use std::path::Path;
use std::time::{Duration, Instant};

/// The shortest time between two lines about passed jobs.
const INTERVAL: Duration = Duration::from_secs(1);

/// The number of last lines of a failed job's log that are displayed.
const TAIL: usize = 5;

#[derive(Debug, Default)]
pub(super) struct Lines {
    last: Option<Instant>,
}

impl Show for Lines {
    fn see(&mut self, event: &Event, count: &Count) {
        for line in about(event) {
            say(&line);
        }
        if let Event::Ended {
            job,
            name,
            outcome,
            duration,
            ..
        } = event
        {
            let now = now();
            if outcome.passed() && self.last.is_none_or(|last| now >= last + INTERVAL) {
                self.last = Some(now);
                let (name, duration) = (plain(name), words::span(*duration));
                say(&format!("{job} {name} passed in {duration}; {}", count.line()));
            } else if !outcome.passed() {
                self.last = Some(now);
                say(&count.line());
            }
        }
    }

    fn say(&mut self, line: &str) {
        say(line);
    }

    fn end(&mut self, count: &Count) {
        say(&format!("{}; all jobs have ended", count.line()));
    }
}

/// Returns the lines for an event. Jobs that start or pass have none.
pub(super) fn about(event: &Event) -> Vec<String> {
    match event {
        Event::Ended {
            job,
            name,
            attempt,
            outcome,
            duration,
            log,
            stopped_processes,
            retry,
            ..
        } => {
            let mut lines = Vec::new();
            let name = plain(name);
            if outcome.failed() {
                let attempt = match (attempt, retry) {
                    (1, false) => String::new(),
                    (number, _) => format!(", attempt {number}"),
                };
                let retry = if *retry { "; retrying" } else { "" };
                let (outcome, duration) = (words::outcome(outcome), words::span(*duration));
                lines.push(format!(
                    "{job} {name} failed{attempt}: {outcome}, after {duration}{retry}"
                ));
                lines.extend(log.as_deref().map(tail).unwrap_or_default());
            }
            if *stopped_processes > 0 {
                let processes = count(u64::from(*stopped_processes), "process");
                lines.push(format!("{job} {name} left {processes} running; stopped"));
            }
            lines
        }
        Event::StartsPaused { reason } => vec![words::memory_hold(reason)],
        Event::Limited { shortage, at_once } => vec![words::shortage(*shortage, *at_once)],
        Event::StartsResumed => vec!["jobs start again".to_owned()],
        Event::Stopping { reason } => vec![format!("stopping: {}", words::stop_reason(reason))],
        Event::Detached { pid, name } => vec![words::detached(*pid, name)],
        Event::Started { .. } | Event::Dropped { .. } | Event::Unguarded { .. } | Event::Idle => Vec::new(),
    }
}

fn tail(log: &Path) -> Vec<String> {
    let path = log.display().to_string();
    // A log that was removed has no lines.
    let lines = last_lines(log, TAIL).unwrap_or_default();
    let lines = lines.iter().map(|line| format!("  | {}", plain(line)));
    lines.chain([format!("  {}", plain(&path))]).collect()
}

/// Displays events of a single command that its own output cannot show.
pub(super) fn show_single(event: &Event) {
    let Event::Ended {
        outcome, retry, name, ..
    } = event
    else {
        return;
    };
    let was_stopped = !matches!(
        outcome,
        AttemptOutcome::Passed | AttemptOutcome::Failed { .. } | AttemptOutcome::NotStarted { .. }
    );
    if was_stopped || *retry {
        let retry = if *retry { "; retrying" } else { "" };
        say(&format!("{}: {}{retry}", plain(name), words::outcome(outcome)));
    }
}
