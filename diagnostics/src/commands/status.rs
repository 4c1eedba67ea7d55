//! `status`: shows the active sessions.

use crate::cli::StatusArgs;
use cofferdam_batch::ledger::{JobState, Reader, RecordedJob, RecordedSession, WalStatus, now};
use std::error::Error;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Duration;

/// The active sessions at one moment.
#[derive(Debug)]
pub(crate) struct ActiveSessions {
    pub(crate) base: PathBuf,
    /// The time of the query, in microseconds since 1970.
    pub(crate) now: u64,
    /// The sessions with their running jobs.
    pub(crate) sessions: Vec<(RecordedSession, Vec<RecordedJob>)>,
    pub(crate) wal: WalStatus,
}

/// The time between two queries.
const INTERVAL: Duration = Duration::from_millis(250);
/// The number of queries after which unchanged sessions are shown again, with new times.
const REPEAT: u32 = 4;

/// Shows the active sessions; with `--watch` repeatedly, until none is active or `show` breaks.
pub(crate) fn status<E: Error + 'static>(
    args: &StatusArgs,
    mut show: impl FnMut(&ActiveSessions, bool) -> Result<ControlFlow<()>, E>,
) -> Result<(), Box<dyn Error>> {
    let base = cofferdam::diagnostics::base_dir(Some(&super::here::working_dir()))?;
    let mut active = ActiveSessions {
        base: base.clone(),
        now: now(),
        sessions: Vec::new(),
        wal: WalStatus::default(),
    };
    let Some(reader) = Reader::open(&base)? else {
        return Ok(show(&active, true).map(drop)?);
    };
    let mut shown = None;
    let mut queries = 0;
    loop {
        let version = reader.version()?;
        let changed = shown != Some(version);
        if changed || queries == REPEAT {
            active.update(&reader)?;
            let is_over = active.sessions.is_empty() || !args.watch;
            if show(&active, changed || is_over)?.is_break() || is_over {
                return Ok(());
            }
            (shown, queries) = (Some(version), 0);
        }
        queries += 1;
        #[expect(clippy::disallowed_methods, reason = "a database does not report changes")]
        std::thread::sleep(INTERVAL);
    }
}

impl ActiveSessions {
    fn update(&mut self, reader: &Reader) -> Result<(), Box<dyn Error>> {
        self.now = now();
        self.wal = reader.wal_status();
        self.sessions.clear();
        for session in reader.active()? {
            let running = reader.jobs(session.id, Some(JobState::Running))?;
            self.sessions.push((session, running));
        }
        Ok(())
    }
}
