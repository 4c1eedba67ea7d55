//! The frame of the page: its head, the timeline, the findings, and what was not seen.

use super::content_security::policy;
use super::escaped::Plain;
use super::test_table;
use super::timeline::{Mark, Timeline};
use crate::findings::TestTime;
use crate::report::text::count;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use std::collections::BTreeSet;
use std::path::Path;

pub(super) const STYLE: &str = include_str!("page.css");
pub(super) const SCRIPT: &str = include_str!("page.js");
/// Up to this number of tests, their list is open.
const OPEN: usize = 30;

/// The parts of a page.
pub(super) struct Page<'a> {
    pub(super) title: String,
    pub(super) tone: Tone,
    /// The last line of the text report.
    pub(super) verdict: String,
    /// Numbers, their nouns in the singular, and the IDs of the parts of the page that they link to.
    pub(super) numbers: Vec<(u64, &'static str, &'static str)>,
    pub(super) tests: &'a [TestTime],
    pub(super) timeline: Option<&'a Timeline<'a>>,
    pub(super) marks: &'a [Mark],
    /// The kinds and grades to filter by.
    pub(super) kinds: BTreeSet<&'a str>,
    pub(super) grades: BTreeSet<&'a str>,
    pub(super) findings: Markup,
    pub(super) failed: Markup,
    /// Lines that are not about findings, and lines about what was not observed.
    pub(super) others: Vec<String>,
    pub(super) unseen: Vec<String>,
    /// The extent of the verdict.
    pub(super) watched: String,
    /// The directory that paths are relative to.
    pub(super) dir: &'a Path,
    /// The run that the timeline shows, if there are several.
    pub(super) ran: &'static str,
}

/// The color of the verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    None,
    Conflict,
    Unknown,
}

pub(super) fn markup(page: &Page<'_>) -> Markup {
    let tone = match page.tone {
        Tone::None => "verdict",
        Tone::Conflict => "verdict conflict",
        Tone::Unknown => "verdict unknown",
    };
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy(STYLE, SCRIPT));
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="referrer" content="no-referrer";
                title { (Plain(&page.title)) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    div.top {
                        h1 { "Cofferdam report" }
                        button.needs-script id="theme" type="button" hidden { "Dark colors" }
                    }
                    p class=(tone) { (Plain(&page.verdict)) }
                    ul.numbers { @for (number, noun, part) in &page.numbers { li { (numbered(*number, noun, part)) } } }
                    p.dim {
                        @if let Some(began) = began(page.tests) { "The first test began at " (began) ". " }
                        "Paths are relative to " code { (Plain(&page.dir.display().to_string())) } "."
                    }
                    nav aria-label="Parts of the page" { a.skip href="#findings" { "Skip the timeline" } }
                }
                main {
                    (controls(page))
                    (timeline(page))
                    (page.failed)
                    div id="findings" { (page.findings) }
                    (all_tests(page))
                    (listed("Also in the report", "others", &page.others))
                    (unseen(page))
                }
                footer {
                    p { "Made by cargo-cofferdam " (env!("CARGO_PKG_VERSION")) ". The page loads nothing from elsewhere. Source lines are those of the checkout when it was made." }
                }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    }
}

fn numbered(number: u64, noun: &str, part: &str) -> Markup {
    let all = count(number, noun);
    let (digits, noun) = all.split_once(' ').unwrap_or((&all, ""));
    let text = html! { b { (digits) } " " (noun) };
    html! { @if number > 0 { a href=(format!("#{part}")) { (text) } } @else { (text) } }
}

fn controls(page: &Page<'_>) -> Markup {
    let select = |id: &str, label: &str, values: &BTreeSet<&str>| {
        html! {
            @if values.len() > 1 {
                label { (label) " "
                    select id=(id) { option value="" { "all" } @for value in values { option value=(value) { (value) } } }
                }
            }
        }
    };
    html! {
        div.controls.needs-script role="search" aria-label="Filter" hidden {
            label { "Search " input id="search" type="search" placeholder="test, file, resource"; }
            (select("kind", "Kind", &page.kinds))
            (select("grade", "Grade", &page.grades))
            @if page.tests.iter().any(|test| test.result.is_failure()) {
                label { input id="only-failed" type="checkbox"; "failed tests only" }
            }
            span.dim id="shown" role="status" {}
        }
    }
}

