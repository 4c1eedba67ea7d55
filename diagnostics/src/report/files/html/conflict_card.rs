//! A conflict: its tests, the lines where they use the resource, the grade, and what ends it.

use super::escaped::{Plain, time, with_code};
use super::quoted;
use super::timeline::{Timeline, percent, verb};
use crate::commands::Findings;
use crate::findings::TestTime;
use crate::report::finding::about_conflict;
use crate::report::source_quotes::SourceQuotes;
use crate::report::text::count;
use crate::report::{confirmed, observed};
use cofferdam::Access;
use cofferdam_conflicts::{Conflict, Grade, Kind, Severity, Test, Use};
use maud::{Markup, html};

/// The number of further tests that a card lists, and of pairs.
const LISTED: usize = 50;
const PAIRS: usize = 10;
/// Up to this number of pairs, they are shown at first.
const OPEN: usize = 3;

/// The amount of detail on a card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Open,
    /// Tests and source lines are shown on request.
    Closed,
    /// Neither tests nor source lines are in the page.
    Short,
}

/// The facts that all cards of a page need.
pub(super) struct Cards<'a> {
    pub(super) findings: &'a Findings,
    pub(super) quotes: &'a SourceQuotes,
    pub(super) timeline: Option<&'a Timeline<'a>>,
}

