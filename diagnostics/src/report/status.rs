//! The report of `status`: active sessions and their running jobs.

use super::json_line;
use super::session_text::{large_wal, name, owner, progress, span};
use super::style::{BOLD, YELLOW};
use super::text::{count, plain};
use crate::cli::ListFormat;
use crate::commands::status::ActiveSessions;
use anstyle::{AnsiColor, Style};
use cofferdam_batch::ledger::{RecordedJob, RecordedSession};
use cofferdam_batch::processes::NamedProcess;
use serde::Serialize;
use std::io::{self, Write};

/// The version of the JSON that this build writes.
const VERSION: u64 = 2;

/// The number of running jobs that are listed for each session.
const JOBS: usize = 20;

const RUNNING: Style = AnsiColor::Cyan.on_default().bold();

#[derive(Serialize)]
struct StatusView<'a> {
    version: u64,
    now: u64,
    looked_in: String,
    wal_bytes: u64,
    sessions: Vec<ActiveSessionView<'a>>,
}

#[derive(Serialize)]
struct ActiveSessionView<'a> {
    #[serde(flatten)]
    session: &'a RecordedSession,
    running: &'a [RecordedJob],
}

impl<'a> StatusView<'a> {
    fn new(active: &'a ActiveSessions) -> Self {
        let sessions = active.sessions.iter();
        let sessions = sessions.map(|(session, running)| ActiveSessionView { session, running });
        Self {
            version: VERSION,
            now: active.now,
            looked_in: active.base.to_string_lossy().into_owned(),
            wal_bytes: active.wal.bytes,
            sessions: sessions.collect(),
        }
    }
}

pub(super) fn write(out: &mut dyn Write, format: ListFormat, active: &ActiveSessions) -> io::Result<()> {
    match format {
        ListFormat::Human => human(out, active),
        ListFormat::Json => json_line::write(out, &StatusView::new(active)),
    }
}

fn human(out: &mut dyn Write, active: &ActiveSessions) -> io::Result<()> {
    for (session, running) in &active.sessions {
        writeln!(
            out,
            "{BOLD}session {}{BOLD:#}, {} for {}, {}",
            name(session),
            session.status,
            span(session.started, active.now),
            owner(session)
        )?;
        writeln!(out, "  {}", progress(&session.jobs))?;
        if !session.remaining.is_empty() {
            let left = plain(&NamedProcess::list(&session.remaining)).into_owned();
            writeln!(
                out,
                "  {YELLOW}was killed{YELLOW:#}; processes that still run: {left}"
            )?;
        }
        for job in running.iter().take(JOBS) {
            running_job(out, job, active.now)?;
        }
        if running.len() > JOBS {
            writeln!(out, "  and {} more", running.len() - JOBS)?;
        }
    }
    if let Some(warning) = large_wal(&active.wal) {
        writeln!(out, "{YELLOW}warning:{YELLOW:#} {warning}")?;
    }
    let running = active.sessions.len() as u64;
    writeln!(
        out,
        "{BOLD}cofferdam:{BOLD:#} {}, in {}",
        count(running, "running session"),
        plain(&active.base.display().to_string())
    )
}

fn running_job(out: &mut dyn Write, job: &RecordedJob, now: u64) -> io::Result<()> {
    let attempt = job.attempts.last();
    let since = attempt.map_or(now, |attempt| attempt.started);
    let retry = match attempt {
        Some(attempt) if attempt.number > 1 => format!(", attempt {}", attempt.number),
        _ => String::new(),
    };
    writeln!(
        out,
        "  {RUNNING}running{RUNNING:#} {} {}, {}{retry}",
        job.number,
        plain(&job.name),
        span(since, now)
    )
}
