//! What the benchmarks share: contenders take turns in one run, and what is told is their ratio.
//!
//! Timings on a busy machine are noisy, and noise strikes neighbours alike: a ratio is taken within a round, and the
//! median over the rounds is what counts. Nothing here fails because of the clock; the table tells what was reached.

use std::fmt::Write as _;

/// Whether `cargo bench` started this. `cargo test --all-targets` starts it too, and gets nothing.
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

    /// Round by round, this divided by that.
    pub(crate) fn over(&self, other: &Self) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(a, b)| a / b).collect())
    }

    fn range(&self) -> (f64, f64) {
        let fold = |start, pick: fn(f64, f64) -> f64| self.0.iter().copied().fold(start, pick);
        (fold(f64::INFINITY, f64::min), fold(f64::NEG_INFINITY, f64::max))
    }
}

/// What is to be reached.
#[derive(Clone, Copy)]
pub(crate) enum Target {
    AtMost(f64),
    AtLeast(f64),
    /// For context only.
    Open,
}

/// What was measured, printed as Markdown.
pub(crate) struct Table(String);

impl Table {
    pub(crate) fn new(title: &str) -> Self {
        Self(format!(
            "\n### {title}\n\n| | median | min – max | target | reached |\n|---|---|---|---|---|\n"
        ))
    }

    pub(crate) fn row(&mut self, what: &str, unit: &str, series: &Series, target: Target) {
        let (median, (min, max)) = (series.median(), series.range());
        let (target, reached) = match target {
            Target::AtMost(limit) => (format!("≤ {limit}{unit}"), yes(median <= limit)),
            Target::AtLeast(limit) => (format!("≥ {limit}{unit}"), yes(median >= limit)),
            Target::Open => (String::new(), ""),
        };
        let (median, min, max) = (short(median), short(min), short(max));
        let _ = writeln!(
            self.0,
            "| {what} | {median}{unit} | {min} – {max} | {target} | {reached} |"
        );
    }

    #[expect(clippy::print_stdout, reason = "the table is what a benchmark is for")]
    pub(crate) fn print(self) {
        println!("{}", self.0);
    }
}

fn yes(is_reached: bool) -> &'static str {
    if is_reached { "yes" } else { "NO" }
}

/// Three digits that count.
fn short(number: f64) -> String {
    let digits = match number.abs() {
        100.0.. => 0,
        10.0.. => 1,
        1.0.. => 2,
        _ => 3,
    };
    format!("{number:.digits$}")
}
