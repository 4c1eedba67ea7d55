//! Progress bars on a terminal: one for the batch, and one for each running job.

use super::count::{Count, left};
use super::{Show, lines, words};
use crate::report::text::plain;
use cofferdam_batch::executor::job::JobId;
use cofferdam_batch::executor::job_event::Event;
use indicatif::{MultiProgress, ProgressBar, ProgressState, ProgressStyle};
use std::collections::HashMap;
use std::fmt::Write;
use std::time::Duration;

/// The highest number of jobs with a bar; of the others, only the number is displayed.
const SHOWN: usize = 16;

const TICK: Duration = Duration::from_millis(250);

pub(super) struct Bars {
    all: MultiProgress,
    total: ProgressBar,
    /// Unused bars. Creating one for each of very many jobs would cost more than a short job.
    free: Vec<ProgressBar>,
    shown: HashMap<JobId, ProgressBar>,
}

impl Bars {
    pub(super) fn new(jobs: Option<u64>, at_once: usize) -> Self {
        let all = MultiProgress::new();
        let total = all.add(match jobs {
            Some(jobs) => ProgressBar::new(jobs),
            None => ProgressBar::no_length(),
        });
        total.set_style(style("{bar:30.green} {msg}, {times}").with_key("times", times));
        total.enable_steady_tick(TICK);
        let bar = || {
            let bar = ProgressBar::hidden();
            bar.set_style(style("  {spinner} {prefix} {elapsed}{msg}"));
            // Each bar has a thread, so there is a fixed number of bars.
            bar.enable_steady_tick(TICK);
            bar
        };
        let free = (0..at_once.min(SHOWN)).map(|_| bar()).collect();
        Self {
            all,
            total,
            free,
            shown: HashMap::new(),
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    // The templates are constants; an invalid one would fall back to the default bar.
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// Writes the elapsed and the estimated remaining time, at each tick.
fn times(state: &ProgressState, out: &mut dyn Write) {
    let elapsed = state.elapsed();
    let left = state.len().and_then(|len| left(elapsed, state.pos(), len));
    // Writing to a string cannot fail.
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
                    let bar = self.all.insert_before(&self.total, bar);
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
                    self.total.set_length(total);
                }
                self.total.set_position(count.done());
            }
            _ => {}
        }
        let more = count.running.saturating_sub(self.shown.len() as u64);
        let more = match more {
            0 => String::new(),
            more => format!(", {more} more running"),
        };
        self.total.set_message(format!("{}{more}", count.counts()));
        for line in lines::about(event) {
            self.say(&line);
        }
    }

    fn say(&mut self, line: &str) {
        // If the terminal is gone, the line is lost.
        let _ = self.all.println(format!("cofferdam: {line}"));
    }

    fn end(&mut self, _count: &Count) {
        self.total.finish_and_clear();
        let _ = self.all.clear();
    }
}
