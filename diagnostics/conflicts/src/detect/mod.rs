//! Evidence in, conflicts out: pure, one file per question.

mod instances;
mod lockset;
mod resources;
mod tallies;
mod workers;

use super::conflict::{Conflict, Kind, Party};
use super::names::Name;
use super::tables::{State, Tally};
use cofferdam::Access;

/// As many parties as a conflict lists.
const LISTED: usize = Tally::SEEN;

/// Everything there is to tell, the gravest first.
pub(super) fn all(state: &State) -> Vec<Conflict> {
    let mut told = instances::shared(state);
    told.extend(resources::shared(state));
    told.extend(resources::left(state));
    told.extend(workers::twice(state));
    told.extend(tallies::all(state));
    // Rows are numbered in the order of reading; people sort by name.
    told.sort_by(|a, b| key(a).cmp(&key(b)));
    told
}

fn key(told: &Conflict) -> impl Ord + '_ {
    let party = told.parties.first();
    (
        told.severity(),
        told.kind,
        told.between_runs,
        !told.overlapped,
        &told.resource,
        &told.service,
        party.map(|party| (&party.run, &party.binary, &party.test, &party.worker, party.pid)),
    )
}

fn conflict(
    kind: Kind,
    parties: Vec<Party>,
    concerned: u64,
    message: String,
    help: impl Into<String>,
) -> Conflict {
    Conflict {
        kind,
        resource: None,
        service: None,
        between_runs: false,
        overlapped: false,
        parties,
        concerned,
        message,
        help: help.into(),
    }
}

/// By first moment, then by name: rows are numbered in the order of reading, which is nobody's business.
fn in_order(a: &Party, b: &Party) -> std::cmp::Ordering {
    let key = |party: &Party| {
        (
            party.window.0,
            party.run.clone(),
            party.binary.clone(),
            party.test.clone(),
            party.worker.clone(),
        )
    };
    key(a).cmp(&key(b))
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
            run: self.text(self.runs.get(process.run).name).to_owned(),
            worker: self.text(lane.worker).to_owned(),
            pid: process.pid,
            binary: self.text(process.binary).to_owned(),
            test: row.test.map(|test| self.text(test).to_owned()),
            attempt: row.attempt,
            access: None,
            service: None,
            place: place.map(str::to_owned),
            window: (row.begin, row.end),
        }
    }

    /// The parties of a tally, by their first moments.
    fn parties(&self, tally: &Tally) -> Vec<Party> {
        let mut parties: Vec<Party> = tally
            .seen
            .iter()
            .map(|(execution, place)| self.party(*execution, *place))
            .collect();
        parties.sort_by(in_order);
        parties
    }

    fn overlap(&self, a: u32, b: u32) -> bool {
        let (a, b) = (self.executions.get(a), self.executions.get(b));
        a.begin < b.end && b.begin < a.end
    }
}

impl Party {
    /// `stores_one on w0`, or the test alone where no worker is known, with the run where two runs are spoken of.
    fn on_worker(&self, with_run: bool) -> String {
        let access = match self.access {
            Some(Access::Write) => " (write)",
            Some(Access::List) => " (list)",
            Some(Access::Read) => " (read)",
            None => "",
        };
        let mut text = self.to_string();
        if !self.worker.is_empty() {
            text.push_str(" on ");
            text.push_str(&self.worker);
        }
        if with_run {
            text.push_str(" of run ");
            text.push_str(&self.run);
        }
        text + access
    }
}

/// Microseconds for a person.
fn time(micros: u64) -> String {
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..1_000_000 => format!("{:.1} ms", micros as f64 / 1e3),
        _ => format!("{:.1} s", micros as f64 / 1e6),
    }
}
