//! Detects service instances that several workers use.

use super::{LISTED, conflict};
use crate::conflict::{Conflict, Kind};
use crate::interned_names::Name;
use crate::tables::State;
use std::collections::BTreeMap;

/// Returns a conflict for each service and factory with an instance in two workers' caches that is not declared as shared.
pub(super) fn shared(state: &State) -> Vec<Conflict> {
    let mut services: BTreeMap<(Name, Name), Vec<u32>> = BTreeMap::new();
    for (index, instance) in state.instances.rows.iter().enumerate() {
        if instance.shared || instance.users.len() < 2 {
            continue;
        }
        let Some(service) = instance.service else { continue };
        let index = index as u32;
        let lane = |user: u32| state.executions.get(user).lane;
        let mut users = instance
            .users
            .iter()
            .map(|user| user.execution)
            .filter(|user| !state.foreign_uses.contains(&(index, *user)));
        let Some(first) = users.next() else { continue };
        if users.any(|user| lane(user) != lane(first)) {
            services.entry((service, instance.place)).or_default().push(index);
        }
    }
    services
        .into_iter()
        .filter_map(|((service, place), instances)| report(state, service, place, &instances))
        .collect()
}

fn report(state: &State, service: Name, place: Name, instances: &[u32]) -> Option<Conflict> {
    let lane = |user: u32| state.executions.get(user).lane;
    // The instance with the most users shows it best.
    let users = |index: u32| &state.instances.get(index).users;
    let shown = instances
        .iter()
        .copied()
        .max_by_key(|index| (users(*index).len(), std::cmp::Reverse(*index)))?;
    let mut order: Vec<u32> = users(shown)
        .iter()
        .map(|user| user.execution)
        .filter(|user| !state.foreign_uses.contains(&(shown, *user)))
        .collect();
    order.sort_by_key(|user| (state.executions.get(*user).begin, *user));
    let first = *order.first()?;
    let pair = overlapping(state, &order).or_else(|| {
        order
            .iter()
            .find(|user| lane(**user) != lane(first))
            .map(|other| (first, *other))
    })?;
    let overlapped = state.overlap(pair.0, pair.1);
    order.retain(|user| *user != pair.0 && *user != pair.1);
    order.splice(0..0, [pair.0, pair.1]);
    let parties: Vec<_> = order
        .iter()
        .take(LISTED)
        .map(|user| state.party(*user, Some(place)))
        .collect();
    let concerned = instances.iter().map(|index| users(*index).len() as u64).sum();
    let service = state.text(service).to_owned();
    let message = format!(
        "one instance of {service} is in the caches of {} and {}, and it is not declared as shared",
        parties[0].on_worker(false),
        parties[1].on_worker(false),
    );
    let help = "build it inside the factory, not outside of it, so that each worker gets its own; if it is meant for \
                all of them, say so with `register_shared`";
    Some(Conflict {
        service: Some(service),
        overlapped,
        ..conflict(Kind::SharedInstance, parties, concerned, message, help)
    })
}

/// Returns two executions of different workers that ran at the same time. `order` is by first moment.
fn overlapping(state: &State, order: &[u32]) -> Option<(u32, u32)> {
    let mut open: BTreeMap<u32, u32> = BTreeMap::new();
    for user in order {
        let row = state.executions.get(*user);
        open.retain(|_, running| state.executions.get(*running).end > row.begin);
        let met = open
            .iter()
            .find(|(lane, running)| **lane != row.lane && state.overlap(**running, *user));
        if let Some((_, running)) = met {
            return Some((*running, *user));
        }
        open.insert(row.lane, *user);
    }
    None
}
