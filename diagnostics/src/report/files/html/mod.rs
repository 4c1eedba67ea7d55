//! The report as one self-contained page: it loads nothing, and all of it can be read without its script.
//!
//! `conflict_card` and `cause_card` show findings, `timeline` and `test_table` tests on an `axis`, and `frame` puts them together.
//! `proposed_changes` shows a diff, `quoted` source lines, `escaped` escapes texts,
//! and `content_security` hashes the script and the style that the page may use.

mod axis;
#[cfg(has_observer)]
mod cause_card;
mod conflict_card;
mod content_security;
mod escaped;
mod frame;
#[cfg(test)]
mod page_tests;
mod proposed_changes;
mod quoted;
mod test_table;
mod timeline;

#[cfg(has_observer)]
use crate::commands::hunt::{Cause, Hunted};
use crate::commands::{FailedTest, Findings, Outcome};
use crate::exit_code::Verdict;
use crate::findings::Account;
#[cfg(has_observer)]
use crate::hunt::Regime;
#[cfg(has_observer)]
use crate::report::hunt as hunt_report;
use crate::report::reported::Reported;
use crate::report::shell_line::shell_line;
use crate::report::source_quotes::SourceQuotes;
use crate::report::text::count;
use crate::report::{baseline, batch, confirmed, last_line, observed, summary};
use anstream::StripStream;
use cofferdam_conflicts::{Conflict, Severity};
use conflict_card::{Cards, Form, HEADINGS};
use escaped::{Plain, YOUR_COMMAND, YOUR_COMMAND_MEANS};
use frame::{Page, Tone};
use maud::{Markup, html};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::{self, Write};
use timeline::{Mark, Timeline};

/// The number of findings that are shown with source lines.
const DETAILED: usize = 500;
/// Up to this number of findings, their source lines are shown at first.
const OPEN: usize = 20;

pub(super) fn write(out: &mut dyn Write, reported: Reported<'_>) -> io::Result<()> {
    let page = match reported {
        Reported::Outcome(outcome) => of_outcome(outcome),
        #[cfg(has_observer)]
        Reported::Hunt(hunted) => of_hunt(hunted),
    };
    out.write_all(page?.as_bytes())
}

/// Returns the page of `run`, `observe` or `check`.
fn of_outcome(outcome: &Outcome) -> io::Result<String> {
    let findings = &outcome.findings;
    let tests = Reported::Outcome(outcome).executions();
    let timeline = Timeline::of(&tests);
    let quotes = SourceQuotes::new(&outcome.dir);
    let cards = Cards {
        findings,
        quotes: &quotes,
        timeline: timeline.as_ref(),
    };
    let numbered: Vec<(usize, &Conflict)> = HEADINGS
        .into_iter()
        .flat_map(|(severity, _)| findings.of_severity(severity))
        .enumerate()
        .map(|(index, conflict)| (index + 1, conflict))
        .collect();
    let marks = |timeline: &Timeline<'_>| -> Vec<Mark> {
        let of =
            |(number, conflict): &(usize, &Conflict)| timeline.marks(*number, conflict).collect::<Vec<_>>();
        numbered.iter().flat_map(of).collect()
    };
    let marks = timeline.as_ref().map(marks).unwrap_or_default();
    let form = |number: usize| match number {
        _ if numbered.len() <= OPEN => Form::Open,
        0..=DETAILED => Form::Closed,
        _ => Form::Short,
    };
    let sections = html! {
        @for (severity, heading) in HEADINGS {
            @let own: Vec<_> = numbered.iter().filter(|(_, conflict)| conflict.severity() == severity).collect();
            @if !own.is_empty() {
                section aria-labelledby=(severity.as_str()) {
                    h2 id=(severity.as_str()) { (heading) " (" (own.len()) ")" }
                    @for (number, conflict) in own { (cards.markup(*number, conflict, form(*number))) }
                }
            }
        }
        @if numbered.is_empty() { p { "No finding in what was watched." } }
        @if let Some(proposal) = &findings.proposal { (proposed_changes::markup(proposal, &outcome.dir)) }
    };
    let mut unseen = programs(&findings.account);
    unseen.extend(lines(|out| last_line::write(out, findings))?);
    unseen.extend(
        findings
            .problems
            .iter()
            .map(|problem| format!("unreadable: {problem}")),
    );
    let more = findings.problem_count - findings.problems.len() as u64;
    if more > 0 {
        unseen.push(format!("unreadable: and {more} more"));
    }
    let kinds = numbered
        .iter()
        .map(|(_, conflict)| conflict.kind.as_str())
        .collect();
    let grades = numbered
        .iter()
        .map(|(_, conflict)| cards.word(conflict))
        .collect();
    Ok(frame::markup(&Page {
        title: title(findings.of_severity(Severity::Conflict).count(), "conflict"),
        tone: match outcome.verdict {
            Verdict::None => Tone::None,
            Verdict::Conflicts => Tone::Conflict,
            _ => Tone::Unknown,
        },
        verdict: summary::last_line(outcome),
        numbers: numbers(findings),
        tests: &tests,
        timeline: timeline.as_ref(),
        marks: &marks,
        kinds,
        grades,
        findings: sections,
        failed: failed_tests(outcome, &numbered),
        others: others(outcome)?,
        watched: summary::extent(outcome),
        dir: &outcome.dir,
        ran: "",
        unseen,
    })
    .into_string())
}

