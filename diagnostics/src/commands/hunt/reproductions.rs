//! The failures of a hunt that `fix` can repeat.

use super::Cause;
use crate::findings::{ReproducedClass, Reproduction};
use crate::hunt::{Class, Verdict};

/// Returns how the tests of a cause were made to fail by others. Races that needed pauses are known from the runs with these.
pub(super) fn of(cause: &Cause) -> impl Iterator<Item = Reproduction> {
    let without_pauses = cause.verdicts.iter().filter(|verdict| verdict.paused.is_none());
    without_pauses.filter_map(|verdict| {
        Some(Reproduction {
            class: class(verdict)?,
            test: verdict.test.clone(),
            culprits: verdict.culprits.clone(),
            uses: cause.uses.clone(),
            scene: verdict.scene.clone(),
            paused: None,
            with: verdict.with,
            without: verdict.without,
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