impl Cards<'_> {
    /// Writes the card of a conflict. `number` is its number on the page.
    pub(super) fn markup(&self, number: usize, conflict: &Conflict, form: Form) -> Markup {
        let is_observed = self.is_observed(conflict);
        let word = self.word(conflict);
        let summary = if is_observed {
            observed::summary(conflict, self.findings)
        } else {
            conflict.message.clone()
        };
        let (pair, others) = parted(conflict);
        let body = html! {
            (self.meeting(&pair))
            div.pair { @for test in &pair { (self.test(test)) } }
            (self.others(&others, conflict))
            (pairs(conflict))
        };
        html! {
            article.card.(conflict.severity().as_str()) id=(format!("f{number}")) data-kind=(conflict.kind.as_str()) data-grade=(word) {
                h3 {
                    span.badge { (word) } " " (Plain(&summary))
                    " " a.self href=(format!("#f{number}")) aria-label=(format!("Link to finding {number}")) { "#" (number) }
                }
                p { (in_suite(conflict)) @if conflict.between_runs { "The tests are of two runs. " } (with_code(grade_meaning(conflict, is_observed))) }
                @if conflict.kind != Kind::SharedResource { p { (about_conflict(conflict.kind)) "." } }
                @for line in observed::static_lines(conflict) { p.facts { (Plain(&line)) "." } }
                @if let Some(parts) = &conflict.name_parts { p { "The name is made from " (Plain(parts)) "." } }
                @if let Some(output) = &conflict.output {
                    pre.output { @for line in output.lines() { (Plain(line)) "\n" } }
                }
                @match form {
                    Form::Open => (body),
                    Form::Closed => details { summary { "Tests and source lines" } (body) },
                    Form::Short => {}
                }
                p.help { strong { "To end it: " } (with_code(observed::help(conflict))) }
            }
        }
    }

    fn is_observed(&self, conflict: &Conflict) -> bool {
        self.findings.observed.is_some() && conflict.resource.is_some()
    }

    /// Returns the word at the head of a conflict: its grade, or its severity where it has none.
    pub(super) fn word(&self, conflict: &Conflict) -> &'static str {
        if self.is_observed(conflict) {
            confirmed::word(conflict, self.findings)
        } else {
            conflict.severity().as_str()
        }
    }

    fn test(&self, test: &Test) -> Markup {
        let mut quoted: Vec<&str> = Vec::new();
        let mut quote = |word: &str, place, at| {
            let is_new = !quoted.contains(&place);
            quoted.push(place);
            quoted::markup(self.quotes, word, place, at, is_new)
        };
        let mut uses: Vec<&Use> = test.uses.iter().collect();
        uses.sort_by_key(|used| used.from);
        let execution = self.execution(test);
        html! {
            section.test {
                h4 {
                    span.role { (role(test)) } " "
                    @if let Some((row, _)) = execution { a href=(format!("#t{row}")) { (Plain(&test.to_string())) } } @else { (Plain(&test.to_string())) }
                }
                p.dim {
                    "in " (Plain(&test.binary))
                    @if !test.worker.is_empty() { ", worker " (Plain(&test.worker)) }
                    ", process " (test.pid)
                    @if let Some((_, ran)) = execution.filter(|(_, ran)| ran.result.is_failure()) {
                        ", " strong.failure { (ran.result.as_str()) " in this run" }
                    }
                    @if test.fails_alone { ", fails when it is started by its name alone" }
                }
                @for used in uses {
                    @match (&used.place, &used.test_place) {
                        (Some(place), from) => {
                            (quote(&format!("{} it at", verb(used)), place, used.from))
                            @if let Some(from) = from.as_ref().filter(|from| *from != place) { (quote("called from", from, used.from)) }
                        }
                        (None, Some(place)) => (quote(&format!("{} it at", verb(used)), place, used.from)),
                        (None, None) => p.dim { (verb(used)) " it; the line is not known" },
                    }
                    @if let Some(service) = &used.service { p.dim { "through the service " (Plain(service)) } }
                }
            }
        }
    }

    /// Draws when the two tests ran and used the resource.
    fn meeting(&self, pair: &[&Test]) -> Markup {
        let spans: Vec<(u64, u64)> = pair.iter().filter_map(|test| self.span(test)).collect();
        let (Some(begin), Some(end)) = (
            spans.iter().map(|span| span.0).min(),
            spans.iter().map(|span| span.1).max(),
        ) else {
            return html! {};
        };
        if spans.len() < 2 || end == begin {
            return html! {};
        }
        let at = |moment: u64| {
            let share = moment.clamp(begin, end) - begin;
            percent(share as f64 * super::axis::WIDTH / (end - begin) as f64)
        };
        let wide = |from: u64, to: u64| at(begin + to.saturating_sub(from));
        html! {
            div.meeting role="img" aria-label=(format!("When the two tests ran, within {}", time(end - begin))) {
                @for (test, span) in pair.iter().zip(&spans) {
                    div.lane {
                        span.name { (Plain(&test.to_string())) }
                        svg.row {
                            @let has_failed = self.execution(test).is_some_and(|(_, ran)| ran.result.is_failure());
                            rect.bar.failed[has_failed] x=(at(span.0)) width=(wide(span.0, span.1)) y="5" height="14" rx="1" {}
                            @for used in &test.uses {
                                @let class = if used.access == Some(Access::Write) { "use write" } else { "use" };
                                rect class=(class) x=(at(used.from)) width=(wide(used.from, used.to)) y="2" height="20" {
                                    title { (verb(used)) " it from " (time(used.from.saturating_sub(begin))) " to " (time(used.to.saturating_sub(begin))) }
                                }
                            }
                        }
                    }
                }
                p.dim { (time(end - begin)) " in all. Framed: from the first to the last use; filled: it changes the resource." }
            }
        }
    }

    /// Returns the execution of a test that used the resource, with its position in the list of tests.
    fn execution(&self, test: &Test) -> Option<(usize, &TestTime)> {
        let lanes = self.timeline?.lanes();
        let first = test.uses.iter().map(|used| used.from).min()?;
        let row = lanes.find(test.pid, test.name(), first)?;
        Some((row, &lanes.tests[row]))
    }

    /// Returns the times of a test: those of its execution, or else of its uses.
    fn span(&self, test: &Test) -> Option<(u64, u64)> {
        let begin = test.uses.iter().map(|used| used.from).min()?;
        let end = test.uses.iter().map(|used| used.to).max()?;
        Some(match (self.execution(test), self.timeline) {
            (Some((_, ran)), Some(timeline)) => (ran.began.min(begin), timeline.lanes().end(ran).max(end)),
            _ => (begin, end),
        })
    }

    fn others(&self, others: &[&Test], conflict: &Conflict) -> Markup {
        let listed = conflict
            .tests
            .iter()
            .map(|test| test.uses.len() as u64)
            .sum::<u64>();
        let unlisted = conflict.use_count.saturating_sub(listed);
        html! {
            @if !others.is_empty() || unlisted > 0 {
                details {
                    summary { (count(others.len() as u64, "further test")) @if unlisted > 0 { " and " (count(unlisted, "further use")) } }
                    ul {
                        @for test in others.iter().take(LISTED) {
                            li {
                                span.role { (role(test)) } " " (Plain(&test.to_string())) span.dim { " in " (Plain(&test.binary)) }
                                @if let Some(used) = test.uses.first() { " " code { (Plain(&observed::places(used))) } }
                            }
                        }
                        @if others.len() > LISTED { li { "and " (count((others.len() - LISTED) as u64, "more test")) } }
                        @if unlisted > 0 { li { (count(unlisted, "use")) " not listed in the report" } }
                    }
                }
            }
        }
    }
}

