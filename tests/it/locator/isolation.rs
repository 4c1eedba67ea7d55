//! Random schedules of several workers: none is ever handed another's instance, each has one at a time.
//!
//! The workers are threads named as libtest names a test's, in a process of their own, so that each leases a lane
//! under every runner. A lane goes from test to test, as in a real run.

use super::{alone, as_test, own_worker};
use cofferdam::{LazyProxy, OverrideGuard, ServiceLocator, Worker, WorkerLocal};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier, Mutex, MutexGuard, PoisonError, Weak};

/// A service that knows where it comes from.
struct Own {
    key: Key,
    number: u64,
    /// Who built it, or whose fake it is.
    worker: String,
    test: String,
    part: Option<Arc<Own>>,
    later: Option<LazyProxy<Own>>,
    is_real: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Base,
    /// Built from `Base`.
    Direct,
    /// Holds a proxy of `Base`.
    Later,
    /// Of one test, built from `Base`.
    OfTest,
    Shared,
    Static,
    Filler(u8),
}

const KEYS: [Key; 6] = [
    Key::Base,
    Key::Direct,
    Key::Later,
    Key::OfTest,
    Key::Shared,
    Key::Static,
];

impl Key {
    fn name(self) -> String {
        format!("{self:?}")
    }

    /// Whether it changes when `Base` is replaced.
    fn has_base(self) -> bool {
        matches!(self, Self::Direct | Self::Later | Self::OfTest)
    }
}

#[derive(Clone, Debug)]
enum Call {
    Get(Key),
    Proxy(Key),
    Spawned(Key),
    Entered(Key),
    /// Three threads of the worker at once.
    Race(Key),
    Hold(Key),
    Release,
    /// More services than the cap.
    Fill,
    ClearWorker,
    ClearAll,
    Override(Key),
    /// Drops one of the guards.
    EndOverride(usize),
    ForgetOverride(Key),
    /// Shows another worker what was handed out here, proxies included.
    Lend(Key),
    Borrow,
}

fn call() -> impl Strategy<Value = Call> {
    let key = prop::sample::select(&KEYS[..]);
    let replaced = prop::sample::select(&[Key::Base, Key::Base, Key::Direct, Key::Shared, Key::Static][..]);
    prop_oneof![
        8 => key.clone().prop_map(Call::Get),
        2 => key.clone().prop_map(Call::Proxy),
        2 => key.clone().prop_map(Call::Spawned),
        2 => key.clone().prop_map(Call::Entered),
        1 => key.clone().prop_map(Call::Race),
        2 => key.clone().prop_map(Call::Hold),
        2 => Just(Call::Release),
        3 => Just(Call::Fill),
        1 => Just(Call::ClearWorker),
        1 => Just(Call::ClearAll),
        3 => replaced.clone().prop_map(Call::Override),
        2 => any::<usize>().prop_map(Call::EndOverride),
        1 => replaced.prop_map(Call::ForgetOverride),
        2 => key.prop_map(Call::Lend),
        2 => Just(Call::Borrow),
    ]
}

/// Tests of one thread, one after the other, each with its calls.
fn tests() -> impl Strategy<Value = Vec<Vec<Call>>> {
    prop::collection::vec(prop::collection::vec(call(), 0..20), 1..4)
}

/// What all workers of one schedule can see.
struct World {
    locator: ServiceLocator,
    /// What each lane was handed last, for the next test in it.
    lanes: Mutex<BTreeMap<String, Known>>,
    lent: Mutex<Vec<Arc<Own>>>,
    /// Those whose proxy any worker may have been the first to use, at any moment.
    untouched: Mutex<BTreeSet<u64>>,
    clears_begun: AtomicU64,
    clears_ended: AtomicU64,
}

/// What was handed out, with the fakes of `Base` and of itself in force, and when all was cleared last.
type Known = BTreeMap<(Key, Option<u64>), (Weak<Own>, u64)>;

/// How many were built, and which were seen, by worker and service.
static BUILT: Mutex<BTreeMap<(String, Key), u64>> = Mutex::new(BTreeMap::new());
static SEEN: Mutex<BTreeMap<(String, Key), BTreeSet<u64>>> = Mutex::new(BTreeMap::new());
static STATICS: Mutex<BTreeMap<String, u64>> = Mutex::new(BTreeMap::new());
static LOCAL: WorkerLocal<Own> = WorkerLocal::new(|cx| Ok(Own::new(Key::Static, cx.worker(), true)));

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Own {
    fn new(key: Key, worker: &Worker, is_real: bool) -> Self {
        static NUMBERS: AtomicU64 = AtomicU64::new(0);
        let id = worker.id().to_owned();
        if is_real {
            *lock(&BUILT).entry((id.clone(), key)).or_default() += 1;
            // Whoever could come in between shall.
            std::thread::yield_now();
        }
        Self {
            key,
            number: NUMBERS.fetch_add(1, Ordering::SeqCst),
            worker: id,
            test: worker.test().unwrap_or("main").to_owned(),
            part: None,
            later: None,
            is_real,
        }
    }
}

