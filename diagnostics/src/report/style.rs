//! Colours, the same in all reports for people.

use anstyle::{AnsiColor, Style};
use cofferdam_conflicts::Severity;

pub(super) const BOLD: Style = Style::new().bold();
pub(super) const DIM: Style = Style::new().dimmed();
pub(super) const RED: Style = AnsiColor::Red.on_default().bold();
pub(super) const YELLOW: Style = AnsiColor::Yellow.on_default().bold();

pub(super) fn of(severity: Severity) -> Style {
    match severity {
        Severity::Conflict => RED,
        Severity::Warning => YELLOW,
        _ => AnsiColor::Cyan.on_default().bold(),
    }
}
