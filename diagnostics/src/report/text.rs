//! Texts for people: names made harmless, numbers with their nouns.

use super::account;
use super::progress::words;
use crate::commands::Outcome;
use crate::commands::run::summary::Batch;
use crate::exit_code::{Ended, JOB_FAILED, Verdict};
use cofferdam::diagnostics::{Severity, Watched};
use std::borrow::Cow;
use std::error::Error;
use std::fmt::Write as _;

/// Anybody may choose the name of a test or a file. In a report it can neither steer a terminal, nor begin a line of
/// its own, nor be taken for a workflow command.
pub(super) fn plain(text: &str) -> Cow<'_, str> {
    if !text.contains(is_harmful) && !text.contains("##[") {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len() + 16);
    for letter in text.chars() {
        if is_harmful(letter) {
            plain.extend(letter.escape_default());
        } else if letter == '[' && plain.ends_with("##") {
            plain.push_str("\\[");
        } else {
            plain.push(letter);
        }
    }
    Cow::Owned(plain)
}

/// Control characters, and those that change a line's direction or cannot be seen.
pub(super) fn is_harmful(letter: char) -> bool {
    letter.is_control()
        || matches!(
            letter,
            '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
        )
}

/// JSON leaves some characters as they are that steer a terminal; escaped they mean the same. They stand in texts only.
pub(super) fn harmless(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for letter in json.chars() {
        if is_harmful(letter) {
            let mut units = [0; 2];
            for unit in letter.encode_utf16(&mut units) {
                let _ = write!(text, "\\u{unit:04x}");
            }
        } else {
            text.push(letter);
        }
    }
    // GitHub's runner takes this for a command wherever in a line it stands.
    text.replace("##[", "#\\u0023[")
}

/// Returns an error with its causes, without those that an outer message already contains.
pub(super) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let inner = next.to_string();
        if !text.contains(&inner) {
            text = format!("{text}: {inner}");
        }
        cause = next.source();
    }
    text
}

/// `1 test`, `2 tests`, `2 processes`.
pub(super) fn count(number: u64, noun: &str) -> String {
    let plural = match number {
        1 => "",
        _ if noun.ends_with('s') => "es",
        _ => "s",
    };
    format!("{number} {noun}{plural}")
}

/// The last line: the verdict, and what it is a verdict on.
pub(super) fn last_line(outcome: &Outcome) -> String {
    let findings = &outcome.findings;
    let conflicts = findings.of_severity(Severity::Conflict).count() as u64;
    let watched = |watched_inside| match &findings.observed {
        Some(observed) => super::observed::watched(observed),
        None => watched(watched_inside),
    };
    let settled = findings
        .baseline
        .as_ref()
        .filter(|compared| !compared.settled.is_empty());
    let new = if settled.is_some() { "new " } else { "" };
    let mut line = match outcome.verdict {
        Verdict::None => format!(
            "no {new}conflict in what was watched: {}",
            watched(&findings.watched)
        ),
        Verdict::Conflicts => {
            format!(
                "{}{} in what was watched: {}",
                count(conflicts, &format!("{new}conflict")),
                super::confirmed::grades(findings),
                watched(&findings.watched)
            )
        }
        Verdict::Unreadable => format!(
            "could not tell: not everything could be read; no conflict in what was: {}",
            watched(&findings.watched)
        ),
        Verdict::Lost => format!(
            "could not tell: {}; no {new}conflict in what was recorded: {}",
            account::lost_words(&findings.account),
            watched(&findings.watched)
        ),
        Verdict::NotTried => format!(
            "could not tell: {} not tried; no {new}conflict in what was: {}",
            count(findings.not_tried() as u64, "resource"),
            watched(&findings.watched)
        ),
        Verdict::OutOfReach => format!(
            "could not tell: not everything could be observed; no {new}conflict in what was: {}",
            watched(&findings.watched)
        ),
        Verdict::NothingRecorded => "nothing was recorded, so there is nothing to tell".to_owned(),
        Verdict::NoRecords => "could not tell: nothing was recorded".to_owned(),
    };
    match outcome.verdict {
        Verdict::None | Verdict::Unreadable | Verdict::Lost
            if findings.observed.is_none() && findings.watched.workers == 1 =>
        {
            line.push_str("; with one worker, conflicts between workers cannot be seen");
        }
        Verdict::Conflicts => {
            if !findings.account.lost.is_empty() {
                line.push_str("; ");
                line.push_str(&account::lost_words(&findings.account));
            }
            if findings.problem_count > 0 {
                line.push_str("; not everything could be read");
            }
            let not_tried = findings.not_tried() as u64;
            if not_tried > 0 {
                line.push_str(&format!("; {} not tried", count(not_tried, "resource")));
            }
        }
        _ => {}
    }
    line.push_str(&account::out_of_reach_words(&findings.account));
    line.push_str(&settled.map(super::baseline::last_words).unwrap_or_default());
    if let Some(batch) = &outcome.batch {
        line.push_str("; ");
        line.push_str(&jobs(batch));
        return line;
    }
    match outcome.command {
        Some(Ended::Failed {
            code: JOB_FAILED,
            signal: None,
        }) if outcome.is_stopped => {
            line.push_str("; the command was stopped, for it went over a limit");
        }
        Some(Ended::Failed {
            signal: Some(signal),
            code,
        }) => {
            let _ = write!(
                line,
                "; the command was ended by signal {signal} (exit code {code})"
            );
        }
        Some(Ended::Failed { code, signal: None }) => {
            let _ = write!(line, "; the command failed (exit code {code})");
        }
        Some(Ended::Passed) | None => {}
    }
    if outcome.is_unexplained() {
        line.push_str(", and no cause was found");
    }
    line
}