/// Returns the page of `hunt`.
#[cfg(has_observer)]
fn of_hunt(hunted: &Hunted) -> io::Result<String> {
    let tests = Reported::Hunt(hunted).executions();
    let timeline = Timeline::of(&tests);
    let quotes = SourceQuotes::new(&hunted.dir);
    let numbered = || (1..).zip(&hunted.causes);
    let marks = |timeline: &Timeline<'_>| -> Vec<Mark> {
        let of = |(number, cause): (usize, &Cause)| {
            let is_shared = |conflict: &&Conflict| {
                let mut uses = cause.uses.iter();
                uses.any(|used| Some(&used.resource) == conflict.resource.as_ref())
            };
            let conflicts = hunted.conflicts.iter().filter(is_shared);
            conflicts
                .flat_map(move |conflict| timeline.marks(number, conflict))
                .collect::<Vec<_>>()
        };
        numbered().flat_map(of).collect()
    };
    let marks = timeline.as_ref().map(marks).unwrap_or_default();
    let sections = html! {
        section aria-labelledby="causes" {
            h2 id="causes" { "Causes (" (hunted.causes.len()) ")" }
            @for (number, cause) in numbered() { (cause_card::markup(number, cause, hunted, &quotes)) }
            @if hunted.causes.is_empty() { p { "No cause was found." } }
        }
        (regimes(hunted))
    };
    let class = |cause: &Cause| cause.verdicts.first().map(|verdict| verdict.class.id());
    let classes: BTreeSet<&str> = hunted.causes.iter().filter_map(class).collect();
    Ok(frame::markup(&Page {
        title: title(hunted.causes.len(), "cause"),
        tone: if hunted.causes.is_empty() {
            Tone::None
        } else {
            Tone::Conflict
        },
        verdict: hunt_report::last_line(hunted),
        numbers: vec![
            (hunted.causes.len() as u64, "cause", "causes"),
            (
                (hunted.tests.len() + hunted.doc_tests) as u64,
                "test",
                "all-tests",
            ),
        ],
        tests: &tests,
        timeline: timeline.as_ref(),
        marks: &marks,
        kinds: classes,
        grades: BTreeSet::new(),
        findings: sections,
        failed: html! {},
        others: lines(|out| hunt_report::notes(out, hunted))?,
        watched: String::new(),
        dir: &hunted.dir,
        ran: "This is the first run of the command. ",
        unseen: Vec::new(),
    })
    .into_string())
}

/// Writes the tests that failed, and the findings that they are in.
fn failed_tests(outcome: &Outcome, numbered: &[(usize, &Conflict)]) -> Markup {
    let findings = &outcome.findings;
    let Some(observed) = findings
        .observed
        .as_ref()
        .filter(|observed| observed.has_failed_tests())
    else {
        return html! {};
    };
    let all = observed.failed.len() + observed.unfinished.len();
    let is_of = |failed: &FailedTest, conflict: &Conflict| {
        let mut tests = conflict.tests.iter();
        tests.any(|test| test.name() == failed.name && test.binary == failed.binary)
    };
    html! {
        section aria-labelledby="failed-tests" {
            h2 id="failed-tests" { "Failed tests (" (all) ")" }
            ul {
                @for (word, text, tests) in observed::failed_tests(observed) {
                    li {
                        strong.failure { (word) } ": " (Plain(&text))
                        @for (index, (number, _)) in numbered.iter().filter(|(_, conflict)| tests.iter().any(|test| is_of(test, conflict))).enumerate() {
                            @if index == 0 { ". It is in finding " } @else { ", " }
                            a href=(format!("#f{number}")) { "#" (number) }
                        }
                    }
                }
            }
            @if let Some(hunt) = hunt(outcome) { p { code { (hunt) } " looks for the reason" (YOUR_COMMAND_MEANS) } }
        }
    }
}

