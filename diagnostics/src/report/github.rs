//! GitHub Actions: annotations by workflow commands, and the job's summary in Markdown.

use super::finding::Finding;
use super::last_line;
use super::observed::failed_tests;
use super::reported::Reported;
use super::source_place::SourcePlace;
use super::summary::nothing_recorded;
use super::text::plain;
use super::{ReportError, not_written};
use crate::cli::GithubMode;
use crate::commands::Outcome;
use crate::exit_code::{NoRecords, Verdict};
use cofferdam_conflicts::Severity;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// The number of annotations of one level that GitHub shows for a step.
const SHOWN: usize = 10;
/// The maximum size of a step's summary, in bytes. GitHub shows no larger one.
const SUMMARY_SIZE: u64 = 1024 * 1024;
/// The bytes of it that are reserved for `and N more`.
const RESERVED: u64 = 200;
/// The number of a finding's details that an annotation, and the summary, lists.
const LISTED: usize = 20;

/// Writes annotations to standard error, apart from the report's lines, and adds the report to the job's summary.
///
/// # Errors
///
/// The summary, or standard error, cannot be written.
pub(crate) fn write(mode: Option<GithubMode>, reported: Reported<'_>) -> Result<(), ReportError> {
    let is_written = match asked(mode) {
        Some(GithubMode::Always) => true,
        Some(GithubMode::Never) => false,
        Some(GithubMode::Auto) | None => variable("GITHUB_ACTIONS").is_some(),
    };
    if !is_written {
        return Ok(());
    }
    let mut text = Vec::new();
    annotate_all(&mut text, reported).map_err(not_written)?;
    let mut err = io::stderr().lock();
    err.write_all(&text).map_err(|source| ReportError {
        file: "standard error".to_owned(),
        source,
    })?;
    drop(err);
    match variable("GITHUB_STEP_SUMMARY") {
        Some(path) => add_summary(Path::new(&path), reported).map_err(|source| ReportError {
            file: format!("the summary of the job, {path}"),
            source,
        }),
        None => Ok(()),
    }
}

/// Returns the option. `auto` gives way to the variable that an outer cofferdam has set.
fn asked(mode: Option<GithubMode>) -> Option<GithubMode> {
    let option = mode.filter(|mode| *mode != GithubMode::Auto);
    option.or_else(|| variable("COFFERDAM_GITHUB")?.parse().ok())
}

fn variable(name: &str) -> Option<String> {
    #[expect(
        clippy::disallowed_methods,
        reason = "GitHub gives the place of the summary in a variable"
    )]
    let value = std::env::var(name).ok();
    value.filter(|value| !value.is_empty())
}

/// A message, at a source line if one is known.
struct Annotation {
    severity: Severity,
    place: Option<SourcePlace>,
    title: String,
    lines: Vec<String>,
}

impl Annotation {
    fn new(severity: Severity, title: &str, line: String) -> Self {
        Self {
            severity,
            place: None,
            title: title.to_owned(),
            lines: vec![line],
        }
    }
}

/// Writes the annotations that GitHub shows, the most important first, and the number of the others.
fn annotate_all(out: &mut impl Write, reported: Reported<'_>) -> io::Result<()> {
    let mut by_level: BTreeMap<Severity, Vec<Annotation>> = BTreeMap::new();
    for annotation in annotations(reported) {
        by_level.entry(annotation.severity).or_default().push(annotation);
    }
    for (severity, annotations) in by_level {
        let shown = match annotations.len() {
            all if all <= SHOWN => all,
            _ => SHOWN - 1,
        };
        for annotation in &annotations[..shown] {
            annotate(out, annotation)?;
        }
        let more = annotations.len() - shown;
        if more > 0 {
            let line = format!("{more} more: GitHub shows {SHOWN}; the log has all");
            annotate(out, &Annotation::new(severity, "cofferdam", line))?;
        }
    }
    Ok(())
}

