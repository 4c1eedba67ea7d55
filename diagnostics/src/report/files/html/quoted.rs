//! A place in the page: file and line, with the lines around it.

use super::escaped::Plain;
use crate::report::source_quotes::SourceQuotes;
use maud::{Markup, html};

/// Writes a place, and quotes it if it is in the checkout. `at` is the moment of the use, or 0 if that is not known; without `is_new`,
/// it has been quoted above.
pub(super) fn markup(quotes: &SourceQuotes, word: &str, place: &str, at: u64, is_new: bool) -> Markup {
    let quote = quotes.quote(place, at);
    html! {
        figure.quote {
            figcaption { (word) " " code { (Plain(place)) }
                @match &quote {
                    None => span.dim { " (not a source file of this checkout)" },
                    Some(quote) if quote.is_newer && at > 0 => span.dim { " (the file was changed after this run)" },
                    Some(_) => {}
                }
            }
            @if let Some(quote) = quote.filter(|_| is_new) {
                pre { code {
                    @for (number, line) in (quote.first..).zip(&quote.lines) {
                        span class=[(number == quote.line).then_some("hit")] {
                            b { (format!("{number:4}")) @if number == quote.line { " › " } @else { "   " } }
                            (Plain(line)) "\n"
                        }
                    }
                } }
            }
        }
    }
}
