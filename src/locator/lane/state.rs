//! What lies in a lane: its caches, the overrides in force, builds going on, and what is being let go of.

use super::Given;
use super::cache::{Cache, Entry};
use super::flight::Flights;
use super::overrides::Layer;
use super::retired::{Dropping, Forgotten};
use crate::error::Error;
use crate::locator::registry::Key;
use crate::sys::clock;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::thread::ThreadId;

pub(crate) struct State {
    /// Whether the lane is one worker's, handed from test to test.
    pub(crate) passes: bool,
    /// One more after each change that threads have to notice.
    pub(crate) epoch: u64,
    pub(crate) caches: HashMap<u64, Cache>,
    /// Overrides, oldest first.
    pub(crate) layers: Vec<Layer>,
    /// Services set aside because an override changes what they are built from.
    pub(crate) hidden: Vec<(Key, Entry)>,
    pub(crate) flights: Flights<Key, Result<Given, Error>>,
    /// By ticket.
    pub(crate) dropping: BTreeMap<u64, Dropping>,
    /// Let go of, and held by somebody still.
    pub(crate) forgotten: Vec<Forgotten>,
    /// What a panic spoiled with instances that are gone already; the next test is not handed it.
    pub(crate) spoiled: BTreeSet<Key>,
    /// The last life that worked here.
    pub(crate) life: u64,
    /// The thread that resets services for the next test.
    pub(crate) passing: Option<ThreadId>,
    pub(crate) closed: bool,
}

impl State {
    pub(crate) fn new(passes: bool) -> Self {
        Self {
            passes,
            epoch: 0,
            caches: HashMap::new(),
            layers: Vec::new(),
            hidden: Vec::new(),
            flights: Flights::new(),
            dropping: BTreeMap::new(),
            forgotten: Vec::new(),
            spoiled: BTreeSet::new(),
            life: 0,
            passing: None,
            closed: false,
        }
    }

    /// The service if it is there: a fake, a cached one, or one that was evicted while somebody holds it.
    pub(crate) fn find(&mut self, key: &Key, life: u64, tick: u64) -> Option<Given> {
        let epoch = self.epoch;
        if let Some(layer) = self.layers.iter_mut().rev().find(|layer| layer.key == *key) {
            return Some(layer.give(life, epoch, tick));
        }
        if self.caches.get(&key.locator)?.entry(key).is_none() {
            self.reinstate(key, tick);
        }
        let entry = self.caches.get_mut(&key.locator)?.peek(key)?;
        Some(entry.give(life, epoch, tick))
    }
}

impl Entry {
    pub(crate) fn give(&mut self, life: u64, epoch: u64, tick: u64) -> Given {
        let about = &mut self.about;
        about.hits += 1;
        about.used_at = clock::micros();
        about.touch(tick);
        let is_known = std::mem::replace(&mut about.used_by, life) == life;
        Given {
            instance: self.instance.clone(),
            number: about.number.get(),
            epoch,
            from: Arc::clone(&about.from),
            fakes: about.fakes.clone(),
            uses: Some(about.reader()),
            is_known,
        }
    }
}
