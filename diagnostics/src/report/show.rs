//! All of one session.

use super::json_line;
use super::session::{JobView, SessionView, moment, name, owner, progress, span};
use super::style::{BOLD, RED, YELLOW};
use super::table;
use super::text::{count, plain};
use crate::cli::ListFormat;
use crate::commands::show::Whole;
use crate::ledger::{Conflict, Job, JobState};
use serde::Serialize;
use std::io::{self, Write};

/// The version of the JSON that this build writes.
const VERSION: u64 = 1;

/// As many of the jobs that completed are told to people; all others, and JSON has them all.
const COMPLETED: usize = 50;

pub(super) fn write(out: &mut dyn Write, format: ListFormat, whole: &Whole) -> io::Result<()> {
    match format {
        ListFormat::Human => human(out, whole),
        ListFormat::Json => json_line::write(out, &WholeView::of(whole)),
    }
}

fn human(out: &mut dyn Write, whole: &Whole) -> io::Result<()> {
    let session = &whole.session;
    writeln!(out, "{BOLD}session {}{BOLD:#}, {}", name(session), session.status)?;
    let took = match session.ended {
        Some(ended) => format!("took {}", span(session.started, ended)),
        None if session.status.is_active() => format!("for {}", span(session.started, whole.now)),
        None => "its owner was killed".to_owned(),
    };
    writeln!(out, "  began {}, {took}", moment(session.started))?;
    write!(out, "  by {}, {}", session.trigger, owner(session))?;
    if let Some(revision) = &session.revision {
        write!(out, ", revision {}", plain(revision))?;
    }
    writeln!(out, "\n  recorded as {}", plain(&session.name))?;
    if let Some(resumed) = session.resumes {
        writeln!(out, "  goes on with session {resumed}")?;
    }
    if session.gap {
        writeln!(
            out,
            "  the ledger failed for a while: jobs and results are missing"
        )?;
    }
    writeln!(out, "  {}\n", progress(&session.jobs))?;
    let mut left = COMPLETED;
    let mut is_told = |job: &&Job| {
        let is_one_of_many = job.state == JobState::Completed;
        let is_told = !is_one_of_many || left > 0;
        left -= usize::from(is_one_of_many && is_told);
        is_told
    };
    let told: Vec<&Job> = whole.jobs.iter().filter(&mut is_told).collect();
    let rows: Vec<_> = told.iter().map(|job| row(job, whole.now)).collect();
    let names = [
        "job",
        "name",
        "group",
        "state",
        "attempts",
        "took",
        "ended with",
        "log",
    ];
    table::write(out, names, &rows)?;
    if rows.len() < whole.jobs.len() {
        let more = count((whole.jobs.len() - rows.len()) as u64, "more job");
        writeln!(out, "  and {more} that completed; `--format json` tells all")?;
    }
    if !rows.is_empty() {
        writeln!(out)?;
    }
    for conflict in &whole.conflicts {
        let style = if conflict.severity == "conflict" {
            RED
        } else {
            YELLOW
        };
        writeln!(
            out,
            "{style}{}:{style:#} {}\n  {BOLD}help:{BOLD:#} {}",
            plain(&conflict.severity),
            plain(&conflict.message),
            plain(&conflict.help)
        )?;
    }
    let found = match session.conflicts {
        Some(found) => count(found, "finding"),
        None => "what its tests met on was not looked for".to_owned(),
    };
    writeln!(
        out,
        "{BOLD}cofferdam:{BOLD:#} session {} {}: {}, {found}",
        session.id,
        session.status,
        count(session.jobs.all(), "job")
    )
}

fn row(job: &Job, now: u64) -> [String; 8] {
    let last = job.attempts.last();
    let took = match last {
        Some(attempt) => match (attempt.ended, job.state) {
            (Some(ended), _) => span(attempt.started, ended),
            (None, JobState::Running) => span(attempt.started, now),
            (None, _) => "-".to_owned(),
        },
        None => "-".to_owned(),
    };
    let ended = last.and_then(|attempt| match (attempt.signal, attempt.exit_code) {
        (Some(signal), _) => Some(format!("signal {signal}")),
        (None, code) => code.map(|code| format!("code {code}")),
    });
    let reason = last.and_then(|attempt| attempt.reason.as_deref()).map(plain);
    let ended = [ended.as_deref(), reason.as_deref()];
    let log = last.and_then(|attempt| attempt.log.as_ref());
    let attempts = match (job.carried, job.attempts.len()) {
        (true, _) => "earlier".to_owned(),
        (false, number) => number.to_string(),
    };
    [
        job.number.to_string(),
        name_and_command(job),
        job.group.as_deref().map(plain).unwrap_or_default().into_owned(),
        job.state.to_string(),
        attempts,
        took,
        ended.into_iter().flatten().collect::<Vec<_>>().join(", "),
        log.map(|log| plain(&log.display().to_string()).into_owned())
            .unwrap_or_default(),
    ]
}

/// A name that the user chose says nothing of the command.
fn name_and_command(job: &Job) -> String {
    let name = plain(&job.name);
    match &job.command {
        Some(command) if !job.name.starts_with(command) => format!("{name} ({})", plain(command)),
        _ => name.into_owned(),
    }
}

/// The report, for programs.
#[derive(Serialize)]
struct WholeView<'a> {
    version: u64,
    now: u64,
    session: SessionView<'a>,
    jobs: Vec<JobView<'a>>,
    conflicts: Vec<RecordedView<'a>>,
}

/// A conflict as the ledger keeps it.
#[derive(Serialize)]
struct RecordedView<'a> {
    kind: &'a str,
    severity: &'a str,
    message: &'a str,
    help: &'a str,
}

impl<'a> WholeView<'a> {
    fn of(whole: &'a Whole) -> Self {
        let conflict = |conflict: &'a Conflict| RecordedView {
            kind: &conflict.kind,
            severity: &conflict.severity,
            message: &conflict.message,
            help: &conflict.help,
        };
        Self {
            version: VERSION,
            now: whole.now,
            session: SessionView::from(&whole.session),
            jobs: whole.jobs.iter().map(JobView::from).collect(),
            conflicts: whole.conflicts.iter().map(conflict).collect(),
        }
    }
}
