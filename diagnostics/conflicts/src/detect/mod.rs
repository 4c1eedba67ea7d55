//! Detects conflicts: tables in, conflicts out, one file per question.

mod instances;
mod lockset;
mod resources;
mod tallies;
mod workers;

use super::conflict::{Conflict, Kind, Test, Use};
use super::interned_names::Name;
use super::tables::{State, Tally};

/// The maximum number of uses that a conflict lists.
const LISTED: usize = Tally::SEEN;

/// Returns every conflict, the most severe first.
pub(super) fn all(state: &State) -> Vec<Conflict> {
    let mut found = instances::shared(state);
    found.extend(resources::shared(state));
    found.extend(resources::left(state));
    found.extend(workers::twice(state));
    found.extend(tallies::all(state));
    // Rows are numbered in the order of reading, which must not show.
    found.sort_by(|a, b| key(a).cmp(&key(b)));
    found
}

fn key(conflict: &Conflict) -> impl Ord + '_ {
    let test = conflict.tests.first();
    (
        conflict.severity(),
        conflict.kind,
        conflict.between_runs,
        !conflict.overlapped,
        &conflict.resource,
        &conflict.service,
        test.map(|test| (&test.run, &test.binary, &test.name, &test.worker, test.pid)),
    )
}

fn conflict(
    kind: Kind,
    parties: Vec<Party>,
    use_count: u64,
    message: String,
    help: impl Into<String>,
) -> Conflict {
    let mut tests: Vec<Test> = Vec::new();
    for Party { test, used } in parties {
        match tests.iter_mut().find(|known| known.is_execution(&test)) {
            Some(known) => known.uses.push(used),
            None => tests.push(Test {
                uses: vec![used],
                ..test
            }),
        }
    }
    Conflict {
        kind,
        resource: None,
        service: None,
        grade: None,
        between_runs: false,
        overlapped: false,
        message,
        help: help.into(),
        output: None,
        name_parts: None,
        static_facts: None,
        tests,
        use_count,
        pairs: Vec::new(),
        pair_count: 0,
    }
}

/// One use of a resource by one test.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Party {
    /// Without its uses.
    test: Test,
    used: Use,
}

impl Party {
    /// Orders by first moment, then by name: rows are numbered in the order of reading, which must not show.
    fn in_order(&self, other: &Self) -> std::cmp::Ordering {
        let key = |party: &Self| {
            let test = &party.test;
            (
                party.used.from,
                test.run.clone(),
                test.binary.clone(),
                test.name.clone(),
                test.worker.clone(),
            )
        };
        key(self).cmp(&key(other))
    }

    /// Returns `stores_one on w0 (write)`, or the test alone where no worker is known, with the run where the conflict is
    /// between two runs.
    fn on_worker(&self, with_run: bool) -> String {
        let mut text = self.test.to_string();
        if !self.test.worker.is_empty() {
            text.push_str(" on ");
            text.push_str(&self.test.worker);
        }
        if with_run {
            text.push_str(" of run ");
            text.push_str(&self.test.run);
        }
        if let Some(access) = self.used.access {
            text.push_str(&format!(" ({access})"));
        }
        text
    }
}

impl State {
    fn party(&self, execution: u32, place: Option<Name>) -> Party {
        let row = self.executions.get(execution);
        let process = self.processes.get(row.process);
        let lane = self.lanes.get(row.lane);
        let place = place
            .map(|place| self.text(place))
            .filter(|place| !place.is_empty());
        Party {
            test: Test {
                run: self.text(self.runs.get(process.run).name).to_owned(),
                worker: self.text(lane.worker).to_owned(),
                pid: process.pid,
                binary: self.text(process.binary).to_owned(),
                package: String::new(),
                runner: None,
                name: row.test.map(|test| self.text(test).to_owned()),
                attempt: row.attempt,
                grade: None,
                fails_alone: false,
                uses: Vec::new(),
            },
            used: Use {
                access: None,
                service: None,
                place: place.map(str::to_owned),
                test_place: None,
                from: row.begin,
                to: row.end,
            },
        }
    }

    /// Returns the parties of a tally, ordered by their first moments.
    fn parties(&self, tally: &Tally) -> Vec<Party> {
        let mut parties: Vec<Party> = tally
            .seen
            .iter()
            .map(|(execution, place)| self.party(*execution, *place))
            .collect();
        parties.sort_by(Party::in_order);
        parties
    }

    fn overlap(&self, a: u32, b: u32) -> bool {
        let (a, b) = (self.executions.get(a), self.executions.get(b));
        a.begin < b.end && b.begin < a.end
    }
}

/// Returns microseconds with a unit that people read.
fn time(micros: u64) -> String {
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..1_000_000 => format!("{:.1} ms", micros as f64 / 1e3),
        _ => format!("{:.1} s", micros as f64 / 1e6),
    }
}
