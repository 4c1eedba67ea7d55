//! The results of rerunning tests, for people.

use super::style::{DIM, headline};
use super::text::{count, plain};
use crate::commands::{Findings, Observed};
use cofferdam_conflicts::{Conflict, Grade, Kind, Severity};
use std::io::{self, Write};

/// The number of pairs of a resource that are listed, and below of guarded resources that are named.
const TOLD: usize = 3;
const NAMED: usize = 10;

const GRADES: [Grade; 4] = [
    Grade::Reproduced,
    Grade::Unguarded,
    Grade::OrderDependent,
    Grade::Guarded,
];

/// Returns `reproduced: a × b: the reason` for the most severe pairs of a resource.
pub(super) fn pair_lines(conflict: &Conflict) -> impl Iterator<Item = String> {
    let name = |position: usize| conflict.tests.get(position).map_or("", |test| test.name());
    let between = if conflict.kind == Kind::OrderLeak {
        "then"
    } else {
        "×"
    };
    conflict.pairs.iter().take(TOLD).map(move |pair| {
        let [a, b] = pair.tests.map(name);
        format!("{}: {a} {between} {b}: {}", pair.grade, pair.reason)
    })
}

/// Writes the most severe pairs of a resource, then the number of pairs that were run.
pub(super) fn pairs(out: &mut impl Write, conflict: &Conflict) -> io::Result<()> {
    for line in pair_lines(conflict) {
        writeln!(out, "  {DIM}{}{DIM:#}", plain(&line))?;
    }
    if let Some(tried) = all_tried(conflict) {
        writeln!(out, "  {DIM}{tried}{DIM:#}")?;
    }
    let failing: Vec<_> = conflict.failing_alone().map(plain).collect();
    if !conflict.is_undecided() || failing.is_empty() {
        return Ok(());
    }
    let more = match failing.len().saturating_sub(TOLD) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let names = failing[..failing.len().min(TOLD)].join(", ");
    writeln!(
        out,
        "  {DIM}note: started by name, without the rest of the suite, these tests fail, which may be why: {names}{more}{DIM:#}"
    )
}

/// Returns the number of pairs that were tried, by grade, where that is more than one pair shows.
pub(super) fn all_tried(conflict: &Conflict) -> Option<String> {
    let pairs = count(conflict.pair_count, "pair");
    match (conflict.pairs.len(), conflict.pair_count) {
        (1, 1) => None,
        // Of a static it has only the reproduced pairs.
        (reproduced, _) if conflict.static_facts.is_some() => {
            Some(format!("{reproduced} of {pairs} reproduced"))
        }
        _ => Some(format!("{}: {}", tried(conflict), by_grade(conflict))),
    }
}

/// Returns `2 of 9 pairs tried`: the pairs with a result.
fn tried(conflict: &Conflict) -> String {
    let tried = conflict
        .pairs
        .iter()
        .filter(|pair| pair.grade != Grade::Potential);
    format!(
        "{} of {} tried",
        tried.count(),
        count(conflict.pair_count, "pair")
    )
}

fn by_grade(conflict: &Conflict) -> String {
    let grades = listed(|grade| conflict.pairs.iter().filter(|pair| pair.grade == grade).count());
    match grades.as_str() {
        "" if conflict.pairs.is_empty() => {
            "no time was left, or a program cannot be started again".to_owned()
        }
        "" => "the runs showed nothing".to_owned(),
        _ => grades,
    }
}

/// Returns `2 reproduced, 1 unguarded`.
fn listed(number: impl Fn(Grade) -> usize) -> String {
    let parts: Vec<String> = GRADES
        .into_iter()
        .map(|grade| (number(grade), grade))
        .filter(|(number, _)| *number > 0)
        .map(|(number, grade)| format!("{number} {grade}"))
        .collect();
    parts.join(", ")
}

