//! The progress of `fix` while it repeats what had failed.

use super::status_line::StatusLine;
use super::text::{count, plain};
use crate::commands::fix::FixEvent;

/// Shows the events of `fix`.
#[derive(Debug, Default)]
pub(crate) struct Fixing {
    line: StatusLine,
}

impl Fixing {
    pub(crate) fn see(&mut self, event: FixEvent<'_>) {
        match event {
            FixEvent::Repeating { test, run, needed } => {
                let test = plain(&test.name);
                self.line
                    .show(&format!("{test} with the changes: run {run} of {needed}"));
            }
            FixEvent::RunningTogether { tests, run, needed } => {
                let tests = count(tests as u64, "test");
                self.line
                    .show(&format!("{tests} concurrently: run {run} of {needed}"));
            }
            FixEvent::LookingForCause => self
                .line
                .show("a test failed: looking for the test that it meets"),
            FixEvent::Measuring { run, needed } => {
                self.line.show(&format!(
                    "the suite without and with the changes: run {run} of {needed}"
                ));
            }
            FixEvent::Repeated { test, rate } => {
                // The next round builds the tests again.
                self.line.clear();
                let test = test.to_string();
                self.line.say(&format!(
                    "{} with the changes: failed in {} of {}",
                    plain(&test),
                    rate.failed,
                    count(rate.runs.into(), "run")
                ));
            }
        }
    }
}
