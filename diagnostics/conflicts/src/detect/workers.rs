//! Detects worker IDs that are active in two processes.

use super::conflict;
use crate::conflict::{Conflict, Kind};
use crate::tables::State;
use std::collections::BTreeMap;

/// Returns a conflict for each worker of a run of which two processes had an execution at the same time.
pub(super) fn twice(state: &State) -> Vec<Conflict> {
    let mut lanes: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for (index, execution) in state.executions.rows.iter().enumerate() {
        if state.lanes.get(execution.lane).alone.is_some() {
            continue;
        }
        lanes.entry(execution.lane).or_default().push(index as u32);
    }
    lanes
        .into_values()
        .filter_map(|executions| in_lane(state, executions))
        .collect()
}

fn in_lane(state: &State, mut executions: Vec<u32>) -> Option<Conflict> {
    let row = |execution: u32| state.executions.get(execution);
    executions.sort_by_key(|execution| (row(*execution).begin, *execution));
    // The execution that ends last, and the last of any other process.
    let (mut last, mut other): (Option<u32>, Option<u32>) = (None, None);
    let mut pairs = Vec::new();
    let mut count = 0;
    for execution in executions {
        let own = row(execution).process;
        let met = [last, other]
            .into_iter()
            .flatten()
            .find(|before| row(*before).process != own && state.overlap(*before, execution));
        if let Some(met) = met {
            count += 1;
            if pairs.len() < super::LISTED {
                for party in [met, execution] {
                    if !pairs.contains(&party) {
                        pairs.push(party);
                    }
                }
            }
        }
        let end = |execution: Option<u32>| execution.map_or(0, |execution| row(execution).end);
        let process = |execution: Option<u32>| execution.map(|execution| row(execution).process);
        if end(last) <= row(execution).end {
            if process(last) != Some(own) {
                other = last;
            }
            last = Some(execution);
        } else if process(last) != Some(own) && end(other) <= row(execution).end {
            other = Some(execution);
        }
    }
    pairs.truncate(super::LISTED);
    let parties: Vec<_> = pairs
        .iter()
        .map(|execution| state.party(*execution, None))
        .collect();
    let tests = parties.iter().map(|party| &party.test).collect::<Vec<_>>();
    let [first, second, ..] = tests[..] else {
        return None;
    };
    let message = format!(
        "worker {} of run {} was alive in two processes at the same time: {first} in process {} and {second} in process {}",
        first.worker, first.run, first.pid, second.pid
    );
    let help = "leave COFFERDAM_WORKER unset for a test suite and for what its tests start: it pins a whole process. \
                If it is not set, two runs share one COFFERDAM_RUN_ID, which has to be unique";
    Some(Conflict {
        overlapped: true,
        ..conflict(Kind::WorkerTwice, parties, count + 1, message, help)
    })
}
