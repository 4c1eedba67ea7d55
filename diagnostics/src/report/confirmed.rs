//! What running tests once more showed, for a person.

use super::headline::headline;
use super::style::DIM;
use super::text::{count, plain};
use crate::commands::{Findings, Observed, is_not_tried};
use crate::findings::{Finding, Grade, Kind};
use cofferdam_conflicts::Severity;
use std::io::{self, Write};

/// As many pairs of a resource are told one by one, and as many guarded resources by name.
const TOLD: usize = 3;
const NAMED: usize = 10;

const GRADES: [Grade; 4] = [
    Grade::Reproduced,
    Grade::Unguarded,
    Grade::OrderDependent,
    Grade::Guarded,
];

/// The gravest pairs of a resource, then how many were run.
pub(super) fn pairs(out: &mut impl Write, finding: &Finding) -> io::Result<()> {
    let name = |position: usize| finding.tests.get(position).map_or("", |test| &test.name);
    for pair in finding.pairs.iter().take(TOLD) {
        let [a, b] = pair.tests.map(|position| plain(name(position)).into_owned());
        let between = if finding.kind == Kind::OrderLeak {
            "then"
        } else {
            "×"
        };
        writeln!(
            out,
            "  {DIM}{}: {a} {between} {b}: {}{DIM:#}",
            pair.grade,
            plain(&pair.why)
        )?;
    }
    match (finding.pairs.len(), finding.pairs_in_all) {
        (1, 1) => Ok(()),
        _ => writeln!(out, "  {DIM}{}: {}{DIM:#}", tried(finding), by_grade(finding)),
    }
}

/// Returns `2 of 9 pairs tried`: of which something is known.
fn tried(finding: &Finding) -> String {
    let tried = finding.pairs.iter().filter(|pair| pair.grade != Grade::Potential);
    format!(
        "{} of {} tried",
        tried.count(),
        count(finding.pairs_in_all, "pair")
    )
}

fn by_grade(finding: &Finding) -> String {
    let grades = listed(|grade| finding.pairs.iter().filter(|pair| pair.grade == grade).count());
    match grades.as_str() {
        "" if finding.pairs.is_empty() => "no time was left, or a program cannot be started again".to_owned(),
        "" => "the runs showed nothing".to_owned(),
        _ => grades,
    }
}

/// `2 reproduced, 1 unguarded`.
fn listed(number: impl Fn(Grade) -> usize) -> String {
    let parts: Vec<String> = GRADES
        .into_iter()
        .map(|grade| (number(grade), grade))
        .filter(|(number, _)| *number > 0)
        .map(|(number, grade)| format!("{number} {grade}"))
        .collect();
    parts.join(", ")
}

/// How many of the conflicts have which grade, where they were given.
pub(super) fn grades(findings: &Findings) -> String {
    let of = |grade: Grade| {
        let conflicts = findings.of_severity(Severity::Conflict);
        conflicts
            .filter(|(_, graded)| graded.is_some_and(|finding| finding.grade == grade))
            .count()
    };
    match listed(of).as_str() {
        "" => String::new(),
        parts => format!(" ({parts})"),
    }
}

/// What is no conflict any more, in one line.
pub(super) fn guarded(out: &mut impl Write, observed: &Observed) -> io::Result<()> {
    let guarded = observed
        .confirmed
        .as_ref()
        .map_or(&[][..], |confirmed| &confirmed.guarded);
    if guarded.is_empty() {
        return Ok(());
    }
    let mut names: Vec<String> = guarded
        .iter()
        .take(NAMED)
        .map(|finding| {
            format!(
                "{} ({}, {})",
                finding.resource,
                count(finding.tests.len() as u64, "test"),
                tried(finding)
            )
        })
        .collect();
    if guarded.len() > NAMED {
        names.push(format!("and {} more", guarded.len() - NAMED));
    }
    let text = format!(
        "{} on which no pair of tests that was tried ever met, so something keeps them apart: {}",
        count(guarded.len() as u64, "resource"),
        names.join(", ")
    );
    headline(out, Severity::Note, "guarded", &text)
}

