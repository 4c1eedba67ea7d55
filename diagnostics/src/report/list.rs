//! The report of `list`: recent sessions and the pass rate of each job.

use super::session_text::span;
use super::style::BOLD;
use super::text::{count, plain};
use super::{json_line, table};
use crate::cli::ListFormat;
use crate::commands::list::SessionList;
use cofferdam_batch::ledger::{PassRate, RecordedSession};
use serde::Serialize;
use std::io::{self, Write};

/// The version of the JSON that this build writes.
const VERSION: u64 = 2;

/// The number of jobs that are listed, those with the lowest pass rates. JSON has all.
const JOBS: usize = 20;

#[derive(Serialize)]
struct ListView<'a> {
    version: u64,
    now: u64,
    looked_in: &'a str,
    sessions: &'a [RecordedSession],
    pass_rates: &'a [PassRate],
}

pub(super) fn write(out: &mut dyn Write, format: ListFormat, list: &SessionList) -> io::Result<()> {
    match format {
        ListFormat::Human => human(out, list),
        ListFormat::Json => json_line::write(
            out,
            &ListView {
                version: VERSION,
                now: list.now,
                looked_in: &list.base.to_string_lossy(),
                sessions: &list.sessions,
                pass_rates: &list.pass_rates,
            },
        ),
    }
}

fn human(out: &mut dyn Write, list: &SessionList) -> io::Result<()> {
    let rows: Vec<_> = list
        .sessions
        .iter()
        .map(|session| row(session, list.now))
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
    let failed_once = list.pass_rates.iter().filter(|job| job.failed > 0).count();
    let rows: Vec<_> = list.pass_rates.iter().take(JOBS).map(rate).collect();
    if !rows.is_empty() {
        writeln!(out)?;
        table::write(out, ["job", "passed", "of", "rate", "in"], &rows)?;
    }
    if list.pass_rates.len() > JOBS {
        let more = count((list.pass_rates.len() - JOBS) as u64, "more job");
        writeln!(out, "  and {more}; `--format json` lists all")?;
    }
    writeln!(
        out,
        "{BOLD}cofferdam:{BOLD:#} {}, {} of {} failed at least once, in {}",
        count(list.sessions.len() as u64, "session"),
        failed_once,
        count(list.pass_rates.len() as u64, "job"),
        plain(&list.base.display().to_string())
    )
}

fn row(session: &RecordedSession, now: u64) -> [String; 9] {
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
        session.jobs.total.to_string(),
        session.jobs.failed.to_string(),
        conflicts,
    ]
}

fn rate(job: &PassRate) -> [String; 5] {
    let all = job.completed + job.failed;
    [
        plain(&job.name).into_owned(),
        job.completed.to_string(),
        all.to_string(),
        percent(job),
        count(job.sessions, "session"),
    ]
}

/// Rounds down, so that only a job that never failed has 100 %.
fn percent(job: &PassRate) -> String {
    let mills = job.completed * 1_000 / (job.completed + job.failed).max(1);
    format!("{}.{} %", mills / 10, mills % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_job_that_never_failed_has_100_percent() {
        for (completed, failed, expected) in [(320, 0, "100.0 %"), (9_999, 1, "99.9 %"), (0, 3, "0.0 %")] {
            let job = PassRate {
                name: String::new(),
                sessions: 1,
                completed,
                failed,
            };
            assert_eq!(percent(&job), expected);
        }
    }
}
