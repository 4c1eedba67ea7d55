//! Runs one command with the streams, the process group and the signals of this process.

use super::JobSource;
use super::event::{AttemptOutcome, Event};
use super::job::{Job, JobId};
use super::options::Options;
use crate::jobs::spec;
use std::ffi::OsString;
use std::io;

/// Runs the command to its end with additional variables.
///
/// # Errors
/// When the command is empty, or waiting for it fails.
pub fn run(command: &[OsString], variables: Vec<(OsString, OsString)>) -> io::Result<AttemptOutcome> {
    let job = spec::from_words(JobId(1), command.to_vec()).map_err(io::Error::other)?;
    let mut source = SingleCommand {
        job: Some(job),
        outcome: AttemptOutcome::Cancelled,
    };
    super::run(&Options::foreground(variables), &mut source)?;
    Ok(source.outcome)
}

struct SingleCommand {
    job: Option<Job>,
    outcome: AttemptOutcome,
}

impl JobSource for SingleCommand {
    fn next_job(&mut self) -> Option<Job> {
        self.job.take()
    }

    fn observe(&mut self, event: &Event) {
        if let Event::Ended { outcome, .. } = event {
            self.outcome = outcome.clone();
        }
    }
}
