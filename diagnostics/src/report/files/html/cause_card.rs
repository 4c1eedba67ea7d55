//! A cause of failures that a hunt found: the tests, the proof, what they share, and what ends it.

use super::escaped::{Plain, YOUR_COMMAND, YOUR_COMMAND_MEANS, with_code};
use super::quoted;
use crate::commands::hunt::{Cause, Hunted};
use crate::findings::SharedUse;
use crate::hunt::Class;
use crate::report::hunt;
use crate::report::source_quotes::SourceQuotes;
use crate::report::text::count;
use maud::{Markup, html};

/// The number of tests, and of resources, that a card lists.
const TESTS: usize = 50;
const RESOURCES: usize = 5;

/// Writes the card of a cause. `number` is its number on the page.
pub(super) fn markup(number: usize, cause: &Cause, hunted: &Hunted, quotes: &SourceQuotes) -> Markup {
    let [verdict, others @ ..] = cause.verdicts.as_slice() else {
        return html! {};
    };
    let severity = if verdict.is_unexplained() {
        "warning"
    } else {
        "conflict"
    };
    html! {
        article.card.(severity) id=(format!("f{number}")) data-kind=(verdict.class.id()) data-grade=(verdict.class.id()) {
            h3 {
                span.badge { (verdict.class.id()) } " " (Plain(&verdict.test.to_string())) " " (Plain(&hunt::what(verdict)))
                " " a.self href=(format!("#f{number}")) aria-label=(format!("Link to finding {number}")) { "#" (number) }
            }
            p.dim { (verdict.class.about()) "." }
            @if let Some(rates) = hunt::rates(verdict) { p { strong { "Proof: " } (Plain(&rates)) "." } }
            @if hunted.hung.contains(&verdict.test) {
                p { "A failure here is a test that does not end; it was stopped after " (humantime::format_duration(hunted.limit)) "." }
            }
            @if !others.is_empty() {
                details open[others.len() <= 5] {
                    summary { (count(others.len() as u64, "further test")) " with this cause" }
                    ul {
                        @for other in others.iter().take(TESTS) { li { (Plain(&other.test.to_string())) " " (Plain(&hunt::how_too(other, verdict))) } }
                        @if others.len() > TESTS { li { "and " (count((others.len() - TESTS) as u64, "more test")) } }
                    }
                }
            }
            (resources(cause, hunted, quotes))
            @if !cause.users.is_empty() {
                details {
                    summary { "Also used by " (count(cause.users.len() as u64, "test")) }
                    ul {
                        @for user in cause.users.iter().take(TESTS) { li { (Plain(&user.to_string())) } }
                        @if cause.users.len() > TESTS { li { "and " (count((cause.users.len() - TESTS) as u64, "more test")) } }
                    }
                }
            }
            p.help { strong { "To end it: " } (with_code(&hunt::help(cause, hunted))) }
            @if let Some(rerun) = hunt::rerun(verdict, hunted, &[YOUR_COMMAND.into()]) {
                p.rerun {
                    strong { "To see it again" @if verdict.paused.is_some() { " (without the pauses)" } ": " }
                    code { (Plain(&rerun)) }
                    span.dim { (YOUR_COMMAND_MEANS) }
                }
            }
        }
    }
}

fn resources(cause: &Cause, hunted: &Hunted, quotes: &SourceQuotes) -> Markup {
    let verdict = &cause.verdicts[0];
    let has_others = matches!(verdict.class, Class::Victim | Class::Brittle | Class::Race);
    let more = cause.uses.len().saturating_sub(RESOURCES);
    html! {
        @if has_others && cause.uses.is_empty() {
            p { "Of what they share: " (with_code(hunt::nothing_shared(cause))) "." }
            ul { @for one in cause.statics.iter().take(RESOURCES) { li { (with_code(&one.shown(&hunted.dir))) ": " (with_code(one.meaning())) } } }
        }
        @if cause.uses.len() > 1 && has_others { p { "The cause is one of " (count(cause.uses.len() as u64, "resource")) " that they share:" } }
        @for shared in cause.uses.iter().take(RESOURCES) {
            section.test {
                h4 { @if has_others { "Through " } @else { "It uses " } (Plain(&shared.resource.to_string())) }
                (quotes_of(shared, quotes))
            }
        }
        @if more > 0 { p { "and " (count(more as u64, "more resource")) } }
    }
}

fn quotes_of(shared: &SharedUse, quotes: &SourceQuotes) -> Markup {
    html! {
        div.pair {
            @if let Some(place) = &shared.culprit_place {
                @let word = if shared.culprit_writes { "the other test changes it at" } else { "the other test uses it at" };
                (quoted::markup(quotes, word, place, 0, true))
            }
            @if let Some(place) = &shared.test_place {
                @let word = if shared.test_writes { "the failing test changes it at" } else { "the failing test uses it at" };
                (quoted::markup(quotes, word, place, 0, true))
            }
        }
    }
}
