//! Adds events to the tables, one at a time.

use crate::interned_names::Name;
use crate::tables::{Claim, Execution, Numbered, Owner, ProcessFacts, State, WhyLeaked};
use cofferdam::format::{Event, Record, Why};
use std::collections::{HashMap, HashSet};

/// The state while one journal is read.
#[derive(Default)]
pub(super) struct Journal {
    /// The writers, by process ID; `None` for a process of another session.
    writers: HashMap<u32, Option<Writer>>,
}

struct Writer {
    process: u32,
    lane: u32,
    last: u64,
    /// The execution that began last, until its end is recorded.
    current: Option<u32>,
    /// Its claims that were not released yet.
    open: Vec<u64>,
    /// Instances that were held when they were cleared or overridden, by locator and service: epoch and holders.
    stale: HashMap<(Name, Name), (u64, u64)>,
    /// Services that were evicted from its cache, by locator.
    evicted: HashMap<Name, HashSet<Name>>,
}

impl Journal {
    /// Adds a record, or returns what is wrong with it.
    pub(super) fn fold(
        &mut self,
        state: &mut State,
        session: Option<&str>,
        record: Record,
    ) -> Result<(), String> {
        let Record { at, pid, event } = record;
        if let Event::Process {
            run,
            session: theirs,
            binary,
            worker,
            started,
            boot,
            ..
        } = event
        {
            // A reused process ID: the earlier process is dead.
            self.close(state, pid);
            let writer = session.is_none_or(|ours| ours == theirs).then(|| {
                let facts = ProcessFacts {
                    run: &run,
                    pid,
                    started,
                    boot: &boot,
                    binary: &binary,
                    at,
                };
                let process = state.process(&facts);
                let lane = state.lane(process, &worker);
                Writer {
                    process,
                    lane,
                    last: at,
                    current: None,
                    open: Vec::new(),
                    stale: HashMap::new(),
                    evicted: HashMap::new(),
                }
            });
            self.writers.insert(pid, writer);
            return Ok(());
        }
        match self.writers.get_mut(&pid) {
            None => Err(format!("no `process` line of process {pid} is above this one")),
            Some(None) => Ok(()),
            Some(Some(writer)) => {
                writer.last = writer.last.max(at);
                writer.fold(state, pid, at, event)
            }
        }
    }

    /// Ends the file. An execution without a recorded end ended with its last event.
    pub(super) fn finish(mut self, state: &mut State) {
        let pids: Vec<u32> = self.writers.keys().copied().collect();
        for pid in pids {
            self.close(state, pid);
        }
    }

    fn close(&mut self, state: &mut State, pid: u32) {
        let Some(Some(writer)) = self.writers.remove(&pid) else {
            return;
        };
        state.heard_of(state.processes.get(writer.process).run, writer.last);
        if let Some(current) = writer.current {
            let execution = state.executions.get_mut(current);
            execution.end = execution.end.max(writer.last);
        }
    }
}