/// Returns the number of conflicts of each grade.
pub(super) fn grades(findings: &Findings) -> String {
    let of = |grade: Grade| {
        let conflicts = findings.of_severity(Severity::Conflict);
        conflicts.filter(|conflict| conflict.grade == Some(grade)).count()
    };
    match listed(of).as_str() {
        "" => String::new(),
        parts => format!(" ({parts})"),
    }
}

/// Writes the guarded resources in one line.
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
        .map(|conflict| {
            format!(
                "{} ({}, {})",
                conflict
                    .resource
                    .as_ref()
                    .map(ToString::to_string)
                    .unwrap_or_default(),
                count(conflict.tests.len() as u64, "test"),
                tried(conflict)
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

/// Returns the word at the head of a resource: its grade, or its severity where it has none.
pub(super) fn word(conflict: &Conflict, findings: &Findings) -> &'static str {
    let Some(grade) = conflict.grade else {
        return conflict.severity().as_str();
    };
    if !conflict.is_undecided() {
        grade.as_str()
    } else if conflict.pairs.iter().any(|pair| pair.grade != Grade::Potential) {
        "partly tried"
    } else {
        undecided(findings)
    }
}

/// Returns the word for resources that are not decided.
pub(super) fn undecided(findings: &Findings) -> &'static str {
    if findings.is_confirmed() {
        "not tried"
    } else {
        "perhaps guarded"
    }
}

/// Writes the side effects of the runs: stopped tests, and files that they left behind.
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
    use cofferdam::Resource;
    use cofferdam_conflicts::{Pair, Runner, StaticFacts, Test};

    fn conflict(grades: &[Grade], pair_count: u64) -> Conflict {
        let test = |name: &str| Test {
            run: String::new(),
            worker: String::new(),
            pid: 7,
            binary: "shop".to_owned(),
            package: String::new(),
            runner: Some(Runner::CargoTest),
            name: Some(name.to_owned()),
            attempt: 1,
            grade: None,
            fails_alone: false,
            uses: Vec::new(),
        };
        let pair = |grade: &Grade| Pair {
            tests: [0, 1],
            grade: *grade,
            tries: 1,
            reason: "so it was".to_owned(),
        };
        Conflict {
            kind: Kind::SharedResource,
            resource: Some(Resource::env("HOME")),
            service: None,
            grade: Some(Grade::Unguarded),
            overlapped: true,
            between_runs: false,
            message: String::new(),
            help: String::new(),
            output: None,
            name_parts: None,
            static_facts: None,
            tests: vec![test("a"), test("b\u{1b}")],
            use_count: 2,
            pairs: grades.iter().map(pair).collect(),
            pair_count,
        }
    }

    #[test]
    fn a_resource_that_was_not_tried_names_the_tests_that_fail_alone() {
        let mut conflict = conflict(&[Grade::Potential], 1);
        conflict.tests[1].fails_alone = true;
        assert_eq!(
            text(&conflict).lines().count(),
            1,
            "an unguarded resource needs no excuse"
        );
        conflict.grade = Some(Grade::Potential);
        let text = text(&conflict);
        let last = text.lines().last().unwrap().trim();
        assert_eq!(
            last,
            "note: started by name, without the rest of the suite, these tests fail, which may be why: b\\u{1b}"
        );
    }

    fn text(conflict: &Conflict) -> String {
        let mut out = anstream::StripStream::new(Vec::new());
        pairs(&mut out, conflict).unwrap();
        String::from_utf8(out.into_inner()).unwrap()
    }

    #[test]
    fn the_most_severe_pairs_are_listed_and_the_others_counted() {
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
            let text = text(&conflict(grades, in_all));
            assert_eq!(text.lines().last().unwrap().trim(), last);
            assert_eq!(text.lines().count(), grades.len().min(TOLD) + 1);
        }
        let of_static = Conflict {
            static_facts: Some(StaticFacts::default()),
            ..conflict(&[Reproduced], 9)
        };
        assert!(text(&of_static).ends_with("\n  1 of 9 pairs reproduced\n"));
        assert_eq!(
            text(&conflict(&[Reproduced], 1)),
            "  reproduced: a × b\\u{1b}: so it was\n"
        );
    }
}
