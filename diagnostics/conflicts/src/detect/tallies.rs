//! Reports what was counted while journals were read: foreign uses, epochs, leaks, thrashing, quarantine, rebuilding, failed
//! teardowns.

use super::{conflict, time};
use crate::conflict::{Conflict, Kind};
use crate::interned_names::Name;
use crate::tables::{State, Tally, WhyLeaked};
use cofferdam::format::FailedTeardown;
use std::collections::BTreeMap;

/// The number of tests from which on a rebuilt service is worth a fixture.
const BUILDS: u64 = 3;
/// The cost for a run from which on it is, in microseconds.
const COST: u64 = 100_000;
/// The number of rebuilds after evictions from which on a cache is too small.
const REBUILDS: u64 = 3;

pub(super) fn all(state: &State) -> Vec<Conflict> {
    let mut found = foreign(state);
    found.extend(epochs(state));
    found.extend(leaked(state));
    found.extend(thrashing(state));
    found.extend(quarantined(state));
    found.extend(rebuilt(state));
    found.extend(state.failed_teardowns.iter().map(failed_teardown));
    found
}

fn failed_teardown(failed: &FailedTeardown) -> Conflict {
    let FailedTeardown {
        run,
        fixture,
        command,
        how,
        output,
        ..
    } = failed;
    let run = match run.as_str() {
        "" => String::new(),
        run => format!(" in run {run}"),
    };
    let reason = match command.as_str() {
        "" => how.clone(),
        command => format!("its command {command} ended with {how}"),
    };
    let message = format!("the teardown of fixture {fixture}{run} failed: {reason}");
    let help = "remove what the command was to remove, and let it succeed where that is gone already (`rm -f`, \
                `DROP DATABASE IF EXISTS`)";
    Conflict {
        output: (!output.is_empty()).then(|| output.clone()),
        ..conflict(Kind::TeardownFailed, Vec::new(), 0, message, help)
    }
}

fn of_service(
    state: &State,
    kind: Kind,
    service: Name,
    tally: &Tally,
    message: String,
    help: String,
) -> Conflict {
    Conflict {
        service: Some(state.text(service).to_owned()),
        ..conflict(kind, state.parties(tally), tally.count, message, help)
    }
}

fn foreign(state: &State) -> Vec<Conflict> {
    let found = state.foreign.iter().map(|((_, service, place), tally)| {
        let parties = state.parties(tally);
        let who = parties.first().map_or_else(|| "a test".to_owned(), |party| party.on_worker(false));
        let name = state.text(*service);
        let owner = tally.words.map_or("another worker", |owner| state.text(owner));
        let message = format!("{who} used the {name} of {owner} through a lazy proxy that was made at {}", state.text(*place));
        let help = "make the proxy in the test that uses it (`locator.lazy()`), instead of keeping it where tests of \
                    other workers find it";
        of_service(state, Kind::ForeignUse, *service, tally, message, help.to_owned())
    });
    found.collect()
}

fn epochs(state: &State) -> Vec<Conflict> {
    let found = state.epochs.iter().map(|((_, locator, service), tally)| {
        let (name, locator) = (state.text(*service), called(state, *locator));
        let message = format!(
            "{name} of {locator} was built anew after it was cleared or overridden, while the old instance \
             was still held: two existed together, {}",
            times(tally.count)
        );
        let help = format!(
            "drop references obtained before clearing or overriding, or `get` {name} again instead of keeping it"
        );
        of_service(state, Kind::TwoEpochs, *service, tally, message, help)
    });
    found.collect()
}

