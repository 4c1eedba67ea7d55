//! The list of tests, with every test that the timeline shows.

use super::escaped::{Plain, time};
use super::timeline::Timeline;
use crate::findings::TestTime;
use maud::{Markup, html};

/// Writes the list. The script reads from it what it draws when the timeline is enlarged.
pub(super) fn markup(tests: &[TestTime], timeline: &Timeline<'_>) -> Markup {
    let (axis, lanes) = (timeline.axis(), timeline.lanes());
    let has_results = tests
        .iter()
        .any(|test| test.ended.is_none() || test.result != crate::findings::TestEnd::NotKnown);
    html! {
        div.scroll tabindex="0" role="region" aria-label="All tests" {
            table id="tests" {
                thead { tr {
                    th scope="col" { "Test" }
                    @if has_results { th scope="col" { "Result" } }
                    th scope="col" { "Program" }
                    th scope="col" { "Row" }
                    th.number scope="col" { "Began at" }
                    th.number scope="col" { "Took" }
                } }
                tbody {
                    @for (index, test) in tests.iter().enumerate() {
                        @let (from, to) = (axis.at(test.began), axis.at(lanes.end(test)));
                        tr id=(format!("t{index}")) class=[test.result.is_failure().then_some("failed")]
                            data-l=(lanes.number(index)) data-x=(format!("{from:.0}")) data-w=(format!("{:.0}", to - from)) {
                            td { (Plain(&test.name)) @if test.attempt > 1 { " (attempt " (test.attempt) ")" } }
                            @if has_results { td { (test.result.as_str()) } }
                            td { (Plain(&test.binary)) }
                            td { (Plain(&lanes.all[lanes.number(index)].name)) }
                            td.number { (time(test.began - axis.begin())) }
                            td.number { @if let Some(ended) = test.ended { (time(ended.saturating_sub(test.began))) } @else { "no end" } }
                        }
                    }
                }
            }
        }
    }
}
