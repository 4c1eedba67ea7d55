//! The report of `show`: one session with its jobs and conflicts.

use super::session_text::{ended_with, name, owner, progress, span, timestamp};
use super::style::{BOLD, RED, YELLOW};
use super::text::{count, plain};
use super::{json_line, table};
use crate::cli::ListFormat;
use crate::commands::show::SessionDetails;
use cofferdam_batch::ledger::{JobState, RecordedConflict, RecordedJob, RecordedSession};
use serde::Serialize;
use std::io::{self, Write};

/// The version of the JSON that this build writes.
const VERSION: u64 = 2;

/// The number of completed jobs that are listed. All others are listed too, and JSON has all.
const COMPLETED: usize = 50;

#[derive(Serialize)]
struct ShowView<'a> {
    version: u64,
    now: u64,
    session: &'a RecordedSession,
    jobs: &'a [RecordedJob],
    conflicts: &'a [RecordedConflict],
}

pub(super) fn write(out: &mut dyn Write, format: ListFormat, details: &SessionDetails) -> io::Result<()> {
    match format {
        ListFormat::Human => human(out, details),
        ListFormat::Json => json_line::write(
            out,
            &ShowView {
                version: VERSION,
                now: details.now,
                session: &details.session,
                jobs: &details.jobs,
                conflicts: &details.conflicts,
            },
        ),
    }
}

fn human(out: &mut dyn Write, details: &SessionDetails) -> io::Result<()> {
    let session = &details.session;
    writeln!(out, "{BOLD}session {}{BOLD:#}, {}", name(session), session.status)?;
    let took = match session.ended {
        Some(ended) => format!("took {}", span(session.started, ended)),
        None if session.status.is_active() => format!("for {}", span(session.started, details.now)),
        None => "its owner was killed".to_owned(),
    };
    writeln!(out, "  began {}, {took}", timestamp(session.started))?;
    write!(out, "  by {}, {}", session.trigger, owner(session))?;
    if let Some(revision) = &session.revision {
        write!(out, ", revision {}", plain(revision))?;
    }
    writeln!(out, "\n  recorded as {}", plain(&session.name))?;
    if let Some(resumed) = session.resumes {
        writeln!(out, "  continues session {resumed}")?;
    }
    if session.incomplete {
        writeln!(
            out,
            "  incomplete: recording failed for a while, so jobs or results are missing"
        )?;
    }
    writeln!(out, "  {}\n", progress(&session.jobs))?;
    let mut left = COMPLETED;
    let mut is_listed = |job: &&RecordedJob| {
        let is_one_of_many = job.state == JobState::Completed;
        let is_listed = !is_one_of_many || left > 0;
        left -= usize::from(is_one_of_many && is_listed);
        is_listed
    };
    let listed: Vec<&RecordedJob> = details.jobs.iter().filter(&mut is_listed).collect();
    let rows: Vec<_> = listed.iter().map(|job| row(job, details.now)).collect();
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
    if rows.len() < details.jobs.len() {
        let more = count((details.jobs.len() - rows.len()) as u64, "more job");
        writeln!(out, "  and {more} that completed; `--format json` lists all")?;
    }
    if !rows.is_empty() {
        writeln!(out)?;
    }
    for conflict in &details.conflicts {
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
        None => "conflicts were not searched for".to_owned(),
    };
    writeln!(
        out,
        "{BOLD}cofferdam:{BOLD:#} session {} {}: {}, {found}",
        session.id,
        session.status,
        count(session.jobs.total, "job")
    )
}

fn row(job: &RecordedJob, now: u64) -> [String; 8] {
    let last = job.attempts.last();
    let took = match last {
        Some(attempt) => match (attempt.ended, job.state) {
            (Some(ended), _) => span(attempt.started, ended),
            (None, JobState::Running) => span(attempt.started, now),
            (None, _) => "-".to_owned(),
        },
        None => "-".to_owned(),
    };
    let log = last.and_then(|attempt| attempt.log.as_ref());
    let attempts = match (job.carried_over, job.attempts.len()) {
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
        last.map(ended_with).unwrap_or_default(),
        log.map(|log| plain(&log.display().to_string()).into_owned())
            .unwrap_or_default(),
    ]
}

/// Returns the job's name, and its command if the name does not begin with it.
fn name_and_command(job: &RecordedJob) -> String {
    let name = plain(&job.name);
    match &job.command {
        Some(command) if !job.name.starts_with(command) => format!("{name} ({})", plain(command)),
        _ => name.into_owned(),
    }
}
