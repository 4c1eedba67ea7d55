//! What several jobs came to: a table of rounds, and which failed.

use super::json_line::path;
use super::progress::words;
use super::style::RED;
use super::text::{count, plain};
use crate::commands::batch::{Batch, FailedJob, Row};
use serde::Serialize;
use std::borrow::Cow;
use std::io::{self, Write};
use std::time::Duration;

/// For a person.
pub(super) fn human(out: &mut impl Write, batch: &Batch) -> io::Result<()> {
    if !batch.rows.is_empty() {
        table(out, &batch.rows)?;
    }
    for failed in &batch.failed {
        let (name, ending) = (plain(&failed.name), words::ending(&failed.ending));
        write!(out, "{RED}failed:{RED:#} {} {name}: {ending}", failed.job)?;
        if failed.attempts > 1 {
            write!(out, ", {} attempts", failed.attempts)?;
        }
        match &failed.log {
            Some(log) => writeln!(out, "; its output is in {}", plain(&log.display().to_string()))?,
            None => writeln!(out)?,
        }
    }
    let more = batch.failed().saturating_sub(batch.failed.len() as u64);
    if more > 0 {
        let logs = batch.logs.display().to_string();
        writeln!(
            out,
            "{RED}failed:{RED:#} and {more} more, their output is in {}",
            plain(&logs)
        )?;
    }
    for (pid, name) in batch.left.iter().take(Batch::LISTED) {
        writeln!(out, "{}", words::detached(*pid, name))?;
    }
    let more = batch.left.len().saturating_sub(Batch::LISTED);
    if more > 0 {
        let processes = count(more as u64, "more process");
        writeln!(out, "and {processes} detached by jobs")?;
    }
    Ok(())
}

/// One line for each number of workers.
fn table(out: &mut impl Write, rows: &[Row]) -> io::Result<()> {
    let head = [
        "workers",
        "rounds",
        "passed",
        "failed",
        "success",
        "mean time",
        "conflicts",
    ];
    let mut lines = vec![head.map(str::to_owned)];
    for row in rows {
        let rounds = row.rounds();
        lines.push([
            row.workers
                .map_or_else(|| "as set".to_owned(), |workers| workers.to_string()),
            rounds.to_string(),
            row.passed.to_string(),
            row.failed.to_string(),
            success(row),
            mean(row).map_or_else(|| "-".to_owned(), words::span),
            row.conflicts.to_string(),
        ]);
    }
    let width = |column: usize| lines.iter().map(|line| line[column].len()).max().unwrap_or(0);
    let widths: [usize; 7] = std::array::from_fn(width);
    for line in &lines {
        for (index, (cell, width)) in line.iter().zip(widths).enumerate() {
            let gap = if index == 0 { "" } else { "  " };
            write!(out, "{gap}{cell:>width$}")?;
        }
        writeln!(out)?;
    }
    writeln!(out)
}

/// Of the rounds that were not cancelled.
fn success(row: &Row) -> String {
    match row.rounds() {
        0 => "-".to_owned(),
        rounds if row.passed == rounds => "100 %".to_owned(),
        rounds => {
            // Rounded down: what is not all must not look like all.
            let tenths = row.passed * 1000 / rounds;
            format!("{}.{} %", tenths / 10, tenths % 10)
        }
    }
}

fn mean(row: &Row) -> Option<Duration> {
    let rounds = u32::try_from(row.rounds()).ok().filter(|rounds| *rounds > 0)?;
    Some(row.took / rounds)
}

/// A batch, for programs.
#[derive(Serialize)]
pub(super) struct BatchView<'a> {
    total: u64,
    passed: u64,
    failed: u64,
    cancelled: u64,
    carried: u64,
    most_at_once: u32,
    stopped: Option<String>,
    seconds: f64,
    logs: Cow<'a, str>,
    failures: Vec<FailureView<'a>>,
    rounds: Vec<RoundsView>,
    left: Vec<ProcessView<'a>>,
}

#[derive(Serialize)]
struct FailureView<'a> {
    job: String,
    name: &'a str,
    attempts: u32,
    ending: String,
    log: Option<Cow<'a, str>>,
}

#[derive(Serialize)]
struct RoundsView {
    workers: Option<u32>,
    rounds: u64,
    passed: u64,
    failed: u64,
    cancelled: u64,
    mean_seconds: Option<f64>,
    conflicts: u64,
}

#[derive(Serialize)]
pub(in crate::report) struct ProcessView<'a> {
    pub(in crate::report) pid: u32,
    pub(in crate::report) name: &'a str,
}

impl<'a> BatchView<'a> {
    pub(super) fn of(batch: &'a Batch) -> Self {
        let failure = |failed: &'a FailedJob| FailureView {
            job: failed.job.to_string(),
            name: &failed.name,
            attempts: failed.attempts,
            ending: words::ending(&failed.ending),
            log: failed.log.as_deref().map(path),
        };
        let rounds = |row: &Row| RoundsView {
            workers: row.workers,
            rounds: row.rounds(),
            passed: row.passed,
            failed: row.failed,
            cancelled: row.cancelled,
            mean_seconds: mean(row).map(|mean| mean.as_secs_f64()),
            conflicts: row.conflicts,
        };
        let left = batch.left.iter();
        Self {
            total: batch.total(),
            passed: batch.passed(),
            failed: batch.failed(),
            cancelled: batch.cancelled(),
            carried: batch.carried.passed + batch.carried.failed + batch.carried.cancelled,
            most_at_once: batch.tally.most_at_once,
            stopped: batch.tally.stopped.as_ref().map(words::why),
            seconds: batch.took.as_secs_f64(),
            logs: path(&batch.logs),
            failures: batch.failed.iter().map(failure).collect(),
            rounds: batch.rows.iter().map(rounds).collect(),
            left: left.map(|(pid, name)| ProcessView { pid: *pid, name }).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row_of(passed: u64, failed: u64) -> Row {
        Row {
            passed,
            failed,
            took: Duration::from_secs(10),
            ..Row::default()
        }
    }

    #[test]
    fn only_all_of_them_are_a_hundred_percent() {
        for (passed, failed, told) in [
            (20, 0, "100 %"),
            (9999, 1, "99.9 %"),
            (1, 2, "33.3 %"),
            (0, 0, "-"),
        ] {
            assert_eq!(success(&row_of(passed, failed)), told);
        }
    }

    #[test]
    fn a_table_s_columns_stand_below_each_other() {
        let mut out = Vec::new();
        table(&mut out, &[row_of(20, 0), row_of(3, 1)]).unwrap();
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[1],
            " as set      20      20       0    100 %      0.5 s          0"
        );
        assert_eq!(
            lines[2],
            " as set       4       3       1   75.0 %      2.5 s          0"
        );
    }
}
