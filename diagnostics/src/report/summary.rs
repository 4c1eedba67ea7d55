//! The last line of a report, and the advice where nothing was recorded.

use super::last_line;
use super::progress::words;
use super::text::{count, plain};
use crate::commands::Outcome;
use crate::commands::run::batch_summary::Batch;
use crate::exit_code::{Ended, JOB_FAILED, Verdict};
use cofferdam_conflicts::{Severity, Watched};
use std::fmt::Write as _;

/// Returns the last line: the verdict, and the extent that it holds for.
pub(super) fn last_line(outcome: &Outcome) -> String {
    let findings = &outcome.findings;
    let conflicts = findings.of_severity(Severity::Conflict).count() as u64;
    let extent = extent(outcome);
    let settled = findings
        .baseline
        .as_ref()
        .filter(|compared| !compared.accepted.is_empty());
    let new = if settled.is_some() { "new " } else { "" };
    let mut line = match outcome.verdict {
        Verdict::None => format!("no {new}conflict in what was watched: {}", extent),
        Verdict::Conflicts => {
            format!(
                "{}{} in what was watched: {}",
                count(conflicts, &format!("{new}conflict")),
                super::confirmed::grades(findings),
                extent
            )
        }
        Verdict::Unreadable => format!(
            "could not tell: not everything could be read; no conflict in what was: {}",
            extent
        ),
        Verdict::Lost => format!(
            "could not tell: {}; no {new}conflict in what was recorded: {}",
            last_line::lost_words(&findings.account),
            extent
        ),
        Verdict::NotTried => format!(
            "could not tell: {} {}; no other {new}conflict in what was watched: {}",
            count(findings.not_tried() as u64, "resource"),
            super::confirmed::undecided(findings),
            extent
        ),
        Verdict::OutOfReach => format!(
            "could not tell: not everything could be observed; no {new}conflict in what was: {}",
            extent
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
                line.push_str(&last_line::lost_words(&findings.account));
            }
            if findings.problem_count > 0 {
                line.push_str("; not everything could be read");
            }
            let not_tried = findings.not_tried() as u64;
            if not_tried > 0 {
                let word = super::confirmed::undecided(findings);
                line.push_str(&format!("; {} {word}", count(not_tried, "resource")));
            }
        }
        _ => {}
    }
    line.push_str(&last_line::out_of_reach_words(findings));
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
            line.push_str("; the command was stopped because it exceeded a limit");
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
    if findings
        .observed
        .as_ref()
        .is_some_and(|observed| observed.ended_early)
    {
        line.push_str("; tests after the first failure may not have run: observe with `--no-fail-fast`");
    }
    line
}

/// Returns the extent of the verdict.
pub(super) fn extent(outcome: &Outcome) -> String {
    match &outcome.findings.observed {
        Some(observed) => super::observed::watched(observed),
        None => watched(&outcome.findings.watched),
    }
}

/// Returns `3 of 12 jobs failed, 1 was cancelled`.
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
        count(watched.tests, "test"),
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

/// Returns the advice for a run without records.
pub(super) fn nothing_recorded(outcome: &Outcome) -> String {
    let places: Vec<String> = outcome
        .findings
        .places
        .iter()
        .map(|place| plain(&place.display().to_string()).into_owned())
        .collect();
    let next = match outcome.command {
        _ if outcome.findings.observed.is_some() && outcome.findings.account.recorded > 0 => {
            "test programs were observed, and no test was seen in them: a filter may match none, and those of a harness of \
             its own (`harness = false`) are seen under nextest, and where it calls `cofferdam::Worker::begin`"
        }
        Some(Ended::Failed { .. }) if outcome.findings.observed.is_some() => {
            "the command failed before it started a test program: see its output"
        }
        _ if outcome.findings.observed.is_some() => {
            "no test program was seen: give a command that runs tests, such as `cargo test`; programs count that cargo or \
             nextest starts for this machine, linked dynamically with glibc"
        }
        Some(Ended::Failed { .. }) if outcome.has_library != Some(false) => {
            "no test used cofferdam before the command failed: see its output"
        }
        Some(_) => match outcome.has_library {
            Some(true) => {
                "cofferdam is a dependency here, but no test that ran asked it for a service, a claim or a lock. If \
                 there is nothing to record, `--no-records pass` says so"
            }
            Some(false) => {
                "only tests that use cofferdam are recorded, and nothing here depends on it: add it as a \
                 dev-dependency, or use `cargo cofferdam observe`, which needs none"
            }
            None => {
                "only tests that use cofferdam are recorded: is it a dev-dependency, and does a test call it? If \
                 there is nothing to record, `--no-records pass` says so"
            }
        },
        None => "record with `cargo cofferdam run -- COMMAND`, or name the directory that holds the journals",
    };
    format!("looked in {}; {next}", places.join(", "))
}