fn annotations(reported: Reported<'_>) -> Vec<Annotation> {
    let findings = Finding::all(reported).into_iter();
    let counted = findings.filter(|finding| finding.standing.is_none_or(|standing| standing.fails()));
    let mut all: Vec<Annotation> = counted
        .map(|finding| Annotation {
            severity: finding.severity,
            lines: finding.lines(LISTED),
            title: format!("cofferdam: {}", finding.title),
            place: finding.places.into_iter().find(SourcePlace::is_inside),
        })
        .collect();
    match reported {
        Reported::Outcome(outcome) => all.extend(of_outcome(outcome)),
        #[cfg(has_observer)]
        Reported::Hunt(_) => {}
    }
    all
}

/// Returns the annotations about a command besides its findings.
fn of_outcome(outcome: &Outcome) -> Vec<Annotation> {
    let findings = &outcome.findings;
    let error = |title: &str, line: String| Annotation::new(Severity::Conflict, title, line);
    let notes = findings.baseline.iter().flat_map(|compared| &compared.notes);
    let notes = notes.map(|note| error("cofferdam: baseline", note.clone()));
    let failed = findings.observed.iter().flat_map(failed_tests);
    let failed = failed.map(|(word, test, _)| error(&format!("cofferdam: {word}"), test));
    let lost = last_line::lost(&findings.account).map(|what| error("cofferdam: lost", what));
    let unread = match outcome.verdict {
        Verdict::Unreadable => Severity::Conflict,
        _ => Severity::Warning,
    };
    let problems = findings.problems.iter();
    let problems = problems.map(|what| Annotation::new(unread, "cofferdam: unreadable", what.clone()));
    let no_records = match (outcome.verdict, outcome.no_records) {
        (Verdict::NoRecords, _) => Some(Severity::Conflict),
        (Verdict::NothingRecorded, NoRecords::Warn) => Some(Severity::Warning),
        _ => None,
    };
    let no_records = no_records
        .map(|severity| Annotation::new(severity, "cofferdam: no records", nothing_recorded(outcome)));
    notes
        .chain(failed)
        .chain(lost)
        .chain(problems)
        .chain(no_records)
        .collect()
}

