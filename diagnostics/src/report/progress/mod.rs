//! How far a session is, on standard error: bars on a terminal, lines elsewhere. Or each event as JSON, for programs.
//!
//! Nothing here can fail a session: who does not listen any more misses what follows.

mod bars;
mod count;
mod events;
mod lines;
pub(super) mod words;

use super::text::plain;
use crate::cli::RunArgs;
use crate::commands::run::watch::{BatchBegun, Begun, Watch};
use cofferdam_batch::executor::event::Event;
use count::Count;
use std::io::{IsTerminal as _, Write as _};

/// Shows a session as it was asked for.
pub(crate) struct Progress {
    form: Form,
    /// What shows how far it is, once it is known that there are several jobs.
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

/// One way to show it.
trait Show {
    fn see(&mut self, event: &Event, count: &Count);
    /// A line that is neither about a job nor about how far it is.
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

    fn start(&mut self, batch: &BatchBegun<'_>) {
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
    fn begin(&mut self, begun: &Begun<'_>) {
        if self.form == Form::Json {
            // Whoever does not listen misses it.
            let _ = events::begin(begun);
        } else {
            say(&first_line(begun));
        }
        // Bars come below.
        if let Some(batch) = &begun.batch {
            self.start(batch);
        }
    }

    fn see(&mut self, event: &Event) {
        self.count.see(event);
        match &mut self.show {
            Some(show) => show.see(event, &self.count),
            None if self.form != Form::Quiet => lines::of_one(event),
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

fn first_line(begun: &Begun<'_>) -> String {
    let output = begun.output.display().to_string();
    let line = format!(
        "namespace {}, output in {}",
        plain(begun.namespace),
        plain(&output)
    );
    match &begun.batch {
        Some(batch) => format!("{line}, logs in {}", plain(&batch.logs.display().to_string())),
        None => line,
    }
}

/// A line on standard error. Nobody may be there to read it, and the session goes on all the same.
fn say(line: &str) {
    let _ = writeln!(anstream::stderr().lock(), "cofferdam: {line}");
}

/// A terminal that cannot move its cursor.
fn is_dumb() -> bool {
    #[expect(clippy::disallowed_methods, reason = "the terminal says what it can")]
    std::env::var_os("TERM").is_none_or(|term| term == "dumb")
}
