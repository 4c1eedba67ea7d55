//! Bars on a terminal: one for all jobs, one for each that runs, as many as there is room for.

use super::count::{Count, left};
use super::{Show, lines, words};
use crate::report::text::plain;
use cofferdam_batch::executor::event::Event;
use cofferdam_batch::executor::job::JobId;
use indicatif::{MultiProgress, ProgressBar, ProgressState, ProgressStyle};
use std::collections::HashMap;
use std::fmt::Write;
use std::time::Duration;

/// So many jobs have a bar; of the others only the number is shown.
const SHOWN: usize = 16;

const TICK: Duration = Duration::from_millis(250);

pub(super) struct Bars {
    all: MultiProgress,
    whole: ProgressBar,
    /// Bars are used again: to make one for each of very many jobs would cost more than many a job.
    free: Vec<ProgressBar>,
    shown: HashMap<JobId, ProgressBar>,
}

impl Bars {
    pub(super) fn new(jobs: Option<u64>, at_once: usize) -> Self {
        let all = MultiProgress::new();
        let whole = all.add(match jobs {
            Some(jobs) => ProgressBar::new(jobs),
            None => ProgressBar::no_length(),
        });
        whole.set_style(style("{bar:30.green} {msg}, {times}").with_key("times", times));
        whole.enable_steady_tick(TICK);
        let bar = || {
            let bar = ProgressBar::hidden();
            bar.set_style(style("  {spinner} {prefix} {elapsed}{msg}"));
            // A thread for each bar, not for each job.
            bar.enable_steady_tick(TICK);
            bar
        };
        let free = (0..at_once.min(SHOWN)).map(|_| bar()).collect();
        Self {
            all,
            whole,
            free,
            shown: HashMap::new(),
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    // The templates are our own; one that were wrong would show the plain bar.
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// What it took, and about what it still takes: written at each tick, not at events alone.
fn times(state: &ProgressState, out: &mut dyn Write) {
    let elapsed = state.elapsed();
    let left = state.len().and_then(|len| left(elapsed, state.pos(), len));
    // It is written to a text, which cannot fail.
    let _ = out.write_str(&words::span(elapsed));
    if let Some(left) = left {
        let _ = write!(out, ", about {} left", words::span(left));
    }
}

impl Show for Bars {
    fn see(&mut self, event: &Event, count: &Count) {
        match event {
            Event::Started { job, name, group, .. } => {
                if let Some(bar) = self.free.pop() {
                    let bar = self.all.insert_before(&self.whole, bar);
                    let expected = count.expected(group.as_deref(), name);
                    let of =
                        expected.map_or_else(String::new, |span| format!(" of about {}", words::span(span)));
                    bar.set_prefix(format!("{job} {}", plain(name)));
                    bar.set_message(of);
                    bar.reset();
                    self.shown.insert(*job, bar);
                }
            }
            Event::Ended { job, .. } => {
                if let Some(bar) = self.shown.remove(job) {
                    self.all.remove(&bar);
                    self.free.push(bar);
                }
                if let Some(total) = count.total {
                    self.whole.set_length(total);
                }
                self.whole.set_position(count.done());
            }
            _ => {}
        }
        let more = count.running.saturating_sub(self.shown.len() as u64);
        let more = match more {
            0 => String::new(),
            more => format!(", {more} more running"),
        };
        self.whole.set_message(format!("{}{more}", count.counts()));
        for line in lines::about(event) {
            self.say(&line);
        }
    }

    fn say(&mut self, line: &str) {
        // Where there is no terminal left there is nobody to tell.
        let _ = self.all.println(format!("cofferdam: {line}"));
    }

    fn end(&mut self, _count: &Count) {
        self.whole.finish_and_clear();
        let _ = self.all.clear();
    }
}
