//! Texts of the page: names without harmful characters, and times.

use crate::report::text::plain;
use maud::{Markup, Render, html};

/// The word in place of the user's command, which may hold secrets, and the end of a sentence that says so.
pub(super) const YOUR_COMMAND: &str = "YOUR-COMMAND";
pub(super) const YOUR_COMMAND_MEANS: &str = "; YOUR-COMMAND is the command of this report.";

/// Text from outside. Markup, control characters and direction marks in it are shown as text.
pub(super) struct Plain<'a>(pub(super) &'a str);

impl Render for Plain<'_> {
    fn render_to(&self, buffer: &mut String) {
        plain(self.0).as_ref().render_to(buffer);
    }
}

/// Writes a text in which code is between backticks.
pub(super) fn with_code(text: &str) -> Markup {
    // Code is every second part, if each backtick has another.
    let is_paired = text.matches('`').count().is_multiple_of(2);
    html! {
        @if is_paired {
            @for (index, part) in text.split('`').enumerate() {
                @if index.is_multiple_of(2) { (Plain(part)) } @else { code { (Plain(part)) } }
            }
        } @else {
            (Plain(text))
        }
    }
}

/// Returns a number of microseconds with a unit, in about three digits.
pub(super) fn time(micros: u64) -> String {
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..10_000 => format!("{:.1} ms", micros as f64 / 1e3),
        10_000..1_000_000 => format!("{} ms", micros / 1_000),
        1_000_000..10_000_000 => format!("{:.2} s", micros as f64 / 1e6),
        10_000_000..60_000_000 => format!("{:.1} s", micros as f64 / 1e6),
        _ => {
            let seconds = std::time::Duration::from_secs(micros / 1_000_000);
            humantime::format_duration(seconds).to_string()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_about_three_digits() {
        for (micros, shown) in [
            (0, "0 µs"),
            (999, "999 µs"),
            (1_000, "1.0 ms"),
            (12_345, "12 ms"),
            (1_234_000, "1.23 s"),
            (59_900_000, "59.9 s"),
            (125_000_000, "2m 5s"),
        ] {
            assert_eq!(time(micros), shown);
        }
    }
}
