//! Displays the progress of a session on standard error: bars on a terminal, lines elsewhere. Or each event as JSON, for
//! programs.
//!
//! The display cannot fail a session: if its reader is gone, the output is lost.

mod bars;
mod count;
mod events;
mod lines;
pub(super) mod words;

use super::text::plain;
use crate::cli::RunArgs;
use crate::commands::run::watch::{BatchStart, SessionStart, Watch};
use cofferdam_batch::executor::job_event::Event;
use count::Count;
use std::io::{IsTerminal as _, Write as _};

/// The display that the arguments select.
pub(crate) struct Progress {
    form: Form,
    /// The display of a batch; `None` for a single command.
    show: Option<Box<dyn Show>>,
    count: Count,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Quiet,
    Json,
    Bars,
    Lines,
}

/// A display of a batch.
trait Show {
    fn see(&mut self, event: &Event, count: &Count);
    /// Displays a line that concerns neither a job nor the progress.
    fn say(&mut self, line: &str);
    fn end(&mut self, count: &Count);
}

impl Progress {
    pub(crate) fn new(args: &RunArgs) -> Self {
        let is_terminal = std::io::stderr().is_terminal() && !is_dumb();
        let form = match (args.json, args.quiet, is_terminal) {
            (true, ..) => Form::Json,
            (_, true, _) => Form::Quiet,
            (.., true) => Form::Bars,
            _ => Form::Lines,
        };
        Self {
            form,
            show: None,
            count: Count::default(),
        }
    }

    fn start_batch(&mut self, batch: &BatchStart<'_>) {
        self.count = Count::new(batch.jobs);
        self.show = match self.form {
            Form::Quiet => None,
            Form::Json => Some(Box::new(events::Events)),
            Form::Bars => Some(Box::new(bars::Bars::new(batch.jobs, batch.at_once))),
            Form::Lines => Some(Box::new(lines::Lines::default())),
        };
    }
}

impl Watch for Progress {
    fn begin(&mut self, start: &SessionStart<'_>) {
        if self.form == Form::Json {
            // If the reader is gone, the event is lost.
            let _ = events::begin(start);
        } else {
            say(&first_line(start));
        }
        // Bars come below the first line.
        if let Some(batch) = &start.batch {
            self.start_batch(batch);
        }
    }

    fn see(&mut self, event: &Event) {
        self.count.see(event);
        match &mut self.show {
            Some(show) => show.see(event, &self.count),
            None if self.form != Form::Quiet => lines::show_single(event),
            None => {}
        }
    }

    fn warn(&mut self, text: &str) {
        let line = format!("warning: {}", plain(text));
        match &mut self.show {
            Some(show) => show.say(&line),
            None => say(&line),
        }
    }

    fn end(&mut self) {
        if let Some(show) = &mut self.show {
            show.end(&self.count);
        }
    }
}

fn first_line(start: &SessionStart<'_>) -> String {
    let output = start.output.display().to_string();
    let line = format!(
        "namespace {}, output in {}",
        plain(start.namespace),
        plain(&output)
    );
    match &start.batch {
        Some(batch) => format!("{line}, logs in {}", plain(&batch.logs.display().to_string())),
        None => line,
    }
}

/// Writes a line to standard error. If its reader is gone, the session continues all the same.
fn say(line: &str) {
    let _ = writeln!(anstream::stderr().lock(), "cofferdam: {line}");
}

/// Returns whether the terminal cannot move its cursor.
fn is_dumb() -> bool {
    #[expect(
        clippy::disallowed_methods,
        reason = "the variable names the terminal's abilities"
    )]
    std::env::var_os("TERM").is_none_or(|term| term == "dumb")
}
