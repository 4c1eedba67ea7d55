//! The report of a batch: a table of rounds, and the failed jobs.

use super::progress::words;
use super::style::RED;
use super::text::{count, plain};
use crate::commands::run::batch_summary::{Batch, FailedJob, RoundsSummary};
use cofferdam_batch::processes::NamedProcess;
use serde::Serialize;
use std::io::{self, Write};
use std::time::Duration;

/// Writes the batch as text.
pub(super) fn human(out: &mut impl Write, batch: &Batch) -> io::Result<()> {
    if !batch.rounds.is_empty() {
        table(out, &batch.rounds)?;
    }
    for failed in &batch.failed_jobs {
        let (name, outcome) = (plain(&failed.name), words::outcome(&failed.outcome));
        write!(out, "{RED}failed:{RED:#} {} {name}: {outcome}", failed.job)?;
        if failed.attempts > 1 {
            write!(out, ", {} attempts", failed.attempts)?;
        }
        match &failed.log {
            Some(log) => writeln!(out, "; its output is in {}", plain(&log.display().to_string()))?,
            None => writeln!(out)?,
        }
    }
    let more = batch.failed().saturating_sub(batch.failed_jobs.len() as u64);
    if more > 0 {
        let logs = batch.logs.display().to_string();
        writeln!(
            out,
            "{RED}failed:{RED:#} and {more} more, their output is in {}",
            plain(&logs)
        )?;
    }
    for (pid, name) in batch.detached.iter().take(Batch::LISTED) {
        writeln!(out, "{}", words::detached(*pid, name))?;
    }
    let more = batch.detached.len().saturating_sub(Batch::LISTED);
    if more > 0 {
        let processes = count(more as u64, "more process");
        writeln!(out, "and {processes} detached by jobs")?;
    }
    Ok(())
}

/// Writes a line for each number of workers.
fn table(out: &mut impl Write, rows: &[RoundsSummary]) -> io::Result<()> {
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
        let rounds = row.finished();
        lines.push([
            row.workers
                .map_or_else(|| "default".to_owned(), |workers| workers.to_string()),
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

/// Returns the pass rate of the finished rounds.
fn success(row: &RoundsSummary) -> String {
    match row.finished() {
        0 => "-".to_owned(),
        rounds if row.passed == rounds => "100 %".to_owned(),
        rounds => {
            // Rounded down, so that only all rounds are 100 %.
            let tenths = row.passed * 1000 / rounds;
            format!("{}.{} %", tenths / 10, tenths % 10)
        }
    }
}

fn mean(row: &RoundsSummary) -> Option<Duration> {
    let rounds = u32::try_from(row.finished()).ok().filter(|rounds| *rounds > 0)?;
    Some(row.duration / rounds)
}

/// The JSON of a batch.
#[derive(Serialize)]
pub(super) struct BatchView {
    total: u64,
    passed: u64,
    failed: u64,
    cancelled: u64,
    carried_over: u64,
    most_at_once: u32,
    stopped: Option<String>,
    seconds: f64,
    logs: String,
    failures: Vec<FailureView>,
    rounds: Vec<RoundsView>,
    detached: Vec<NamedProcess>,
}

#[derive(Serialize)]
struct FailureView {
    job: String,
    name: String,
    attempts: u32,
    outcome: String,
    log: Option<String>,
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

impl BatchView {
    pub(super) fn new(batch: &Batch) -> Self {
        let detached = batch.detached.iter().map(|(pid, name)| NamedProcess {
            pid: *pid,
            program: Some(name.clone()),
        });
        Self {
            total: batch.total(),
            passed: batch.passed(),
            failed: batch.failed(),
            cancelled: batch.cancelled(),
            carried_over: batch.carried.total(),
            most_at_once: batch.tally.most_at_once,
            stopped: batch.tally.stopped.as_ref().map(words::stop_reason),
            seconds: batch.duration.as_secs_f64(),
            logs: batch.logs.to_string_lossy().into_owned(),
            failures: batch.failed_jobs.iter().map(FailureView::new).collect(),
            rounds: batch.rounds.iter().map(RoundsView::new).collect(),
            detached: detached.collect(),
        }
    }
}

impl FailureView {
    fn new(failed: &FailedJob) -> Self {
        Self {
            job: failed.job.to_string(),
            name: failed.name.clone(),
            attempts: failed.attempts,
            outcome: words::outcome(&failed.outcome),
            log: failed.log.as_ref().map(|log| log.to_string_lossy().into_owned()),
        }
    }
}

impl RoundsView {
    fn new(rounds: &RoundsSummary) -> Self {
        Self {
            workers: rounds.workers,
            rounds: rounds.finished(),
            passed: rounds.passed,
            failed: rounds.failed,
            cancelled: rounds.cancelled,
            mean_seconds: mean(rounds).map(|mean| mean.as_secs_f64()),
            conflicts: rounds.conflicts,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row_of(passed: u64, failed: u64) -> RoundsSummary {
        RoundsSummary {
            passed,
            failed,
            duration: Duration::from_secs(10),
            ..RoundsSummary::default()
        }
    }

    #[test]
    fn only_all_rounds_are_a_hundred_percent() {
        for (passed, failed, expected) in [
            (20, 0, "100 %"),
            (9999, 1, "99.9 %"),
            (1, 2, "33.3 %"),
            (0, 0, "-"),
        ] {
            assert_eq!(success(&row_of(passed, failed)), expected);
        }
    }

    #[test]
    fn the_columns_of_the_table_are_aligned() {
        let mut out = Vec::new();
        table(&mut out, &[row_of(20, 0), row_of(3, 1)]).unwrap();
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[1],
            "default      20      20       0    100 %      0.5 s          0"
        );
        assert_eq!(
            lines[2],
            "default       4       3       1   75.0 %      2.5 s          0"
        );
    }
}