fn leaked(state: &State) -> Vec<Conflict> {
    let found = state.leaked.iter().map(|((locator, service, why), tally)| {
        let (name, locator) = (state.text(*service), called(state, *locator));
        let when = match why {
            WhyLeaked::TestOver => "when its test was over",
            WhyLeaked::Locator => "when its locator was dropped",
            WhyLeaked::Exit => "when the process ended",
        };
        let message = format!("{name} of {locator} was still held {when}, {}", times(tally.count));
        let help = match why {
            WhyLeaked::TestOver => "find the clone that is kept beyond the test (in a static, a thread, a cycle of `Arc`s): keep a `Weak` there, \
                 or `join` the thread before the test ends",
            WhyLeaked::Locator => "keep the locator as long as its services, or a `Weak` where a clone is kept",
            WhyLeaked::Exit => "a static, a thread or a cycle of `Arc`s keeps a clone, so its `drop` never ran: keep a `Weak` there, or accept it",
        };
        of_service(state, Kind::Leaked, *service, tally, message, help.to_owned())
    });
    found.collect()
}

fn thrashing(state: &State) -> Vec<Conflict> {
    let mut locators: BTreeMap<(u32, Name), Vec<(Name, &Tally)>> = BTreeMap::new();
    for ((run, locator, service), tally) in &state.rebuilt {
        locators
            .entry((*run, *locator))
            .or_default()
            .push((*service, tally));
    }
    let found = locators.into_iter().filter_map(|((run, locator), services)| {
        let rebuilds: u64 = services.iter().map(|(_, tally)| tally.count).sum();
        let cost: u64 = services.iter().map(|(_, tally)| tally.sum).sum();
        let (worst, tally) = services
            .iter()
            .max_by_key(|(service, tally)| (tally.count, std::cmp::Reverse(*service)))?;
        if rebuilds < REBUILDS {
            return None;
        }
        let all = state
            .builds
            .keys()
            .filter(|(of, within, _)| *of == run && *within == locator)
            .count();
        let capacity = match state.capacity.get(&locator) {
            Some(capacity) => format!(" of capacity {capacity}"),
            None => String::new(),
        };
        let message = format!(
            "the cache of {}{capacity} evicted services that were asked for again: {rebuilds} rebuilds, {} \
             in all, most often {}",
            called(state, locator),
            time(cost),
            state.text(*worst)
        );
        let help = format!(
            "`.capacity({all})` where the locator is built holds all {all} services that its tests asked for"
        );
        Some(Conflict {
            use_count: rebuilds,
            ..of_service(state, Kind::Thrashing, *worst, tally, message, help)
        })
    });
    found.collect()
}

fn quarantined(state: &State) -> Vec<Conflict> {
    let found = state.quarantined.values().map(|tally| {
        let parties = state.parties(tally);
        let (who, worker) = match parties.first() {
            Some(party) => (party.test.to_string(), party.test.worker.clone()),
            None => ("a test".to_owned(), "its worker".to_owned()),
        };
        let threads = if tally.sum == 1 { "a thread" } else { "threads" };
        let message = format!("{who} ended while {threads} that it had started still worked for {worker}: the worker ID was retired");
        let help = "`join` the threads of `Worker::spawn` and `wrap` before the test ends";
        conflict(Kind::Quarantined, parties, tally.count, message, help)
    });
    found.collect()
}

fn rebuilt(state: &State) -> Vec<Conflict> {
    let worth = state
        .builds
        .iter()
        .filter(|(_, tally)| tally.count >= BUILDS && tally.sum >= COST);
    let found = worth.map(|((run, locator, service), tally)| {
        let name = state.text(*service);
        let message = format!(
            "{name} of {} was built in {} tests of run {}, {} in all: a candidate for a fixture",
            called(state, *locator),
            tally.count,
            state.text(state.runs.get(*run).name),
            time(tally.sum)
        );
        let help = "if its tests can share it, `register_shared` builds it once per process; what takes long outside the \
                    process (a server, a filled database) is better started once per run, by a `Fixture` (feature `fixtures`)";
        of_service(state, Kind::Rebuilt, *service, tally, message, help.to_owned())
    });
    found.collect()
}

/// Returns a locator with its name, or a `WorkerLocal` with its place.
fn called(state: &State, locator: Name) -> String {
    let name = state.text(locator);
    if name.starts_with("static at ") {
        format!("the {name}")
    } else {
        format!("locator `{name}`")
    }
}

fn times(count: u64) -> String {
    match count {
        1 => "once".to_owned(),
        count => format!("{count} times"),
    }
}
