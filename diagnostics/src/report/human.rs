//! For a person at a terminal or in a log.

use super::headline::headline;
use super::style::{self, BOLD, DIM};
use super::text::{count, last_line, nothing_recorded, plain};
use super::{account, baseline, batch, confirmed, observed};
use crate::commands::Outcome;
use crate::exit_code::{NoRecords, Verdict};
use cofferdam_conflicts::{Conflict, Party, Severity};
use std::io::{self, Write};

pub(super) struct Human<'a>(pub(super) &'a Outcome);

/// So many warnings, and so many notes, are told of a batch.
const LISTED: usize = 5;

impl Human<'_> {
    pub(super) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let findings = &self.0.findings;
        writeln!(out)?;
        for (told, graded) in findings.of_severity(Severity::Conflict) {
            match findings.finding_of(told) {
                Some(finding) => observed::block(out, told, finding, graded, findings)?,
                None => block(out, told)?,
            }
        }
        for severity in [Severity::Warning, Severity::Note] {
            // What is said of one run is said of each of its like.
            let listed = if self.0.batch.is_some() {
                LISTED
            } else {
                usize::MAX
            };
            for (told, graded) in findings.of_severity(severity).take(listed) {
                // A warning only because of what the runs showed, or could not show.
                match graded.filter(|_| told.severity() == Severity::Conflict) {
                    Some(graded) => observed::block(out, told, graded, Some(graded), findings)?,
                    None => line(out, told)?,
                }
            }
            let more = findings.of_severity(severity).skip(listed).count();
            if more > 0 {
                let text = format!("and {more} more, all of which `--format json` tells");
                headline(out, severity, severity.as_str(), &text)?;
            }
        }
        if let Some(compared) = &findings.baseline {
            baseline::write(out, compared)?;
        }
        if let Some(observed) = &findings.observed {
            confirmed::guarded(out, observed)?;
            confirmed::after(out, observed)?;
        }
        account::write(out, findings)?;
        for problem in &findings.problems {
            headline(out, Severity::Warning, "unreadable", &problem.to_string())?;
        }
        let more = findings.problem_count - findings.problems.len() as u64;
        if more > 0 {
            headline(out, Severity::Warning, "unreadable", &format!("and {more} more"))?;
        }
        match (self.0.verdict, self.0.no_records) {
            (Verdict::NoRecords, _) => {
                headline(out, Severity::Conflict, "no records", &nothing_recorded(self.0))?
            }
            (Verdict::NothingRecorded, NoRecords::Warn) => {
                headline(out, Severity::Warning, "no records", &nothing_recorded(self.0))?;
            }
            _ => {}
        }
        if let Some(batch) = &self.0.batch {
            batch::human(out, batch)?;
        }
        writeln!(out, "{BOLD}cofferdam:{BOLD:#} {}", last_line(self.0))
    }
}

fn block(out: &mut impl Write, told: &Conflict) -> io::Result<()> {
    headline(out, told.severity(), told.severity().as_str(), &told.message)?;
    let rows: Vec<[String; 4]> = told
        .parties
        .iter()
        .map(|party| row(party, told.between_runs))
        .collect();
    let width = |column: usize| {
        rows.iter()
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let (first, second, third) = (width(0), width(1), width(2));
    for [test, worker, access, place] in &rows {
        let line = format!("  {test:first$}  {worker:second$}  {access:third$}  {place}");
        writeln!(out, "{}", line.trim_end())?;
    }
    let more = told.concerned.saturating_sub(rows.len() as u64);
    if more > 0 {
        writeln!(out, "  and {}", count(more, "more use"))?;
    }
    let (kind, overlapped) = (
        told.kind,
        if told.overlapped {
            "yes"
        } else {
            "no, but another schedule may"
        },
    );
    let runs = if told.between_runs {
        ", between two runs"
    } else {
        ""
    };
    writeln!(out, "  {DIM}{kind}{runs}; overlapped: {overlapped}{DIM:#}")?;
    writeln!(out, "  {BOLD}help:{BOLD:#} {}\n", plain(&told.help))
}

/// Test, worker and program, access, place: each made harmless.
fn row(party: &Party, with_run: bool) -> [String; 4] {
    let run = if with_run {
        format!(" of run {}", plain(&party.run))
    } else {
        String::new()
    };
    let access = party.access.map(|access| access.to_string()).unwrap_or_default();
    let mut place = party
        .place
        .as_deref()
        .map(|place| plain(place).into_owned())
        .unwrap_or_default();
    if let Some(service) = &party.service {
        place = format!("{place} through {}", plain(service))
            .trim_start()
            .to_owned();
    }
    [
        plain(&party.to_string()).into_owned(),
        format!("{}{run} in {}", plain(&party.worker), plain(&party.binary)),
        access,
        place,
    ]
}

fn line(out: &mut impl Write, told: &Conflict) -> io::Result<()> {
    let style = style::of(told.severity());
    let first = told.parties.first();
    let place = first
        .and_then(|party| party.place.as_deref())
        .map(|place| format!(" ({})", plain(place)));
    writeln!(
        out,
        "{style}{}:{style:#} {}{}. {DIM}help:{DIM:#} {}",
        told.severity(),
        plain(&told.message),
        place.unwrap_or_default(),
        plain(&told.help)
    )
}
