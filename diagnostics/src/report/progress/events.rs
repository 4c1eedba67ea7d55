//! Each event as a line of JSON on standard output; docs/batches.md describes them.

use super::Show;
use super::count::Count;
use super::words;
use crate::commands::watch::Begun;
use crate::executor::event::{Ending, Event, Hold, Why};
use crate::executor::job::JobId;
use crate::ledger::SessionId;
use crate::report::batch::ProcessView;
use crate::report::json_line::{self, path};
use serde::Serialize;
use std::borrow::Cow;
use std::io::{self, Write as _};

/// The version of the events that this build writes.
const VERSION: u64 = 1;

/// A line of JSON.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum EventView<'a> {
    Session {
        version: u64,
        session: Option<SessionId>,
        namespace: &'a str,
        output: Cow<'a, str>,
        logs: Option<Cow<'a, str>>,
        jobs: Option<u64>,
    },
    Started {
        #[serde(flatten)]
        job: JobView<'a>,
        attempt: u32,
        pid: u32,
        log: Option<Cow<'a, str>>,
    },
    Ended {
        #[serde(flatten)]
        job: JobView<'a>,
        attempt: u32,
        state: &'static str,
        reason: &'static str,
        text: String,
        exit_code: Option<u8>,
        signal: Option<i32>,
        seconds: f64,
        log: Option<Cow<'a, str>>,
        written: u64,
        stopped: u32,
        memory: Option<u64>,
        again: bool,
    },
    Held {
        reason: &'static str,
        text: String,
    },
    Short {
        of: &'static str,
        at_once: usize,
        text: String,
    },
    Released,
    Stopping {
        reason: &'static str,
        text: String,
    },
    Dropped(JobView<'a>),
    Left(ProcessView<'a>),
    Warning {
        text: &'a str,
    },
    Over {
        passed: u64,
        failed: u64,
        cancelled: u64,
        seconds: f64,
    },
}

#[derive(Serialize)]
struct JobView<'a> {
    job: String,
    name: &'a str,
    group: Option<&'a str>,
}

pub(super) struct Events;

impl Show for Events {
    fn see(&mut self, event: &Event, _count: &Count) {
        // A reader that has seen enough may be gone, and the jobs go on.
        if let Some(view) = view(event) {
            let _ = write(&view);
        }
    }

    fn say(&mut self, line: &str) {
        let _ = write(&EventView::Warning { text: line });
    }

    fn end(&mut self, count: &Count) {
        let _ = write(&EventView::Over {
            passed: count.passed,
            failed: count.failed,
            cancelled: count.cancelled,
            seconds: count.elapsed().as_secs_f64(),
        });
    }
}

pub(super) fn begin(begun: &Begun<'_>) -> io::Result<()> {
    let batch = begun.batch.as_ref();
    write(&EventView::Session {
        version: VERSION,
        session: begun.number,
        namespace: begun.namespace,
        output: path(begun.output),
        logs: batch.map(|batch| path(batch.logs)),
        jobs: batch.and_then(|batch| batch.jobs),
    })
}

fn write(view: &EventView<'_>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    json_line::write(&mut out, view)?;
    out.flush()
}

fn view(event: &Event) -> Option<EventView<'_>> {
    Some(match event {
        // It is said as a warning.
        Event::Rest | Event::Unguarded { .. } => return None,
        Event::Started {
            job,
            name,
            group,
            attempt,
            pid,
            log,
        } => EventView::Started {
            job: job_view(job, name, group.as_deref()),
            attempt: *attempt,
            pid: *pid,
            log: log.as_deref().map(path),
        },
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
            EventView::Ended {
                job: job_view(job, name, group.as_deref()),
                attempt: *attempt,
                state: ending.state(),
                reason: ending.reason(),
                text: words::ending(ending),
                exit_code,
                signal,
                seconds: took.as_secs_f64(),
                log: log.as_deref().map(path),
                written: *written,
                stopped: *stopped,
                memory: *memory,
                again: *again,
            }
        }
        Event::Held { why } => EventView::Held {
            reason: match why {
                Hold::MemoryShort { .. } => "memory-short",
                Hold::MemoryInAll { .. } => "memory-in-all",
            },
            text: words::hold(why),
        },
        Event::Short { of, at_once } => EventView::Short {
            of: of.word(),
            at_once: *at_once,
            text: words::short(*of, *at_once),
        },
        Event::Released => EventView::Released,
        Event::Stopping { why } => EventView::Stopping {
            reason: match why {
                Why::Signal(_) => "signal",
                Why::Failed(_) => "failed",
                Why::Critical(_) => "critical",
                Why::MaxFail(_) => "max-fail",
            },
            text: words::why(why),
        },
        Event::Dropped { job, name, group } => EventView::Dropped(job_view(job, name, group.as_deref())),
        Event::Left { pid, name } => EventView::Left(ProcessView { pid: *pid, name }),
    })
}

fn job_view<'a>(job: &JobId, name: &'a str, group: Option<&'a str>) -> JobView<'a> {
    JobView {
        job: job.to_string(),
        name,
        group,
    }
}
