//! What was seen from outside, for a person: by resource, writers before readers.

use super::confirmed;
use super::headline::headline;
use super::style::{BOLD, DIM};
use super::text::{count, plain};
use crate::commands::{Observed, severity_of};
use crate::findings::{Finding, Grade};
use cofferdam::Access;
use cofferdam::diagnostics::{Conflict, Party};
use std::collections::BTreeMap;
use std::io::{self, Write};

/// As many tests of each sort are listed; the others are counted.
const LISTED: usize = 20;

/// A test's use of the resource: what it is shown as.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    test: String,
    binary: String,
    place: String,
}

/// One resource with all who use it.
pub(super) fn block(out: &mut impl Write, told: &Conflict, graded: Option<&Finding>) -> io::Result<()> {
    let (writers, readers) = sides(&told.parties);
    let resource = told
        .resource
        .as_ref()
        .map(ToString::to_string)
        .unwrap_or_default();
    let text = match readers.len() {
        0 => format!(
            "{resource}: {} write it, with no lock in common",
            count(writers.len() as u64, "test")
        ),
        _ => format!(
            "{resource}: {} × {}, with no lock in common",
            count(writers.len() as u64, "writer"),
            count(readers.len() as u64, "reader")
        ),
    };
    let severity = severity_of(told, graded);
    let word = graded.map_or(severity.as_str(), confirmed::word);
    headline(out, severity, word, &text)?;
    let width = |column: fn(&Row) -> &str| {
        let rows = writers.iter().take(LISTED).chain(readers.iter().take(LISTED));
        rows.map(|row| column(row).chars().count()).max().unwrap_or(0)
    };
    let (first, second) = (width(|row| &row.test), width(|row| &row.binary));
    for (word, rows) in [("write", &writers), ("read", &readers)] {
        for Row { test, binary, place } in rows.iter().take(LISTED) {
            let line = format!("  {word:5}  {test:first$}  {binary:second$}  {place}");
            writeln!(out, "{}", line.trim_end())?;
        }
        if rows.len() > LISTED {
            writeln!(
                out,
                "  {word:5}  and {}",
                count((rows.len() - LISTED) as u64, "more test")
            )?;
        }
    }
    let is_known = graded.is_none_or(|finding| finding.grade >= Grade::Unguarded);
    let seen = if told.overlapped && is_known {
        "ran at one time"
    } else if graded.is_some_and(|finding| finding.grade == Grade::OrderDependent) {
        "one needs the other to run first; no lock helps"
    } else if is_known {
        "ran one after the other, and another schedule may bring them together"
    } else {
        "it is not known whether something keeps them apart"
    };
    writeln!(out, "  {DIM}{}; {seen}{DIM:#}", told.kind)?;
    if let Some(finding) = graded {
        confirmed::pairs(out, finding)?;
    }
    match graded {
        Some(finding) if finding.grade == Grade::OrderDependent => writeln!(
            out,
            "  {BOLD}mend:{BOLD:#} do in the test itself what the other one does for it\n"
        ),
        _ => writeln!(out, "  {BOLD}mend:{BOLD:#} {}\n", plain(&told.mend)),
    }
}

/// Who writes, and who only reads; each test once, with its first place.
fn sides(parties: &[Party]) -> (Vec<Row>, Vec<Row>) {
    let mut tests: BTreeMap<(&str, String), &Party> = BTreeMap::new();
    for party in parties {
        let known = tests.entry((&party.binary, party.to_string())).or_insert(party);
        let stronger = known.access == Some(Access::Read) && party.access == Some(Access::Write);
        let earlier = known.access == party.access && party.window.0 < known.window.0;
        if stronger || earlier {
            *known = party;
        }
    }
    let (writers, readers): (Vec<&Party>, Vec<&Party>) = tests
        .into_values()
        .partition(|party| party.access == Some(Access::Write));
    let rows = |parties: Vec<&Party>| parties.into_iter().map(row).collect();
    (rows(writers), rows(readers))
}

fn row(party: &Party) -> Row {
    Row {
        test: plain(&party.to_string()).into_owned(),
        binary: plain(&party.binary).into_owned(),
        place: party
            .place
            .as_deref()
            .map(|place| plain(place).into_owned())
            .unwrap_or_default(),
    }
}

/// For the last line: what the verdict holds for, and what not.
pub(super) fn watched(observed: &Observed) -> String {
    let accesses = match observed.watched.accesses {
        1 => "1 access".to_owned(),
        number => format!("{number} accesses"),
    };
    let share = match (observed.watched.of_no_test, observed.watched.accesses) {
        (0, _) | (_, 0) => String::new(),
        (none, all) => format!(" ({:.1} % of them by no test)", none as f64 * 100.0 / all as f64),
    };
    let guarded = match observed
        .confirmed
        .as_ref()
        .map_or(0, |confirmed| confirmed.guarded.len() as u64)
    {
        0 => String::new(),
        number => format!("; {} guarded", count(number, "resource")),
    };
    format!(
        "{} in {}, {accesses} to files, ports, environment, working directory{share}; memory and rows of databases \
         were not{guarded}",
        count(observed.watched.tests, "test"),
        count(observed.watched.programs, "program"),
    )
}
