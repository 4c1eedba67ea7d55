//! The progress of a confirmation on standard error: a bar on a terminal, a few lines elsewhere.

use super::text::{count, plain};
use crate::observe::confirm::ConfirmEvent;
use cofferdam_conflicts::Grade;
use indicatif::{ProgressBar, ProgressStyle};
use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write as _};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

const TICK: Duration = Duration::from_millis(250);

/// Shows events.
#[derive(Debug, Default)]
pub(crate) struct Confirming {
    /// Set if there is a terminal.
    bar: OnceLock<Option<ProgressBar>>,
    /// Used without a terminal.
    pairs: Mutex<Pairs>,
}

/// The pairs of tests that were graded. Each is reported once: when its grade is final, or at the end.
#[derive(Debug, Default)]
struct Pairs {
    /// The resources on which a pair was unguarded so far; `None` once it was reported.
    open: BTreeMap<[String; 2], Option<Vec<String>>>,
}

impl Pairs {
    /// Adds a grade, and returns the pair's line if it is due. A pair with a lower grade has none.
    fn grade(&mut self, tests: [&str; 2], grade: Grade, on: &str) -> Option<String> {
        if grade < Grade::Unguarded {
            return None;
        }
        let known = self
            .open
            .entry(tests.map(str::to_owned))
            .or_insert(Some(Vec::new()));
        let resources = known.as_mut()?;
        if grade == Grade::Reproduced {
            *known = None;
            return Some(line(grade, tests, on));
        }
        if !resources.iter().any(|one| one == on) {
            resources.push(on.to_owned());
        }
        None
    }

    /// Returns the lines of the pairs that were not reported yet.
    fn left(&mut self) -> Vec<String> {
        let pairs = std::mem::take(&mut self.open).into_iter();
        let lines = pairs.filter_map(|([a, b], resources)| {
            let resources = resources?;
            let (first, others) = resources.split_first()?;
            let on = match others.len() {
                0 => first.clone(),
                more => format!("{first} and {more} more"),
            };
            Some(line(Grade::Unguarded, [&a, &b], &on))
        });
        lines.collect()
    }
}

fn line(grade: Grade, [a, b]: [&str; 2], on: &str) -> String {
    format!("{grade}: {} × {} on {}", plain(a), plain(b), plain(on))
}

impl Confirming {
    fn pairs(&self) -> MutexGuard<'_, Pairs> {
        self.pairs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn see(&self, event: ConfirmEvent<'_>) {
        let bar = || self.bar.get().and_then(Option::as_ref);
        match event {
            ConfirmEvent::Begun { pairs, budget } => {
                if pairs == 0 {
                    return;
                }
                let on_terminal = std::io::stderr().is_terminal();
                let _ = self.bar.set(on_terminal.then(|| new_bar(pairs as u64)));
                if !on_terminal {
                    let what = count(pairs as u64, "pair");
                    say(&format!(
                        "rerunning {what} of tests, for at most {}",
                        humantime::format_duration(budget)
                    ));
                }
            }
            ConfirmEvent::Graded {
                resource,
                tests: [a, b],
                grade,
                first,
            } => {
                let on = resource.to_string();
                match bar() {
                    Some(bar) => {
                        bar.inc(u64::from(first));
                        bar.set_message(line(grade, [a, b], &on));
                    }
                    None => self
                        .pairs()
                        .grade([a, b], grade, &on)
                        .iter()
                        .for_each(|line| say(line)),
                }
            }
            ConfirmEvent::Over { left } => {
                if let Some(bar) = bar() {
                    bar.finish_and_clear();
                }
                self.pairs().left().iter().for_each(|line| say(line));
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
    // An error is ignored, and the runs continue.
    let _ = writeln!(err, "cofferdam: {line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_has_one_line_whatever_its_grades() {
        let mut pairs = Pairs::default();
        assert_eq!(pairs.grade(["a", "b"], Grade::Unguarded, "file /f"), None);
        assert_eq!(pairs.grade(["a", "c"], Grade::Unguarded, "file /f"), None);
        assert_eq!(pairs.grade(["a", "c"], Grade::Unguarded, "port 80"), None);
        assert_eq!(pairs.grade(["a", "d"], Grade::Guarded, "file /f"), None);
        let line = pairs.grade(["a", "b"], Grade::Reproduced, "file /f");
        assert_eq!(line.as_deref(), Some("reproduced: a × b on file /f"));
        assert_eq!(pairs.grade(["a", "b"], Grade::Unguarded, "port 80"), None);
        assert_eq!(pairs.left(), ["unguarded: a × c on file /f and 1 more"]);
    }
}
