//! Detects conflicting claims on one resource.

use super::Party;
use super::lockset::{Use, Verdict, World, judge};
use super::{LISTED, conflict};
use crate::conflict::{Conflict, Kind, NO_COMMON_LOCK};
use crate::help::HelpContext;
use crate::interned_names::{Name, index};
use crate::tables::{Claim, Owner, Scope, State};
use cofferdam::format::ResourceKind;
use cofferdam::{Access, Resource};
use std::collections::{BTreeMap, HashMap};

/// Returns a conflict for each resource that tests use without a common lock.
pub(super) fn shared(state: &State) -> Vec<Conflict> {
    let mut met: BTreeMap<(Scope, u32), Vec<&Claim>> = BTreeMap::new();
    for claim in &state.claims.rows {
        let process = state.executions.get(claim.execution).process;
        met.entry((state.scope(claim.resource, process), claim.resource))
            .or_default()
            .push(claim);
    }
    met.into_iter()
        .filter(|(_, claims)| is_written(claims))
        .filter_map(|((_, resource), claims)| on_resource(state, resource, &claims))
        .collect()
}

fn is_written(claims: &[&Claim]) -> bool {
    claims.iter().any(|claim| claim.access == Access::Write)
}

/// Returns a conflict for each file that tests of several programs use which run one after the other, unless two tests of
/// one program conflict on it: a later program finds the leftovers of an earlier one.
pub(super) fn left(state: &State) -> Vec<Conflict> {
    let process = |claim: &Claim| state.executions.get(claim.execution).process;
    let mut met: BTreeMap<u32, Vec<&Claim>> = BTreeMap::new();
    for claim in &state.claims.rows {
        if state.resources.get(claim.resource).path().is_some() && state.processes.get(process(claim)).in_turn
        {
            met.entry(claim.resource).or_default().push(claim);
        }
    }
    met.into_iter()
        .filter(|(_, claims)| is_written(claims))
        .filter(|(_, claims)| claims.iter().any(|claim| process(claim) != process(claims[0])))
        .filter_map(|(resource, claims)| {
            let Uses {
                mut uses, origins, ..
            } = Uses::of(state, &claims);
            if judge(state, &uses).is_some() {
                return None;
            }
            for one in &mut uses {
                one.in_turn = None;
            }
            let verdict = judge(state, &uses)?;
            Some(report(
                state,
                resource,
                Kind::OrderLeak,
                &verdict,
                &origins,
                &uses,
            ))
        })
        .collect()
}

impl World for State {
    fn disjoint(&self, guards: u32, others: u32) -> bool {
        let (a, b) = (self.guards.get(guards), self.guards.get(others));
        !a.iter().any(|guard| b.binary_search(guard).is_ok())
    }

    fn have_one_in_common(&self, mut guards: impl Iterator<Item = u32>) -> bool {
        let Some(first) = guards.next() else { return false };
        let mut common = self.guards.get(first).clone();
        let mut last = first;
        guards.all(|next| {
            if next != last {
                let theirs = self.guards.get(next);
                common.retain(|guard| theirs.binary_search(guard).is_ok());
                last = next;
            }
            !common.is_empty()
        }) && !common.is_empty()
    }

    fn window(&self, run: u32) -> (u64, u64) {
        let run = self.runs.get(run);
        (run.first, run.last)
    }
}

/// The claim and the execution of a use.
struct Origin<'a> {
    claim: &'a Claim,
    execution: u32,
}

/// The uses of one resource.
struct Uses<'a> {
    state: &'a State,
    uses: Vec<Use>,
    origins: Vec<Origin<'a>>,
    /// The numbers of tests, by run, program and name. An execution without a name is a test of its own.
    tests: HashMap<(u32, Name, Option<Name>, Option<u32>), u32>,
}