/// Returns the two tests to show, and the others: the pair with the most severe grade, or else a test that writes and one that
/// reads, if there are any.
fn parted(conflict: &Conflict) -> (Vec<&Test>, Vec<&Test>) {
    let tests = &conflict.tests;
    let first = || tests.iter().position(Test::writes).unwrap_or(0);
    let positions = match conflict.pairs.first() {
        Some(pair) => pair.tests.to_vec(),
        // The first two interfere.
        None if conflict.overlapped && tests.iter().take(2).any(Test::writes) => vec![0, 1],
        None => {
            let second = tests.iter().position(|test| !test.writes());
            let second = second.or_else(|| (0..tests.len()).find(|position| *position != first()));
            std::iter::once(first()).chain(second).collect()
        }
    };
    let shown = positions
        .iter()
        .filter_map(|position| tests.get(*position))
        .collect();
    let others = tests
        .iter()
        .enumerate()
        .filter(|(position, _)| !positions.contains(position));
    (shown, others.map(|(_, test)| test).collect())
}

fn pairs(conflict: &Conflict) -> Markup {
    if conflict.grade.is_none() || conflict.is_undecided() && conflict.pair_count == 0 {
        return html! {};
    }
    let name = |position: usize| conflict.tests.get(position).map_or("", Test::name);
    let between = if conflict.kind == Kind::OrderLeak {
        "then"
    } else {
        "×"
    };
    html! {
        details open[conflict.pairs.len() <= OPEN] {
            summary { "Reruns" @if let Some(tried) = confirmed::all_tried(conflict) { ": " (tried) } }
            ul {
                @for pair in conflict.pairs.iter().take(PAIRS) {
                    li { strong { (pair.grade) } ": " (Plain(name(pair.tests[0]))) " " (between) " " (Plain(name(pair.tests[1]))) ": " (Plain(&pair.reason)) }
                }
                @if conflict.pairs.len() > PAIRS { li { "and " (count((conflict.pairs.len() - PAIRS) as u64, "more pair")) } }
            }
        }
    }
}

/// Returns a sentence on the order of the tests in the reported run.
fn in_suite(conflict: &Conflict) -> &'static str {
    match (conflict.kind, conflict.overlapped) {
        (Kind::SharedResource, true) => "In this run, tests used it at the same time. ",
        (Kind::SharedResource, false) => {
            "In this run, the tests used it one after the other; another schedule may bring them together. "
        }
        (Kind::OrderLeak, _) => "In this run, the programs ran one after the other. ",
        _ => "",
    }
}

fn role(test: &Test) -> &'static str {
    let accesses = |wanted| test.uses.iter().any(|used| used.access == Some(wanted));
    match (
        accesses(Access::Write),
        accesses(Access::Read),
        accesses(Access::List),
    ) {
        (true, ..) => "writer",
        (_, true, _) => "reader",
        (_, _, true) => "lists it",
        _ => "user",
    }
}

fn grade_meaning(conflict: &Conflict, is_observed: bool) -> &'static str {
    match conflict.grade {
        None if is_observed => {
            "Seen in one run; `observe --confirm` reruns the tests and grades the conflict."
        }
        None => "",
        Some(Grade::Reproduced) => {
            "Rerun, one of the tests failed beside or after the other, and less often alone."
        }
        Some(Grade::Unguarded) => {
            "Rerun with a pause at this resource, tests used it at the same time; no failure was shown to come from that."
        }
        Some(Grade::Potential) => {
            "The tests were not rerun, or the reruns showed nothing, so this is undecided."
        }
        Some(Grade::OrderDependent) => {
            "One test fails alone and passes if the other runs first, so this is not a race."
        }
        Some(Grade::Guarded) => {
            "Rerun with a pause at this resource, the tests never used it at the same time, so something keeps them apart."
        }
    }
}

/// The severities with their headings.
pub(super) const HEADINGS: [(Severity, &str); 3] = [
    (Severity::Conflict, "Conflicts"),
    (Severity::Warning, "Warnings"),
    (Severity::Note, "Notes"),
];
