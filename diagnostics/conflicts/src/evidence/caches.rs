//! Adds a snapshot to the tables: the rows of a journal, without the tests' names.

use crate::tables::{Claim, Owner, ProcessFacts, State};
use cofferdam::format::{Cache, Entry, EntryState, Snapshot};

pub(super) fn add(state: &mut State, snapshot: &Snapshot) {
    state.snapshots += 1;
    let process = state.process(&ProcessFacts {
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

    // A journal of the same process knows the tests, so no unnamed one is added.
    let users = &state.instances.get(index).users;
    let is_shared = state.lanes.get(lane).alone.is_some();
    let known = users
        .iter()
        .find(|user| is_shared || state.executions.get(user.execution).lane == lane);
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

/// Counts instances of one service from different epochs that are held at the same time.
fn epochs_of(state: &mut State, process: u32, lane: u32, cache: &Cache) {
    let locator = state.names.name(&cache.locator);
    let run = state.processes.get(process).run;
    let held = |entry: &&Entry| match entry.state {
        EntryState::Cached => true,
        EntryState::Forgotten => entry.holders > 0,
        // A fake belongs to its test, and is meant to exist beside the service that it replaces.
        EntryState::Override | EntryState::Hidden => false,
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

#[cfg(test)]
mod tests {
    use crate::conflict::Kind;
    use crate::evidence::Evidence;
    use crate::snapshot::read_snapshot;
    use cofferdam::format::{Entry, EntryState, Snapshot};
    use serde_json::json;

    /// A process with one service, which writes a file, in the lane of all workers.
    fn of_all(worker: &str, pid: u32) -> Snapshot {
        let entry = json!({
            "service": "Report", "type": "Report", "instance": 5, "shared": true, "state": "cached", "built_at": 10,
            "used_at": 20, "build_micros": 1, "hits": 1, "misses": 1, "holders": 0, "asked": [],
            "claims": [{"resource": "file:/shop/report.csv", "access": "write", "guards": []}],
            "place": "src/shop.rs:1", "epoch": 0,
        });
        let cache = json!({
            "locator": "services", "worker": worker, "capacity": 50, "epoch": 0, "hits": 1, "misses": 1, "builds": 1,
            "evictions": 0, "entries": [entry],
        });
        let whole = json!({
            "version": 1, "taken_at": 30, "run": "r", "session": null, "caches": [cache],
            "process": {"pid": pid, "started": 1, "boot": "machine", "binary": "shop", "memory": null},
        });
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s.json");
        std::fs::write(
            &path,
            format!("{{\"cofferdam\":\"snapshot\",{}", &whole.to_string()[1..]),
        )
        .unwrap();
        read_snapshot(&path).unwrap()
    }

    #[test]
    fn the_shared_lanes_of_two_processes_are_two_lanes() {
        for worker in ["all workers", "all workers, isolation off"] {
            let mut evidence = Evidence::new();
            evidence.add(&of_all(worker, 7));
            evidence.add(&of_all(worker, 8));
            let kinds: Vec<_> = evidence
                .conflicts()
                .iter()
                .map(|conflict| conflict.kind)
                .collect();
            assert_eq!(kinds, [Kind::SharedResource], "{worker}");
            assert_eq!(evidence.watched().workers, 0, "{worker}");
        }
    }

    #[test]
    fn an_override_is_no_second_instance_of_the_service() {
        let mut snapshot = of_all("w0", 7);
        let entries = &mut snapshot.caches[0].entries;
        let fake = Entry {
            state: EntryState::Override,
            instance: 6,
            epoch: 2,
            ..entries[0].clone()
        };
        entries.push(fake);
        let mut evidence = Evidence::new();
        evidence.add(&snapshot);
        assert_eq!(evidence.conflicts(), []);
    }

    #[test]
    fn a_snapshot_adds_no_unnamed_user_to_those_of_a_journal() {
        let journal = r#"
{"at":1,"pid":7,"event":"process","version":1,"run":"r","session":"s","runner":"cargo","binary":"shop","worker":"w0","started":1,"boot":"machine"}
{"at":2,"pid":7,"event":"test","execution":1,"test":"a","attempt":1}
{"at":3,"pid":7,"event":"built","execution":1,"locator":"services","service":"Report","instance":5,"epoch":0,"micros":1,"shared":true,"asked":[],"parts":[],"place":"src/shop.rs:1"}
{"at":4,"pid":7,"event":"claimed","execution":1,"claim":6,"instance":0,"resource":"file:/shop/report.csv","access":"write","guards":[],"place":"src/shop.rs:9"}
{"at":40,"pid":7,"event":"end","execution":1}
"#;
        let mut evidence = Evidence::new();
        evidence.take_in("j.ndjson".as_ref(), journal.as_bytes());
        evidence.add(&of_all("all workers", 7));
        assert_eq!(evidence.conflicts(), []);
    }
}
