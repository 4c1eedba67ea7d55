//! The report for people, at a terminal or in a log.

use super::excerpt::Excerpts;
use super::shell_line::shell_line;
use super::style::{self, BOLD, DIM, headline};
use super::summary::{last_line, nothing_recorded};
use super::text::{count, plain};
use super::{baseline, batch, confirmed, last_line, observed};
use crate::commands::{Observed, Outcome};
use crate::exit_code::{NoRecords, Verdict};
use cofferdam::Access;
use cofferdam_conflicts::{Conflict, Severity, Test, Use};
use std::io::{self, Write};

/// The number of warnings, and of notes, that are listed for a batch.
const LISTED: usize = 5;

pub(super) fn write(out: &mut impl Write, outcome: &Outcome) -> io::Result<()> {
    // The command that finds out why tests failed. No file gets it: the user's command may hold secrets.
    let hunt = outcome.hunt.as_deref().and_then(shell_line);
    let findings = &outcome.findings;
    let excerpts = Excerpts::new(&outcome.dir);
    writeln!(out)?;
    for conflict in findings.of_severity(Severity::Conflict) {
        if findings.observed.is_some() && conflict.resource.is_some() {
            observed::block(out, conflict, findings, &excerpts)?;
        } else {
            block(out, conflict, Some(&excerpts))?;
        }
    }
    for severity in [Severity::Warning, Severity::Note] {
        // Similar runs have similar warnings.
        let listed = if outcome.batch.is_some() {
            LISTED
        } else {
            usize::MAX
        };
        for conflict in findings.of_severity(severity).take(listed) {
            // A conflict that is only a warning because of its grade.
            if conflict.grade.is_some() && conflict.kind.severity() == Severity::Conflict {
                observed::block(out, conflict, findings, &excerpts)?;
            } else {
                line(out, conflict)?;
            }
        }
        let more = findings.of_severity(severity).skip(listed).count();
        if more > 0 {
            let text = format!("and {more} more; `--format json` lists all");
            headline(out, severity, severity.as_str(), &text)?;
        }
    }
    if let Some(compared) = &findings.baseline {
        baseline::write(out, compared)?;
    }
    if let Some(observed) = &findings.observed {
        confirmed::guarded(out, observed)?;
        confirmed::after(out, observed)?;
        observed::statics(out, observed)?;
        observed::failed(out, observed)?;
        if let Some(hunt) = hunt.as_ref().filter(|_| observed.has_failed_tests()) {
            writeln!(out, "  {DIM}hunt:{DIM:#} {hunt}")?;
        }
    }
    last_line::write(out, findings)?;
    for problem in &findings.problems {
        headline(out, Severity::Warning, "unreadable", &problem.to_string())?;
    }
    let more = findings.problem_count - findings.problems.len() as u64;
    if more > 0 {
        headline(out, Severity::Warning, "unreadable", &format!("and {more} more"))?;
    }
    match (outcome.verdict, outcome.no_records) {
        (Verdict::NoRecords, _) => {
            headline(out, Severity::Conflict, "no records", &nothing_recorded(outcome))?
        }
        (Verdict::NothingRecorded, NoRecords::Warn) => {
            headline(out, Severity::Warning, "no records", &nothing_recorded(outcome))?;
        }
        _ => {}
    }
    if let Some(batch) = &outcome.batch {
        batch::human(out, batch)?;
    }
    let is_named = findings.observed.as_ref().is_some_and(Observed::has_failed_tests);
    let hunt = hunt.as_ref().filter(|_| !is_named);
    let hunt = hunt.map(|hunt| format!("; `{hunt}` looks for the reason"));
    writeln!(
        out,
        "{BOLD}cofferdam:{BOLD:#} {}{}",
        last_line(outcome),
        hunt.unwrap_or_default()
    )
}

/// Writes a conflict with its tests, and with source lines if they are wanted.
pub(super) fn block(
    out: &mut impl Write,
    conflict: &Conflict,
    excerpts: Option<&Excerpts>,
) -> io::Result<()> {
    let severity = conflict.severity();
    headline(out, severity, severity.as_str(), &conflict.message)?;
    for line in conflict.output.iter().flat_map(|output| output.lines()) {
        writeln!(out, "  {DIM}| {}{DIM:#}", plain(line))?;
    }
    let rows: Vec<[String; 4]> = conflict
        .uses()
        .map(|(test, used)| row(test, used, conflict.between_runs))
        .collect();
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.max().unwrap_or(0)
    };
    let (first, second, third) = (width(0), width(1), width(2));
    for [test, worker, access, place] in &rows {
        let line = format!("  {test:first$}  {worker:second$}  {access:third$}  {place}");
        writeln!(out, "{}", line.trim_end())?;
    }
    let more = conflict.use_count.saturating_sub(rows.len() as u64);
    if more > 0 {
        writeln!(out, "  and {}", count(more, "more use"))?;
    }
    if let Some(excerpts) = excerpts {
        excerpts.write(out, conflict)?;
    }
    let overlapped = match conflict.overlapped {
        _ if conflict.tests.is_empty() => "",
        true => "; overlapped: yes",
        false => "; overlapped: no, but another schedule may",
    };
    let runs = if conflict.between_runs {
        ", between two runs"
    } else {
        ""
    };
    writeln!(out, "  {DIM}{}{runs}{overlapped}{DIM:#}", conflict.kind)?;
    writeln!(out, "  {BOLD}help:{BOLD:#} {}\n", plain(&conflict.help))
}

/// Returns test, worker and program, access, and place, each escaped.
fn row(test: &Test, used: &Use, with_run: bool) -> [String; 4] {
    let run = if with_run {
        format!(" of run {}", plain(&test.run))
    } else {
        String::new()
    };
    let place = plain(used.place.as_deref().unwrap_or_default());
    let place = match &used.service {
        Some(service) => format!("{place} through {}", plain(service))
            .trim_start()
            .to_owned(),
        None => place.into_owned(),
    };
    [
        plain(&test.to_string()).into_owned(),
        format!("{}{run} in {}", plain(&test.worker), plain(&test.binary)),
        used.access.map_or("", Access::as_str).to_owned(),
        place,
    ]
}

fn line(out: &mut impl Write, conflict: &Conflict) -> io::Result<()> {
    let severity = conflict.severity();
    let style = style::of(severity);
    let first = conflict.uses().next();
    let place = first
        .and_then(|(_, used)| used.place.as_deref())
        .map(|place| format!(" ({})", plain(place)));
    writeln!(
        out,
        "{style}{severity}:{style:#} {}{}. {DIM}help:{DIM:#} {}",
        plain(&conflict.message),
        place.unwrap_or_default(),
        plain(&conflict.help)
    )
}
