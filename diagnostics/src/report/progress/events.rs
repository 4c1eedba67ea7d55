//! Each event as a line of JSON on standard output; docs/batches.md describes them.

use super::Show;
use super::count::Count;
use super::words;
use crate::commands::run::watch::Begun;
use crate::report::text::harmless;
use cofferdam_batch::executor::event::{Ending, Event, Hold, Why};
use serde_json::{Value, json};
use std::io::{self, Write as _};

/// The version of the events that this build writes.
const VERSION: u64 = 1;

pub(super) struct Events;

impl Show for Events {
    fn see(&mut self, event: &Event, _count: &Count) {
        // Whoever reads has seen enough, and the jobs go on.
        if let Some(value) = value(event) {
            let _ = write(&value);
        }
    }

    fn say(&mut self, line: &str) {
        let _ = write(&json!({ "event": "warning", "text": line }));
    }

    fn end(&mut self, count: &Count) {
        let _ = write(&json!({
            "event": "over", "passed": count.passed, "failed": count.failed, "cancelled": count.cancelled,
            "seconds": count.elapsed().as_secs_f64(),
        }));
    }
}

pub(super) fn begin(begun: &Begun<'_>) -> io::Result<()> {
    write(&json!({
        "event": "session",
        "version": VERSION,
        "session": begun.number,
        "namespace": begun.namespace,
        "output": begun.output.to_string_lossy(),
        "logs": begun.batch.as_ref().map(|batch| batch.logs.to_string_lossy()),
        "jobs": begun.batch.as_ref().and_then(|batch| batch.jobs),
    }))
}

fn write(value: &Value) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{}", harmless(&value.to_string()))?;
    out.flush()
}

fn value(event: &Event) -> Option<Value> {
    let value = match event {
        // It is said as a warning.
        Event::Rest | Event::Unguarded { .. } => return None,
        Event::Started {
            job,
            name,
            group,
            attempt,
            pid,
            log,
        } => json!({
            "event": "started", "job": job.to_string(), "name": name, "group": group, "attempt": attempt, "pid": pid,
            "log": log.as_ref().map(|log| log.to_string_lossy()),
        }),
        Event::Ended {
            job,
            name,
            group,
            attempt,
            ending,
            took,
            log,
            written,
            stopped,
            memory,
            again,
        } => {
            let (exit_code, signal) = match ending {
                Ending::Passed => (Some(0), None),
                Ending::Failed { code, signal, .. } => (Some(*code), *signal),
                _ => (None, None),
            };
            json!({
                "event": "ended", "job": job.to_string(), "name": name, "group": group, "attempt": attempt,
                "state": ending.state(), "reason": ending.reason(), "text": words::ending(ending),
                "exit_code": exit_code, "signal": signal, "seconds": took.as_secs_f64(),
                "log": log.as_ref().map(|log| log.to_string_lossy()), "written": written, "stopped": stopped,
                "memory": memory, "again": again,
            })
        }
        Event::Held { why } => json!({
            "event": "held",
            "reason": match why {
                Hold::MemoryShort { .. } => "memory-short",
                Hold::MemoryInAll { .. } => "memory-in-all",
            },
            "text": words::hold(why),
        }),
        Event::Short { of, at_once } => json!({
            "event": "short", "of": of.word(), "at_once": at_once, "text": words::short(*of, *at_once),
        }),
        Event::Released => json!({ "event": "released" }),
        Event::Stopping { why } => json!({
            "event": "stopping",
            "reason": match why {
                Why::Signal(_) => "signal",
                Why::Failed(_) => "failed",
                Why::Critical(_) => "critical",
                Why::MaxFail(_) => "max-fail",
            },
            "text": words::why(why),
        }),
        Event::Dropped { job, name, group } => {
            json!({ "event": "dropped", "job": job.to_string(), "name": name, "group": group })
        }
        Event::Left { pid, name } => json!({ "event": "left", "pid": pid, "name": name }),
    };
    Some(value)
}
