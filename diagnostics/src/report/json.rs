//! For programs: one line, versioned; docs/exit-codes.md describes it.

use super::batch;
use super::text::harmless;
use crate::baseline::Standing;
use crate::commands::ratchet::Compared;
use crate::commands::{Observed, Outcome, severity_of};
use crate::exit_code::Ended;
use crate::findings::{Finding, Pair, resource_json};
use cofferdam::diagnostics::{Conflict, Party};
use serde_json::{Value, json};
use std::io::{self, Write};

/// The version of the report that this build writes.
const VERSION: u64 = 1;

pub(super) struct Json<'a>(pub(super) &'a Outcome);

impl Json<'_> {
    pub(super) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let Outcome {
            command,
            findings,
            verdict,
            ..
        } = self.0;
        let watched = &findings.watched;
        let value = json!({
            "version": VERSION,
            "verdict": verdict.as_str(),
            "exit_code": {
                "process": self.0.exit_code(),
                "command": command.map(Ended::code),
                "verdict": verdict.code(),
            },
            "signal": match command {
                Some(Ended::Failed { signal, .. }) => *signal,
                _ => None,
            },
            "jobs": self.0.batch.as_ref().map(batch::BatchView::new),
            "watched": {
                "runs": watched.runs,
                "processes": watched.processes,
                "workers": watched.workers,
                "tests": watched.executions,
                "instances": watched.instances,
                "fixtures": watched.fixtures,
                "claims": watched.claims,
                "journals": watched.journals,
                "snapshots": watched.snapshots,
                "torn": watched.torn,
            },
            "account": findings.account,
            "conflicts": findings.all().map(|(told, graded)| conflict(told, graded, findings.finding_of(told))).collect::<Vec<_>>(),
            "problems": findings.problems,
            "observed": findings.observed.as_ref().map(observed),
            "baseline": findings.baseline.as_ref().map(baseline),
            "problem_count": findings.problem_count,
            "looked_in": findings.places.iter().map(|place| place.to_string_lossy()).collect::<Vec<_>>(),
        });
        writeln!(out, "{}", harmless(&value.to_string()))
    }
}

fn baseline(compared: &Compared) -> Value {
    json!({
        "file": compared.file.to_string_lossy(),
        "written": compared.written,
        "not_written": compared.not_written,
        "known": compared.settled.iter().map(|(told, standing)| {
            let (until, reason) = match standing {
                Standing::Allowed { until, reason } => (Some(until), Some(reason)),
                _ => (None, None),
            };
            json!({ "conflict": conflict(told, None, None), "until": until, "reason": reason })
        }).collect::<Vec<_>>(),
        "notes": compared.notes,
        "gone": compared.gone,
    })
}

fn observed(observed: &Observed) -> Value {
    json!({
        "tests": observed.watched.tests,
        "programs": observed.watched.programs,
        "accesses": observed.watched.accesses,
        "of_no_test": observed.watched.of_no_test,
        "stopped": observed.confirmed.as_ref().map(|confirmed| confirmed.stopped.iter().map(|stopped| json!({
            "tests": stopped.tests, "seconds": stopped.after.as_secs(),
        })).collect::<Vec<_>>()),
        "left": observed.confirmed.as_ref().map(|confirmed| {
            confirmed.left.iter().map(|path| path.to_string_lossy()).collect::<Vec<_>>()
        }),
        "guarded": observed.confirmed.as_ref().map(|confirmed| confirmed.guarded.iter().map(guarded).collect::<Vec<_>>()),
    })
}

/// What is no conflict any more.
fn guarded(finding: &Finding) -> Value {
    json!({
        "resource": resource_json(&finding.resource),
        "tests": finding.tests.iter().map(|test| json!({ "binary": test.binary, "test": test.name })).collect::<Vec<_>>(),
        "pairs": finding.pairs.iter().map(|pair| self::pair(finding, pair)).collect::<Vec<_>>(),
        "pairs_in_all": finding.pairs_in_all,
    })
}

fn pair(finding: &Finding, pair: &Pair) -> Value {
    let test = |position: usize| {
        finding
            .tests
            .get(position)
            .map(|test| json!({ "binary": test.binary, "test": test.name }))
    };
    json!({ "tests": pair.tests.map(test), "grade": pair.grade, "tries": pair.tries, "why": pair.why })
}

fn conflict(told: &Conflict, graded: Option<&Finding>, found: Option<&Finding>) -> Value {
    json!({
        "kind": told.kind.as_str(),
        "severity": severity_of(told, graded).as_str(),
        "grade": graded.map(|finding| finding.grade),
        "pairs": graded.map(|finding| finding.pairs.iter().map(|pair| self::pair(finding, pair)).collect::<Vec<_>>()),
        "pairs_in_all": graded.map(|finding| finding.pairs_in_all),
        "resource": told.resource.as_ref().map(resource_json),
        "service": told.service,
        "overlapped": told.overlapped,
        "between_runs": told.between_runs,
        "concerned": told.concerned,
        "message": told.message,
        "help": told.help,
        "origin": found.and_then(|finding| finding.origin.as_ref()),
        "parties": told.parties.iter().map(|party| self::party(party, found)).collect::<Vec<_>>(),
    })
}

fn party(party: &Party, found: Option<&Finding>) -> Value {
    let used = found.and_then(|finding| finding.used(party));
    let access = used.map(|used| used.access.to_string());
    json!({
        "run": party.run,
        "worker": party.worker,
        "pid": party.pid,
        "binary": party.binary,
        "test": party.test,
        "attempt": party.attempt,
        "access": access.or_else(|| party.access.map(|access| access.to_string())),
        "service": party.service,
        "place": party.place,
        "test_place": used.and_then(|used| used.test_place.as_ref()),
        "from": party.window.0,
        "to": party.window.1,
    })
}

#[cfg(test)]
mod tests {
    use super::super::text::is_harmful;
    use super::*;

    #[test]
    fn what_steers_a_terminal_is_escaped_and_means_the_same() {
        let name = "a\u{1b}[1m\u{9b}2m\u{202e}\u{7f}ü\n::error::##[error]";
        let text = harmless(&json!({ "name": name }).to_string());
        assert!(!text.contains(is_harmful) && !text.contains("##["), "{text:?}");
        let back: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(back["name"], name);
    }
}