/// Writes `::error file=F,line=N,title=T::MESSAGE`, and escapes everything that could end a part of it.
fn annotate(out: &mut impl Write, annotation: &Annotation) -> io::Result<()> {
    let level = match annotation.severity {
        Severity::Conflict => "error",
        Severity::Warning => "warning",
        Severity::Note => "notice",
    };
    write!(out, "::{level} ")?;
    if let Some(place) = &annotation.place {
        write!(out, "file={},line={},", property(&place.file), place.line)?;
    }
    let message: Vec<_> = annotation.lines.iter().map(|line| data(line)).collect();
    let title = property(&annotation.title);
    writeln!(out, "title={title}::{}", message.join("%0A"))
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

/// Adds the report to the summary, as far as it fits.
fn add_summary(path: &Path, reported: Reported<'_>) -> io::Result<()> {
    let used = fs::metadata(path).map_or(0, |there| there.len());
    let text = summary(reported, SUMMARY_SIZE.saturating_sub(used));
    let mut file = File::options().create(true).append(true).open(path)?;
    file.write_all(text.as_bytes())
}

/// Returns the report in Markdown, in at most `size` bytes.
fn summary(reported: Reported<'_>, size: u64) -> String {
    let mut text = format!("\n### cofferdam\n\n{}\n", markdown(&reported.last_line()));
    let fits = |length: usize| length as u64 + RESERVED <= size;
    if !fits(text.len()) {
        return String::new();
    }
    let annotations = annotations(reported);
    for (number, annotation) in annotations.iter().enumerate() {
        let title = annotation.title.trim_start_matches("cofferdam: ");
        let mut lines = annotation.lines.iter();
        let first = lines.next().map_or("", String::as_str);
        let severity = match annotation.severity {
            Severity::Conflict => "",
            Severity::Warning => " (warning)",
            Severity::Note => " (note)",
        };
        let mut block = format!("\n**{}**{severity} {}\n\n", markdown(title), markdown(first));
        for line in lines {
            block.push_str(&format!("- {}\n", markdown(line)));
        }
        if !fits(text.len() + block.len()) {
            text.push_str(&format!("\nand {} more\n", annotations.len() - number));
            break;
        }
        text.push_str(&block);
    }
    text
}

/// Returns text in which no character begins markup.
fn markdown(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in plain(text).trim().chars() {
        if letter.is_ascii_punctuation() {
            escaped.push('\\');
        }
        escaped.push(letter);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::super::sample::{self, HOSTILE};
    use super::*;
    use proptest::prelude::*;

    fn annotation(file: &str, title: &str, message: &str) -> String {
        let mut out = Vec::new();
        let place = SourcePlace {
            file: file.to_owned(),
            line: 3,
            what: String::new(),
        };
        let annotation = Annotation {
            place: Some(place),
            ..Annotation::new(Severity::Conflict, title, message.to_owned())
        };
        annotate(&mut out, &annotation).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn all(outcome: &Outcome) -> String {
        let mut out = Vec::new();
        annotate_all(&mut out, Reported::Outcome(outcome)).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn nothing_in_a_name_ends_the_annotation() {
        let text = annotation("a,b::c%.rs", "x: y, z", "100% ::error::no\r\u{1b}[0m");
        assert_eq!(
            text,
            "::error file=a%2Cb%3A%3Ac%25.rs,line=3,title=x%3A y%2C z::100%25 ::error::no\\r\\u{1b}[0m\n"
        );
    }

    #[test]
    fn more_annotations_of_a_level_than_github_shows_are_counted() {
        let mut outcome = sample::outcome("a");
        for (count, shown, last) in [(9, 10, false), (10, 10, true), (30, 10, true)] {
            outcome.findings.problems.clear();
            outcome.findings.conflicts.truncate(1);
            let first = outcome.findings.conflicts[0].clone();
            outcome.findings.conflicts.extend(vec![first; count - 1]);
            // A failed test is an error, too.
            let text = all(&outcome);
            let errors: Vec<&str> = text.lines().filter(|line| line.starts_with("::error ")).collect();
            assert_eq!(errors.len(), shown, "{text}");
            let more = format!("::error title=cofferdam::{} more: ", count + 1 - 9);
            assert_eq!(errors[9].starts_with(&more), last, "{text}");
            outcome.findings.conflicts.truncate(1);
        }
    }

    #[test]
    fn the_summary_is_never_larger_than_its_size() {
        let mut outcome = sample::outcome("a");
        let first = outcome.findings.conflicts[0].clone();
        outcome.findings.conflicts = vec![first; 100];
        let whole = summary(Reported::Outcome(&outcome), SUMMARY_SIZE);
        assert_eq!(whole.matches("\n**shared\\-resource** ").count(), 100, "{whole}");
        let part = summary(Reported::Outcome(&outcome), 3000);
        assert!(part.len() <= 3000 && part.contains("\n\nand 9"), "{part}");
        assert_eq!(summary(Reported::Outcome(&outcome), 100), "");
    }

    proptest! {
        #[test]
        fn a_name_is_neither_a_command_nor_markup(name in HOSTILE) {
            let outcome = sample::outcome(&name);
            let text = all(&outcome);
            prop_assert_eq!(text.lines().count(), 3);
            for line in text.lines() {
                prop_assert!(line.starts_with("::error ") || line.starts_with("::warning "), "{}", line);
                prop_assert!(!line.contains("##[") && !line.contains(char::is_control), "{}", line);
            }
            let message = text.lines().next().unwrap().splitn(3, "::").nth(2).unwrap();
            let message = message.replace("%0A", "\n").replace("%25", "%");
            let wanted = format!("is used by {} (write)", plain(&name));
            prop_assert!(message.contains(&wanted), "{}", message);
            let text = summary(Reported::Outcome(&outcome), SUMMARY_SIZE);
            let bare = text.split("\n**").nth(1).unwrap().split_once("** ").unwrap().1.lines().next().unwrap();
            let mut letters = bare.chars();
            while let Some(letter) = letters.next() {
                prop_assert!(!letter.is_ascii_punctuation() || letter == '\\' && letters.next().is_some(), "{}", bare);
            }
        }
    }
}
