//! `list`: the last sessions, and how often each job passed.

use crate::cli::ListArgs;
use cofferdam_batch::ledger::{Filter, Reader, Session, Success, now};
use std::error::Error;
use std::path::PathBuf;

/// The last sessions.
#[derive(Debug)]
pub(crate) struct Listed {
    /// Where was looked.
    pub(crate) place: PathBuf,
    /// Microseconds since 1970.
    pub(crate) now: u64,
    /// The newest first.
    pub(crate) sessions: Vec<Session>,
    /// Over those sessions, the worst first.
    pub(crate) success: Vec<Success>,
}

pub(crate) fn list(args: &ListArgs) -> Result<Listed, Box<dyn Error>> {
    let base = cofferdam::base_dir(Some(&super::here::working_dir()))?;
    let filter = Filter {
        namespace: args.run_namespace.clone(),
        limit: args.limit,
    };
    let (sessions, success) = match Reader::open(&base)? {
        Some(reader) => (reader.sessions(&filter)?, reader.success(&filter)?),
        None => (Vec::new(), Vec::new()),
    };
    Ok(Listed {
        place: base,
        now: now(),
        sessions,
        success,
    })
}