impl Writer {
    fn fold(&mut self, state: &mut State, pid: u32, at: u64, event: Event) -> Result<(), String> {
        let process = self.process;
        let find = |state: &State, number: u64| {
            let found = state.executions.find(&(process, Numbered::Journal(number)));
            found.ok_or_else(|| {
                format!("no `test` line of execution {number} of process {pid} is above this one")
            })
        };
        match event {
            Event::Process { .. } => {}
            // A fixture is shared by declaration; only its claims can conflict.
            Event::Started {
                execution, fixture, ..
            }
            | Event::Attached {
                execution, fixture, ..
            } => {
                find(state, execution)?;
                let fixture = state.names.name(&fixture);
                state.fixtures.insert((state.processes.get(process).run, fixture));
            }
            Event::Test {
                execution,
                test,
                attempt,
            } => self.test(state, at, execution, &test, attempt),
            Event::End { execution } => {
                let execution = find(state, execution)?;
                state.executions.get_mut(execution).end = at;
                // A test does not hold anything beyond its end.
                self.stale.clear();
                if self.current == Some(execution) {
                    self.current = None;
                    for claim in self.open.drain(..) {
                        state.open_claims.remove(&(process, claim));
                    }
                }
            }
            Event::Built {
                execution,
                locator,
                service,
                instance,
                epoch,
                micros,
                shared,
                parts,
                place,
                asked: _,
            } => {
                let execution = find(state, execution)?;
                let locator = state.names.name(&locator);
                let service = state.names.name(&service);
                let place = state.place(&place);
                let index = state.instance(process, instance);
                let row = state.instances.get_mut(index);
                row.service = Some(service);
                row.place = place;
                row.epoch = row.epoch.max(epoch);
                row.shared |= shared;
                state.made_of(index, &parts);
                state.used(index, execution, at, None);

                let run = state.processes.get(process).run;
                let worker = state.lanes.get(self.lane).worker;
                state.counts.service(worker, locator, service, [1, micros, 0, 0]);
                let builds = state.builds.entry((run, locator, service)).or_default();
                if builds.last == Some(execution) {
                    // A rebuild within one test is due to the cache, and no case for a fixture.
                    builds.sum = builds.sum.saturating_add(micros);
                } else {
                    builds.add(micros, Some(execution), Some(place));
                }
                if let Some((old, holders)) = self.stale.get(&(locator, service)).copied()
                    && old < epoch
                {
                    self.stale.remove(&(locator, service));
                    let tally = state.epochs.entry((run, locator, service)).or_default();
                    tally.add(holders, Some(execution), Some(place));
                }
                let evicted = self.evicted.get_mut(&locator);
                if evicted.is_some_and(|services| services.remove(&service)) {
                    let tally = state.rebuilt.entry((run, locator, service)).or_default();
                    tally.add(micros, Some(execution), Some(place));
                }
            }
            Event::Used {
                execution,
                instance,
                guards,
            } => {
                let execution = find(state, execution)?;
                let instance = state.instance(process, instance);
                let guards = state.guards(&guards);
                state.used(instance, execution, at, Some(guards));
            }
            Event::Dropped {
                locator,
                service,
                instance,
                why,
                holders,
                hits,
            } => {
                let locator = state.names.name(&locator);
                let service = state.names.name(&service);
                let index = state.instance(process, instance);
                let (epoch, place) = (state.instances.get(index).epoch, state.instances.get(index).place);
                let is_evicted = why == Why::Evicted;
                let worker = state.lanes.get(self.lane).worker;
                let counted = [0, 0, u64::from(is_evicted), hits];
                state.counts.service(worker, locator, service, counted);
                self.note_eviction(locator, service, why);
                if holders == 0 {
                    return Ok(());
                }
                if matches!(why, Why::Cleared | Why::Overridden) {
                    self.stale.insert((locator, service), (epoch, holders));
                }
                if let Some(why) = WhyLeaked::of(why) {
                    let last = state.instances.get(index).users.last().map(|user| user.execution);
                    let party = self.current.or(last);
                    let tally = state.leaked.entry((locator, service, why)).or_default();
                    tally.add(holders, party, Some(place));
                }
            }
            Event::Claimed {
                execution,
                claim,
                instance,
                resource,
                access,
                guards,
                place,
            } => {
                let execution = find(state, execution)?;
                let owner = match instance {
                    0 => Owner::Execution(execution),
                    number => Owner::Instance(state.instance(process, number)),
                };
                let claimed = Claim {
                    owner,
                    execution,
                    resource: state.resource(resource),
                    access,
                    guards: state.guards(&guards),
                    place: state.place(&place),
                    begin: at,
                    open: 0,
                    released: 0,
                };
                let index = state.claim(claimed);
                state.open_claims.insert((process, claim), index);
                if instance == 0 {
                    self.open.push(claim);
                }
            }
            Event::Released { claim } => {
                if let Some(index) = state.open_claims.remove(&(process, claim)) {
                    let claim = state.claims.get_mut(index);
                    claim.open = claim.open.saturating_sub(1);
                    claim.released = claim.released.max(at);
                }
                // Usually it is the last.
                if let Some(position) = self.open.iter().rposition(|open| *open == claim) {
                    self.open.swap_remove(position);
                }
            }
            // Claims and uses have the locks that guard them.
            Event::Locked { execution, .. } | Event::Unlocked { execution, .. } => {
                find(state, execution)?;
            }
            Event::Foreign {
                execution,
                service,
                instance,
                owner,
                place,
            } => {
                let execution = find(state, execution)?;
                let service = state.names.name(&service);
                let place = state.place(&place);
                let owner = state.names.name(&owner);
                let index = state.instance(process, instance);
                state.foreign_uses.insert((index, execution));
                let run = state.processes.get(process).run;
                let tally = state.foreign.entry((run, service, place)).or_default();
                tally.words = Some(owner);
                tally.add(0, Some(execution), Some(place));
            }
            Event::Counters {
                locator,
                hits,
                misses,
                builds,
                evictions,
                capacity,
            } => {
                let locator = state.names.name(&locator);
                let worker = state.lanes.get(self.lane).worker;
                state
                    .counts
                    .cache(worker, locator, [hits, misses, builds, evictions]);
                let known = state.capacity.entry(locator).or_default();
                *known = capacity.max(*known);
            }
            Event::Quarantined { execution, children } => {
                let execution = find(state, execution)?;
                let row = state.executions.get(execution);
                let of = state.processes.get(row.process);
                let key = (of.run, of.binary, row.test);
                let tally = state.quarantined.entry(key).or_default();
                tally.add(children, Some(execution), None);
            }
        }
        Ok(())
    }

    /// Remembers an evicted service until it would have to be rebuilt with any capacity.
    fn note_eviction(&mut self, locator: Name, service: Name, why: Why) {
        match why {
            Why::Evicted => {
                self.evicted.entry(locator).or_default().insert(service);
            }
            // The whole cache is gone, and evicted services are not mentioned again.
            Why::Cleared | Why::Locator | Why::Exit => {
                self.evicted.remove(&locator);
            }
            Why::Overridden | Why::TestOver | Why::Reset | Why::Panicked => {
                if let Some(services) = self.evicted.get_mut(&locator) {
                    services.remove(&service);
                }
            }
        }
    }

    fn test(&mut self, state: &mut State, at: u64, number: u64, test: &str, attempt: u64) {
        let test = state.names.name(test);
        let (process, lane) = (self.process, self.lane);
        let index = state
            .executions
            .row((process, Numbered::Journal(number)), || Execution {
                process,
                lane,
                test: Some(test),
                attempt,
                begin: at,
                end: at,
            });
        if let Some(before) = self.current.replace(index) {
            let before = state.executions.get_mut(before);
            before.end = before.end.max(at);
        }
        self.open.clear();
    }
}
