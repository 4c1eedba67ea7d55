//! How far sessions are.

use super::json_line::{self, path};
use super::session::{JobView, SessionView, large_log, name, owner, progress, span};
use super::style::{BOLD, YELLOW};
use super::text::{count, plain};
use crate::cli::ListFormat;
use crate::commands::status::Standing;
use crate::ledger::{Holder, Job, Session};
use anstyle::{AnsiColor, Style};
use serde::Serialize;
use std::borrow::Cow;
use std::io::{self, Write};

/// The version of the JSON that this build writes.
const VERSION: u64 = 1;

/// As many of the jobs that run are told of each session.
const JOBS: usize = 20;

const RUNNING: Style = AnsiColor::Cyan.on_default().bold();

pub(super) fn write(out: &mut dyn Write, format: ListFormat, standing: &Standing) -> io::Result<()> {
    match format {
        ListFormat::Human => human(out, standing),
        ListFormat::Json => json_line::write(out, &StandingView::of(standing)),
    }
}

fn human(out: &mut dyn Write, standing: &Standing) -> io::Result<()> {
    for (session, running) in &standing.sessions {
        writeln!(
            out,
            "{BOLD}session {}{BOLD:#}, {} for {}, {}",
            name(session),
            session.status,
            span(session.started, standing.now),
            owner(session)
        )?;
        writeln!(out, "  {}", progress(&session.jobs))?;
        if !session.left.is_empty() {
            let left = plain(&Holder::list(&session.left)).into_owned();
            writeln!(
                out,
                "  {YELLOW}was killed{YELLOW:#}, and of its jobs still run: {left}"
            )?;
        }
        for job in running.iter().take(JOBS) {
            running_job(out, job, standing.now)?;
        }
        if running.len() > JOBS {
            writeln!(out, "  and {} more", running.len() - JOBS)?;
        }
    }
    if let Some(told) = large_log(standing.log.bytes, &standing.log.readers) {
        writeln!(out, "{YELLOW}warning:{YELLOW:#} {told}")?;
    }
    let running = standing.sessions.len() as u64;
    let verb = if running == 1 { "runs" } else { "run" };
    writeln!(
        out,
        "{BOLD}cofferdam:{BOLD:#} {} {verb}, in {}",
        count(running, "session"),
        plain(&standing.place.display().to_string())
    )
}

fn running_job(out: &mut dyn Write, job: &Job, now: u64) -> io::Result<()> {
    let attempt = job.attempts.last();
    let since = attempt.map_or(now, |attempt| attempt.started);
    let again = match attempt {
        Some(attempt) if attempt.number > 1 => format!(", attempt {}", attempt.number),
        _ => String::new(),
    };
    writeln!(
        out,
        "  {RUNNING}running{RUNNING:#} {} {}, {}{again}",
        job.number,
        plain(&job.name),
        span(since, now)
    )
}

/// The report, for programs.
#[derive(Serialize)]
struct StandingView<'a> {
    version: u64,
    now: u64,
    looked_in: Cow<'a, str>,
    log_bytes: u64,
    sessions: Vec<RunningView<'a>>,
}

#[derive(Serialize)]
struct RunningView<'a> {
    #[serde(flatten)]
    session: SessionView<'a>,
    running: Vec<JobView<'a>>,
}

impl<'a> StandingView<'a> {
    fn of(standing: &'a Standing) -> Self {
        let session = |(session, running): &'a (Session, Vec<Job>)| RunningView {
            session: SessionView::from(session),
            running: running.iter().map(JobView::from).collect(),
        };
        Self {
            version: VERSION,
            now: standing.now,
            looked_in: path(&standing.place),
            log_bytes: standing.log.bytes,
            sessions: standing.sessions.iter().map(session).collect(),
        }
    }
}
