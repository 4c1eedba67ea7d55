//! Logs into evidence: each record to its test, its meaning, and a claim in the words of the one engine.

use super::group::Groups;
use super::listed::Listed;
use super::log::Log;
use super::places::Place;
use super::uses::{Folders, Thing, Use, Uses};
use super::who::Who;
use crate::findings::Watched;
use cofferdam::diagnostics::{Evidence, Observed};
use cofferdam::{Access, Resource};
use std::collections::{HashMap, HashSet};
use std::path::Path;

/// What the logs say.
pub(crate) struct Reading<'o> {
    pub(crate) evidence: Evidence,
    /// What was done under locks, as if it had been done without.
    pub(crate) locked: Evidence,
    pub(crate) watched: Watched,
    uses: Uses<'o>,
}

/// A use of a resource by a test.
pub(crate) struct Used {
    /// Of the tests that are known.
    pub(crate) test: usize,
    pub(crate) resource: Resource,
    pub(crate) access: Access,
    /// Of the places.
    pub(crate) place: usize,
    /// The first moment and the last that was noted, in microseconds since 1970.
    pub(crate) window: (u64, u64),
}

impl Reading<'_> {
    /// Where something was done; a claim's place is `#` and a number of this list.
    pub(crate) fn place(&self, number: usize) -> Option<Place> {
        self.uses.places.get(number).copied()
    }

    /// Each use of a resource by a test.
    pub(crate) fn used(&self) -> impl Iterator<Item = Used> {
        self.uses.all.iter().filter_map(|one| {
            let (resource, access) = match one.thing {
                Thing::File(file, how) => (Resource::file(self.uses.files.get(file)), how.access()),
                Thing::Other(other, access) => (self.uses.others[other as usize].clone(), access),
                Thing::UsedMask | Thing::ClearedVariables => return None,
            };
            Some(Used {
                test: one.test as usize,
                resource,
                access,
                place: one.place as usize,
                window: (one.at, one.until),
            })
        })
    }
}

/// Reads all logs of `run`. `ours` is where cofferdam keeps its own files.
pub(crate) fn read<'o>(logs: &[Log], who: &Who, groups: &Groups, run: &str, ours: &'o Path) -> Reading<'o> {
    let folders: Vec<Folders> = logs.iter().map(Folders::of).collect();
    let mut uses = Uses::new(ours);
    for (index, log) in logs.iter().enumerate() {
        uses.look(index, log, &folders[index], who);
    }
    let mut watched = Watched {
        tests: who.tests.len() as u64,
        programs: who
            .tests
            .iter()
            .map(|test| &test.binary)
            .collect::<HashSet<_>>()
            .len() as u64,
        ..Watched::default()
    };
    for (index, log) in logs
        .iter()
        .enumerate()
        .filter(|(index, _)| !who.is_replaced(*index))
    {
        // A process that a test started is where the test started it.
        let begun = who.begun(index);
        for record in log.records().filter(|record| record.kind.is_access()) {
            watched.accesses += 1;
            let Some(test) = who.test(index, &record) else {
                watched.of_no_test += 1;
                continue;
            };
            let place = match begun {
                Some((log, position)) => Place::Begun { log, position },
                None => Place::Here {
                    log: index,
                    stack: record.stack,
                },
            };
            uses.take_in(log, &folders[index], &record, test, place, who);
        }
    }
    let (evidence, locked) = Claims::of(&uses, who).evidence(&uses, run, who, groups);
    Reading {
        evidence,
        locked,
        watched,
        uses,
    }
}

/// What a claim is on: a file, or another resource, by their numbers; or a variable that was cleared with all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum On<'a> {
    File(u32),
    Other(u32),
    Mask(u32),
    Variable(u32, &'a str),
}

/// Who uses a resource: enough to say that nobody can meet there.
#[derive(Clone, Copy, Debug)]
struct Users {
    first: u32,
    several: bool,
    written: bool,
}

/// What each use is a claim on.
struct Claims<'a> {
    all: Vec<(&'a Use, On<'a>, Access)>,
    users: HashMap<On<'a>, Users>,
}

