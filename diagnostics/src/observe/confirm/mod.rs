//! Runs the tests that met once more, two by two, and says how sure it is that they are in each other's way.
//!
//! `pairs` chooses, `queue` says what may run at once, `rerun` runs, `windows` reads what the observer wrote of that, and
//! `grade` judges, `outcome` puts it into the findings. All but `rerun` are data in, data out; this file takes a pair from one to the next.

mod grade;
mod outcome;
mod pairs;
mod queue;
mod rerun;
mod steps;
mod waits;
mod windows;

use super::found::Found;
use super::launch::Launch;
use crate::findings::{Access, Grade, Kind, Pair, Runner};
use crate::signals::Heard;
use cofferdam::diagnostics::Conflict;
use cofferdam::{Resource, Scope};
use pairs::{Meeting, Member};
use queue::{Queue, Task, Turn};
use rerun::{Part, Rerunner};
use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;
use steps::{Step, Steps, Work};

/// How it is to be done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    /// When it is over, whatever is left.
    pub(crate) budget: Duration,
    /// As many runs go on at once.
    pub(crate) jobs: usize,
}

/// What can be told while it goes on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Event<'a> {
    Begun {
        pairs: usize,
        budget: Duration,
    },
    /// One pair has its grade, or a graver one than before.
    Graded {
        resource: &'a Resource,
        tests: [&'a str; 2],
        grade: Grade,
        /// Whether it is the pair's first.
        first: bool,
    },
    Over {
        /// Pairs without a grade: there was no time for them.
        left: usize,
    },
}

/// Grades the findings of these conflicts, which are in the same order.
pub(crate) fn confirm(
    launch: &Launch,
    conflicts: &[Conflict],
    found: &mut [Found],
    options: Options,
    see: &(dyn Fn(Event<'_>) + Sync),
) {
    let stop = Arc::new(AtomicBool::new(false));
    // Whoever interrupts this has the report of what was run by then.
    let heard = Heard::new();
    let signals = heard.signals().iter();
    let registered: Vec<_> = signals
        .filter_map(|signal| signal_hook::flag::register(*signal, Arc::clone(&stop)).ok())
        .collect();
    let works = chosen(launch, conflicts, found);
    see(Event::Begun {
        pairs: works.len(),
        budget: options.budget,
    });
    let graded = {
        let found = &*found;
        let rerunner = Rerunner::new(launch, options.budget, Arc::clone(&stop));
        let all = All {
            steps: Steps::new(&rerunner),
            shared: Mutex::new(Shared {
                queue: Queue::new(tasks(works, found)),
                graded: HashMap::new(),
            }),
            changed: Condvar::new(),
            found,
            see,
        };
        thread::scope(|scope| {
            for _ in 0..options.jobs.max(1) {
                scope.spawn(|| all.work());
            }
        });
        all.shared
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
            .graded
    };
    let left = outcome::enter(graded, found);
    see(Event::Over { left });
    for signal in registered {
        signal_hook::low_level::unregister(signal);
    }
}

/// A pair, by finding and tests.
type Key = (usize, [usize; 2]);

struct Shared {
    queue: Queue<Work>,
    graded: HashMap<Key, Pair>,
}

struct All<'a> {
    steps: Steps<'a>,
    shared: Mutex<Shared>,
    changed: Condvar,
    found: &'a [Found],
    see: &'a (dyn Fn(Event<'_>) + Sync),
}

