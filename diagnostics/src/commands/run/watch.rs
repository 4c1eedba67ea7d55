//! Who is told of a session while it goes on.

use cofferdam_batch::executor::event::Event;
use cofferdam_batch::ledger::SessionId;
use std::path::Path;

/// Shows how far a session is. It cannot fail one.
pub(crate) trait Watch {
    /// Before the first command begins.
    fn begin(&mut self, begun: &Begun<'_>);
    /// After each step.
    fn see(&mut self, event: &Event);
    /// What should be known, and ends nothing.
    fn warn(&mut self, text: &str);
    /// Before the report.
    fn end(&mut self);
}

/// What a session says before its commands begin.
#[derive(Debug)]
pub(crate) struct Begun<'a> {
    /// Its number in the ledger, if it is recorded.
    pub(crate) number: Option<SessionId>,
    pub(crate) namespace: &'a str,
    pub(crate) output: &'a Path,
    /// What several jobs are; one command is not announced.
    pub(crate) batch: Option<BatchBegun<'a>>,
}

/// What is known of several jobs before they begin.
#[derive(Debug)]
pub(crate) struct BatchBegun<'a> {
    /// `None` where they go on until one fails.
    pub(crate) jobs: Option<u64>,
    pub(crate) at_once: usize,
    pub(crate) logs: &'a Path,
}
