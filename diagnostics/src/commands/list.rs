//! `list`: lists recent sessions and the pass rate of each job.

use crate::cli::ListArgs;
use cofferdam_batch::ledger::{PassRate, Reader, RecordedSession, SessionFilter, now};
use std::error::Error;
use std::path::PathBuf;

/// Recent sessions.
#[derive(Debug)]
pub(crate) struct SessionList {
    pub(crate) base: PathBuf,
    /// The time of the query, in microseconds since 1970.
    pub(crate) now: u64,
    /// The newest first.
    pub(crate) sessions: Vec<RecordedSession>,
    /// The pass rates in these sessions, the lowest first.
    pub(crate) pass_rates: Vec<PassRate>,
}

pub(crate) fn list(args: &ListArgs) -> Result<SessionList, Box<dyn Error>> {
    let base = cofferdam::diagnostics::base_dir(Some(&super::here::working_dir()))?;
    let filter = SessionFilter {
        namespace: args.run_namespace.clone(),
        limit: args.limit,
    };
    let (sessions, pass_rates) = match Reader::open(&base)? {
        Some(reader) => (reader.sessions(&filter)?, reader.pass_rates(&filter)?),
        None => (Vec::new(), Vec::new()),
    };
    Ok(SessionList {
        base,
        now: now(),
        sessions,
        pass_rates,
    })
}
