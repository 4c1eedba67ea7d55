//! The last sessions, and how often each job passed.

use super::json_line::{self, path};
use super::session::{SessionView, span};
use super::style::BOLD;
use super::table;
use super::text::{count, plain};
use crate::cli::ListFormat;
use crate::commands::list::Listed;
use crate::ledger::{Session, Success};
use serde::Serialize;
use std::borrow::Cow;
use std::io::{self, Write};

/// The version of the JSON that this build writes.
const VERSION: u64 = 1;

/// As many jobs are told to people, those that failed most often; JSON has them all.
const JOBS: usize = 20;

pub(super) fn write(out: &mut dyn Write, format: ListFormat, listed: &Listed) -> io::Result<()> {
    match format {
        ListFormat::Human => human(out, listed),
        ListFormat::Json => json_line::write(out, &ListedView::of(listed)),
    }
}

fn human(out: &mut dyn Write, listed: &Listed) -> io::Result<()> {
    let rows: Vec<_> = listed
        .sessions
        .iter()
        .map(|session| row(session, listed.now))
        .collect();
    let names = [
        "session",
        "namespace",
        "scope",
        "status",
        "began",
        "took",
        "jobs",
        "failed",
        "conflicts",
    ];
    table::write(out, names, &rows)?;
    let failed_once = listed.success.iter().filter(|job| job.failed > 0).count();
    let rows: Vec<_> = listed.success.iter().take(JOBS).map(rate).collect();
    if !rows.is_empty() {
        writeln!(out)?;
        table::write(out, ["job", "passed", "of", "rate", "in"], &rows)?;
    }
    if listed.success.len() > JOBS {
        let more = count((listed.success.len() - JOBS) as u64, "more job");
        writeln!(out, "  and {more}; `--format json` tells all")?;
    }
    writeln!(
        out,
        "{BOLD}cofferdam:{BOLD:#} {}, {} of {} failed at least once, in {}",
        count(listed.sessions.len() as u64, "session"),
        failed_once,
        count(listed.success.len() as u64, "job"),
        plain(&listed.place.display().to_string())
    )
}

fn row(session: &Session, now: u64) -> [String; 9] {
    let conflicts = match session.conflicts {
        Some(conflicts) => conflicts.to_string(),
        None => "-".to_owned(),
    };
    let took = match session.ended {
        Some(ended) => span(session.started, ended),
        None if session.status.is_active() => span(session.started, now),
        None => "-".to_owned(),
    };
    [
        session.id.to_string(),
        plain(&session.namespace).into_owned(),
        plain(&session.scope).into_owned(),
        session.status.to_string(),
        format!("{} ago", span(session.started, now)),
        took,
        session.jobs.all().to_string(),
        session.jobs.failed.to_string(),
        conflicts,
    ]
}

fn rate(job: &Success) -> [String; 5] {
    let all = job.completed + job.failed;
    [
        plain(&job.name).into_owned(),
        job.completed.to_string(),
        all.to_string(),
        percent(job),
        count(job.sessions, "session"),
    ]
}

/// Cut, not rounded: only what never failed has 100 %.
fn percent(job: &Success) -> String {
    let mills = job.completed * 1_000 / (job.completed + job.failed).max(1);
    format!("{}.{} %", mills / 10, mills % 10)
}

/// The report, for programs.
#[derive(Serialize)]
struct ListedView<'a> {
    version: u64,
    now: u64,
    looked_in: Cow<'a, str>,
    sessions: Vec<SessionView<'a>>,
    success: Vec<SuccessView<'a>>,
}

#[derive(Serialize)]
struct SuccessView<'a> {
    name: &'a str,
    sessions: u64,
    completed: u64,
    failed: u64,
}

impl<'a> ListedView<'a> {
    fn of(listed: &'a Listed) -> Self {
        let success = |job: &'a Success| SuccessView {
            name: &job.name,
            sessions: job.sessions,
            completed: job.completed,
            failed: job.failed,
        };
        Self {
            version: VERSION,
            now: listed.now,
            looked_in: path(&listed.place),
            sessions: listed.sessions.iter().map(SessionView::from).collect(),
            success: listed.success.iter().map(success).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_never_failed_has_100_percent() {
        for (completed, failed, told) in [(320, 0, "100.0 %"), (9_999, 1, "99.9 %"), (0, 3, "0.0 %")] {
            let job = Success {
                name: String::new(),
                sessions: 1,
                completed,
                failed,
            };
            assert_eq!(percent(&job), told);
        }
    }
}
