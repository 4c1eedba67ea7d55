//! Parts of sessions in words.

use super::text::{count, plain};
use cofferdam_batch::ledger::{JobCounts, RecordedAttempt, RecordedSession, WalStatus};
use cofferdam_batch::processes::NamedProcess;
use std::time::Duration;

/// Formats a session as `12 in night: tests`.
pub(super) fn name(session: &RecordedSession) -> String {
    format!(
        "{} in {}: {}",
        session.id,
        plain(&session.namespace),
        plain(&session.scope)
    )
}

/// Formats an owner as `process 4711 on build-3`.
pub(super) fn owner(session: &RecordedSession) -> String {
    match session.owner.host.as_str() {
        "" => format!("process {}", session.owner.pid),
        host => format!("process {} on {}", session.owner.pid, plain(host)),
    }
}

/// Formats counts as `7 of 10 jobs ended (1 failed), 2 running`.
pub(super) fn progress(jobs: &JobCounts) -> String {
    let mut line = format!("{} of {} ended", jobs.ended(), count(jobs.total, "job"));
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

/// Formats the end of an attempt as `code 3` or `signal 9, timeout`.
pub(super) fn ended_with(attempt: &RecordedAttempt) -> String {
    let end = match (attempt.signal, attempt.exit_code) {
        (Some(signal), _) => Some(format!("signal {signal}")),
        (None, code) => code.map(|code| format!("code {code}")),
    };
    let reason = attempt.reason.as_deref().map(|reason| plain(reason).into_owned());
    end.into_iter().chain(reason).collect::<Vec<_>>().join(", ")
}

/// Formats the time between two timestamps in microseconds.
pub(super) fn span(from: u64, to: u64) -> String {
    let micros = to.saturating_sub(from);
    match micros {
        ..1_000_000 => format!("{} ms", micros / 1_000),
        1_000_000..60_000_000 => format!("{}.{} s", micros / 1_000_000, micros / 100_000 % 10),
        _ => humantime::format_duration(Duration::from_secs(micros / 1_000_000)).to_string(),
    }
}

/// Formats microseconds since 1970 in UTC.
pub(super) fn timestamp(at: u64) -> String {
    // A later time is beyond the calendar, and was not written by cofferdam.
    let latest = 253_402_300_799_000_000;
    let at = std::time::UNIX_EPOCH + Duration::from_micros(at.min(latest));
    humantime::format_rfc3339_seconds(at).to_string()
}

/// Describes a large write-ahead log and the processes that keep it from being truncated.
pub(super) fn large_wal(wal: &WalStatus) -> Option<String> {
    const LARGE: u64 = 16_000_000;
    if wal.bytes < LARGE || wal.readers.is_empty() {
        return None;
    }
    Some(format!(
        "the ledger's write-ahead log has {} MB and cannot be truncated while {} reads it: end the reader, and the next \
         session truncates the log",
        wal.bytes / 1_000_000,
        plain(&NamedProcess::list(&wal.readers))
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_the_precision_that_readers_need() {
        for (micros, expected) in [
            (0, "0 ms"),
            (999_999, "999 ms"),
            (1_950_000, "1.9 s"),
            (59_990_000, "59.9 s"),
            (3_723_000_000, "1h 2m 3s"),
        ] {
            assert_eq!(span(7, 7 + micros), expected);
        }
        assert_eq!(span(7, 0), "0 ms", "a clock that was set back");
        assert_eq!(timestamp(1_700_000_000_000_000), "2023-11-14T22:13:20Z");
        assert_eq!(timestamp(u64::MAX), "9999-12-31T23:59:59Z");
    }

    #[test]
    fn a_large_log_is_reported_only_while_a_process_reads_it() {
        let readers = vec![NamedProcess {
            pid: 4711,
            program: Some("sqlite3".to_owned()),
        }];
        let of = |bytes, readers: &[NamedProcess]| {
            large_wal(&WalStatus {
                bytes,
                readers: readers.to_vec(),
            })
        };
        assert_eq!(of(1_000_000, &readers), None);
        assert_eq!(of(20_000_000, &[]), None);
        let text = of(20_000_000, &readers).unwrap();
        assert!(
            text.contains("20 MB") && text.contains("process 4711 (sqlite3)"),
            "{text}"
        );
    }
}
