//! The outcome of `rerun`: a line for each run on standard error, then what failed and how often.

use super::human::block;
use super::json_line;
use super::style::{BOLD, DIM, RED};
use super::text::{count, plain};
use crate::cli::ListFormat;
use crate::commands::rerun::Reran;
use crate::scene::Outcome;
use cofferdam_conflicts::Conflict;
use serde::Serialize;
use std::io::{self, Write};

/// The version of the JSON that this build writes.
const VERSION: u64 = 1;

#[derive(Serialize)]
struct RerunView<'a> {
    version: u64,
    tests: Vec<String>,
    runs: Vec<RunView<'a>>,
    failed: usize,
    unknown: usize,
    failed_teardowns: &'a [Conflict],
    interrupted: bool,
}

#[derive(Serialize)]
struct RunView<'a> {
    outcome: &'static str,
    failed: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    void: Option<&'a str>,
}

fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Passed => "passed",
        Outcome::Failed => "failed",
        Outcome::Unknown => "unknown",
    }
}

/// Reports the last run on standard error.
pub(crate) fn see_rerun(reran: &Reran) {
    let Some(run) = reran.runs.last() else { return };
    let mut err = anstream::stderr().lock();
    let why = run.void.as_deref().map(|why| format!(": {}", plain(why)));
    // An error is ignored, and the runs continue.
    let _ = writeln!(
        err,
        "cofferdam: run {} of {}: {}{}",
        reran.runs.len(),
        reran.times,
        word(reran.outcome(run)),
        why.unwrap_or_default(),
    );
}

pub(super) fn write(out: &mut dyn Write, format: ListFormat, reran: &Reran) -> io::Result<()> {
    match format {
        ListFormat::Human => human(out, reran),
        ListFormat::Json => json_line::write(out, &view(reran)),
    }
}

fn view(reran: &Reran) -> RerunView<'_> {
    let run = |run| RunView {
        outcome: word(reran.outcome(run)),
        failed: failed(run).map(|(test, _)| test).collect(),
        void: run.void.as_deref(),
    };
    RerunView {
        version: VERSION,
        tests: reran.tests.iter().map(ToString::to_string).collect(),
        runs: reran.runs.iter().map(run).collect(),
        failed: reran.count(Outcome::Failed),
        unknown: reran.count(Outcome::Unknown),
        failed_teardowns: &reran.failed_teardowns,
        interrupted: reran.is_interrupted,
    }
}

fn failed(run: &crate::scene::SceneResult) -> impl Iterator<Item = (String, &str)> {
    let failed = run
        .outcomes
        .iter()
        .filter(|(_, outcome)| **outcome == Outcome::Failed);
    failed.map(|(test, _)| {
        let text = run.failures.get(test).map_or("", String::as_str);
        (test.to_string(), text)
    })
}

fn human(mut out: &mut dyn Write, reran: &Reran) -> io::Result<()> {
    let last_failure = reran
        .runs
        .iter()
        .rfind(|run| reran.outcome(run) == Outcome::Failed);
    for (test, text) in last_failure.into_iter().flat_map(failed) {
        writeln!(out, "{RED}failed:{RED:#} {BOLD}{}{BOLD:#}", plain(&test))?;
        // A backtrace would hide the message.
        for line in text.lines().take_while(|line| *line != "stack backtrace:") {
            writeln!(out, "  {DIM}{}{DIM:#}", plain(line))?;
        }
    }
    for failed in &reran.failed_teardowns {
        block(&mut out, failed, None)?;
    }
    let runs = reran.runs.len() as u64;
    let unknown = match reran.count(Outcome::Unknown) {
        0 => String::new(),
        number => format!(", {number} without a result"),
    };
    let interrupted = if reran.is_interrupted { "; interrupted" } else { "" };
    writeln!(
        out,
        "cofferdam: failed in {} of {}{unknown}{interrupted}",
        reran.count(Outcome::Failed),
        count(runs, "run"),
    )
}
