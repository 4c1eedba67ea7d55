//! Sessions and jobs, in words and as JSON.

use super::json_line::path;
use super::text::{count, plain};
use crate::ledger::{Attempt, Counts, Holder, Job, JobNumber, Session, SessionId};
use serde::Serialize;
use std::borrow::Cow;
use std::time::Duration;

/// `12 in night: tests`.
pub(super) fn name(session: &Session) -> String {
    format!(
        "{} in {}: {}",
        session.id,
        plain(&session.namespace),
        plain(&session.scope)
    )
}

/// `process 4711 on build-3`.
pub(super) fn owner(session: &Session) -> String {
    match session.owner.host.as_str() {
        "" => format!("process {}", session.owner.pid),
        host => format!("process {} on {}", session.owner.pid, plain(host)),
    }
}

/// `7 of 10 jobs ended (1 failed), 2 running`.
pub(super) fn progress(jobs: &Counts) -> String {
    let mut line = format!("{} of {} ended", jobs.ended(), count(jobs.all(), "job"));
    let ends = [
        (jobs.failed, "failed"),
        (jobs.cancelled, "cancelled"),
        (jobs.interrupted, "interrupted"),
    ];
    let ends = ends.iter().filter(|(number, _)| *number > 0);
    let ends: Vec<String> = ends.map(|(number, word)| format!("{number} {word}")).collect();
    if !ends.is_empty() {
        line.push_str(&format!(" ({})", ends.join(", ")));
    }
    for (number, word) in [(jobs.running, "running"), (jobs.pending, "waiting")] {
        if number > 0 {
            line.push_str(&format!(", {number} {word}"));
        }
    }
    line
}

/// How long from one moment to another, both in microseconds.
pub(super) fn span(from: u64, to: u64) -> String {
    let micros = to.saturating_sub(from);
    match micros {
        ..1_000_000 => format!("{} ms", micros / 1_000),
        1_000_000..60_000_000 => format!("{}.{} s", micros / 1_000_000, micros / 100_000 % 10),
        _ => humantime::format_duration(Duration::from_secs(micros / 1_000_000)).to_string(),
    }
}

/// The moment in UTC, from microseconds since 1970.
pub(super) fn moment(at: u64) -> String {
    // What is no moment of this calendar was not written by us.
    let latest = 253_402_300_799_000_000;
    let at = std::time::UNIX_EPOCH + Duration::from_micros(at.min(latest));
    humantime::format_rfc3339_seconds(at).to_string()
}

/// What keeps the ledger's log large, if it is.
pub(super) fn large_log(bytes: u64, readers: &[Holder]) -> Option<String> {
    const LARGE: u64 = 16_000_000;
    if bytes < LARGE || readers.is_empty() {
        return None;
    }
    Some(format!(
        "the ledger's log has {} MB and cannot be emptied, because it is read by {}: end that, and the next session \
         empties it",
        bytes / 1_000_000,
        plain(&Holder::list(readers))
    ))
}

/// A session, for programs.
#[derive(Serialize)]
pub(super) struct SessionView<'a> {
    id: SessionId,
    name: &'a str,
    namespace: &'a str,
    scope: &'a str,
    triggered_by: &'static str,
    status: &'static str,
    left: Vec<LeftView<'a>>,
    beside: bool,
    owner: OwnerView<'a>,
    revision: Option<&'a str>,
    resumes: Option<SessionId>,
    started: u64,
    ended: Option<u64>,
    gap: bool,
    conflicts: Option<u64>,
    jobs: CountsView,
}

/// A process that a killed session left running.
#[derive(Serialize)]
struct LeftView<'a> {
    pid: u32,
    name: Option<&'a str>,
}

#[derive(Serialize)]
struct OwnerView<'a> {
    pid: u32,
    started: u64,
    host: &'a str,
}

#[derive(Serialize)]
struct CountsView {
    all: u64,
    pending: u64,
    running: u64,
    completed: u64,
    failed: u64,
    cancelled: u64,
    interrupted: u64,
}

impl<'a> From<&'a Session> for SessionView<'a> {
    fn from(session: &'a Session) -> Self {
        let left = |holder: &'a Holder| LeftView {
            pid: holder.pid,
            name: holder.program.as_deref(),
        };
        let jobs = &session.jobs;
        Self {
            id: session.id,
            name: &session.name,
            namespace: &session.namespace,
            scope: &session.scope,
            triggered_by: session.trigger.as_str(),
            status: session.status.as_str(),
            left: session.left.iter().map(left).collect(),
            beside: session.beside,
            owner: OwnerView {
                pid: session.owner.pid,
                started: session.owner.started,
                host: &session.owner.host,
            },
            revision: session.revision.as_deref(),
            resumes: session.resumes,
            started: session.started,
            ended: session.ended,
            gap: session.gap,
            conflicts: session.conflicts,
            jobs: CountsView {
                all: jobs.all(),
                pending: jobs.pending,
                running: jobs.running,
                completed: jobs.completed,
                failed: jobs.failed,
                cancelled: jobs.cancelled,
                interrupted: jobs.interrupted,
            },
        }
    }
}

/// A job, for programs.
#[derive(Serialize)]
pub(super) struct JobView<'a> {
    number: JobNumber,
    name: &'a str,
    command: Option<&'a str>,
    group: Option<&'a str>,
    state: &'static str,
    submitted: bool,
    carried: bool,
    attempts: Vec<AttemptView<'a>>,
}

#[derive(Serialize)]
struct AttemptView<'a> {
    number: u32,
    state: &'static str,
    exit_code: Option<i32>,
    signal: Option<i32>,
    reason: Option<&'a str>,
    started: u64,
    ended: Option<u64>,
    memory: Option<u64>,
    log: Option<Cow<'a, str>>,
}

impl<'a> From<&'a Job> for JobView<'a> {
    fn from(job: &'a Job) -> Self {
        let attempt = |attempt: &'a Attempt| AttemptView {
            number: attempt.number,
            state: attempt.state.as_str(),
            exit_code: attempt.exit_code,
            signal: attempt.signal,
            reason: attempt.reason.as_deref(),
            started: attempt.started,
            ended: attempt.ended,
            memory: attempt.memory,
            log: attempt.log.as_deref().map(path),
        };
        Self {
            number: job.number,
            name: &job.name,
            command: job.command.as_deref(),
            group: job.group.as_deref(),
            state: job.state.as_str(),
            submitted: job.submitted,
            carried: job.carried,
            attempts: job.attempts.iter().map(attempt).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_as_exact_as_people_want_them() {
        for (micros, told) in [
            (0, "0 ms"),
            (999_999, "999 ms"),
            (1_950_000, "1.9 s"),
            (59_990_000, "59.9 s"),
            (3_723_000_000, "1h 2m 3s"),
        ] {
            assert_eq!(span(7, 7 + micros), told);
        }
        assert_eq!(span(7, 0), "0 ms", "a clock that was set back");
        assert_eq!(moment(1_700_000_000_000_000), "2023-11-14T22:13:20Z");
        assert_eq!(moment(u64::MAX), "9999-12-31T23:59:59Z");
    }

    #[test]
    fn a_large_log_is_worth_a_word_only_while_somebody_keeps_it() {
        let readers = [Holder {
            pid: 4711,
            program: Some("sqlite3".to_owned()),
        }];
        assert_eq!(large_log(1_000_000, &readers), None);
        assert_eq!(large_log(20_000_000, &[]), None);
        let told = large_log(20_000_000, &readers).unwrap();
        assert!(
            told.contains("20 MB") && told.contains("process 4711 (sqlite3)"),
            "{told}"
        );
    }
}
