//! Runs jobs side by side and keeps their limits. Events come out; it knows neither the ledger nor the terminal.
//!
//! One thread waits for the end of children, for signals and for the clock at once. A job writes to a file, so there
//! is no pipe to be held open and nothing to be read while it runs.

mod children;
pub mod event;
pub mod foreground;
pub mod guard;
pub mod job;
mod memory;
mod memory_limits;
pub mod options;
pub mod output;
pub mod policy;
mod pool;
mod queue;
mod rate;
mod running;
mod sandbox;
pub mod shortage;

use crate::processes::{self, Process};
use event::{Event, Tally};
use guard::Guard;
use job::Job;
use options::{Options, Place};
use std::io;

/// Runs the jobs that come out of `source` and tells of each step.
///
/// When `source` has none, it is asked again after the next event, at the latest after a second, as long as a job runs.
///
/// # Errors
/// When signals or children cannot be waited for.
pub fn run(
    options: &Options,
    source: &mut dyn Iterator<Item = Job>,
    out: &mut dyn FnMut(&Event),
) -> io::Result<Tally> {
    let Place::Folders(folders) = &options.place else {
        return pool::Pool::new(options, source, out)?.run(None);
    };
    let mut pool = pool::Pool::new(options, source, &mut *out)?;
    let guard = Guard::start(
        &options.session,
        &folders.temp,
        options.grace,
        options.lock.as_deref(),
    );
    let guard = guard.unwrap_or_else(|error| {
        // Jobs outlive us then when we are killed; that is no reason not to run them.
        pool.tell(&Event::Unguarded {
            error: error.to_string(),
        });
        None
    });
    let tally = pool.run(guard.as_ref().map(Guard::pid))?;
    for Process { pid, name, .. } in left(guard.as_ref()) {
        out(&Event::Left { pid, name });
    }
    if let Some(guard) = guard {
        guard.dismiss();
    }
    Ok(tally)
}

/// What jobs detached from themselves became our children. A keeper ends by itself, soon after its run.
fn left(guard: Option<&Guard>) -> Vec<Process> {
    #[expect(clippy::disallowed_methods, reason = "our children are known by their parent")]
    let own = std::process::id();
    let mut left = processes::all();
    left.retain(|process| {
        let is_guard = guard.is_some_and(|guard| guard.pid() == process.pid);
        let is_ours = process.parent == own && !process.is_zombie && !is_guard;
        is_ours && processes::variables(process.pid, ["COFFERDAM_KEEPER"]) == [None]
    });
    left
}

/// What memory the machine has, in bytes; `None` where it does not say.
pub fn memory_in_all() -> Option<u64> {
    memory::Available::total()
}
