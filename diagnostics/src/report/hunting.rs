//! The progress of a hunt.

use super::status_line::StatusLine;
use super::text::{count, plain};
use crate::commands::hunt::HuntProgress;
use crate::hunt::HuntEvent;

/// Shows the events of a hunt.
#[derive(Debug, Default)]
pub(crate) struct Hunting {
    line: StatusLine,
    /// The number of scenes that were run for the test that is examined.
    scenes: u64,
}

impl Hunting {
    pub(crate) fn see(&mut self, progress: HuntProgress<'_>) {
        match progress {
            HuntProgress::Engine(event) => self.see_engine(event),
            HuntProgress::InOneProcess { tests } => {
                let tests = count(tests as u64, "test");
                self.line
                    .begin(&format!("in one process, as some always fail: {tests}"));
            }
            HuntProgress::Pausing { resources } => {
                let shared = count(resources as u64, "shared resource");
                let text = format!("running tests together with pauses at {shared}");
                self.line.begin(&text);
            }
        }
    }

    fn see_engine(&mut self, event: HuntEvent<'_>) {
        match event {
            HuntEvent::RegimeStarted { regime, tests } => {
                self.line
                    .show(&format!("{regime}: running {}", count(tests as u64, "test")));
            }
            HuntEvent::RegimeEnded(report) => {
                let outcome = match (&report.void, report.failed.len()) {
                    (Some(why), _) => format!("no result: {}", plain(why)),
                    (None, 0) => "all passed".to_owned(),
                    (None, failed) => format!("{failed} failed"),
                };
                self.line.say(&format!("{}: {outcome}", report.regime));
            }
            HuntEvent::Examining { test, left } => {
                self.scenes = 0;
                let others = match left {
                    0 => String::new(),
                    left => format!(", {left} more to examine"),
                };
                self.line
                    .begin(&format!("examining {}{others}", plain(&test.to_string())));
            }
            HuntEvent::Trying { test, scene } => {
                self.scenes += 1;
                let tests = count(scene.tests.len() as u64, "test");
                self.line
                    .show(&format!("{}: run {}, {tests}", plain(&test.name), self.scenes));
            }
            HuntEvent::Repeating { tests } => {
                self.scenes = 0;
                let tests = count(tests as u64, "test");
                self.line.begin(&format!("repeating {tests} beside each other"));
            }
            HuntEvent::Decided(verdict) => {
                let test = verdict.test.to_string();
                self.line
                    .say(&format!("{}: {}", verdict.class.id(), plain(&test)));
            }
        }
    }
}