/// Returns the command that finds out why tests failed, without the words of the user's command: they may be secret.
fn hunt(outcome: &Outcome) -> Option<String> {
    let ours = outcome.hunt.iter().flatten().take_while(|word| *word != "--");
    let words: Vec<OsString> = ours.cloned().chain(["--".into(), YOUR_COMMAND.into()]).collect();
    outcome.hunt.as_ref().and_then(|_| shell_line(&words))
}

/// Writes the ways in which the suite ran, and the tests that failed in each.
#[cfg(has_observer)]
fn regimes(hunted: &Hunted) -> Markup {
    /// The number of failed tests that are named for each.
    const NAMED: usize = 10;
    html! {
        section aria-labelledby="regimes" {
            h2 id="regimes" { "How the suite ran" }
            ul {
                @for regime in &hunted.report.regimes {
                    li {
                        strong { (regime.regime.to_string()) } " (" (meaning(regime.regime)) "): "
                        @match &regime.void {
                            Some(why) => { "no result: " (Plain(why)) }
                            None if regime.failed.is_empty() => "no test failed",
                            None => {
                                (count(regime.failed.len() as u64, "test")) " failed: "
                                @for (index, test) in regime.failed.iter().take(NAMED).enumerate() {
                                    @if index > 0 { ", " } (Plain(&test.to_string()))
                                }
                                @if regime.failed.len() > NAMED { " and " (regime.failed.len() - NAMED) " more" }
                            }
                        }
                    }
                }
            }
        }
    }
}

#[cfg(has_observer)]
fn meaning(regime: Regime) -> &'static str {
    match regime {
        Regime::AsIs => "the command, unchanged",
        Regime::Forward => "one test after the other",
        Regime::Reversed => "one after the other, the last first",
        Regime::Parallel => "tests concurrently",
        Regime::Loaded => "tests concurrently, on busy processors",
        Regime::Again => "one after the other, once more",
        Regime::TwoRuns(_) => "beside a second copy of the suite",
        Regime::Alone => "each test in a process of its own",
        Regime::Random(_) => "one after the other; the number is the seed of the order",
    }
}

fn title(number: usize, noun: &str) -> String {
    format!("cofferdam: {}", count(number as u64, noun))
}

/// Returns a line about the started programs; none for a recording that does not count them.
fn programs(account: &Account) -> Vec<String> {
    let Account {
        started,
        complete,
        incomplete,
        ..
    } = account;
    let line = format!(
        "programs: {started} started, {complete} recorded to the end, {incomplete} recorded until they were killed, or still running"
    );
    (*started > 0 && complete + incomplete > 0)
        .then_some(line)
        .into_iter()
        .collect()
}

/// Returns numbers with their nouns and the parts of the page that they are about.
fn numbers(findings: &Findings) -> Vec<(u64, &'static str, &'static str)> {
    let tests = match &findings.observed {
        Some(observed) => observed.coverage.tests,
        None => findings.watched.tests,
    };
    let of = |severity: Severity| {
        let number = findings.of_severity(severity).count() as u64;
        (number, severity.as_str(), severity.as_str())
    };
    let mut numbers = vec![of(Severity::Conflict), of(Severity::Warning), of(Severity::Note)];
    numbers.push((tests, "test", "all-tests"));
    if let Some(observed) = &findings.observed {
        let failed = (observed.failed.len() + observed.unfinished.len()) as u64;
        numbers.push((failed, "failed test", "failed-tests"));
    }
    numbers
}

/// Returns the lines of the text report that are not about conflicts.
fn others(outcome: &Outcome) -> io::Result<Vec<String>> {
    let findings = &outcome.findings;
    lines(|out| {
        if let Some(compared) = &findings.baseline {
            baseline::write(out, compared)?;
        }
        if let Some(observed) = &findings.observed {
            confirmed::guarded(out, observed)?;
            confirmed::after(out, observed)?;
            observed::statics(out, observed)?;
        }
        match &outcome.batch {
            Some(batch) => batch::human(out, batch),
            None => Ok(()),
        }
    })
}

/// Returns the lines of a part of the text report, without colors. Names in them are already escaped.
fn lines(write: impl FnOnce(&mut StripStream<Vec<u8>>) -> io::Result<()>) -> io::Result<Vec<String>> {
    let mut text = StripStream::new(Vec::new());
    write(&mut text)?;
    let text = String::from_utf8_lossy(&text.into_inner()).into_owned();
    Ok(text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .map(str::to_owned)
        .collect())
}
