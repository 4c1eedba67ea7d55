//! A unified diff, in color on a terminal.

use super::style::BOLD;
use super::text::plain;
use anstyle::{AnsiColor, Style};
use std::io::{self, Write};

const ADDED: Style = AnsiColor::Green.on_default();
const REMOVED: Style = AnsiColor::Red.on_default();

pub(super) fn write(out: &mut dyn Write, text: &str) -> io::Result<()> {
    let (header, body) = match text.find("@@") {
        Some(at) => text.split_at(at),
        None => (text, ""),
    };
    for line in header.lines() {
        writeln!(out, "{BOLD}{}{BOLD:#}", plain(line))?;
    }
    for line in body.split_inclusive('\n') {
        // The text is the user's file, and a patch must not be escaped.
        let style = match line.as_bytes().first() {
            Some(b'+') => ADDED,
            Some(b'-') => REMOVED,
            _ => Style::new(),
        };
        let (line, end) = line.strip_suffix('\n').map_or((line, ""), |line| (line, "\n"));
        write!(out, "{style}{line}{style:#}{end}")?;
    }
    Ok(())
}
