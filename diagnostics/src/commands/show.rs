//! `show`: shows one session with its jobs and conflicts.

use crate::cli::ShowArgs;
use cofferdam_batch::ledger::{Reader, RecordedConflict, RecordedJob, RecordedSession, now};
use std::error::Error;

/// A session with its jobs and conflicts.
#[derive(Debug)]
pub(crate) struct SessionDetails {
    /// The time of the query, in microseconds since 1970.
    pub(crate) now: u64,
    pub(crate) session: RecordedSession,
    pub(crate) jobs: Vec<RecordedJob>,
    pub(crate) conflicts: Vec<RecordedConflict>,
}

pub(crate) fn show(args: &ShowArgs) -> Result<SessionDetails, Box<dyn Error>> {
    let base = cofferdam::diagnostics::base_dir(Some(&super::here::working_dir()))?;
    let reader = Reader::open(&base)?;
    let found = reader
        .as_ref()
        .map(|reader| reader.session(&args.session))
        .transpose()?;
    let (Some(reader), Some(session)) = (reader, found.flatten()) else {
        return Err(format!(
            "there is no session {:?} in {}: `cargo cofferdam list` lists the known ones",
            args.session,
            base.display()
        )
        .into());
    };
    Ok(SessionDetails {
        now: now(),
        jobs: reader.jobs(session.id, None)?,
        conflicts: reader.conflicts(session.id)?,
        session,
    })
}
