//! Endings, holds and reasons in words.

use crate::report::text::{count, plain};
use cofferdam_batch::executor::event::{Ending, Hold, Why};
use cofferdam_batch::executor::shortage::Shortage;
use std::time::Duration;

/// `0.3 s`, `12 s`, `3 min 5 s`, `2 h 10 min`.
pub(in crate::report) fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        0..10 => format!("{:.1} s", span.as_secs_f64()),
        10..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
    }
}

/// `1.5 GiB`.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["bytes", "KiB", "MiB", "GiB", "TiB"];
    #[expect(clippy::cast_precision_loss, reason = "one digit of it is shown")]
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

pub(in crate::report) fn ending(ending: &Ending) -> String {
    match ending {
        Ending::Passed => "passed".to_owned(),
        Ending::Failed {
            code,
            signal,
            critical,
        } => {
            let how = match signal {
                Some(signal) => format!("ended by signal {signal}"),
                None => format!("exit code {code}"),
            };
            match critical {
                true => format!("{how}, critical"),
                false => how,
            }
        }
        Ending::NotStarted { error } => plain(error).into_owned(),
        Ending::TimedOut { limit } => format!("stopped: it ran longer than {}", span(*limit)),
        Ending::OverMemory { used, limit } => {
            format!(
                "stopped: it used {} of memory, and may use {}",
                size(*used),
                size(*limit)
            )
        }
        Ending::OverMemoryInAll { used, limit } => format!(
            "stopped: it used most, and all jobs used {} of memory and may use {}",
            size(*used),
            size(*limit)
        ),
        Ending::OverOutput { written, limit } => {
            format!(
                "stopped: it wrote {}, and may write {}",
                size(*written),
                size(*limit)
            )
        }
        Ending::Cancelled => "cancelled".to_owned(),
    }
}

pub(super) fn hold(hold: &Hold) -> String {
    match hold {
        Hold::MemoryShort { available, wanted } => format!(
            "nothing is started: {} of memory are available, {} are to be kept",
            size(*available),
            size(*wanted)
        ),
        Hold::MemoryInAll { used, limit } => {
            format!(
                "nothing is started: the jobs use {} of {}",
                size(*used),
                size(*limit)
            )
        }
    }
}

pub(super) fn short(of: Shortage, at_once: usize) -> String {
    let jobs = count(at_once as u64, "job");
    let verb = if at_once == 1 { "runs" } else { "run" };
    format!("no more than {jobs} {verb} at once: {}", of.text())
}

pub(in crate::report) fn detached(pid: u32, name: &str) -> String {
    format!(
        "process {pid} ({}) was detached by a job and still runs",
        plain(name)
    )
}

pub(in crate::report) fn why(why: &Why) -> String {
    match why {
        Why::Signal(number) => format!("signal {number} came"),
        Why::Failed(job) => format!("{job} failed"),
        Why::Critical(job) => format!("{job} failed critically"),
        Why::MaxFail(1) => "a job failed".to_owned(),
        Why::MaxFail(number) => format!("{number} jobs failed"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_and_sizes_have_the_unit_that_fits() {
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
