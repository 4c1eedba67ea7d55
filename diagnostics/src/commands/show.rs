//! `show`: all of one session.

use crate::cli::ShowArgs;
use cofferdam_batch::ledger::{Conflict, Job, Reader, Session, now};
use std::error::Error;

/// All that is known of a session.
#[derive(Debug)]
pub(crate) struct Whole {
    /// Microseconds since 1970.
    pub(crate) now: u64,
    pub(crate) session: Session,
    pub(crate) jobs: Vec<Job>,
    pub(crate) conflicts: Vec<Conflict>,
}

pub(crate) fn show(args: &ShowArgs) -> Result<Whole, Box<dyn Error>> {
    let base = cofferdam::base_dir(Some(&super::here::working_dir()))?;
    let reader = Reader::open(&base)?;
    let found = reader
        .as_ref()
        .map(|reader| reader.session(&args.session))
        .transpose()?;
    let (Some(reader), Some(session)) = (reader, found.flatten()) else {
        return Err(format!(
            "no session {:?} is known in {}: `cargo cofferdam list` tells those that are",
            args.session,
            base.display()
        )
        .into());
    };
    Ok(Whole {
        now: now(),
        jobs: reader.jobs(session.id, None)?,
        conflicts: reader.conflicts(session.id)?,
        session,
    })
}
