//! What is done with a pair: brought together, and where one fails, shown to fail for that.

use super::grade::{Next, Pauses, Try, judge};
use super::rerun::{Ending, Part, Ran, Rerunner};
use crate::findings::Grade;
use cofferdam::Resource;
use std::collections::HashMap;
use std::io;
use std::sync::{Mutex, PoisonError};

/// A pair of a finding, and how far it is.
#[derive(Clone, Debug)]
pub(super) struct Work {
    pub(super) finding: usize,
    pub(super) tests: [usize; 2],
    /// Nothing for a test that cannot be started once more.
    pub(super) parts: [Option<Part>; 2],
    pub(super) resource: Resource,
    pub(super) step: Step,
}

impl Work {
    pub(super) fn key(&self) -> (usize, [usize; 2]) {
        (self.finding, self.tests)
    }
}

/// What is to be done next with a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// See whether they can meet.
    Meet,
    /// They can: see whether one fails for it, with other pauses.
    Press,
    /// One failed with these pauses: show that it does so for the other, while nothing else runs. The grade is what the
    /// pair has without that.
    Blame(Pauses, Grade),
    /// One fails for a reason of its own: see whether they can meet all the same.
    MeetAnyway,
    /// One after the other, while nothing else runs.
    Order,
}

impl Step {
    pub(super) fn is_alone(self) -> bool {
        matches!(self, Self::Blame(..) | Self::Order)
    }
}

/// What came of a step.
#[derive(Debug, Default)]
pub(super) struct Done {
    /// Nothing if there was no time for it.
    pub(super) graded: Option<(Grade, String)>,
    pub(super) tries: u32,
    pub(super) next: Option<Step>,
}

impl Done {
    fn graded(grade: Grade, why: impl Into<String>, tries: u32) -> Self {
        Self {
            graded: Some((grade, why.into())),
            tries,
            next: None,
        }
    }
}

/// Pauses that lead to other meetings than the usual ones do.
const OTHER_PAUSES: [Pauses; 2] = [
    Pauses {
        first: 200,
        others: 30,
        everywhere: false,
    },
    Pauses {
        first: 20,
        others: 160,
        everywhere: false,
    },
];
/// As many pairs of a finding are shown to fail; of others it is enough that they met.
const PROOFS: usize = 3;
/// As often a failure is waited for that was seen once.
const BLAMES: usize = 3;
/// So often in a row a test has to pass alone, within so many runs: what the failure left behind may be in its way once.
const PASSES: usize = 2;
const ALONE: usize = 3;

pub(super) struct Steps<'a> {
    rerunner: &'a Rerunner<'a>,
    /// Whether a test passes alone, by finding and test: and by the pauses, of which alone it may fail.
    passes: Mutex<HashMap<(usize, usize, Pauses), bool>>,
}