/// Returns the word for a grade at the head of a resource.
pub(super) fn word(finding: &Finding) -> &'static str {
    if is_not_tried(finding) {
        let is_tried = finding.pairs.iter().any(|pair| pair.grade != Grade::Potential);
        if is_tried { "partly tried" } else { "not tried" }
    } else {
        finding.grade.as_str()
    }
}

/// Writes what the runs did besides: tests that were stopped, files that they left.
pub(super) fn after(out: &mut impl Write, observed: &Observed) -> io::Result<()> {
    let Some(confirmed) = &observed.confirmed else {
        return Ok(());
    };
    for stopped in &confirmed.stopped {
        let tests: Vec<_> = stopped.tests.iter().map(|test| plain(test)).collect();
        let text = format!(
            "{} after {} s, for the run took too long or the time was over",
            tests.join(", "),
            stopped.after.as_secs()
        );
        headline(out, Severity::Warning, "stopped", &text)?;
    }
    if !confirmed.left.is_empty() {
        let mut names: Vec<_> = confirmed
            .left
            .iter()
            .take(NAMED)
            .map(|path| plain(&path.to_string_lossy()).into_owned())
            .collect();
        if confirmed.left.len() > NAMED {
            names.push(format!("and {} more", confirmed.left.len() - NAMED));
        }
        let text = format!(
            "{} in the packages since tests ran again; remove what does not belong there: {}",
            count(confirmed.left.len() as u64, "new file"),
            names.join(", ")
        );
        headline(out, Severity::Warning, "left behind", &text)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::findings::{Pair, Runner, Test};
    use cofferdam::Resource;

    fn finding(grades: &[Grade], in_all: u64) -> Finding {
        let test = |name: &str| Test {
            name: name.to_owned(),
            binary: "shop".to_owned(),
            package: String::new(),
            runner: Runner::CargoTest,
            grade: Grade::Potential,
            uses: Vec::new(),
        };
        let pair = |grade: &Grade| Pair {
            tests: [0, 1],
            grade: *grade,
            tries: 1,
            why: "so it was".to_owned(),
        };
        Finding {
            kind: Kind::SharedResource,
            resource: Resource::env("HOME"),
            grade: Grade::Unguarded,
            overlapped: true,
            origin: None,
            tests: vec![test("a"), test("b\u{1b}")],
            pairs: grades.iter().map(pair).collect(),
            pairs_in_all: in_all,
            help: String::new(),
        }
    }

    fn told(finding: &Finding) -> String {
        let mut out = anstream::StripStream::new(Vec::new());
        pairs(&mut out, finding).unwrap();
        String::from_utf8(out.into_inner()).unwrap()
    }

    #[test]
    fn the_gravest_pairs_are_told_and_the_others_counted() {
        use Grade::{Guarded, Potential, Reproduced, Unguarded};
        for (grades, in_all, last) in [
            (
                &[][..],
                1,
                "0 of 1 pair tried: no time was left, or a program cannot be started again",
            ),
            (
                &[Reproduced, Unguarded],
                2,
                "2 of 2 pairs tried: 1 reproduced, 1 unguarded",
            ),
            (
                &[Reproduced, Unguarded, Unguarded, Potential, Guarded],
                9,
                "4 of 9 pairs tried: 1 reproduced, 2 unguarded, 1 guarded",
            ),
            (
                &[Potential, Potential],
                3,
                "0 of 3 pairs tried: the runs showed nothing",
            ),
        ] {
            let told = told(&finding(grades, in_all));
            assert_eq!(told.lines().last().unwrap().trim(), last);
            assert_eq!(told.lines().count(), grades.len().min(TOLD) + 1);
        }
        assert_eq!(
            told(&finding(&[Reproduced], 1)),
            "  reproduced: a × b\\u{1b}: so it was\n"
        );
    }
}
