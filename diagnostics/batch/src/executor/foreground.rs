//! Runs one command with the streams, the process group and the signals of this process.

use super::JobSource;
use super::job::Job;
use super::job_event::{AttemptOutcome, Event};
use super::options::Options;
use std::ffi::OsString;
use std::io;

/// Runs the command of a job to its end, with additional variables.
///
/// # Errors
/// When waiting for signals or the command fails.
pub fn run(job: Job, variables: Vec<(OsString, OsString)>) -> io::Result<AttemptOutcome> {
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
