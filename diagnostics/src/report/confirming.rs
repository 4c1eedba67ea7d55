//! How far a confirmation is, on standard error: a bar on a terminal, a few lines elsewhere.

use super::text::{count, plain};
use crate::findings::Grade;
use crate::observe::confirm::Event;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::{IsTerminal as _, Write as _};
use std::sync::OnceLock;
use std::time::Duration;

const TICK: Duration = Duration::from_millis(250);

/// Shows events.
#[derive(Debug, Default)]
pub(crate) struct Confirming {
    /// Where there is a terminal.
    bar: OnceLock<Option<ProgressBar>>,
}

impl Confirming {
    pub(crate) fn see(&self, event: Event<'_>) {
        let bar = || self.bar.get().and_then(Option::as_ref);
        match event {
            Event::Begun { pairs, budget } => {
                if pairs == 0 {
                    return;
                }
                let on_terminal = std::io::stderr().is_terminal();
                let _ = self.bar.set(on_terminal.then(|| new_bar(pairs as u64)));
                if !on_terminal {
                    let what = count(pairs as u64, "pair");
                    say(&format!(
                        "runs {what} of tests again, within {}",
                        humantime::format_duration(budget)
                    ));
                }
            }
            Event::Graded {
                resource,
                tests: [a, b],
                grade,
                first,
            } => {
                let on = resource.to_string();
                let line = format!("{grade}: {} × {} on {}", plain(a), plain(b), plain(&on));
                match bar() {
                    Some(bar) => {
                        bar.inc(u64::from(first));
                        bar.set_message(line);
                    }
                    // What is not grave would be many lines.
                    None if grade >= Grade::Unguarded && first || grade == Grade::Reproduced => say(&line),
                    None => {}
                }
            }
            Event::Over { left } => {
                if let Some(bar) = bar() {
                    bar.finish_and_clear();
                }
                if left > 0 {
                    say(&format!(
                        "the time was over before {} could be run; --time-budget gives more",
                        count(left as u64, "pair")
                    ));
                }
            }
        }
    }
}

fn new_bar(pairs: u64) -> ProgressBar {
    let bar = ProgressBar::new(pairs);
    // The template is our own; one that were wrong would show the plain bar.
    let style = ProgressStyle::with_template("{bar:30.green} {pos} of {len} pairs, {elapsed} {wide_msg}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.enable_steady_tick(TICK);
    bar
}

fn say(line: &str) {
    let mut err = anstream::stderr().lock();
    // Nobody may be there to read it, and the runs go on all the same.
    let _ = writeln!(err, "cofferdam: {line}");
}
