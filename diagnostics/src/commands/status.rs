//! `status`: which sessions run now.

use crate::cli::StatusArgs;
use cofferdam_batch::ledger::{Job, JobState, Log, Reader, Session, now};
use std::error::Error;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Duration;

/// The sessions that run, at one moment.
#[derive(Debug)]
pub(crate) struct Standing {
    /// Where was looked.
    pub(crate) place: PathBuf,
    /// Microseconds since 1970.
    pub(crate) now: u64,
    /// Each with the jobs that run now.
    pub(crate) sessions: Vec<(Session, Vec<Job>)>,
    pub(crate) log: Log,
}

/// How often is looked whether something changed.
const LOOK: Duration = Duration::from_millis(250);
/// After so many looks it is told also when nothing changed: time went on.
const LOOKS: u32 = 4;

/// Tells how far the sessions are; with `--watch` again and again, until none runs or `tell` wants no more.
pub(crate) fn status<E: Error + 'static>(
    args: &StatusArgs,
    mut tell: impl FnMut(&Standing, bool) -> Result<ControlFlow<()>, E>,
) -> Result<(), Box<dyn Error>> {
    let base = cofferdam::base_dir(Some(&super::here::working_dir()))?;
    let mut standing = Standing {
        place: base.clone(),
        now: now(),
        sessions: Vec::new(),
        log: Log::default(),
    };
    let Some(reader) = Reader::open(&base)? else {
        return Ok(tell(&standing, true).map(drop)?);
    };
    let mut told = None;
    let mut looks = 0;
    loop {
        let version = reader.version()?;
        let changed = told != Some(version);
        if changed || looks == LOOKS {
            standing.look(&reader)?;
            let is_over = standing.sessions.is_empty() || !args.watch;
            if tell(&standing, changed || is_over)?.is_break() || is_over {
                return Ok(());
            }
            (told, looks) = (Some(version), 0);
        }
        looks += 1;
        #[expect(
            clippy::disallowed_methods,
            reason = "a database tells nobody that it changed"
        )]
        std::thread::sleep(LOOK);
    }
}

impl Standing {
    fn look(&mut self, reader: &Reader) -> Result<(), Box<dyn Error>> {
        self.now = now();
        self.log = reader.log();
        self.sessions.clear();
        for session in reader.active()? {
            let running = reader.jobs(session.id, Some(JobState::Running))?;
            self.sessions.push((session, running));
        }
        Ok(())
    }
}
