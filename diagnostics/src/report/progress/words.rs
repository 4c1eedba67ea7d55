//! Outcomes and reasons in words.

use crate::report::text::{count, plain};
use cofferdam_batch::executor::job_event::{AttemptOutcome, MemoryHold, StopReason};
use cofferdam_batch::executor::shortage::Shortage;
use std::time::Duration;

/// Formats a time as `0.3 s`, `12 s`, `3 min 5 s`, `2 h 10 min`.
pub(in crate::report) fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        0..10 => format!("{:.1} s", span.as_secs_f64()),
        10..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
    }
}

/// Formats a size as `1.5 GiB`.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["bytes", "KiB", "MiB", "GiB", "TiB"];
    #[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
    let mut number = bytes as f64;
    let mut unit = 0;
    while number >= 1024.0 && unit + 1 < UNITS.len() {
        number /= 1024.0;
        unit += 1;
    }
    match unit {
        0 => format!("{bytes} {}", UNITS[0]),
        _ => format!("{number:.1} {}", UNITS[unit]),
    }
}

pub(in crate::report) fn outcome(outcome: &AttemptOutcome) -> String {
    match outcome {
        AttemptOutcome::Passed => "passed".to_owned(),
        AttemptOutcome::Failed {
            code,
            signal,
            critical,
        } => {
            let end = match signal {
                Some(signal) => format!("ended by signal {signal}"),
                None => format!("exit code {code}"),
            };
            match critical {
                true => format!("{end}, critical"),
                false => end,
            }
        }
        AttemptOutcome::NotStarted { error } => plain(error).into_owned(),
        AttemptOutcome::TimedOut { limit } => format!("stopped: ran longer than {}", span(*limit)),
        AttemptOutcome::OverMemory { used, limit } => {
            format!(
                "stopped: used {} of memory, the limit is {}",
                size(*used),
                size(*limit)
            )
        }
        AttemptOutcome::OverTotalMemory { used, limit } => format!(
            "stopped as the largest: all jobs used {} of memory, the limit is {}",
            size(*used),
            size(*limit)
        ),
        AttemptOutcome::Cancelled => "cancelled".to_owned(),
    }
}

pub(super) fn memory_hold(hold: &MemoryHold) -> String {
    match hold {
        MemoryHold::MachineShort { available, keep_free } => format!(
            "no job starts for now: {} of memory are available, {} are kept free",
            size(*available),
            size(*keep_free)
        ),
        MemoryHold::NearLimit { used, limit } => {
            format!(
                "no job starts for now: the jobs use {} of {}",
                size(*used),
                size(*limit)
            )
        }
    }
}

pub(super) fn shortage(shortage: Shortage, at_once: usize) -> String {
    let jobs = count(at_once as u64, "job");
    let verb = if at_once == 1 { "runs" } else { "run" };
    format!("no more than {jobs} {verb} at once: {}", shortage.text())
}

pub(in crate::report) fn detached(pid: u32, name: &str) -> String {
    format!("process {pid} ({}), detached by a job, still runs", plain(name))
}

pub(in crate::report) fn stop_reason(reason: &StopReason) -> String {
    match reason {
        StopReason::Signal(number) => format!("signal {number} was received"),
        StopReason::Failed(job) => format!("{job} failed"),
        StopReason::Critical(job) => format!("{job} failed critically"),
        StopReason::MaxFail(1) => "a job failed".to_owned(),
        StopReason::MaxFail(number) => format!("{number} jobs failed"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes_have_a_suitable_unit() {
        for (millis, text) in [
            (340, "0.3 s"),
            (12_700, "12 s"),
            (185_000, "3 min 5 s"),
            (7_860_000, "2 h 11 min"),
        ] {
            assert_eq!(span(Duration::from_millis(millis)), text);
        }
        for (bytes, text) in [
            (17, "17 bytes"),
            (1536, "1.5 KiB"),
            (3 << 29, "1.5 GiB"),
            (1 << 60, "1048576.0 TiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }
}