fn timeline(page: &Page<'_>) -> Markup {
    let Some(timeline) = page.timeline else {
        return html! {};
    };
    let is_observed = page.tests.iter().all(|test| test.worker.is_empty());
    html! {
        section aria-labelledby="timeline" {
            h2 id="timeline" { "Timeline" }
            div.timeline {
                (timeline.markup(page.marks))
                output.info.needs-script id="info" hidden { "Point at a bar, or move to it with the arrow keys, to see the test." }
                div.zoom.needs-script hidden {
                    button id="zoom-in" type="button" { "Zoom in" } " "
                    button id="zoom-out" type="button" { "Zoom out" } " "
                    button id="earlier" type="button" { "Earlier" } " "
                    button id="later" type="button" { "Later" } " "
                    button id="all" type="button" { "All" }
                }
                ul.legend {
                    li { svg aria-hidden="true" { g.bar { rect width="22" height="14" {} } } " a test" }
                    li { svg aria-hidden="true" { g.bar.many { rect width="22" height="14" {} } } " several short tests" }
                    @if page.tests.iter().any(|test| test.result.is_failure()) {
                        li { svg aria-hidden="true" { g.bar.failed { rect x="1" y="1" width="20" height="12" {} } } " failed" }
                    }
                    @if !page.marks.is_empty() {
                        li { svg aria-hidden="true" { g.mark.write { circle cx="11" cy="7" r="4" {} } } " changes a resource of a finding" }
                        li { svg aria-hidden="true" { g.mark { circle cx="11" cy="7" r="4" {} } } " only reads it" }
                    }
                }
                p.dim {
                    (page.ran)
                    @if is_observed { "Tests in one row did not overlap. " } @else { "Each row is a worker. " }
                    @if timeline.axis().pieces().len() > 1 { "Long times without a test are shortened: grey on the time axis." }
                }
            }
        }
    }
}

fn all_tests(page: &Page<'_>) -> Markup {
    let Some(timeline) = page.timeline else {
        return html! {};
    };
    html! {
        section aria-labelledby="all-tests" {
            h2 id="all-tests" { "All tests (" (page.tests.len()) ")" }
            details open[page.tests.len() <= OPEN] {
                summary { "Results and times" }
                (test_table::markup(page.tests, timeline))
            }
        }
    }
}

/// Writes lines of the text report, each with its first word marked.
fn listed(heading: &str, id: &str, lines: &[String]) -> Markup {
    html! {
        @if !lines.is_empty() {
            section aria-labelledby=(id) {
                h2 id=(id) { (heading) " (" (lines.len()) ")" }
                (list(lines))
            }
        }
    }
}

fn list(lines: &[String]) -> Markup {
    html! {
        ul {
            @for line in lines {
                li {
                    @match line.split_once(": ").filter(|(word, _)| word.len() < 20) {
                        Some((word, text)) => { strong { (Plain(word)) } ": " (Plain(text)) }
                        None => (Plain(line)),
                    }
                }
            }
        }
    }
}

fn unseen(page: &Page<'_>) -> Markup {
    html! {
        @if !page.watched.is_empty() || !page.unseen.is_empty() {
            section aria-labelledby="unseen" {
                h2 id="unseen" { "What was watched, and what was not" }
                @if !page.watched.is_empty() { p { "Watched: " (Plain(&page.watched)) "." } }
                (list(&page.unseen))
            }
        }
    }
}

/// Returns the time at which the first test began.
fn began(tests: &[TestTime]) -> Option<String> {
    let began = tests.iter().map(|test| test.began).min()?;
    let at = std::time::UNIX_EPOCH.checked_add(std::time::Duration::from_micros(began))?;
    Some(
        humantime::format_rfc3339_seconds(at)
            .to_string()
            .replace('T', " ")
            .replace('Z', " UTC"),
    )
}
