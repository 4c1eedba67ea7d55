//! The timeline: tests as bars in the rows of their workers, and the uses of resources in conflict.

use super::super::lanes::{Lane, Lanes};
use super::axis::{Axis, WIDTH};
use super::escaped::{Plain, time};
use crate::findings::{TestEnd, TestTime};
use crate::report::text::count;
use cofferdam::Access;
use cofferdam_conflicts::{Conflict, Use};
use maud::{Markup, html};
use std::collections::BTreeMap;

/// Bars narrower than this part of the axis are merged with their neighbors, as are marks that are closer. It bounds the number
/// of elements in a row, however many tests there are.
const NARROW: f64 = WIDTH / 100.0;

/// The executions of tests on an axis.
pub(super) struct Timeline<'a> {
    lanes: Lanes<'a>,
    axis: Axis,
}

/// A use of a resource in conflict, to mark in the row of its test.
pub(super) struct Mark {
    /// The position of the test in the list.
    test: usize,
    at: u64,
    is_write: bool,
    /// The number of the finding.
    finding: usize,
    text: String,
}

/// Consecutive tests of a row that are drawn as one bar.
struct Bar {
    tests: Vec<usize>,
    from: f64,
    to: f64,
}

impl<'a> Timeline<'a> {
    /// Returns the timeline of these tests; `None` if there are none.
    pub(super) fn of(tests: &'a [TestTime]) -> Option<Self> {
        let lanes = Lanes::of(tests)?;
        let axis = Axis::of(tests.iter().map(|test| (test.began, lanes.end(test))))?;
        Some(Self { lanes, axis })
    }

    pub(super) fn axis(&self) -> &Axis {
        &self.axis
    }

