//! The first line of what is told.

use super::style;
use super::text::plain;
use cofferdam_conflicts::Severity;
use std::io::{self, Write};

pub(super) fn headline(out: &mut impl Write, severity: Severity, word: &str, text: &str) -> io::Result<()> {
    let style = style::of(severity);
    writeln!(out, "{style}{word}:{style:#} {}", plain(text))
}
