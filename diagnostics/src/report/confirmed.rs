//! What running tests once more showed, for a person.

use super::headline::headline;
use super::style::DIM;
use super::text::{count, plain};
use crate::commands::{Findings, Observed};
use crate::findings::{Finding, Grade, Kind};
use cofferdam::diagnostics::Severity;
use std::io::{self, Write};

/// As many pairs of a resource are told one by one, and as many guarded resources by name.
const TOLD: usize = 3;
const NAMED: usize = 10;

const GRADES: [Grade; 4] = [
    Grade::Reproduced,
    Grade::Unguarded,
    Grade::Potential,
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
    let run = finding.pairs.len() as u64;
    let line = match (run, finding.pairs_in_all) {
        (0, _) => "no pair was run again: there was no time, or none that could be".to_owned(),
        (1, 1) => return Ok(()),
        (run, all) if run == all => format!("all {all} pairs were run again: {}", by_grade(finding)),
        (run, all) => format!("{run} of {all} pairs were run again: {}", by_grade(finding)),
    };
    writeln!(out, "  {DIM}{line}{DIM:#}")
}

fn by_grade(finding: &Finding) -> String {
    listed(|grade| finding.pairs.iter().filter(|pair| pair.grade == grade).count())
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
                "{} ({})",
                finding.resource,
                count(finding.tests.len() as u64, "test")
            )
        })
        .collect();
    if guarded.len() > NAMED {
        names.push(format!("and {} more", guarded.len() - NAMED));
    }
    let text = format!(
        "{} on which tests never met when they were run again, so something keeps them apart: {}",
        count(guarded.len() as u64, "resource"),
        names.join(", ")
    );
    headline(out, Severity::Note, "guarded", &text)
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
            mend: String::new(),
        }
    }

    fn told(finding: &Finding) -> String {
        let mut out = anstream::StripStream::new(Vec::new());
        pairs(&mut out, finding).unwrap();
        String::from_utf8(out.into_inner()).unwrap()
    }

    #[test]
    fn the_gravest_pairs_are_told_and_the_others_counted() {
        use Grade::{Guarded, Reproduced, Unguarded};
        for (grades, in_all, last) in [
            (
                &[][..],
                1,
                "no pair was run again: there was no time, or none that could be",
            ),
            (
                &[Reproduced, Unguarded],
                2,
                "all 2 pairs were run again: 1 reproduced, 1 unguarded",
            ),
            (
                &[Reproduced, Unguarded, Unguarded, Guarded],
                9,
                "4 of 9 pairs were run again: 1 reproduced, 2 unguarded, 1 guarded",
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