    pub(super) fn lanes(&self) -> &Lanes<'a> {
        &self.lanes
    }

    /// Returns the uses by the tests of a conflict. `finding` is the number of the finding that it belongs to.
    pub(super) fn marks(&self, finding: usize, conflict: &Conflict) -> impl Iterator<Item = Mark> {
        let subject = conflict.resource.as_ref().map(ToString::to_string);
        let subject = subject.or_else(|| conflict.service.clone());
        let subject = subject.unwrap_or_else(|| conflict.kind.to_string());
        conflict.uses().filter_map(move |(test, used)| {
            Some(Mark {
                test: self.lanes.find(test.pid, test.name(), used.from)?,
                at: used.from,
                is_write: used.access == Some(Access::Write),
                finding,
                text: format!("{test} {} {subject}", verb(used)),
            })
        })
    }

    /// Writes the timeline. Its bars are links to the rows of the list of tests, and its marks to the findings.
    pub(super) fn markup(&self, marks: &[Mark]) -> Markup {
        let mut marks_of: BTreeMap<usize, Vec<&Mark>> = BTreeMap::new();
        for mark in marks {
            marks_of
                .entry(self.lanes.number(mark.test))
                .or_default()
                .push(mark);
        }
        let pieces: Vec<String> = self
            .axis
            .pieces()
            .iter()
            .map(|piece| {
                let since = |moment: u64| moment - self.axis.begin();
                format!(
                    "{},{},{:.0},{:.0}",
                    since(piece.begin),
                    since(piece.end),
                    piece.from,
                    piece.to
                )
            })
            .collect();
        html! {
            div.lanes id="lanes" data-pieces=(pieces.join(" ")) {
                div.lane.axis aria-hidden="true" {
                    span.name {}
                    svg.row id="axis" { (self.labels()) }
                }
                (self.programs())
                @for (number, lane) in self.lanes.all.iter().enumerate() {
                    div.lane role="group" aria-label=(format!("Row {}: {}", lane.name, count(lane.tests.len() as u64, "test"))) {
                        span.name aria-hidden="true" { (Plain(&lane.name)) }
                        svg.row data-lane=(number) {
                            @for bar in self.bars(lane) { (self.bar(&bar)) }
                            @for marks in merged(&self.axis, marks_of.remove(&number).unwrap_or_default()) {
                                (self.mark(&marks))
                            }
                        }
                    }
                }
            }
        }
    }

    /// Writes the programs, if they ran one after the other and one had several tests.
    fn programs(&self) -> Markup {
        let mut spans: BTreeMap<u32, (u64, u64, &str)> = BTreeMap::new();
        for test in self.lanes.tests {
            let end = self.lanes.end(test);
            let span = spans.entry(test.pid).or_insert((test.began, end, &test.binary));
            (span.0, span.1) = (span.0.min(test.began), span.1.max(end));
        }
        let mut spans: Vec<(u64, u64, &str)> = spans.into_values().collect();
        spans.sort_unstable();
        let is_in_turn = spans.windows(2).all(|pair| pair[0].1 <= pair[1].0);
        html! {
            @if is_in_turn && spans.len() < self.lanes.tests.len() {
                div.lane.programs role="group" aria-label="Programs" {
                    span.name { "program" }
                    svg.row {
                        @for (begin, end, name) in spans {
                            @let (from, to) = (self.axis.at(begin), self.axis.at(end));
                            svg x=(percent(from)) width=(percent(to - from)) height="24" data-x=(format!("{from:.0}")) data-w=(format!("{:.0}", to - from)) {
                                title { (Plain(name)) ", " (time(begin - self.axis.begin())) " to " (time(end - self.axis.begin())) }
                                rect width="100%" y="3" height="18" {}
                                text x="4" y="16" { (Plain(name)) }
                            }
                        }
                    }
                }
            }
        }
    }

    fn labels(&self) -> Markup {
        html! {
            @for (moment, at) in self.axis.labels() {
                @if at < WIDTH * 0.96 {
                    line x1=(percent(at)) x2=(percent(at)) y1="14" y2="20" {}
                    text x=(percent(at)) y="11" { (time(moment)) }
                }
            }
            @for piece in self.axis.pieces().iter().filter(|piece| piece.is_gap) {
                rect.gap x=(percent(piece.from)) width=(percent(piece.to - piece.from)) height="20" {
                    title { (time(piece.end - piece.begin)) " without a test" }
                }
            }
        }
    }

    fn bars(&self, lane: &Lane) -> Vec<Bar> {
        let mut bars: Vec<Bar> = Vec::new();
        for index in &lane.tests {
            let test = &self.lanes.tests[*index];
            let (from, to) = (self.axis.at(test.began), self.axis.at(self.lanes.end(test)));
            let is_narrow = to - from < NARROW;
            match bars.last_mut() {
                Some(bar) if is_narrow && bar.to - bar.from < NARROW && to - bar.from <= NARROW => {
                    bar.tests.push(*index);
                    bar.to = to.max(bar.to);
                }
                _ => bars.push(Bar {
                    tests: vec![*index],
                    from,
                    to,
                }),
            }
        }
        bars
    }

    fn bar(&self, bar: &Bar) -> Markup {
        let failed = bar
            .tests
            .iter()
            .find(|test| self.lanes.tests[**test].result.is_failure());
        let first = failed.or(bar.tests.first()).copied().unwrap_or(0);
        let class = match (failed, self.lanes.tests[first].result) {
            (Some(_), TestEnd::NoEnd) => "bar unfinished",
            (Some(_), _) => "bar failed",
            (None, _) if bar.tests.len() > 1 => "bar many",
            (None, _) => "bar",
        };
        html! {
            a class=(class) href=(format!("#t{first}")) data-t=(first) data-n=(bar.tests.len()) {
                title { (self.bar_title(bar, first)) }
                rect x=(percent(bar.from)) width=(percent(bar.to - bar.from)) y="5" height="14" rx="1" {}
            }
        }
    }

    fn bar_title(&self, bar: &Bar, first: usize) -> Markup {
        let since = |moment: u64| time(moment - self.axis.begin());
        html! {
            @if bar.tests.len() == 1 {
                (self.title(first))
            } @else {
                @let failed = bar.tests.iter().filter(|test| self.lanes.tests[**test].result.is_failure()).count();
                @let [begin, last] = [bar.tests[0], bar.tests[bar.tests.len() - 1]];
                (count(bar.tests.len() as u64, "test"))
                @if failed > 0 { ", " (failed) " of them failed: " (Plain(&self.lanes.tests[first].name)) }
                ", " (since(self.lanes.tests[begin].began)) " to " (since(self.lanes.end(&self.lanes.tests[last])))
            }
        }
    }

    /// Returns name, result and times of a test.
    fn title(&self, index: usize) -> Markup {
        let test = &self.lanes.tests[index];
        html! {
            (Plain(&test.name)) ", " (test.result.as_str()) ", at " (time(test.began - self.axis.begin()))
            @if let Some(ended) = test.ended { ", took " (time(ended.saturating_sub(test.began))) }
            ", " (Plain(&test.binary))
        }
    }

    fn mark(&self, marks: &[&Mark]) -> Markup {
        let Some(first) = marks.first() else {
            return html! {};
        };
        let is_write = marks.iter().any(|mark| mark.is_write);
        html! {
            a class=(if is_write { "mark write" } else { "mark" }) href=(format!("#f{}", first.finding)) {
                title {
                    (Plain(&first.text))
                    @if marks.len() > 1 { " and " (count(marks.len() as u64 - 1, "more use")) " nearby" }
                }
                circle cx=(percent(self.axis.at(first.at))) cy="12" r="4" data-x=(format!("{:.0}", self.axis.at(first.at))) {}
            }
        }
    }
}

/// Groups the marks of a row that are near each other.
fn merged<'m>(axis: &Axis, mut marks: Vec<&'m Mark>) -> Vec<Vec<&'m Mark>> {
    marks.sort_by_key(|mark| mark.at);
    let mut groups: Vec<Vec<&Mark>> = Vec::new();
    for mark in marks {
        match groups.last_mut() {
            Some(group) if axis.at(mark.at) - axis.at(group[0].at) < NARROW => group.push(mark),
            _ => groups.push(vec![mark]),
        }
    }
    groups
}

/// Returns what a use does with its resource.
pub(super) fn verb(used: &Use) -> &'static str {
    match used.access {
        Some(Access::Write) => "changes",
        Some(Access::List) => "lists",
        Some(Access::Read) => "reads",
        None => "uses",
    }
}

/// Returns a position as a percentage for SVG.
pub(super) fn percent(position: f64) -> String {
    format!("{:.2}%", position * 100.0 / WIDTH)
}
