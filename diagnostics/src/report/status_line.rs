//! What a command does at the moment, on standard error: a line that changes on a terminal, lines elsewhere.

use indicatif::{ProgressBar, ProgressStyle};
use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

const TICK: Duration = Duration::from_millis(250);

#[derive(Debug, Default)]
pub(super) struct StatusLine {
    /// Set on a terminal, from the first text on.
    bar: Option<ProgressBar>,
}

impl StatusLine {
    /// Shows what is going on, where it can be replaced.
    pub(super) fn show(&mut self, text: &str) {
        if self.bar.is_none() && std::io::stderr().is_terminal() {
            self.bar = Some(new_bar());
        }
        if let Some(bar) = &self.bar {
            bar.set_message(text.to_owned());
        }
    }

    /// Writes a line that stays.
    pub(super) fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.println(format!("cofferdam: {line}")),
            None => {
                let mut err = anstream::stderr().lock();
                // An error is ignored, and the runs continue.
                let _ = writeln!(err, "cofferdam: {line}");
            }
        }
    }

    /// Removes the line, so that another program can write to the terminal.
    pub(super) fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

impl Drop for StatusLine {
    fn drop(&mut self) {
        self.clear();
    }
}

fn new_bar() -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    // The template is our own; a wrong one would show the plain spinner.
    let style = ProgressStyle::with_template("{spinner} {elapsed} {wide_msg}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
    bar.enable_steady_tick(TICK);
    bar
}
