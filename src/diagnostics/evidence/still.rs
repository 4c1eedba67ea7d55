//! A snapshot into the tables: the same rows that a journal would have filled, without the tests' names.

use super::state::{Claim, Owner, State, Told};
use crate::diagnostics::snapshot::{Cache, Entry, EntryState, Snapshot};

pub(super) fn add(state: &mut State, snapshot: &Snapshot) {
    state.snapshots += 1;
    let process = state.process(&Told {
        run: &snapshot.run,
        pid: snapshot.process.pid,
        started: snapshot.process.started,
        boot: &snapshot.process.boot,
        binary: &snapshot.process.binary,
        at: snapshot.taken_at,
    });
    for cache in &snapshot.caches {
        let lane = state.lane(process, &cache.worker);
        for entry in &cache.entries {
            entry_of(state, process, lane, entry, snapshot.taken_at);
        }
        epochs_of(state, process, lane, cache);
    }
}

fn entry_of(state: &mut State, process: u32, lane: u32, entry: &Entry, now: u64) {
    let service = state.names.name(&entry.service);
    let place = state.place(&entry.place);
    let index = state.instance(process, entry.instance);
    let row = state.instances.get_mut(index);
    row.service = Some(service);
    row.place = place;
    row.epoch = row.epoch.max(entry.epoch);
    row.shared |= entry.shared;

    // A journal of the same process knows the tests, and needs nobody without a name beside them.
    let users = &state.instances.get(index).users;
    let known = users
        .iter()
        .find(|user| state.executions.get(user.execution).lane == lane);
    let execution = match known {
        Some(user) => user.execution,
        None => {
            let execution = state.unnamed(process, lane, entry.built_at, now);
            state.used(index, execution, entry.built_at, None);
            execution
        }
    };
    for claim in &entry.claims {
        let claim = Claim {
            owner: Owner::Instance(index),
            execution,
            resource: state.resource(claim.resource.clone()),
            access: claim.access,
            guards: state.guards(&claim.guards),
            place,
            begin: entry.built_at,
            open: 0,
            released: 0,
        };
        state.claim(claim);
    }
}

/// Two instances of one service that are both held, from different epochs.
fn epochs_of(state: &mut State, process: u32, lane: u32, cache: &Cache) {
    let locator = state.names.name(&cache.locator);
    let run = state.processes.get(process).run;
    let held = |entry: &&Entry| match entry.state {
        EntryState::Cached | EntryState::Override => true,
        EntryState::Forgotten => entry.holders > 0,
        EntryState::Hidden => false,
    };
    let mut newest = std::collections::HashMap::new();
    for entry in cache.entries.iter().filter(held) {
        let epoch: &mut u64 = newest.entry(&entry.service).or_default();
        *epoch = entry.epoch.max(*epoch);
    }
    for old in cache.entries.iter().filter(held) {
        if newest.get(&old.service).is_some_and(|epoch| *epoch > old.epoch) {
            let service = state.names.name(&old.service);
            let place = state.place(&old.place);
            let execution = state.unnamed(process, lane, old.built_at, old.used_at);
            let tally = state.epochs.entry((run, locator, service)).or_default();
            tally.add(old.holders, Some(execution), Some(place));
        }
    }
}
