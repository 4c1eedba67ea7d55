//! A lane passes from one test to the next: what lived for the first one goes, what can be reset is.

use super::cache::Cache;
use super::instance::Instance;
use super::lane::Lane;
use super::leaving::Leaving;
use super::registry::{Key, Scope, Service};
use super::resolve::let_go;
use super::state::State;
use crate::event::Why;
use crate::exit;
use crate::sys::stderr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::ThreadId;

/// What a test hands to the next one in its lane.
pub(crate) struct Pass {
    /// To be reset, in the order they were built.
    pub(crate) reset: Vec<(Key, Arc<Service>, Instance)>,
    /// Left over from work that outlived its test.
    pub(crate) leaving: Vec<Leaving>,
}

/// Makes a lane ready for its next test: what is left over goes, what can be reset is.
pub(super) fn hand_over(lane: &Arc<Lane>, pass: Pass) {
    let_go(lane, pass.leaving);
    for (key, service, instance) in pass.reset {
        let Some(reset) = &service.reset else { continue };
        let outcome = catch_unwind(AssertUnwindSafe(|| reset(&instance)));
        let trouble = match outcome {
            Ok(Ok(())) => continue,
            Ok(Err(error)) => error.to_string(),
            Err(panic) => exit::message(&*panic),
        };
        stderr::line(&format!(
            "{} of {} could not be reset and is built anew: {trouble}",
            service.label(),
            lane.name
        ));
        drop(instance);
        let gone = lane.give_up(&key);
        let_go(lane, gone);
    }
    lane.passed();
}

impl Lane {
    /// Gives up one service whose reset failed.
    pub(crate) fn give_up(&self, key: &Key) -> Vec<Leaving> {
        let mut state = self.lock();
        let entry = state
            .caches
            .get_mut(&key.locator)
            .and_then(|cache| cache.take(key));
        state.leave(
            entry.map(|entry| (key.clone(), entry)).into_iter().collect(),
            Why::Reset,
        )
    }

    /// The resets are done.
    pub(crate) fn passed(&self) {
        self.lock().passing = None;
        self.changed.notify_all();
    }
}

impl State {
    /// What comes first when the lane passes to another test; the caller does it and calls [`Lane::passed`].
    pub(super) fn pass_to(&mut self, life: u64, own_thread: ThreadId) -> Option<Pass> {
        if life <= self.life || self.passing.is_some() {
            return None;
        }
        self.life = life;
        let mut reset: Vec<_> = self
            .caches
            .values()
            .flat_map(Cache::entries)
            .filter(|(_, entry)| {
                entry.about.service.reset.is_some() && entry.about.service.scope != Scope::Test
            })
            .map(|(key, entry)| {
                let about = &entry.about;
                (
                    about.order,
                    key.clone(),
                    Arc::clone(&about.service),
                    entry.instance.clone(),
                )
            })
            .collect();
        let left_over = self.end_test(|other| other != life);
        if reset.is_empty() && left_over.is_empty() {
            return None;
        }
        // What was built first may be what the later ones are built from.
        reset.sort_by_key(|(order, ..)| *order);
        self.passing = Some(own_thread);
        let reset = reset
            .into_iter()
            .map(|(_, key, service, instance)| (key, service, instance))
            .collect();
        Some(Pass {
            reset,
            leaving: left_over,
        })
    }
}
