//! The progress of a hunt on standard error: a line that changes on a terminal, lines elsewhere.

use super::text::{count, plain};
use crate::hunt::HuntEvent;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

const TICK: Duration = Duration::from_millis(250);

/// Shows the events of a hunt.
#[derive(Debug, Default)]
pub(crate) struct Hunting {
    /// Set on a terminal, from the first event on.
    bar: Option<ProgressBar>,
    /// The number of scenes that were run for the test that is investigated.
    scenes: u64,
}

impl Hunting {
    pub(crate) fn see(&mut self, event: HuntEvent<'_>) {
        match event {
            HuntEvent::RegimeStarted { regime, tests } => {
                self.now(&format!("{regime}: running {}", count(tests as u64, "test")));
            }
            HuntEvent::RegimeEnded(report) => {
                let outcome = match (&report.void, report.failed.len()) {
                    (Some(why), _) => format!("no result: {}", plain(why)),
                    (None, 0) => "all passed".to_owned(),
                    (None, failed) => format!("{failed} failed"),
                };
                self.say(&format!("{}: {outcome}", report.regime));
            }
            HuntEvent::Investigating { test, left } => {
                self.scenes = 0;
                let others = match left {
                    0 => String::new(),
                    left => format!(", {left} more to examine"),
                };
                self.say(&format!("examining {}{others}", plain(&test.to_string())));
            }
            HuntEvent::Trying { test, scene } => {
                self.scenes += 1;
                let tests = count(scene.tests.len() as u64, "test");
                self.now(&format!("{}: run {}, {tests}", plain(&test.name), self.scenes));
            }
            HuntEvent::Pausing { resources } => {
                let shared = count(resources as u64, "shared resource");
                self.say(&format!("running tests together with pauses at {shared}"));
            }
            HuntEvent::Decided(verdict) => {
                let test = verdict.test.to_string();
                self.say(&format!("{}: {}", verdict.class.id(), plain(&test)));
            }
        }
    }

    /// Shows what is going on, where it can be replaced.
    fn now(&mut self, text: &str) {
        if self.bar.is_none() && std::io::stderr().is_terminal() {
            self.bar = Some(new_bar());
        }
        if let Some(bar) = &self.bar {
            bar.set_message(text.to_owned());
        }
    }

    fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.println(format!("cofferdam: {line}")),
            None => {
                let mut err = anstream::stderr().lock();
                // An error is ignored, and the hunt continues.
                let _ = writeln!(err, "cofferdam: {line}");
            }
        }
    }
}

impl Drop for Hunting {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn new_bar() -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    // The template is our own; a wrong one would show the plain spinner.
    let style = ProgressStyle::with_template("{spinner} {elapsed} {wide_msg}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
    bar.enable_steady_tick(TICK);
    bar
}
