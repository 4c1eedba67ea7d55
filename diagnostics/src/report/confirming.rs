//! The progress of a confirmation.

use super::status_line::StatusLine;
use super::text::{count, plain};
use crate::observe::confirm::ConfirmEvent;
use cofferdam_conflicts::Grade;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Shows events.
#[derive(Debug, Default)]
pub(crate) struct Confirming {
    shown: Mutex<Shown>,
}

#[derive(Debug, Default)]
struct Shown {
    line: StatusLine,
    pairs: Pairs,
    /// The numbers of pairs with a grade, and of all: first of those at other resources, then of those at statics.
    done: usize,
    all: usize,
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
            return Some(grade_line(grade, tests, on));
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
            Some(grade_line(Grade::Unguarded, [&a, &b], &on))
        });
        lines.collect()
    }
}

fn grade_line(grade: Grade, [a, b]: [&str; 2], on: &str) -> String {
    format!("{grade}: {} × {} on {}", plain(a), plain(b), plain(on))
}

impl Confirming {
    pub(crate) fn see(&self, event: ConfirmEvent<'_>) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let Shown {
            line,
            pairs,
            done,
            all,
        } = &mut *shown;
        match event {
            ConfirmEvent::Begun { pairs, budget } => {
                *all = pairs;
                if pairs > 0 {
                    line.say(&format!(
                        "rerunning {} of tests, for at most {}",
                        count(pairs as u64, "pair"),
                        humantime::format_duration(budget)
                    ));
                }
            }
            ConfirmEvent::Alone { .. } | ConfirmEvent::Together if *all == 0 => {}
            ConfirmEvent::Alone { tests } => {
                line.begin(&format!("running {}, each alone", count(tests as u64, "test")));
            }
            ConfirmEvent::Together => line.begin("running tests together, with pauses"),
            ConfirmEvent::Proving => line.begin("repeating pairs to see tests fail"),
            ConfirmEvent::InOrder => line.begin("running the tests that share statics in two orders"),
            ConfirmEvent::Statics { pairs } => {
                (*done, *all) = (0, pairs);
                let pairs = count(pairs as u64, "pair");
                line.begin(&format!("running {pairs} of tests that share statics"));
            }
            ConfirmEvent::Graded {
                resource,
                tests,
                grade,
                first,
            } => {
                let on = resource.to_string();
                *done += usize::from(first);
                let graded = grade_line(grade, tests, &on);
                // A test that changes a resource only when it runs alone adds pairs.
                *all = (*all).max(*done);
                line.show(&format!("{done} of {}; {graded}", count(*all as u64, "pair")));
                pairs
                    .grade(tests, grade, &on)
                    .iter()
                    .for_each(|due| line.say(due));
            }
            ConfirmEvent::Over { left } => {
                line.clear();
                pairs.left().iter().for_each(|due| line.say(due));
                if left > 0 {
                    line.say(&format!(
                        "the time was over before {} could be run; --time-budget gives more",
                        count(left as u64, "pair")
                    ));
                }
            }
        }
    }
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
