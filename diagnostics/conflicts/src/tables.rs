//! The recorded facts as tables: small rows, each text once, and no row per line of a journal.

use crate::counts::Counts;
use crate::interned_names::{Name, Names, index};
use crate::places;
use cofferdam::format::Scope as Reach;
use cofferdam::format::{FailedTeardown, Why, is_of_all_workers};
use cofferdam::{Access, Resource};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::Hash;

/// One invocation of a runner.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) name: Name,
    pub(crate) first: u64,
    pub(crate) last: u64,
}

#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) run: u32,
    pub(crate) pid: u32,
    pub(crate) boot: Name,
    pub(crate) binary: Name,
    /// The run that recorded the process, if several runs count as one.
    shard: Option<Name>,
    /// Whether the programs of its run follow one another.
    pub(crate) in_turn: bool,
}

/// A worker of a run. Tests in one lane never overlap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Lane {
    pub(crate) run: u32,
    pub(crate) worker: Name,
    /// Set for a lane that is no worker: one test, or the shared lane of a process.
    pub(crate) alone: Option<Alone>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Alone {
    /// A test that was observed from outside, which counts as a worker of its own.
    Test { binary: Name, test: Name },
    /// The services that all workers of one process share.
    Process(u32),
}

#[derive(Debug)]
pub(crate) struct Execution {
    pub(crate) process: u32,
    pub(crate) lane: u32,
    /// `None` if only a snapshot is known.
    pub(crate) test: Option<Name>,
    pub(crate) attempt: u64,
    pub(crate) begin: u64,
    /// The last event of it, if its end was not recorded.
    pub(crate) end: u64,
}

#[derive(Debug)]
pub(crate) struct Instance {
    pub(crate) process: u32,
    pub(crate) service: Option<Name>,
    pub(crate) place: Name,
    pub(crate) epoch: u64,
    /// Declared as shared by all workers.
    pub(crate) shared: bool,
    /// The instances that it was built from: a user of it uses those too.
    pub(crate) parts: Vec<u32>,
    /// The executions that received it, each once.
    pub(crate) users: Vec<User>,
}

/// An execution that received an instance.
#[derive(Clone, Copy, Debug)]
pub(crate) struct User {
    pub(crate) execution: u32,
    pub(crate) at: u64,
    /// The locks it held each time; a snapshot does not hold them.
    pub(crate) guards: Option<u32>,
}

/// The owner of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Owner {
    Execution(u32),
    /// A service, for every execution that uses it.
    Instance(u32),
}

/// The claims of one owner on one resource, in one way and under the same locks.
#[derive(Debug)]
pub(crate) struct Claim {
    pub(crate) owner: Owner,
    /// The execution that made it, also for a service.
    pub(crate) execution: u32,
    pub(crate) resource: u32,
    pub(crate) access: Access,
    pub(crate) guards: u32,
    pub(crate) place: Name,
    pub(crate) begin: u64,
    /// Claims that were not released yet, and the last release of the others.
    pub(crate) open: u32,
    pub(crate) released: u64,
}

/// A counter, with a few of the executions involved.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) count: u64,
    /// The sum of microseconds, holders or threads.
    pub(crate) sum: u64,
    pub(crate) seen: Vec<(u32, Option<Name>)>,
    pub(crate) words: Option<Name>,
    /// The last execution involved.
    pub(crate) last: Option<u32>,
}

impl Tally {
    /// The maximum number of executions that a report shows.
    pub(crate) const SEEN: usize = 8;

    pub(crate) fn add(&mut self, amount: u64, execution: Option<u32>, place: Option<Name>) {
        self.count += 1;
        self.sum = self.sum.saturating_add(amount);
        self.last = execution.or(self.last);
        if let Some(execution) = execution
            && self.seen.len() < Self::SEEN
            && !self.seen.iter().any(|(known, _)| *known == execution)
        {
            self.seen.push((execution, place));
        }
    }
}

/// Run, locator, service.
pub(crate) type ServiceOfRun = (u32, Name, Name);

/// Rows with a key: one per key, found by it.
#[derive(Debug)]
pub(crate) struct Table<K, R> {
    pub(crate) rows: Vec<R>,
    known: HashMap<K, u32>,
}

impl<K, R> Default for Table<K, R> {
    fn default() -> Self {
        Self {
            rows: Vec::new(),
            known: HashMap::new(),
        }
    }
}

impl<K: Eq + Hash, R> Table<K, R> {
    pub(crate) fn find(&self, key: &K) -> Option<u32> {
        self.known.get(key).copied()
    }

