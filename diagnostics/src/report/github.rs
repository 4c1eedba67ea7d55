//! Workflow commands of GitHub Actions: an annotation for each finding.

use super::observed::{failed_tests, places};
use super::summary::{last_line, nothing_recorded};
use super::text::plain;
use super::{last_line, source_place};
use crate::commands::Outcome;
use crate::exit_code::{NoRecords, Verdict};
use cofferdam_conflicts::{Conflict, Severity};
use std::io::{self, Write};

pub(super) struct Github<'a>(pub(super) &'a Outcome);

impl Github<'_> {
    pub(super) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let findings = &self.0.findings;
        for conflict in &findings.conflicts {
            let place = conflict.uses().find_map(|(_, used)| used.place.as_deref());
            let grade = conflict
                .grade
                .map(|grade| format!(", {grade}"))
                .unwrap_or_default();
            let title = format!("cofferdam: {}{grade}", conflict.kind);
            annotate(out, level(conflict.severity()), place, &title, &text(conflict))?;
        }
        for note in findings.baseline.iter().flat_map(|compared| &compared.notes) {
            annotate(
                out,
                "error",
                None,
                "cofferdam: baseline",
                std::slice::from_ref(note),
            )?;
        }
        for (word, test) in findings.observed.iter().flat_map(failed_tests) {
            annotate(out, "error", None, &format!("cofferdam: {word}"), &[test])?;
        }
        for what in last_line::lost(&findings.account) {
            annotate(out, "error", None, "cofferdam: lost", &[what])?;
        }
        let unread = if self.0.verdict == Verdict::Unreadable {
            "error"
        } else {
            "warning"
        };
        for problem in &findings.problems {
            annotate(out, unread, None, "cofferdam: unreadable", &[problem.to_string()])?;
        }
        match (self.0.verdict, self.0.no_records) {
            (Verdict::NoRecords, _) => {
                annotate(
                    out,
                    "error",
                    None,
                    "cofferdam: no records",
                    &[nothing_recorded(self.0)],
                )?;
            }
            (Verdict::NothingRecorded, NoRecords::Warn) => {
                annotate(
                    out,
                    "warning",
                    None,
                    "cofferdam: no records",
                    &[nothing_recorded(self.0)],
                )?;
            }
            _ => {}
        }
        writeln!(out, "cofferdam: {}", last_line(self.0))
    }
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Conflict => "error",
        Severity::Warning => "warning",
        Severity::Note => "notice",
    }
}

fn text(conflict: &Conflict) -> Vec<String> {
    let mut lines = vec![format!("{}.", conflict.message)];
    let output = conflict.output.iter().flat_map(|output| output.lines());
    lines.extend(output.map(|line| format!("| {line}")));
    for (test, used) in conflict.uses() {
        let access = used
            .access
            .map(|access| format!(", {access}"))
            .unwrap_or_default();
        let place = match places(used).as_str() {
            "" => String::new(),
            place => format!(", {place}"),
        };
        let (worker, binary) = (part("on", &test.worker), part("in", &test.binary));
        lines.push(format!("{test}{worker}{binary}{access}{place}"));
    }
    lines.push(format!("Help: {}", conflict.help));
    lines
}

/// Returns ` on w0`, or nothing without a name: a test that was observed from outside has no worker.
fn part(word: &str, name: &str) -> String {
    match name {
        "" => String::new(),
        name => format!(" {word} {name}"),
    }
}

/// Writes `::error file=F,line=N,title=T::MESSAGE`, with everything escaped that could end a part of it.
fn annotate(
    out: &mut impl Write,
    level: &str,
    place: Option<&str>,
    title: &str,
    lines: &[String],
) -> io::Result<()> {
    write!(out, "::{level} ")?;
    if let Some((file, line)) = place.and_then(source_place::split) {
        write!(out, "file={},line={line},", property(file))?;
    }
    let message: Vec<_> = lines.iter().map(|line| data(line)).collect();
    writeln!(out, "title={}::{}", property(title), message.join("%0A"))
}

fn data(text: &str) -> String {
    plain(text)
        .replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn annotation(place: &str, title: &str, message: &str) -> String {
        let mut out = Vec::new();
        annotate(&mut out, "error", Some(place), title, &[message.to_owned()]).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_worker_that_is_not_known_is_left_out() {
        assert_eq!(
            (part("on", "w0"), part("on", "")),
            (" on w0".to_owned(), String::new())
        );
    }

    #[test]
    fn nothing_in_a_name_ends_the_annotation() {
        let text = annotation("a,b::c%.rs:3", "x: y, z", "100% ::error::no\r\u{1b}[0m");
        assert_eq!(
            text,
            "::error file=a%2Cb%3A%3Ac%25.rs,line=3,title=x%3A y%2C z::100%25 ::error::no\\r\\u{1b}[0m\n"
        );
    }
}