impl<'a> Steps<'a> {
    pub(super) fn new(rerunner: &'a Rerunner<'a>) -> Self {
        Self {
            rerunner,
            passes: Mutex::new(HashMap::new()),
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.rerunner.is_over()
    }

    /// `reproduced`: how many pairs of the finding were shown to fail by now. When some were, the others need no proof, for
    /// which everything else has to wait.
    pub(super) fn take(&self, work: &Work, reproduced: usize) -> Done {
        let [Some(first), Some(second)] = &work.parts else {
            return Done::graded(Grade::Potential, "its program cannot be started again", 0);
        };
        let parts = [first, second];
        let done = match work.step {
            Step::Meet => self.meet(work, parts, true),
            Step::MeetAnyway => self.meet(work, parts, false),
            Step::Press if reproduced > 0 => Ok(Done::default()),
            Step::Press => self.press(work, parts),
            Step::Blame(_, Grade::Unguarded) if reproduced >= PROOFS => Ok(Done::default()),
            Step::Blame(pauses, without) => self.blame(work, parts, pauses, without),
            Step::Order => self.order(parts),
        };
        done.unwrap_or_else(|error| {
            Done::graded(Grade::Potential, format!("could not be run again: {error}"), 0)
        })
    }

    /// `mind`: whether a failure is news.
    fn meet(&self, work: &Work, parts: [&Part; 2], mind: bool) -> io::Result<Done> {
        let mut tries = Vec::new();
        loop {
            let pauses = match judge(&tries) {
                Next::Again(pauses) => pauses,
                Next::Graded(grade, why) => {
                    return Ok(Done {
                        next: (mind && grade == Grade::Unguarded).then_some(Step::Press),
                        ..Done::graded(grade, why, count(&tries))
                    });
                }
            };
            let ran = self.rerunner.together(parts, &work.resource, pauses)?;
            let failed = who_failed(&ran, parts).filter(|_| mind);
            tries.push(as_try(&ran, pauses));
            if let Some(failed) = failed {
                // For the time being, in case there is none left for the rest.
                let grade = if tries.iter().any(|one| one.met) {
                    Grade::Unguarded
                } else {
                    Grade::Potential
                };
                return Ok(Done {
                    next: Some(Step::Blame(pauses, grade)),
                    ..Done::graded(
                        grade,
                        format!("run again beside each other, {failed}"),
                        count(&tries),
                    )
                });
            }
            if self.is_over() && !tries.iter().any(|one| one.met) {
                return Ok(Done::default());
            }
        }
    }

    fn press(&self, work: &Work, parts: [&Part; 2]) -> io::Result<Done> {
        for (tries, pauses) in (1..).zip(OTHER_PAUSES) {
            if self.is_over() {
                break;
            }
            let ran = self.rerunner.together(parts, &work.resource, pauses)?;
            if let Some(failed) = who_failed(&ran, parts) {
                return Ok(Done {
                    next: Some(Step::Blame(pauses, Grade::Unguarded)),
                    ..Done::graded(
                        Grade::Unguarded,
                        format!("both used it at one time, and {failed} once"),
                        tries,
                    )
                });
            }
        }
        Ok(Done::default())
    }

    fn blame(&self, work: &Work, parts: [&Part; 2], pauses: Pauses, without: Grade) -> io::Result<Done> {
        for (test, part) in work.tests.into_iter().zip(parts) {
            if !self.passes_alone(work, test, part, pauses)? {
                if self.is_over() {
                    return Ok(Done::default());
                }
                let why = match without {
                    Grade::Unguarded => "both used it at one time; ",
                    _ => "",
                };
                let why = format!(
                    "{why}{} does not pass alone, so that it failed shows nothing",
                    part.name
                );
                return Ok(Done {
                    next: (without == Grade::Potential).then_some(Step::MeetAnyway),
                    ..Done::graded(without, why, 0)
                });
            }
        }
        for tries in 1..=BLAMES as u32 {
            if self.is_over() {
                break;
            }
            let ran = self.rerunner.together(parts, &work.resource, pauses)?;
            if let Some(failed) = who_failed(&ran, parts) {
                let how = match ran.uses.met {
                    true => "while both used it",
                    false => "beside or after the other",
                };
                let why = format!("{failed} {how}, and each passes alone");
                return Ok(Done::graded(Grade::Reproduced, why, tries));
            }
        }
        if self.is_over() {
            return Ok(Done::default());
        }
        let why = format!("run again beside each other, one failed once, and not in {BLAMES} more runs");
        Ok(Done::graded(without, why, BLAMES as u32))
    }

    fn passes_alone(&self, work: &Work, test: usize, part: &Part, pauses: Pauses) -> io::Result<bool> {
        let key = (work.finding, test, pauses);
        let known = self
            .passes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&key)
            .copied();
        if let Some(known) = known {
            return Ok(known);
        }
        let mut in_a_row = 0;
        for _ in 0..ALONE {
            match self.rerunner.alone(part, Some((&work.resource, pauses)))? {
                Ending::Passed => in_a_row += 1,
                Ending::Failed => in_a_row = 0,
                Ending::Late => return Ok(false),
            }
            if in_a_row == PASSES {
                break;
            }
        }
        let passes = in_a_row >= PASSES;
        self.passes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(key, passes);
        Ok(passes)
    }

    /// The first test's program came first. That the second passes after it was seen; so the question is what the first
    /// says to what the second leaves. It passes twice in a row before, for it may be its own remains that it does not
    /// bear; and it may fail before that, for the suite left what the second had left.
    fn order(&self, [first, second]: [&Part; 2]) -> io::Result<Done> {
        let mut in_a_row = 0;
        for _ in 0..ALONE {
            if self.is_over() {
                return Ok(Done::default());
            }
            let passed = self.rerunner.alone(first, None)? == Ending::Passed;
            in_a_row = if passed { in_a_row + 1 } else { 0 };
            if in_a_row == PASSES {
                break;
            }
        }
        if in_a_row < PASSES {
            let why = format!(
                "{} does not pass twice in a row alone, so nothing can be shown by it",
                first.name
            );
            return Ok(Done::graded(Grade::Potential, why, 0));
        }
        self.rerunner.alone(second, None)?;
        let ending = self.rerunner.alone(first, None)?;
        if ending == Ending::Late || self.is_over() {
            return Ok(Done::default());
        }
        Ok(match ending {
            Ending::Failed => {
                let why = format!(
                    "{} failed after {}, and passed twice before",
                    first.name, second.name
                );
                Done::graded(Grade::Reproduced, why, 1)
            }
            _ => {
                let why = "run again one after the other, both passed, which proves nothing";
                Done::graded(Grade::Potential, why, 1)
            }
        })
    }
}

fn count(tries: &[Try]) -> u32 {
    u32::try_from(tries.len()).unwrap_or(u32::MAX)
}

fn as_try(ran: &Ran, pauses: Pauses) -> Try {
    Try {
        pauses,
        windows: ran.uses.windows,
        met: ran.uses.met,
        wrote: ran.uses.wrote,
        ended: !ran.endings.contains(&Ending::Late),
    }
}

/// `a failed`, or `both failed`.
fn who_failed(ran: &Ran, parts: [&Part; 2]) -> Option<String> {
    match ran.endings.map(|ending| ending == Ending::Failed) {
        [false, false] => None,
        [true, true] => Some("both failed".to_owned()),
        [is_first, _] => Some(format!("{} failed", parts[usize::from(!is_first)].name)),
    }
}
