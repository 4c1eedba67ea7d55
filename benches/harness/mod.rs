//! The harness of the benchmarks: contenders take turns in one run, and the result is their ratio.
//!
//! Timings on a busy machine are noisy, and noise affects both contenders of a round alike. So a ratio is computed
//! for each round, and the median over the rounds counts. No benchmark fails because of the clock.

use std::fmt::Write as _;
use std::ops::{Bound, RangeBounds};

/// Returns whether `cargo bench` started this. `cargo test --all-targets` starts it too, and measures nothing.
#[expect(
    clippy::disallowed_methods,
    reason = "a benchmark has no other way to its arguments"
)]
pub(crate) fn is_wanted() -> bool {
    std::env::args().any(|argument| argument == "--bench")
}

/// One number for each round.
#[derive(Clone)]
pub(crate) struct Series(pub(crate) Vec<f64>);

impl Series {
    pub(crate) fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
    }

    /// Returns the ratio of each round.
    pub(crate) fn over(&self, other: &Self) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(a, b)| a / b).collect())
    }

    fn range(&self) -> (f64, f64) {
        let fold = |start, pick: fn(f64, f64) -> f64| self.0.iter().copied().fold(start, pick);
        (fold(f64::INFINITY, f64::min), fold(f64::NEG_INFINITY, f64::max))
    }
}

/// The results, printed as Markdown.
pub(crate) struct Table(String);

impl Table {
    pub(crate) fn new(title: &str) -> Self {
        Self(format!(
            "\n### {title}\n\n| | median | min – max | target | reached |\n|---|---|---|---|---|\n"
        ))
    }

    /// Adds a line. `target` is the range in which the median should be: `..=0.7`, `10.0..`, or `..` for context
    /// only.
    pub(crate) fn row(&mut self, what: &str, unit: &str, series: &Series, target: impl RangeBounds<f64>) {
        let (median, (min, max)) = (series.median(), series.range());
        let wanted = match (target.start_bound(), target.end_bound()) {
            (_, Bound::Included(limit)) => format!("≤ {limit}{unit}"),
            (Bound::Included(limit), _) => format!("≥ {limit}{unit}"),
            _ => String::new(),
        };
        let reached = match (wanted.is_empty(), target.contains(&median)) {
            (true, _) => "",
            (false, true) => "yes",
            (false, false) => "NO",
        };
        let (median, min, max) = (short(median), short(min), short(max));
        let _ = writeln!(
            self.0,
            "| {what} | {median}{unit} | {min} – {max} | {wanted} | {reached} |"
        );
    }

    #[expect(clippy::print_stdout, reason = "the table is what a benchmark is for")]
    pub(crate) fn print(self) {
        println!("{}", self.0);
    }
}

/// Formats a number with three significant digits.
fn short(number: f64) -> String {
    let digits = match number.abs() {
        100.0.. => 0,
        10.0.. => 1,
        1.0.. => 2,
        _ => 3,
    };
    format!("{number:.digits$}")
}
