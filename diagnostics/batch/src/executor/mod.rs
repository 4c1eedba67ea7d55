//! Runs jobs side by side within limits. It knows neither the ledger nor the terminal: jobs come from a [`JobSource`],
//! and events go back to it.
//!
//! A single thread waits for children, signals and deadlines. Each job writes to a file, so there is no pipe that a
//! surviving process could hold open, and nothing to read while the job runs.

mod children;
pub mod foreground;
pub mod job;
pub mod job_event;
pub mod job_guard;
mod log_file;
mod memory_limits;
pub mod options;
pub mod policy;
mod pool;
mod queue;
mod rate;
mod running;
mod sandbox;
pub mod shortage;

pub use log_file::tail;

use crate::proc::{self, Process};
use crate::processes::own_pid;
use job::Job;
use job_event::{Event, Tally};
use job_guard::JobGuard;
use options::{Options, Placement};
use std::io;

/// Supplies the jobs of a session and receives its events.
pub trait JobSource {
    /// Returns the next job, or `None` if there is none at the moment.
    ///
    /// While a job runs, the executor asks again after the next event, and at least once a second.
    fn next_job(&mut self) -> Option<Job>;

    /// Returns whether there is always another job. Such a source is not drained when the session stops.
    fn is_endless(&self) -> bool {
        false
    }

    /// Receives an event before the next job is requested.
    fn observe(&mut self, event: &Event);
}

/// Runs all jobs of `source` and reports each step to it.
///
/// # Errors
/// When waiting for signals or children fails.
pub fn run(options: &Options, source: &mut dyn JobSource) -> io::Result<Tally> {
    let Placement::Sandboxed(dirs) = &options.placement else {
        return pool::Pool::new(options, source)?.run(None);
    };
    let mut pool = pool::Pool::new(options, source)?;
    let guard = JobGuard::start(
        &options.session,
        &dirs.temp,
        options.grace,
        options.lock.as_deref(),
    );
    let guard = guard.unwrap_or_else(|error| {
        // Without a guard, jobs survive if this process is killed. That is no reason to run none.
        pool.report(&Event::Unguarded {
            error: error.to_string(),
        });
        None
    });
    let tally = pool.run(guard.as_ref().map(JobGuard::pid))?;
    for Process { pid, name, .. } in detached(guard.as_ref()) {
        source.observe(&Event::Detached { pid, name });
    }
    if let Some(guard) = guard {
        guard.dismiss();
    }
    Ok(tally)
}

/// Returns the processes that jobs detached, which this process adopted. Fixture keepers are left out: they end by
/// themselves, soon after their run.
fn detached(guard: Option<&JobGuard>) -> Vec<Process> {
    let own = own_pid();
    let mut children = proc::all();
    children.retain(|process| {
        let is_guard = guard.is_some_and(|guard| guard.pid() == process.pid);
        let is_adopted = process.parent == own && !process.is_zombie && !is_guard;
        is_adopted && proc::variables(process.pid, ["COFFERDAM_KEEPER"]) == [None]
    });
    children
}