impl World {
    fn new() -> Self {
        let builder = ServiceLocator::builder()
            .capacity(2)
            .register::<Own>(|cx| Ok(Arc::new(Own::new(Key::Base, cx.worker(), true))))
            .named(&Key::Base.name())
            .register::<Own>(|cx| {
                let part = Some(cx.get_named(&Key::Base.name())?);
                Ok(Arc::new(Own {
                    part,
                    ..Own::new(Key::Direct, cx.worker(), true)
                }))
            })
            .named(&Key::Direct.name())
            .register::<Own>(|cx| {
                let later = Some(cx.lazy_named(&Key::Base.name())?);
                Ok(Arc::new(Own {
                    later,
                    ..Own::new(Key::Later, cx.worker(), true)
                }))
            })
            .named(&Key::Later.name())
            .register::<Own>(|cx| {
                let part = Some(cx.get_named(&Key::Base.name())?);
                Ok(Arc::new(Own {
                    part,
                    ..Own::new(Key::OfTest, cx.worker(), true)
                }))
            })
            .named(&Key::OfTest.name())
            .per_test()
            .register_shared::<Own>(|cx| Ok(Arc::new(Own::new(Key::Shared, cx.worker(), true))))
            .named(&Key::Shared.name());
        let builder = (0..4).fold(builder, |builder, number| {
            let filler = Key::Filler(number);
            builder
                .register::<Own>(move |cx| Ok(Arc::new(Own::new(filler, cx.worker(), true))))
                .named(&filler.name())
        });
        Self {
            locator: builder.build(),
            lanes: Mutex::default(),
            lent: Mutex::default(),
            untouched: Mutex::default(),
            clears_begun: AtomicU64::new(0),
            clears_ended: AtomicU64::new(0),
        }
    }

    fn get(&self, key: Key) -> Arc<Own> {
        match key {
            Key::Static => LOCAL.get(),
            key => self.locator.get_named(&key.name()),
        }
    }

    /// How often all was cleared, unless that is going on.
    fn clears(&self) -> Option<u64> {
        let ended = self.clears_ended.load(Ordering::SeqCst);
        (self.clears_begun.load(Ordering::SeqCst) == ended).then_some(ended)
    }
}

/// One test in one lane.
struct Test<'a> {
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
                let locator = world.locator.clone();
                let get = move || match key {
                    Key::Static => LOCAL.get(),
                    key => locator.get_named::<Own>(&key.name()),
                };
                drop(self.ask(key, || worker.spawn(get).join().unwrap()));
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

fn note(found: &Own) {
    if !found.is_real {
        return;
    }
    lock(&SEEN)
        .entry((found.worker.clone(), found.key))
        .or_default()
        .insert(found.number);
}

fn test(world: &World, calls: &[Call]) {
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

fn run(schedules: &[Vec<Vec<Call>>]) {
    lock(&BUILT).clear();
    lock(&SEEN).clear();
    let world = World::new();
    std::thread::scope(|scope| {
        let world = &world;
        let workers: Vec<_> = schedules
            .iter()
            .enumerate()
            .map(|(number, tests)| {
                scope.spawn(move || {
                    for (round, calls) in tests.iter().enumerate() {
                        as_test(&format!("lane::test_{number}_{round}"), || test(world, calls));
                    }
                })
            })
            .collect();
        workers.into_iter().for_each(|worker| worker.join().unwrap());
    });
    // Two that use a proxy at once for the first time may each have it built, when all is cleared in between.
    let had_races = !lock(&world.untouched).is_empty();
    drop(world);
    let (built, seen) = (lock(&BUILT), lock(&SEEN));
    for (of, builds) in built.iter().filter(|((_, key), _)| *key != Key::Static) {
        let seen = seen.get(of).map_or(0, |seen| seen.len() as u64);
        assert!(
            seen == *builds || (of.1 == Key::Base && had_races && seen < *builds),
            "{of:?}: {seen} seen, {builds} built"
        );
    }
}

alone! {
    fn no_worker_is_handed_anothers_and_each_has_one_at_a_time() {
        assert_eq!(own_worker(), "w0");
        let config = ProptestConfig {
            cases: 150,
            failure_persistence: None,
            ..ProptestConfig::default()
        };
        proptest!(config, |(schedules in prop::collection::vec(tests(), 2..5))| {
            run(&schedules);
        });
    }
}
