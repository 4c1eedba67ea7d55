//! One test of a schedule: makes its calls and checks each answer.

use super::super::is_same;
use super::Call;
use super::world::{Key, LOCAL, Lane, Own, STATICS, World, lock, note};
use cofferdam::Worker;
use cofferdam::locator::OverrideGuard;
use std::collections::BTreeSet;
use std::sync::{Arc, Barrier, Weak};

/// A test in its lane.
pub(super) struct Test<'a> {
    world: &'a World,
    worker: Worker,
    lane: Lane,
    held: Vec<Arc<Own>>,
    /// By number: instances that another worker may still hold afterwards.
    lent: BTreeSet<u64>,
    /// The overrides in force, oldest first, each with its guard unless that was forgotten.
    fakes: Vec<(Key, Arc<Own>, Option<OverrideGuard>)>,
}

impl Test<'_> {
    fn fake(&self, key: Key) -> Option<u64> {
        let fakes = self.fakes.iter().rev();
        let mut of_key = fakes.filter(|(faked, ..)| *faked == key);
        of_key.next().map(|(_, fake, _)| fake.number)
    }

    /// The override that it is or is built from. Shared services are never built from the override of one worker.
    fn fake_within(&self, key: Key) -> Option<u64> {
        let part = key.part().filter(|_| !key.is_shared());
        self.fake(key).or_else(|| self.fake_within(part?))
    }

    /// Checks that the instance and all its parts belong to this worker, and to this test where they must.
    fn is_own(&self, found: &Own) {
        if let Some(part) = found.made_of() {
            assert!(
                !found.key.is_shared() || part.is_real,
                "{:?} is built from one worker's fake",
                found.key
            );
            self.is_own(part);
        }
        note(found);
        if found.key.is_shared() {
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
        let fresh_for = lock(&found.fresh_for).clone();
        if let (Some(test), true) = (fresh_for, found.is_real && found.key.is_reset()) {
            assert_eq!(
                Some(test.as_str()),
                self.worker.test(),
                "{:?} was not reset",
                found.key
            );
        }
    }

    /// Requests a service and checks the answer.
    fn ask(&mut self, key: Key, ask: impl FnOnce() -> Arc<Own>) -> Arc<Own> {
        let before = self.world.clears();
        let setting = (key, self.fake_within(key));
        let known = self.lane.known.get(&setting);
        let known = known.filter(|(_, clears)| Some(*clears) == before);
        // A reference is held from here on: a build on behalf of this worker, for a proxy, may evict as well.
        let expected = known.and_then(|(known, _)| known.upgrade());
        let expected = expected.filter(|known| !self.world.is_doubtful(known));
        let found = ask();
        assert_eq!(found.key, key);
        self.is_own(&found);
        let clears = before.filter(|_| self.world.clears() == before);
        if let Some(fake) = self.fake(key) {
            assert_eq!(found.number, fake, "{key:?} has a fake");
        } else if let (Some(expected), Some(_)) = (&expected, clears) {
            assert_eq!(
                found.number, expected.number,
                "{key:?} is there already, in {setting:?}"
            );
        }
        if self.world.is_doubtful(&found) {
            self.lane.known.remove(&setting);
            return found;
        }
        if let Some(clears) = clears {
            self.lane.known.insert(setting, (Arc::downgrade(&found), clears));
            if found.is_real {
                self.is_of_now(&found, clears);
            }
        }
        // Its parts are the current ones, except for an override that does not apply to all.
        let part = key.part().filter(|_| self.fake(key).is_none());
        if let Some(part) = part.filter(|part| !key.is_shared() || self.fake(*part).is_none()) {
            let now = self.world.get(part);
            self.is_own(&now);
            let built_from = found.made_of().map(|part| part.number);
            if clears.is_some() && self.world.clears() == clears {
                assert_eq!(
                    built_from,
                    Some(now.number),
                    "{key:?} is built from another {part:?}"
                );
            }
        }
        found
    }

    /// Checks that it was built after the last clear, and not twice.
    fn is_of_now(&mut self, found: &Own, clears: u64) {
        let key = found.key;
        if key.is_static() {
            let of = (found.worker.clone(), key);
            let number = *lock(&STATICS).entry(of).or_insert(found.number);
            assert_eq!(found.number, number, "a static is built once for each worker");
            return;
        }
        let own_clears = if key.is_shared() { 0 } else { self.lane.clears };
        let now = (clears, own_clears);
        let handed = *self.lane.handed.entry(found.number).or_insert(now);
        assert_eq!(handed, now, "{key:?} was cleared");
        if key.is_shared() {
            let mut shared = lock(&self.world.shared);
            let of_all = shared.entry(key).or_insert((found.number, clears));
            if of_all.1 < clears {
                *of_all = (found.number, clears);
            }
            if of_all.1 == clears {
                assert_eq!(found.number, of_all.0, "{key:?} is built once for all");
            }
        }
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
            Call::Proxy(key) if key.is_static() => drop(self.ask(key, || world.get(key))),
            Call::Proxy(key) => {
                drop(self.ask(key, || {
                    let proxy = world.locator.lazy_named::<Own>(&key.name());
                    proxy.try_get().unwrap().clone().into_arc()
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
                    // The second call is answered by the thread's cache.
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
                    assert!(is_same(&first, &second), "{key:?} was handed out twice");
                }
            }
            Call::Visited(key) => {
                drop(self.ask(key, || world.get(key)));
                if let Some((other, found)) = world.visit(&worker, key) {
                    note(&found);
                    found.part.iter().for_each(|part| note(part));
                    assert_eq!(
                        found.worker, other,
                        "{key:?} is not of the worker that was entered"
                    );
                }
                drop(self.ask(key, || world.get(key)));
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
                let own = (0..4).map(Key::Filler);
                for key in own.chain((0..2).map(Key::SharedFiller)) {
                    drop(self.ask(key, || world.get(key)));
                }
            }
            Call::ClearWorker => {
                world.locator.clear_worker();
                self.lane.clears += 1;
                let known = &mut self.lane.known;
                known.retain(|(key, _), _| key.is_static() || key.is_shared());
            }
            Call::ClearAll => world.clear_all(),
            Call::Override(key) => {
                let guard = self.replace(key);
                self.fakes.last_mut().unwrap().2 = Some(guard);
            }
            Call::OverrideAmid(key, replaced) => {
                let start = Barrier::new(2);
                let (built, guard) = std::thread::scope(|scope| {
                    let builds = scope.spawn(worker.wrap(|| {
                        start.wait();
                        world.get(key)
                    }));
                    start.wait();
                    let guard = self.replace(replaced);
                    (builds.join().unwrap(), guard)
                });
                self.fakes.last_mut().unwrap().2 = Some(guard);
                self.is_own(&built);
                drop(self.ask(key, || world.get(key)));
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
            Call::Lend(key @ (Key::Later | Key::Chain)) => {
                let found = world.get(key);
                note(&found);
                lock(&world.untouched).insert(found.number);
                lock(&world.lent).push(found);
            }
            Call::Lend(key) => {
                let found = self.ask(key, || world.get(key));
                self.lent.insert(found.number);
                lock(&world.lent).push(found);
            }
            Call::Borrow => {
                // Using another worker's proxy is allowed, and says nothing about this worker's instances.
                let lent = lock(&world.lent).pop();
                if let Some(later) = lent.as_ref().and_then(|lent| lent.later.as_ref()) {
                    let found = later.try_get().unwrap();
                    note(found);
                    drop(self.ask(found.key, || world.get(found.key)));
                }
            }
        }
    }
}

/// Makes the calls. Returns the instances that must be dropped when the test's thread has ended.
pub(super) fn run(world: &World, calls: &[Call]) -> Vec<Weak<Own>> {
    let worker = Worker::current();
    let lane = lock(&world.lanes).remove(worker.id()).unwrap_or_default();
    let mut test = Test {
        world,
        worker,
        lane,
        held: Vec::new(),
        lent: BTreeSet::new(),
        fakes: Vec::new(),
    };
    lock(&world.running).push(test.worker.clone());
    calls.iter().for_each(|call| test.call(call));
    lock(&world.running).retain(|running| running.id() != test.worker.id());
    let Test {
        worker,
        mut lane,
        lent,
        ..
    } = test;
    let of_test = lane.known.iter().filter(|((key, _), _)| *key == Key::OfTest);
    let over = of_test.map(|(_, (found, _))| found.clone());
    let is_lent = |found: &Weak<Own>| found.upgrade().is_some_and(|found| lent.contains(&found.number));
    let over = over.filter(|found| !is_lent(found)).collect();
    // The state that the next test in this lane must find: nothing of this test, and none of its overrides.
    lane.known
        .retain(|(key, fake), _| fake.is_none() && *key != Key::OfTest);
    lock(&world.lanes).insert(worker.id().to_owned(), lane);
    over
}
