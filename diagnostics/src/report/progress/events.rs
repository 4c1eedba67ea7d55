//! Writes each event as a line of JSON to standard output.

use super::Show;
use super::count::Count;
use super::words;
use crate::commands::run::watch::SessionStart;
use crate::report::json_line;
use cofferdam_batch::executor::job_event::{AttemptOutcome, Event, MemoryHold, StopReason};
use serde::Serialize;
use std::borrow::Cow;
use std::io::{self, Write as _};
use std::path::PathBuf;

/// The version of the events that this build writes.
const VERSION: u64 = 2;

pub(super) struct Events;

/// The JSON of an event.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum EventView<'a> {
    Session {
        version: u64,
        session: Option<i64>,
        namespace: &'a str,
        output: Cow<'a, str>,
        logs: Option<Cow<'a, str>>,
        jobs: Option<u64>,
    },
    Started {
        job: String,
        name: &'a str,
        group: Option<&'a str>,
        attempt: u32,
        pid: u32,
        log: Option<Cow<'a, str>>,
    },
    Ended {
        job: String,
        name: &'a str,
        group: Option<&'a str>,
        attempt: u32,
        state: &'a str,
        reason: &'a str,
        text: String,
        exit_code: Option<u8>,
        signal: Option<i32>,
        seconds: f64,
        log: Option<Cow<'a, str>>,
        log_bytes: u64,
        stopped_processes: u32,
        memory: Option<u64>,
        retry: bool,
    },
    Paused {
        reason: &'a str,
        text: String,
    },
    Resumed,
    Limited {
        by: &'a str,
        at_once: usize,
        text: String,
    },
    Stopping {
        reason: &'a str,
        text: String,
    },
    Dropped {
        job: String,
        name: &'a str,
        group: Option<&'a str>,
    },
    Detached {
        pid: u32,
        program: &'a str,
    },
    Warning {
        text: &'a str,
    },
    Finished {
        passed: u64,
        failed: u64,
        cancelled: u64,
        seconds: f64,
    },
}

impl Show for Events {
    fn see(&mut self, event: &Event, _count: &Count) {
        // If the reader is gone, the event is lost and the jobs continue.
        if let Some(view) = view(event) {
            let _ = write(&view);
        }
    }

    fn say(&mut self, line: &str) {
        let _ = write(&EventView::Warning { text: line });
    }

    fn end(&mut self, count: &Count) {
        let _ = write(&EventView::Finished {
            passed: count.passed,
            failed: count.failed,
            cancelled: count.cancelled,
            seconds: count.elapsed().as_secs_f64(),
        });
    }
}

pub(super) fn begin(start: &SessionStart<'_>) -> io::Result<()> {
    write(&EventView::Session {
        version: VERSION,
        session: start.number,
        namespace: start.namespace,
        output: start.output.to_string_lossy(),
        logs: start.batch.as_ref().map(|batch| batch.logs.to_string_lossy()),
        jobs: start.batch.as_ref().and_then(|batch| batch.jobs),
    })
}

fn write(view: &EventView<'_>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    json_line::write(&mut out, view)?;
    out.flush()
}

fn view(event: &Event) -> Option<EventView<'_>> {
    let lossy = |log: &'_ Option<PathBuf>| log.as_ref().map(|log| log.to_string_lossy().into_owned().into());
    Some(match event {
        // The guard's error is reported as a warning.
        Event::Idle | Event::Unguarded { .. } => return None,
        Event::Started {
            job,
            name,
            group,
            attempt,
            pid,
            log,
        } => EventView::Started {
            job: job.to_string(),
            name,
            group: group.as_deref(),
            attempt: *attempt,
            pid: *pid,
            log: lossy(log),
        },
        Event::Ended {
            job,
            name,
            group,
            attempt,
            outcome,
            duration,
            log,
            log_bytes,
            stopped_processes,
            memory,
            retry,
        } => {
            let (exit_code, signal) = match outcome {
                AttemptOutcome::Passed => (Some(0), None),
                AttemptOutcome::Failed { code, signal, .. } => (Some(*code), *signal),
                _ => (None, None),
            };
            EventView::Ended {
                job: job.to_string(),
                name,
                group: group.as_deref(),
                attempt: *attempt,
                state: outcome.state(),
                reason: outcome.reason(),
                text: words::outcome(outcome),
                exit_code,
                signal,
                seconds: duration.as_secs_f64(),
                log: lossy(log),
                log_bytes: *log_bytes,
                stopped_processes: *stopped_processes,
                memory: *memory,
                retry: *retry,
            }
        }
        Event::StartsPaused { reason } => EventView::Paused {
            reason: match reason {
                MemoryHold::MachineShort { .. } => "machine-memory",
                MemoryHold::NearLimit { .. } => "total-memory",
            },
            text: words::memory_hold(reason),
        },
        Event::StartsResumed => EventView::Resumed,
        Event::Limited { shortage, at_once } => EventView::Limited {
            by: shortage.key(),
            at_once: *at_once,
            text: words::shortage(*shortage, *at_once),
        },
        Event::Stopping { reason } => EventView::Stopping {
            reason: match reason {
                StopReason::Signal(_) => "signal",
                StopReason::Failed(_) => "failed",
                StopReason::Critical(_) => "critical",
                StopReason::MaxFail(_) => "max-fail",
            },
            text: words::stop_reason(reason),
        },
        Event::Dropped { job, name, group } => EventView::Dropped {
            job: job.to_string(),
            name,
            group: group.as_deref(),
        },
        Event::Detached { pid, name } => EventView::Detached {
            pid: *pid,
            program: name,
        },
    })
}
