//! Lines for logs and pipes: each failure, and now and then how far it is.

use super::count::{Count, now};
use super::{Show, say, words};
use crate::report::text::{count, plain};
use cofferdam_batch::executor::event::{Ending, Event};
use cofferdam_batch::executor::output;
use std::path::Path;
use std::time::{Duration, Instant};

/// One line for what goes well is enough in this time.
const APART: Duration = Duration::from_secs(1);

/// So many of a failed job's last lines are shown.
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
            ending,
            took,
            ..
        } = event
        {
            let now = now();
            if ending.passed() && self.last.is_none_or(|last| now >= last + APART) {
                self.last = Some(now);
                let (name, took) = (plain(name), words::span(*took));
                say(&format!("{job} {name} passed in {took}; {}", count.line()));
            } else if !ending.passed() {
                self.last = Some(now);
                say(&count.line());
            }
        }
    }

    fn say(&mut self, line: &str) {
        say(line);
    }

    fn end(&mut self, count: &Count) {
        say(&format!("{}; all jobs are over", count.line()));
    }
}

/// What is worth lines of its own: everything but that a job began or passed.
pub(super) fn about(event: &Event) -> Vec<String> {
    match event {
        Event::Ended {
            job,
            name,
            attempt,
            ending,
            took,
            log,
            stopped,
            again,
            ..
        } => {
            let mut lines = Vec::new();
            let name = plain(name);
            if !matches!(ending, Ending::Passed | Ending::Cancelled) {
                let attempt = match (attempt, again) {
                    (1, false) => String::new(),
                    (number, _) => format!(", attempt {number}"),
                };
                let again = if *again { "; it is tried again" } else { "" };
                let (ending, took) = (words::ending(ending), words::span(*took));
                lines.push(format!(
                    "{job} {name} failed{attempt}: {ending}, after {took}{again}"
                ));
                lines.extend(log.as_deref().map(tail).unwrap_or_default());
            }
            if *stopped > 0 {
                let processes = count(u64::from(*stopped), "process");
                lines.push(format!(
                    "{job} {name} left {processes} running, which were stopped"
                ));
            }
            lines
        }
        Event::Held { why } => vec![words::hold(why)],
        Event::Short { of, at_once } => vec![words::short(*of, *at_once)],
        Event::Released => vec!["jobs are started again".to_owned()],
        Event::Stopping { why } => vec![format!("stopping, for {}", words::why(why))],
        Event::Left { pid, name } => vec![words::detached(*pid, name)],
        Event::Started { .. } | Event::Dropped { .. } | Event::Unguarded { .. } | Event::Rest => Vec::new(),
    }
}

fn tail(log: &Path) -> Vec<String> {
    let path = log.display().to_string();
    // Who removed it knows what was in it.
    let lines = output::tail(log, TAIL).unwrap_or_default();
    let lines = lines.iter().map(|line| format!("  | {}", plain(line)));
    lines.chain([format!("  {}", plain(&path))]).collect()
}

/// Of the one command, which speaks for itself: only what it cannot know.
pub(super) fn of_one(event: &Event) {
    let Event::Ended {
        ending, again, name, ..
    } = event
    else {
        return;
    };
    let by_us = !matches!(
        ending,
        Ending::Passed | Ending::Failed { .. } | Ending::NotStarted { .. }
    );
    if by_us || *again {
        let again = if *again { "; it is tried again" } else { "" };
        say(&format!("{}: {}{again}", plain(name), words::ending(ending)));
    }
}
