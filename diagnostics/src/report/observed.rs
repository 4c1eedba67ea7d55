//! Conflicts of an observed suite, for people: by resource, writers before readers.

use super::confirmed;
use super::excerpt::Excerpts;
use super::style::{BOLD, DIM, headline};
use super::text::{count, plain};
use crate::commands::{Examination, FailedTest, Findings, Observed, PoisonedLock};
use cofferdam::format::Scope;
use cofferdam::{Access, Resource};
use cofferdam_conflicts::{Conflict, Grade, Kind, KnownStatic, NO_COMMON_LOCK, Severity, Test, Use};
use std::io::{self, Write};

/// The number of writers, and of readers, that are listed; the others are counted.
const LISTED: usize = 20;

/// A row: a test and its use of the resource.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    test: String,
    binary: String,
    place: String,
    access: Access,
}

/// Writes a resource with the tests that use it.
pub(super) fn block(
    out: &mut impl Write,
    conflict: &Conflict,
    findings: &Findings,
    excerpts: &Excerpts,
) -> io::Result<()> {
    let (writers, readers) = sides(conflict);
    let text = text(conflict, findings, writers.len(), readers.len());
    let severity = conflict.severity();
    headline(out, severity, confirmed::word(conflict, findings), &text)?;
    let width = |column: fn(&Row) -> &str| {
        let rows = writers.iter().take(LISTED).chain(readers.iter().take(LISTED));
        rows.map(|row| column(row).chars().count()).max().unwrap_or(0)
    };
    let (first, second) = (width(|row| &row.test), width(|row| &row.binary));
    for (word, rows) in [("write", &writers), ("read", &readers)] {
        for row in rows.iter().take(LISTED) {
            let (test, binary, place) = (&row.test, &row.binary, &row.place);
            let word = if row.access == Access::List { "lists" } else { word };
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
    excerpts.write(out, conflict)?;
    for line in static_lines(conflict) {
        writeln!(out, "  {DIM}{}{DIM:#}", plain(&line))?;
    }
    if let Some(parts) = &conflict.name_parts {
        writeln!(out, "  {DIM}the name is made from {}{DIM:#}", plain(parts))?;
    }
    writeln!(
        out,
        "  {DIM}{}; {}{DIM:#}",
        conflict.kind,
        seen(conflict, findings)
    )?;
    if conflict.grade.is_some() && findings.is_confirmed() {
        confirmed::pairs(out, conflict)?;
    }
    writeln!(out, "  {BOLD}help:{BOLD:#} {}\n", plain(help(conflict)))
}

/// Returns the resource with the number of tests that write and read it.
pub(super) fn summary(conflict: &Conflict, findings: &Findings) -> String {
    let (writers, readers) = sides(conflict);
    text(conflict, findings, writers.len(), readers.len())
}

fn text(conflict: &Conflict, findings: &Findings, writers: usize, readers: usize) -> String {
    let resource = conflict
        .resource
        .as_ref()
        .map(|resource| plain_name(resource, conflict, findings))
        .unwrap_or_default();
    // A lock says nothing about what a test leaves in a static.
    let lock = if is_known(conflict) && conflict.static_facts.is_none() {
        NO_COMMON_LOCK
    } else {
        ""
    };
    let writers = writers as u64;
    match readers as u64 {
        0 => format!("{resource}: {} write it{lock}", count(writers, "test")),
        readers => format!(
            "{resource}: {} × {}{lock}",
            count(writers, "writer"),
            count(readers, "reader")
        ),
    }
}

/// Returns whether the tests are known to have no lock in common, as far as runs have shown.
fn is_known(conflict: &Conflict) -> bool {
    conflict.grade.is_none_or(|grade| grade >= Grade::Unguarded)
}

fn needs_order(conflict: &Conflict) -> bool {
    conflict.grade == Some(Grade::OrderDependent)
}

/// Returns what was seen of the tests' uses.
fn seen(conflict: &Conflict, findings: &Findings) -> &'static str {
    let is_known = is_known(conflict);
    if conflict.overlapped && is_known {
        "used it at the same time"
    } else if needs_order(conflict) {
        "one needs the other to run first; no lock helps"
    } else if conflict.grade == Some(Grade::Reproduced) && conflict.kind == Kind::SharedResource {
        "used it one after the other in the suite; rerun, one made the other fail"
    } else if conflict.grade == Some(Grade::Unguarded) && conflict.kind == Kind::SharedResource {
        "used it one after the other in the suite; rerun, they used it at the same time"
    } else if is_known {
        "used it one after the other, and another schedule may bring them together"
    } else if !findings.is_confirmed() {
        "it is not known whether they held a lock in a static; `--confirm` looks whether something keeps them apart"
    } else {
        "it is not known whether something keeps them apart"
    }
}

/// Returns the change that ends it.
pub(super) fn help(conflict: &Conflict) -> &str {
    if needs_order(conflict) {
        "do in the test itself what the other one does for it"
    } else {
        &conflict.help
    }
}

/// Returns what is known of the static of a conflict; nothing about other resources.
pub(super) fn static_lines(conflict: &Conflict) -> Vec<String> {
    let mut lines = Vec::new();
    let Some(facts) = &conflict.static_facts else {
        return lines;
    };
    let type_name = Some(&facts.type_name).filter(|name| !name.is_empty());
    match (&facts.declared, type_name) {
        (Some(place), Some(type_name)) => lines.push(format!("of type {type_name}, declared at {place}")),
        (Some(place), None) => lines.push(format!("declared at {place}")),
        (None, Some(type_name)) => lines.push(format!("of type {type_name}")),
        (None, None) => {}
    }
    let path = conflict.resource.as_ref().map_or("", Resource::as_str);
    lines.extend(KnownStatic::of(path).map(|known| known.meaning().to_owned()));
    if !facts.captured.is_empty() {
        lines.push(format!(
            "its initializer read {}, which a test changes: the first test that uses it decides for all",
            facts.captured.join(", ")
        ));
    }
    match &facts.one_of[..] {
        [] => {}
        [_] => {
            lines.push("the tests may also share what was not observed, and that may be the cause".to_owned())
        }
        all => lines.push(format!("the cause is one of: {}", all.join(", "))),
    }
    lines
}

/// Returns the resource, with its program where several programs have one of that name.
fn plain_name(resource: &Resource, conflict: &Conflict, findings: &Findings) -> String {
    let same = findings
        .conflicts
        .iter()
        .filter(|other| other.resource.as_ref() == Some(resource));
    let program = conflict.tests.first().map(|test| &test.binary);
    match program.filter(|_| same.count() > 1) {
        Some(program) if resource.kind().scope() == Scope::Process => {
            format!("{resource} of {}", plain(program))
        }
        _ => resource.to_string(),
    }
}

/// Returns the tests that write, and those that only read or list, each test once with its first line.
fn sides(conflict: &Conflict) -> (Vec<Row>, Vec<Row>) {
    let rows = conflict.tests.iter().filter_map(row);
    let (mut writers, mut readers): (Vec<Row>, Vec<Row>) = rows.partition(|row| row.access == Access::Write);
    for rows in [&mut writers, &mut readers] {
        rows.sort_by(|a, b| (&a.binary, &a.test).cmp(&(&b.binary, &b.test)));
    }
    (writers, readers)
}

fn row(test: &Test) -> Option<Row> {
    let uses = |access: Access| test.uses.iter().find(|one| one.access == Some(access));
    let used = uses(Access::Write)
        .or_else(|| uses(Access::Read))
        .or_else(|| uses(Access::List))?;
    Some(Row {
        test: plain(test.name()).into_owned(),
        binary: plain(&test.binary).into_owned(),
        place: plain(&places(used)).into_owned(),
        access: used.access?,
    })
}

/// Returns `src/store.rs:12, from tests/shop.rs:7`: the innermost line, and that of the test where it is another.
pub(super) fn places(used: &Use) -> String {
    match (&used.place, &used.test_place) {
        (Some(place), Some(test)) if place != test => format!("{place}, from {test}"),
        (Some(place), _) | (None, Some(place)) => place.clone(),
        (None, None) => String::new(),
    }
}

/// Writes a line about the statics that tests share, and the statics themselves if they are to be listed.
pub(super) fn statics(out: &mut impl Write, observed: &Observed) -> io::Result<()> {
    let Some(statics) = &observed.statics else {
        return Ok(());
    };
    let shared = statics.shared.len() as u64;
    if shared > 0 {
        let how = if observed.lists_statics {
            ""
        } else {
            "; `--list-statics` names them"
        };
        let tried = match statics.pairs {
            Some((tried, total)) => format!("; {tried} of {} at statics tried", count(total, "pair")),
            None => String::new(),
        };
        let text = format!(
            "tests share {} that one of them changes, which is no conflict by itself{tried}{how}",
            count(shared, "static")
        );
        headline(out, Severity::Note, "note", &text)?;
    }
    for one in statics.shared.iter().filter(|_| observed.lists_statics) {
        let declared = one.declared.as_deref().map(|line| format!(" ({})", plain(line)));
        writeln!(out, "  {}{}", plain(&one.name), declared.unwrap_or_default())?;
        for (word, uses) in [("write", &one.writers), ("read", &one.readers)] {
            for used in uses.iter().take(LISTED) {
                let place = plain(used.place.as_deref().unwrap_or_default());
                let line = format!("    {word:5}  {}  {place}", plain(&used.test));
                writeln!(out, "{}", line.trim_end())?;
            }
            if uses.len() > LISTED {
                let more = count((uses.len() - LISTED) as u64, "more test");
                writeln!(out, "    {word:5}  and {more}")?;
            }
        }
    }
    let mut reasons: Vec<(&str, u64)> = Vec::new();
    for entry in &statics.unwatched {
        match reasons.iter_mut().find(|(reason, _)| *reason == entry.reason) {
            Some((_, programs)) => *programs += entry.count,
            None => reasons.push((&entry.reason, entry.count)),
        }
    }
    for (reason, programs) in &reasons {
        let text = format!("{} out of reach: {reason}", count(*programs, "program"));
        headline(out, Severity::Note, "note", &text)?;
    }
    if statics.are_apart && observed.coverage.tests > 0 {
        let text = "each test has a process of its own, so tests share no statics";
        headline(
            out,
            Severity::Note,
            "note",
            &format!("{text}{}", kept_apart(&statics.kept_apart)),
        )?;
    }
    Ok(())
}

/// Returns the statics that processes keep apart, as an earlier observation shows.
fn kept_apart(statics: &[String]) -> String {
    if statics.is_empty() {
        return String::new();
    }
    let listed: Vec<&str> = statics.iter().take(LISTED).map(String::as_str).collect();
    let more = match statics.len() - listed.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let (shared, them) = match statics.len() {
        1 => ("1 static".to_owned(), "it"),
        number => (format!("{number} statics"), "them"),
    };
    format!(
        "; `cargo test` showed {shared} shared by its tests: {}{more}; nextest's processes keep {them} apart",
        plain(&listed.join(", "))
    )
}

/// Writes a line for each test that failed, or was running when its program ended.
pub(super) fn failed(out: &mut impl Write, observed: &Observed) -> io::Result<()> {
    for (word, text, _) in failed_tests(observed) {
        headline(out, Severity::Conflict, word, &text)?;
    }
    Ok(())
}

/// Returns what became of each test that failed or did not end, and its name with its program and its further runs. Tests that
/// failed at one poisoned lock are one entry.
pub(super) fn failed_tests(observed: &Observed) -> Vec<(&'static str, String, Vec<&FailedTest>)> {
    let failed = observed.failed.iter().map(|test| ("failed", test));
    let unfinished = observed.unfinished.iter().map(|test| ("unfinished", test));
    let mut groups: Vec<(&'static str, Vec<&FailedTest>)> = Vec::new();
    for (word, test) in failed.chain(unfinished) {
        let is_same = |(_, group): &&mut (_, Vec<&FailedTest>)| {
            test.poisoned.is_some() && group[0].poisoned == test.poisoned && group[0].binary == test.binary
        };
        match groups.iter_mut().find(is_same) {
            Some((_, group)) => group.push(test),
            None => groups.push((word, vec![test])),
        }
    }
    let mut entries = Vec::new();
    for (word, tests) in groups {
        let first = tests[0];
        let subject = match (&first.poisoned, tests.len()) {
            (Some(_), 2..) => count(tests.len() as u64, "other test"),
            _ => first.name.clone(),
        };
        let explained = test_explained(first).map(|why| format!(": {why}"));
        let text = format!("{subject} ({}){}", first.binary, explained.unwrap_or_default());
        entries.push((word, text, tests));
    }
    entries
}

/// Returns why a test failed, or what its further runs show.
pub(super) fn test_explained(test: &FailedTest) -> Option<String> {
    match &test.poisoned {
        Some(PoisonedLock { by, name: Some(lock) }) => Some(format!("the lock {lock} was poisoned by {by}")),
        Some(PoisonedLock { by, name: None }) => Some(format!("a lock was poisoned by {by}")),
        None => test.examination.as_ref().map(explained),
    }
}

/// Returns what the further runs of a failed test show.
pub(super) fn explained(examination: &Examination) -> String {
    let Examination {
        runs,
        failed,
        fails_after_preceding,
        not_run,
    } = examination;
    let not_run = not_run.as_deref();
    let alone = match (*failed, *runs) {
        (_, 0) => return format!("not examined: {}", not_run.unwrap_or("it has no result")),
        (0, _) => "passes alone".to_owned(),
        (failed, runs) if failed == runs => "fails alone".to_owned(),
        (failed, runs) => return format!("failed {failed} of {runs} runs alone"),
    };
    match (*failed > 0, fails_after_preceding, not_run) {
        (false, Some(true), _) => format!("{alone}, fails after the tests before it"),
        (false, Some(false), _) => format!("{alone} and after the tests before it"),
        (true, Some(false), _) => format!("{alone}, passes after the tests before it"),
        (true, Some(true), _) | (true, None, None) => format!("{alone} too"),
        (false, None, None) => alone,
        (_, None, Some(why)) => format!("{alone}; not run after the tests before it: {why}"),
    }
}

/// Returns the extent of the verdict, for the last line.
pub(super) fn watched(observed: &Observed) -> String {
    let accesses = match observed.coverage.accesses {
        1 => "1 access".to_owned(),
        number => format!("{number} accesses"),
    };
    let share = match (observed.coverage.of_no_test, observed.coverage.accesses) {
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
    let is_seen = observed
        .statics
        .as_ref()
        .is_some_and(|statics| statics.programs > 0);
    let (statics, memory) = if is_seen {
        (", statics", "the heap")
    } else {
        ("", "memory")
    };
    format!(
        "{} in {}, {accesses} to files, ports, environment, working directory{statics}{share}; {memory} and rows of databases \
         were not{guarded}",
        count(observed.coverage.tests, "test"),
        count(observed.coverage.programs, "program"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_further_runs_of_a_failed_test_are_one_phrase() {
        let not_run = Some("the time is over".to_owned());
        for (failed, runs, fails_after_preceding, not_run, phrase) in [
            (
                0,
                3,
                Some(true),
                None,
                "passes alone, fails after the tests before it",
            ),
            (
                0,
                3,
                Some(false),
                None,
                "passes alone and after the tests before it",
            ),
            (3, 3, Some(true), None, "fails alone too"),
            (
                3,
                3,
                Some(false),
                None,
                "fails alone, passes after the tests before it",
            ),
            (1, 3, Some(true), None, "failed 1 of 3 runs alone"),
            (0, 3, None, None, "passes alone"),
            (1, 1, None, None, "fails alone too"),
            (
                0,
                1,
                None,
                not_run.clone(),
                "passes alone; not run after the tests before it: the time is over",
            ),
            (0, 0, None, not_run, "not examined: the time is over"),
        ] {
            let examination = Examination {
                runs,
                failed,
                fails_after_preceding,
                not_run,
            };
            assert_eq!(explained(&examination), phrase);
        }
    }
}