/// `3 of 12 jobs failed, 1 was cancelled`.
fn jobs(batch: &Batch) -> String {
    let (failed, cancelled) = (batch.failed(), batch.cancelled());
    let all = count(batch.total(), "job");
    let mut text = match failed {
        0 if cancelled == 0 => return format!("{all} passed"),
        0 => String::new(),
        failed => format!("{failed} of {all} failed"),
    };
    if cancelled > 0 {
        let of = if failed > 0 {
            String::new()
        } else {
            format!(" of {all}")
        };
        let comma = if failed > 0 { ", " } else { "" };
        let _ = write!(text, "{comma}{cancelled}{of} cancelled");
    }
    if let Some(reason) = &batch.tally.stopped {
        let _ = write!(text, " ({})", words::stop_reason(reason));
    }
    text
}

fn watched(watched: &Watched) -> String {
    let mut parts = vec![
        count(watched.executions, "test"),
        count(watched.workers, "worker"),
        count(watched.runs, "run"),
        count(watched.instances, "service instance"),
        count(watched.claims, "claim"),
    ];
    if watched.fixtures > 0 {
        parts.push(count(watched.fixtures, "fixture"));
    }
    if watched.snapshots > 0 {
        parts.push(count(watched.snapshots, "snapshot"));
    }
    if watched.torn > 0 {
        parts.push(format!(
            "{} torn by killed processes and skipped",
            count(watched.torn, "line")
        ));
    }
    parts.join(", ")
}

/// What to do when nothing was recorded.
pub(super) fn nothing_recorded(outcome: &Outcome) -> String {
    let places: Vec<String> = outcome
        .findings
        .places
        .iter()
        .map(|place| plain(&place.display().to_string()).into_owned())
        .collect();
    let next = match outcome.command {
        Some(Ended::Failed { .. }) if outcome.findings.observed.is_some() => {
            "the command failed before a test program of this machine was started: see what it wrote"
        }
        _ if outcome.findings.observed.is_some() => {
            "test programs are seen that cargo or nextest starts for this machine, and that are linked with glibc \
             dynamically"
        }
        Some(Ended::Failed { .. }) if outcome.has_library != Some(false) => {
            "no test touched cofferdam before the command failed: see what it wrote"
        }
        Some(_) => match outcome.has_library {
            Some(true) => {
                "cofferdam is a dependency here, but no test that ran asked it for a service, a claim or a lock. If \
                 there is nothing to record, `--no-records pass` says so"
            }
            Some(false) => {
                "only tests that touch cofferdam are recorded, and it is no dependency here: add it as a \
                 dev-dependency, or use `cargo cofferdam observe`, which needs none"
            }
            None => {
                "only tests that touch cofferdam are recorded: is it a dev-dependency, and does a test call it? If \
                 there is nothing to record, `--no-records pass` says so"
            }
        },
        None => "record with `cargo cofferdam run -- COMMAND`, or name the folder that holds the journals",
    };
    format!("looked in {}; {next}", places.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Outer(&'static str, std::io::Error);

    impl std::fmt::Display for Outer {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Error for Outer {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&self.1)
        }
    }

    #[test]
    fn a_cause_that_its_outer_message_contains_is_not_repeated() {
        let with = |text| chain(&Outer(text, std::io::Error::other("no room")));
        assert_eq!(with("could not write x"), "could not write x: no room");
        assert_eq!(with("could not write x: no room"), "could not write x: no room");
    }

    #[test]
    fn a_hostile_name_becomes_a_harmless_one() {
        for (name, shown) in [
            ("tests::a", "tests::a"),
            ("grün/ß", "grün/ß"),
            ("a\nb", "a\\nb"),
            ("\u{1b}[31mred", "\\u{1b}[31mred"),
            ("\u{9b}31mred", "\\u{9b}31mred"),
            ("\u{202e}evil", "\\u{202e}evil"),
            ("\u{61c}evil", "\\u{61c}evil"),
            ("##[error]no", "##\\[error]no"),
        ] {
            assert_eq!(plain(name), shown);
        }
    }
}