    pub(crate) fn row(&mut self, key: K, new: impl FnOnce() -> R) -> u32 {
        *self.known.entry(key).or_insert_with(|| {
            self.rows.push(new());
            index(self.rows.len() - 1)
        })
    }

    pub(crate) fn get(&self, index: u32) -> &R {
        &self.rows[index as usize]
    }

    pub(crate) fn get_mut(&mut self, index: u32) -> &mut R {
        &mut self.rows[index as usize]
    }
}

/// The facts from journals and snapshots.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) names: Names,
    pub(crate) runs: Table<Name, Run>,
    /// By the name of the run, process number, start, boot.
    pub(crate) processes: Table<(Name, u32, u64, Name), Process>,
    pub(crate) lanes: Table<Lane, Lane>,
    /// By process and number. Executions of snapshots have the number of their lane.
    pub(crate) executions: Table<(u32, Numbered), Execution>,
    pub(crate) instances: Table<(u32, u64), Instance>,
    pub(crate) resources: Table<Resource, Resource>,
    pub(crate) guards: Table<Vec<Name>, Vec<Name>>,
    pub(crate) claims: Table<(Owner, u32, Access, u32), Claim>,
    /// The position of an execution among the users of an instance.
    pub(crate) uses: HashMap<(u32, u32), usize>,
    /// By process and number of the claim.
    pub(crate) open_claims: HashMap<(u32, u64), u32>,

    pub(crate) builds: BTreeMap<ServiceOfRun, Tally>,
    pub(crate) leaked: BTreeMap<(Name, Name, WhyLeaked), Tally>,
    pub(crate) epochs: BTreeMap<ServiceOfRun, Tally>,
    pub(crate) rebuilt: BTreeMap<ServiceOfRun, Tally>,
    pub(crate) foreign: BTreeMap<(u32, Name, Name), Tally>,
    /// Uses through a foreign proxy, which are reported as such and not as a shared instance.
    pub(crate) foreign_uses: HashSet<(u32, u32)>,
    pub(crate) quarantined: BTreeMap<(u32, Name, Option<Name>), Tally>,
    pub(crate) capacity: BTreeMap<Name, u64>,
    pub(crate) counts: Counts,
    /// Fixtures that were running, by run.
    pub(crate) fixtures: HashSet<(u32, Name)>,
    pub(crate) failed_teardowns: Vec<FailedTeardown>,

    /// Set if all runs count as one, on one machine.
    pub(crate) joins_runs: bool,
    /// The maximum number of uses that a conflict lists, if it was set.
    pub(crate) listed: Option<usize>,
    pub(crate) claimed: u64,
    pub(crate) journals: u64,
    pub(crate) snapshots: u64,
    pub(crate) torn: u64,
}

/// An execution's number in its process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Numbered {
    Journal(u64),
    Snapshot { lane: u32 },
    Observed { test: Name, attempt: u64 },
}

/// The moments from which on an instance should not be held any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum WhyLeaked {
    TestOver,
    Locator,
    Exit,
}

impl WhyLeaked {
    pub(crate) fn of(why: Why) -> Option<Self> {
        match why {
            Why::TestOver => Some(Self::TestOver),
            Why::Locator => Some(Self::Locator),
            Why::Exit => Some(Self::Exit),
            Why::Evicted | Why::Cleared | Why::Overridden | Why::Reset | Why::Panicked => None,
        }
    }
}

/// The facts about a process in a header line or a snapshot.
pub(crate) struct ProcessFacts<'a> {
    pub(crate) run: &'a str,
    pub(crate) pid: u32,
    pub(crate) started: u64,
    pub(crate) boot: &'a str,
    pub(crate) binary: &'a str,
    pub(crate) at: u64,
}

impl State {
    pub(crate) fn process(&mut self, facts: &ProcessFacts<'_>) -> u32 {
        let recorded = self.names.name(facts.run);
        let shard = self.joins_runs.then_some(recorded);
        let name = if self.joins_runs {
            self.names.name("")
        } else {
            recorded
        };
        let run = self.runs.row(name, || Run {
            name,
            first: facts.at,
            last: facts.at,
        });
        self.heard_of(run, facts.at);
        let boot = self.names.name(facts.boot);
        let binary = self.names.name(facts.binary);
        self.processes
            .row((recorded, facts.pid, facts.started, boot), || Process {
                run,
                pid: facts.pid,
                boot: if shard.is_some() { name } else { boot },
                binary,
                shard,
                in_turn: false,
            })
    }

    pub(crate) fn heard_of(&mut self, run: u32, at: u64) {
        let run = self.runs.get_mut(run);
        run.first = run.first.min(at);
        run.last = run.last.max(at);
    }

