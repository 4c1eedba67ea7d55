//! Conflicts that end if the locks count that are perhaps held.

use cofferdam::format::Scope;
use cofferdam_conflicts::{Conflict, Evidence, Grade, NO_COMMON_LOCK};
use std::collections::HashSet;

/// The locks that count as held.
#[derive(Clone, Copy, Debug)]
pub(super) enum Certainty {
    Known,
    /// Those that are perhaps held, too.
    Perhaps,
}

/// Returns the conflicts. Those that end if the uncertain locks were held are [`Grade::Potential`].
pub(super) fn graded(known: &Evidence, perhaps: Option<&Evidence>) -> Vec<Conflict> {
    let mut conflicts = known.conflicts();
    let Some(perhaps) = perhaps else {
        return conflicts;
    };
    let process = |conflict: &Conflict| {
        let kind = conflict.resource.as_ref()?.kind();
        (kind.scope() == Scope::Process).then_some(conflict.tests.first()?.pid)
    };
    let left = perhaps.conflicts();
    let left: HashSet<_> = left
        .iter()
        .map(|conflict| (conflict.kind, &conflict.resource, process(conflict)))
        .collect();
    for conflict in &mut conflicts {
        if !left.contains(&(conflict.kind, &conflict.resource, process(conflict))) {
            conflict.grade = Some(Grade::Potential);
            conflict.message = conflict.message.replace(NO_COMMON_LOCK, "");
        }
    }
    conflicts
}
