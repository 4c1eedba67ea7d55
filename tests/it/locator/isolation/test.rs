//! One test of a schedule: it makes its calls and holds each answer to all that it knows.

use super::Call;
use super::world::{Key, Known, LOCAL, Own, STATICS, World, lock, note};
use cofferdam::{OverrideGuard, Worker};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Barrier};

/// A test in its lane.
pub(super) struct Test<'a> {
    world: &'a World,
    worker: Worker,
    known: Known,
    held: Vec<Arc<Own>>,
    /// The fakes in force, oldest first, each with its guard unless that was forgotten.
    fakes: Vec<(Key, Arc<Own>, Option<OverrideGuard>)>,
}

impl Test<'_> {
    fn fake(&self, key: Key) -> Option<u64> {
        let fakes = self.fakes.iter().rev();
        let mut of_key = fakes.filter(|(faked, ..)| *faked == key);
        of_key.next().map(|(_, fake, _)| fake.number)
    }

    /// That it is this worker's, and this test's where it has to be, and so is all that it is built from.
    fn is_own(&self, found: &Own) {
        if let Some(part) = &found.part {
            self.is_own(part);
        }
        if let Some(later) = &found.later {
            self.is_own(later);
        }
        note(found);
        if found.key == Key::Shared {
            return;
        }
        assert_eq!(
            found.worker,
            self.worker.id(),
            "{:?} is another worker's",
            found.key
        );
        if found.key == Key::OfTest {
            assert_eq!(
                Some(found.test.as_str()),
                self.worker.test(),
                "it is another test's"
            );
        }
    }

    /// Asks for a service and holds the answer to all that is known.
    fn ask(&mut self, key: Key, ask: impl FnOnce() -> Arc<Own>) -> Arc<Own> {
        let before = self.world.clears();
        let base = key.has_base().then(|| self.fake(Key::Base)).flatten();
        let setting = (key, self.fake(key).or(base));
        let known = self
            .known
            .get(&setting)
            .filter(|(_, clears)| Some(*clears) == before);
        let expected = known.and_then(|(known, _)| Some(known.upgrade()?.number));
        let found = ask();
        assert_eq!(found.key, key);
        self.is_own(&found);
        let expected = expected.filter(|number| !lock(&self.world.untouched).contains(number));
        let is_quiet = before.is_some() && self.world.clears() == before;
        if let Some(fake) = self.fake(key) {
            assert_eq!(found.number, fake, "{key:?} has a fake");
        } else if let (Some(expected), true) = (expected, is_quiet) {
            assert_eq!(found.number, expected, "{key:?} is there already, in {setting:?}");
        }
        if lock(&self.world.untouched).contains(&found.number) {
            self.known.remove(&setting);
            return found;
        }
        if key == Key::Static && self.fake(key).is_none() {
            let number = *lock(&STATICS).entry(found.worker.clone()).or_insert(found.number);
            assert_eq!(found.number, number, "a static is built once for each worker");
        }
        if let (Some(clears), true) = (before, is_quiet) {
            self.known.insert(setting, (Arc::downgrade(&found), clears));
        }
        // What it is built from is what is handed out now.
        let base = found
            .part
            .as_ref()
            .or_else(|| found.later.as_ref().map(|later| later.try_get().unwrap()));
        if let (Some(base), None) = (base.cloned(), self.fake(key)) {
            let now = self.world.get(Key::Base);
            self.is_own(&now);
            if before.is_some() && self.world.clears() == before {
                assert_eq!(
                    base.number,
                    now.number,
                    "{key:?} is built from another {:?}",
                    Key::Base
                );
            }
        }
        found
    }

    fn replace(&mut self, key: Key) -> OverrideGuard {
        let fake = Arc::new(Own::new(key, &self.worker, false));
        let guard = match key {
            Key::Static => LOCAL.override_with(Arc::clone(&fake)),
            key => self.world.locator.override_named(&key.name(), Arc::clone(&fake)),
        };
        self.fakes.push((key, fake, None));
        guard
    }

    fn call(&mut self, call: &Call) {
        let world = self.world;
        let worker = self.worker.clone();
        match *call {
            Call::Get(key) => drop(self.ask(key, || world.get(key))),
            Call::Proxy(Key::Static) => drop(self.ask(Key::Static, || LOCAL.get())),
            Call::Proxy(key) => {
                drop(self.ask(key, || {
                    let proxy = world.locator.lazy_named::<Own>(&key.name());
                    Arc::clone(proxy.try_get().unwrap())
                }));
            }
            Call::Spawned(key) => {
                drop(self.ask(key, || worker.spawn(world.getter(key)).join().unwrap()));
            }
            Call::Pooled(key) => {
                drop(self.ask(key, || world.pooled(worker.wrap(world.getter(key)))));
            }
            Call::Entered(key) => {
                let entered = || {
                    let _scope = worker.enter();
                    // The second time from memory.
                    (world.get(key), world.get(key))
                };
                let before = world.clears();
                let mut all = None;
                drop(self.ask(key, || {
                    let both = std::thread::scope(|scope| scope.spawn(entered).join().unwrap());
                    all.insert(both).1.clone()
                }));
                let (first, second) = all.unwrap();
                self.is_own(&first);
                if before.is_some() && world.clears() == before {
                    assert!(Arc::ptr_eq(&first, &second), "{key:?} was handed out twice");
                }
            }
            Call::Race(key) => {
                let (before, start) = (world.clears(), Barrier::new(3));
                let all: Vec<_> = std::thread::scope(|scope| {
                    let get = || {
                        start.wait();
                        world.get(key)
                    };
                    let threads: Vec<_> = (0..3).map(|_| scope.spawn(worker.wrap(get))).collect();
                    threads.into_iter().map(|thread| thread.join().unwrap()).collect()
                });
                all.iter().for_each(|one| self.is_own(one));
                if before.is_some() && world.clears() == before {
                    assert!(
                        all.iter().all(|one| one.number == all[0].number),
                        "{key:?} was built twice at once"
                    );
                }
            }
            Call::Hold(key) => {
                let found = self.ask(key, || world.get(key));
                self.held.push(found);
            }
            Call::Release => drop(self.held.pop()),
            Call::Fill => {
                for number in 0..4 {
                    drop(self.ask(Key::Filler(number), || world.get(Key::Filler(number))));
                }
            }
            Call::ClearWorker => {
                world.locator.clear_worker();
                self.known
                    .retain(|(key, _), _| matches!(key, Key::Static | Key::Shared));
            }
            Call::ClearAll => {
                world.clears_begun.fetch_add(1, Ordering::SeqCst);
                world.locator.clear_all();
                world.clears_ended.fetch_add(1, Ordering::SeqCst);
            }
            Call::Override(key) => {
                let guard = self.replace(key);
                self.fakes.last_mut().unwrap().2 = Some(guard);
            }
            Call::EndOverride(place) => {
                let mut guarded: Vec<_> = (0..self.fakes.len())
                    .filter(|at| self.fakes[*at].2.is_some())
                    .collect();
                if !guarded.is_empty() {
                    let ended = guarded.swap_remove(place % guarded.len());
                    drop(self.fakes.remove(ended));
                }
            }
            Call::ForgetOverride(key) => std::mem::forget(self.replace(key)),
            Call::Lend(Key::Later) => {
                let found = world.get(Key::Later);
                note(&found);
                lock(&world.untouched).insert(found.number);
                lock(&world.lent).push(found);
            }
            Call::Lend(key) => {
                let found = self.ask(key, || world.get(key));
                lock(&world.lent).push(found);
            }
            Call::Borrow => {
                // Using another's proxy is allowed, and tells nothing about what is this worker's.
                let lent = lock(&world.lent).pop();
                if let Some(later) = lent.as_ref().and_then(|lent| lent.later.as_ref()) {
                    note(later.try_get().unwrap());
                    drop(self.ask(Key::Base, || world.get(Key::Base)));
                }
            }
        }
    }
}

pub(super) fn run(world: &World, calls: &[Call]) {
    let worker = Worker::current();
    let known = lock(&world.lanes).remove(worker.id()).unwrap_or_default();
    let mut test = Test {
        world,
        worker,
        known,
        held: Vec::new(),
        fakes: Vec::new(),
    };
    calls.iter().for_each(|call| test.call(call));
    // What the next test in this lane must find again: nothing of this test, and none of its fakes.
    test.known
        .retain(|(key, fake), _| fake.is_none() && *key != Key::OfTest);
    let Test { worker, known, .. } = test;
    lock(&world.lanes).insert(worker.id().to_owned(), known);
}
