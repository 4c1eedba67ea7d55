//! The statics through which tests fail, as experiments show them.

use super::HuntProgress;
use super::grouped_causes::Cause;
use crate::hunt::{Class, Scenes, Shown, static_cause};
use crate::observe::SuitePrograms;
use crate::scene::Stopped;
use std::collections::BTreeSet;

/// Enters the static of each cause whose tests run in a process of these programs. Returns what could not be tried, in
/// words.
pub(super) fn enter(
    causes: &mut [Cause],
    programs: &SuitePrograms,
    scenes: &mut dyn Scenes,
    see: &mut dyn FnMut(HuntProgress<'_>),
) -> BTreeSet<String> {
    let mut untried = BTreeSet::new();
    for cause in causes {
        let first = &cause.verdicts[0];
        let program = programs.program(&first.test.binary);
        let is_shared = program.is_some_and(|program| !program.has_own_processes());
        // A pause at a static may let tests meet at another resource.
        let has_resource = first.class == Class::Race && !cause.uses.is_empty();
        if !is_shared || has_resource || cause.static_cause.is_some() {
            continue;
        }
        match static_cause(first, scenes, &mut |event| see(HuntProgress::Engine(event))) {
            Ok(Shown::Cause(shown)) => {
                cause.static_cause = Some(shown);
                // It alone explains the failure.
                cause.uses.clear();
                cause.users.clear();
            }
            Ok(Shown::Nothing) => {}
            // A resource may be the cause as well.
            Ok(Shown::TooLarge(_) | Shown::Unobserved(_)) if !cause.uses.is_empty() => {}
            Ok(Shown::TooLarge(id)) => {
                let name = id.shown();
                untried.insert(format!("whether {name} is the cause: it is larger than 64 KiB"));
            }
            Ok(Shown::Unobserved(why)) => {
                let why = why.strip_prefix("its statics: ").unwrap_or(&why);
                untried.insert(format!("whether a static is the cause: {why}"));
            }
            Err(Stopped) => {
                untried.insert("whether a static is the cause: the time was over".to_owned());
            }
        }
    }
    untried
}