impl All<'_> {
    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        while let Some(task) = self.next() {
            let Task { work, marks, .. } = task;
            let reproduced = {
                let shared = self.shared();
                let own = shared.graded.iter().filter(|(key, _)| key.0 == work.finding);
                own.filter(|(_, pair)| pair.grade == Grade::Reproduced).count()
            };
            let done = self.steps.take(&work, reproduced);
            let mut shared = self.shared();
            shared.queue.done(&marks);
            if let Some((grade, why)) = done.graded {
                self.enter(&mut shared, &work, grade, why, done.tries);
            }
            if let Some(step) = done.next {
                let task = Task {
                    alone: step.is_alone(),
                    work: Work { step, ..work },
                    marks,
                };
                if task.alone {
                    shared.queue.put_first(task);
                } else {
                    shared.queue.put_last(task);
                }
            }
            drop(shared);
            self.changed.notify_all();
        }
    }

    fn next(&self) -> Option<Task<Work>> {
        let mut shared = self.shared();
        loop {
            if self.steps.is_over() {
                shared.queue.give_up();
            }
            match shared.queue.take() {
                Turn::Run(task) => return Some(task),
                Turn::Over => return None,
                Turn::Wait => shared = self.changed.wait(shared).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    /// A grade replaces one that is less grave.
    fn enter(&self, shared: &mut Shared, work: &Work, grade: Grade, why: String, tries: u32) {
        let known = shared.graded.get(&work.key());
        let first = known.is_none();
        let tries = tries + known.map_or(0, |pair| pair.tries);
        let pair = match known {
            Some(known) if known.grade > grade || known.grade == grade && why.is_empty() => Pair {
                tries,
                ..known.clone()
            },
            _ => Pair {
                tests: work.tests,
                grade,
                tries,
                why,
            },
        };
        let finding = &self.found[work.finding].finding;
        (self.see)(Event::Graded {
            resource: &finding.resource,
            tests: work.tests.map(|test| finding.tests[test].name.as_str()),
            grade: pair.grade,
            first,
        });
        shared.graded.insert(work.key(), pair);
    }
}

/// The pairs to run, one of each finding first, then a second of each, and so on.
fn chosen(launch: &Launch, conflicts: &[Conflict], found: &mut [Found]) -> Vec<Work> {
    let mut parts = Parts::new(launch);
    let mut of_each = Vec::new();
    for (index, (one, told)) in found.iter_mut().zip(conflicts).enumerate() {
        let Some(resource) = &told.resource else { continue };
        let members = members(one);
        let mut meeting = Meeting::AtOnce;
        let mut chosen = pairs::chosen(&members, meeting);
        if chosen.in_all == 0 || one.finding.kind == Kind::OrderLeak {
            meeting = Meeting::InTurn;
            chosen = pairs::chosen(&members, meeting);
        }
        one.finding.pairs_in_all = chosen.in_all;
        one.chosen = chosen.pairs.len();
        let works: Vec<Work> = chosen
            .pairs
            .into_iter()
            .map(|tests| {
                // Whose program came first is the first of them.
                let [a, b] = tests;
                let is_turned = meeting == Meeting::InTurn && one.moments[b] < one.moments[a];
                let tests = if is_turned { [b, a] } else { [a, b] };
                Work {
                    finding: index,
                    tests,
                    parts: tests.map(|test| parts.part(one, test)),
                    resource: resource.clone(),
                    step: if meeting == Meeting::AtOnce {
                        Step::Meet
                    } else {
                        Step::Order
                    },
                }
            })
            .collect();
        of_each.push(works.into_iter());
    }
    let mut all = Vec::new();
    loop {
        let round: Vec<Work> = of_each.iter_mut().filter_map(Iterator::next).collect();
        if round.is_empty() {
            return all;
        }
        all.extend(round);
    }
}

fn members(one: &Found) -> Vec<Member> {
    let tests = one.finding.tests.iter().zip(&one.pids).enumerate();
    let member = |(index, (test, pid)): (usize, (&crate::findings::Test, &u32))| Member {
        test: index,
        writes: test.uses.iter().any(|one| one.access == Access::Write),
        // nextest's processes run side by side.
        place: if test.runner == Runner::Nextest { 0 } else { *pid },
    };
    tests.map(member).collect()
}

/// How tests were started, each read once.
struct Parts<'a> {
    launch: &'a Launch,
    known: HashMap<(u32, String), Option<Arc<super::launch::Started>>>,
}

impl<'a> Parts<'a> {
    fn new(launch: &'a Launch) -> Self {
        Self {
            launch,
            known: HashMap::new(),
        }
    }

    /// Nothing for one that cannot be started once more.
    fn part(&mut self, one: &Found, test: usize) -> Option<Part> {
        let (test, pid) = (&one.finding.tests[test], one.pids[test]);
        let own_process = test.runner == Runner::Nextest;
        let key = (
            pid,
            if own_process {
                test.name.clone()
            } else {
                String::new()
            },
        );
        let read = || rerun::started(self.launch, pid, &test.name, own_process).map(Arc::new);
        let started = self.known.entry(key).or_insert_with(read).clone()?;
        Some(Part {
            name: test.name.clone(),
            binary: test.binary.clone(),
            started,
            own_process,
        })
    }
}

/// With marks for the tests, and for what they share with others beyond their process.
fn tasks(works: Vec<Work>, found: &[Found]) -> Vec<Task<Work>> {
    let mut marks_of: HashMap<(&str, &str), BTreeSet<usize>> = HashMap::new();
    let mut next = found.len();
    for (index, one) in found.iter().enumerate() {
        let is_shared = one.finding.resource.kind().scope() != Scope::Process;
        for test in &one.finding.tests {
            let marks = marks_of.entry((&test.binary, &test.name)).or_insert_with(|| {
                next += 1;
                [next - 1].into()
            });
            if is_shared {
                marks.insert(index);
            }
        }
    }
    let marks = |work: &Work| {
        let tests = &found[work.finding].finding.tests;
        let of = |test: usize| marks_of.get(&(tests[test].binary.as_str(), tests[test].name.as_str()));
        work.tests.into_iter().filter_map(of).flatten().copied().collect()
    };
    works
        .into_iter()
        .map(|work| Task {
            marks: marks(&work),
            alone: work.step.is_alone(),
            work,
        })
        .collect()
}
