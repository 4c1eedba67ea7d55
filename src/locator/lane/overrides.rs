//! Overrides: fakes in place of services, each for one test.

use super::cache::{Entry, InstanceInfo, InstanceRef};
use crate::locator::service::Key;
use std::collections::HashSet;

/// The number of an override that is never in force; real numbers begin with 1.
pub(super) const NEVER: u64 = 0;

/// A fake in place of a service, for one test.
pub(crate) struct Override {
    pub(crate) id: u64,
    pub(crate) key: Key,
    pub(crate) execution: u64,
    pub(crate) entry: Entry,
}

impl Override {
    pub(super) fn hand_out(&mut self, execution: u64, epoch: u64, tick: u64) -> InstanceRef {
        InstanceRef {
            fakes: HashSet::from([self.id]),
            ..self.entry.hand_out(execution, epoch, tick)
        }
    }
}

/// Returns these instances, by number, and all that are built from any of them, at any depth.
pub(super) fn with_dependents(mut these: HashSet<u64>, among: &[&mut InstanceInfo]) -> HashSet<u64> {
    loop {
        let known = these.len();
        for info in among {
            if info.parts.iter().any(|part| these.contains(part)) {
                these.insert(info.number.get());
            }
        }
        if these.len() == known {
            return these;
        }
    }
}
