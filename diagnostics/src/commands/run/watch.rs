//! The interface between a session and its display.

use cofferdam_batch::executor::job_event::Event;
use cofferdam_batch::ledger::SessionId;
use std::path::Path;

/// Displays the progress of a session. It cannot fail the session.
pub(crate) trait Watch {
    /// Announces the session, before its first command starts.
    fn begin(&mut self, start: &SessionStart<'_>);
    /// Displays a step.
    fn see(&mut self, event: &Event);
    /// Displays a warning.
    fn warn(&mut self, text: &str);
    /// Removes the display, before the report.
    fn end(&mut self);
}

/// The session before its commands start.
#[derive(Debug)]
pub(crate) struct SessionStart<'a> {
    /// Its number in the ledger, if it is recorded.
    pub(crate) number: Option<SessionId>,
    pub(crate) namespace: &'a str,
    pub(crate) output: &'a Path,
    /// `None` for a single command.
    pub(crate) batch: Option<BatchStart<'a>>,
}

/// A batch before its jobs start.
#[derive(Debug)]
pub(crate) struct BatchStart<'a> {
    /// `None` if they run until one fails.
    pub(crate) jobs: Option<u64>,
    pub(crate) at_once: usize,
    pub(crate) logs: &'a Path,
}
