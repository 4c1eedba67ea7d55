//! Colors and headlines, the same in all reports for people.

use super::text::plain;
use anstyle::{AnsiColor, Style};
use cofferdam_conflicts::Severity;
use std::io::{self, Write};

pub(super) const BOLD: Style = Style::new().bold();
pub(super) const DIM: Style = Style::new().dimmed();
pub(super) const RED: Style = AnsiColor::Red.on_default().bold();
pub(super) const YELLOW: Style = AnsiColor::Yellow.on_default().bold();

pub(super) fn of(severity: Severity) -> Style {
    match severity {
        Severity::Conflict => RED,
        Severity::Warning => YELLOW,
        Severity::Note => AnsiColor::Cyan.on_default().bold(),
    }
}

/// Writes the first line of a finding.
pub(super) fn headline(out: &mut impl Write, severity: Severity, word: &str, text: &str) -> io::Result<()> {
    let style = of(severity);
    writeln!(out, "{style}{word}:{style:#} {}", plain(text))
}
