//! The statics through which tests fail, as experiments show them.

use super::HuntProgress;
use super::grouped_causes::Cause;
use crate::hunt::{Class, Scenes, Stopped, static_cause};
use crate::observe::SuitePrograms;

/// Enters the static of each cause whose tests run in a process of these programs. Returns what the time did not allow, in
/// words.
pub(super) fn enter(
    causes: &mut [Cause],
    programs: &SuitePrograms,
    scenes: &mut dyn Scenes,
    see: &mut dyn FnMut(HuntProgress<'_>),
) -> Option<String> {
    let mut untried = None;
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
            Ok(Some(shown)) => {
                cause.static_cause = Some(shown);
                // It alone explains the failure.
                cause.uses.clear();
                cause.users.clear();
            }
            Ok(None) => {}
            Err(Stopped) => untried = Some("whether a static is the cause".to_owned()),
        }
    }
    untried
}