impl<'a> Claims<'a> {
    fn of(uses: &'a Uses<'_>, who: &Who) -> Self {
        let mut claims = Self {
            all: Vec::new(),
            users: HashMap::new(),
        };
        let listed = Listed::of(uses);
        for one in &uses.all {
            let pid = who.tests[one.test as usize].pid;
            match one.thing {
                Thing::File(file, how) => {
                    for name in listed.names(uses, one) {
                        claims.add(one, On::File(name), Access::Read);
                    }
                    if uses.uprooted.is_empty() {
                        claims.add(one, On::File(file), how.access());
                        continue;
                    }
                    let path = Path::new(uses.files.get(file));
                    for (path, access) in uses.uprooted.uses(path, how, one.test as usize) {
                        // Who removed it used it, so it is known.
                        if let Some(file) = uses.files.find(path.as_os_str()) {
                            claims.add(one, On::File(file), access);
                        }
                    }
                }
                Thing::Other(other, access) => {
                    let on = On::of(&uses.others[other as usize], other, pid);
                    let access = match on {
                        On::Variable(pid, name) if uses.settled.is(pid, name) => Access::Read,
                        _ => access,
                    };
                    claims.add(one, on, access);
                }
                // Everybody who makes files depends on the mask, which matters where somebody changes it.
                Thing::UsedMask if uses.masked.contains(&pid) => claims.add(one, On::Mask(pid), Access::Read),
                Thing::UsedMask => {}
                Thing::ClearedVariables => {
                    for name in uses.variables.get(&pid).into_iter().flatten() {
                        claims.add(one, On::Variable(pid, name), Access::Write);
                    }
                }
            }
        }
        claims
    }

    fn add(&mut self, one: &'a Use, on: On<'a>, access: Access) {
        let users = self.users.entry(on).or_insert(Users {
            first: one.test,
            several: false,
            written: false,
        });
        users.several |= users.first != one.test;
        users.written |= access == Access::Write;
        self.all.push((one, on, access));
    }

    /// Only where two can meet: most files are one test's own. What was done under locks is told once more, as if
    /// there were none.
    fn evidence(&self, uses: &Uses<'_>, run: &str, who: &Who, groups: &Groups) -> (Evidence, Evidence) {
        let (mut evidence, mut locked) = (Evidence::new(), Evidence::new());
        evidence.list_up_to(usize::MAX);
        locked.list_up_to(usize::MAX);
        for (one, on, access) in &self.all {
            if !self
                .users
                .get(on)
                .is_some_and(|users| users.several && users.written)
            {
                continue;
            }
            let test = &who.tests[one.test as usize];
            let mut guards = uses.guards.names(uses.sets.get(one.guards));
            guards.extend(groups.guard(test.pid).cloned());
            let observed = Observed {
                run,
                binary: &test.binary,
                pid: test.pid,
                started: test.started,
                in_turn: test.in_turn,
                test: &test.name,
                attempt: 1,
                resource: match on {
                    On::File(file) => Resource::file(uses.files.get(*file)),
                    On::Other(other) => uses.others[*other as usize].clone(),
                    On::Mask(_) => Resource::umask(),
                    On::Variable(_, name) => Resource::env(*name),
                },
                access: *access,
                guards: &guards,
                place: &format!("#{}", one.place),
                window: (one.at, test.end.max(one.at)),
            };
            evidence.observe(&observed);
            // A lock's own file is not what it is for.
            if !guards.is_empty() && !guards.iter().any(|lock| lock == observed.resource.as_str()) {
                locked.observe(&Observed {
                    guards: &[],
                    ..observed
                });
            }
        }
        (evidence, locked)
    }
}

impl<'a> On<'a> {
    /// The mask and a variable are met by those of one process, also by who clears all of them.
    fn of(resource: &'a Resource, number: u32, pid: u32) -> Self {
        use cofferdam::ResourceKind as K;
        match resource.kind() {
            K::Umask => Self::Mask(pid),
            K::Env => Self::Variable(pid, resource.as_str()),
            _ => Self::Other(number),
        }
    }
}