impl<'a> Uses<'a> {
    fn of(state: &'a State, claims: &[&'a Claim]) -> Self {
        let mut uses = Self {
            state,
            uses: Vec::new(),
            origins: Vec::new(),
            tests: HashMap::new(),
        };
        for claim in claims {
            match claim.owner {
                Owner::Execution(execution) => uses.add(claim, execution, claim.begin, None, claim.guards),
                Owner::Instance(instance) => uses.add_users(claim, instance),
            }
        }
        uses
    }

    /// Adds a service's claim for each execution that uses the service.
    fn add_users(&mut self, claim: &'a Claim, instance: u32) {
        let users = &self.state.instances.get(instance).users;
        let lane = |user: u32| self.state.executions.get(user).lane;
        let many = users
            .iter()
            .any(|user| lane(user.execution) != lane(claim.execution));
        let through = many.then_some(instance);
        if !users.iter().any(|user| user.execution == claim.execution) {
            self.add(claim, claim.execution, claim.begin, through, claim.guards);
        }
        for user in users {
            // A lock held while the service was built does not protect later uses.
            let guards = user.guards.unwrap_or(claim.guards);
            self.add(claim, user.execution, claim.begin.max(user.at), through, guards);
        }
    }

    fn add(&mut self, claim: &'a Claim, execution: u32, begin: u64, through: Option<u32>, guards: u32) {
        let row = self.state.executions.get(execution);
        let process = self.state.processes.get(row.process);
        // Several of a program's `main` or of a snapshot's unknown tests may run at once; a named test is one, with its retries.
        let named = row
            .test
            .filter(|test| !self.state.text(*test).starts_with("main of "));
        let alone = named.is_none().then_some(execution);
        let next = index(self.tests.len());
        let test = *self
            .tests
            .entry((process.run, process.binary, named, alone))
            .or_insert(next);
        self.uses.push(Use {
            lane: row.lane,
            run: process.run,
            machine: process.boot.number(),
            in_turn: process.in_turn.then_some(row.process),
            test,
            through,
            writes: claim.access == Access::Write,
            guards,
            begin,
            end: end_of(self.state, claim, execution).max(begin),
        });
        self.origins.push(Origin { claim, execution });
    }
}

fn on_resource(state: &State, resource: u32, claims: &[&Claim]) -> Option<Conflict> {
    let Uses { uses, origins, .. } = Uses::of(state, claims);
    let verdict = judge(state, &uses)?;
    Some(report(
        state,
        resource,
        Kind::SharedResource,
        &verdict,
        &origins,
        &uses,
    ))
}

/// Returns the end of a claim: its last release, else the end of the execution.
fn end_of(state: &State, claim: &Claim, execution: u32) -> u64 {
    let end = state.executions.get(execution).end;
    if claim.open == 0 {
        claim.released.min(end.max(claim.begin))
    } else {
        end
    }
}

fn report(
    state: &State,
    resource: u32,
    kind: Kind,
    verdict: &Verdict,
    origins: &[Origin<'_>],
    uses: &[Use],
) -> Conflict {
    let listed = state.listed.unwrap_or(LISTED);
    let mut parties: Vec<Party> = Vec::new();
    for index in [verdict.pair.0, verdict.pair.1].iter().chain(&verdict.others) {
        let party = party(state, &origins[*index], &uses[*index]);
        if parties.len() < listed && !parties.contains(&party) {
            parties.push(party);
        }
    }
    let (pair, others) = parties.split_at_mut(2);
    pair.sort_by(Party::in_order);
    others.sort_by(Party::in_order);
    let between_runs = parties[0].test.run != parties[1].test.run;
    let resource = state.resources.get(resource);
    let message = message(resource, kind, verdict.overlapped, [&parties[0], &parties[1]]);
    let service = parties.iter().find_map(|party| party.used.service.clone());
    let suite = HelpContext {
        by_service: service.is_some(),
        between_runs,
        ..HelpContext::default()
    };
    let help = suite.help(resource);
    Conflict {
        resource: Some(resource.clone()),
        service,
        between_runs,
        overlapped: verdict.overlapped && kind == Kind::SharedResource,
        ..conflict(kind, parties, verdict.concerned, message, help)
    }
}

fn message(resource: &Resource, kind: Kind, overlapped: bool, [first, second]: [&Party; 2]) -> String {
    let with_run = first.test.run != second.test.run;
    if kind == Kind::OrderLeak {
        return format!(
            "{resource} is used by {} in {} and by {} in {}, which run one after the other here and would run at the same time \
             under nextest",
            first.on_worker(false),
            first.test.binary,
            second.on_worker(false),
            second.test.binary,
        );
    }
    let when = if overlapped {
        "at the same time"
    } else {
        "one after the other"
    };
    // A lock says nothing about what a test leaves in a static.
    let lock = if resource.kind() == ResourceKind::Static {
        ""
    } else {
        NO_COMMON_LOCK
    };
    format!(
        "{resource} is used by {} and {} {when}{lock}",
        first.on_worker(with_run),
        second.on_worker(with_run),
    )
}

fn party(state: &State, origin: &Origin<'_>, one: &Use) -> Party {
    let service = match origin.claim.owner {
        Owner::Execution(_) => None,
        Owner::Instance(instance) => state.instances.get(instance).service,
    };
    let Party { test, used } = state.party(origin.execution, Some(origin.claim.place));
    Party {
        test,
        used: crate::conflict::Use {
            access: Some(origin.claim.access),
            service: service.map(|service| state.text(service).to_owned()),
            from: one.begin,
            to: one.end,
            ..used
        },
    }
}