    pub(crate) fn lane(&mut self, process: u32, worker: &str) -> u32 {
        let Process { run, shard, .. } = *self.processes.get(process);
        let of_shard = shard.map(|shard| format!("{}/{worker}", self.names.text(shard)));
        let lane = Lane {
            run,
            worker: self.names.name(of_shard.as_deref().unwrap_or(worker)),
            alone: is_of_all_workers(worker).then_some(Alone::Process(process)),
        };
        self.lanes.row(lane, || lane)
    }

    /// Returns the instance with this number. Another worker's journal may describe it later.
    pub(crate) fn instance(&mut self, process: u32, number: u64) -> u32 {
        let nowhere = self.names.name("");
        self.instances.row((process, number), || Instance {
            process,
            service: None,
            place: nowhere,
            epoch: 0,
            shared: false,
            parts: Vec::new(),
            users: Vec::new(),
        })
    }

    /// Notes that an instance was built from others of its process. Another worker's journal may have had uses of it before.
    pub(crate) fn made_of(&mut self, instance: u32, parts: &[u64]) {
        let process = self.instances.get(instance).process;
        let parts: Vec<u32> = parts.iter().map(|part| self.instance(process, *part)).collect();
        for user in self.instances.get(instance).users.clone() {
            for part in &parts {
                self.used(*part, user.execution, user.at, user.guards);
            }
        }
        self.instances.get_mut(instance).parts = parts;
    }

    /// Notes that an execution received an instance, and with it all that the instance is built from.
    pub(crate) fn used(&mut self, instance: u32, execution: u32, at: u64, guards: Option<u32>) {
        let mut handed = vec![instance];
        while let Some(instance) = handed.pop() {
            if self.is_new_use(
                instance,
                User {
                    execution,
                    at,
                    guards,
                },
            ) {
                handed.extend(&self.instances.get(instance).parts);
            }
        }
    }

    /// Notes one use, and returns whether it is new.
    fn is_new_use(&mut self, instance: u32, new: User) -> bool {
        let users = &mut self.instances.get_mut(instance).users;
        let known = *self.uses.entry((instance, new.execution)).or_insert(users.len());
        let Some(user) = users.get_mut(known) else {
            users.push(new);
            return true;
        };
        // Only locks that were held each time guard it.
        let guards = match (user.guards, new.guards) {
            (Some(before), Some(now)) if before != now => {
                let now = self.guards.get(now);
                let both: Vec<_> = self
                    .guards
                    .get(before)
                    .iter()
                    .filter(|name| now.contains(name))
                    .copied()
                    .collect();
                Some(self.guards.row(both.clone(), || both))
            }
            (before, now) => before.or(now),
        };
        let user = &mut self.instances.get_mut(instance).users[known];
        std::mem::replace(&mut user.guards, guards) != guards
    }

    pub(crate) fn guards(&mut self, guards: &[String]) -> u32 {
        let mut names: Vec<_> = guards.iter().map(|guard| self.names.name(guard)).collect();
        names.sort_unstable();
        names.dedup();
        self.guards.row(names.clone(), || names)
    }

    /// Returns the number of a source place.
    pub(crate) fn place(&mut self, place: &str) -> Name {
        self.names.name(&places::plain(place))
    }

    pub(crate) fn resource(&mut self, resource: Resource) -> u32 {
        self.resources.row(resource.clone(), || resource)
    }

    /// Notes the beginning of a claim of that kind.
    pub(crate) fn claim(&mut self, claim: Claim) -> u32 {
        self.claimed += 1;
        let key = (claim.owner, claim.resource, claim.access, claim.guards);
        let (begin, place) = (claim.begin, claim.place);
        let index = self.claims.row(key, || Claim { open: 0, ..claim });
        let known = self.claims.get_mut(index);
        known.open += 1;
        if begin < known.begin {
            known.begin = begin;
            known.place = place;
        }
        index
    }

    pub(crate) fn text(&self, name: Name) -> &str {
        self.names.text(name)
    }

    /// Returns the scope of a use: a port of one machine is not the same port of another.
    pub(crate) fn scope(&self, resource: u32, process: u32) -> Scope {
        match self.resources.get(resource).kind().scope() {
            Reach::Process => Scope::Process(process),
            Reach::Machine => Scope::Machine(self.processes.get(process).boot),
            Reach::Everywhere => Scope::Everywhere,
        }
    }
}

/// The [`Reach`] of one use: which process or machine it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Scope {
    Process(u32),
    Machine(Name),
    Everywhere,
}
