//! The failures of a hunt that `fix` can repeat.

use super::Cause;
use crate::findings::{ReproducedClass, Reproduction};
use crate::hunt::{Class, HuntReport, Verdict};

/// Returns how the tests of a cause were made to fail by others. Races that needed pauses are known from the runs with these.
pub(super) fn of(cause: &Cause) -> impl Iterator<Item = Reproduction> {
    // Documentation tests have no scene.
    let is_repeated = |verdict: &&Verdict| verdict.paused.is_none() && !verdict.scene.tests.is_empty();
    let without_pauses = cause.verdicts.iter().filter(is_repeated);
    without_pauses.filter_map(|verdict| {
        Some(Reproduction {
            class: class(verdict)?,
            test: verdict.test.clone(),
            culprits: verdict.culprits.clone(),
            uses: cause.uses.iter().chain(&cause.static_use).cloned().collect(),
            scene: verdict.scene.clone(),
            paused: None,
            with: verdict.with,
            without: verdict.without,
        })
    })
}

/// Returns those of the runs with pauses that are races. In such runs a victim fails, too, after what it is beside.
pub(super) fn paused(all: Vec<Reproduction>, report: &HuntReport) -> impl Iterator<Item = Reproduction> {
    all.into_iter().filter(|reproduction| {
        let mut races = report.verdicts.iter().filter(|verdict| verdict.paused.is_some());
        races.any(|race| {
            let test = &reproduction.test;
            race.test.is_named(&test.binary, &test.name)
        })
    })
}

fn class(verdict: &Verdict) -> Option<ReproducedClass> {
    match verdict.class {
        Class::Race => Some(ReproducedClass::Race),
        Class::Victim => Some(ReproducedClass::Victim),
        Class::Brittle => Some(ReproducedClass::Brittle),
        _ => None,
    }
}
