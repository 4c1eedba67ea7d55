//! A comparison of the cache with a naive model: the same calls give the same hits, misses, builds and evictions.

use super::lane::view::{EntryView, InstanceState};
use super::{ServiceHandle, ServiceLocator, views};
use crate::worker::Worker;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};

const KEYS: usize = 6;

/// A service that is counted while it exists.
struct Counted {
    number: u64,
    alive: Arc<AtomicU64>,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.alive.fetch_sub(1, Ordering::SeqCst);
    }
}

#[derive(Clone, Debug)]
enum Call {
    Get(usize),
    /// From another thread of the same worker, which has a cache of its own.
    GetElsewhere(usize),
    /// Keeps the handle.
    Hold(usize),
    /// Drops the oldest handle of this key.
    Release(usize),
    Clear,
    /// Begins and ends an override, which leaves the other services as they are.
    Override(usize),
}

fn call() -> impl Strategy<Value = Call> {
    let key = 0..KEYS;
    prop_oneof![
        8 => key.clone().prop_map(Call::Get),
        4 => key.clone().prop_map(Call::GetElsewhere),
        3 => key.clone().prop_map(Call::Hold),
        3 => key.clone().prop_map(Call::Release),
        1 => Just(Call::Clear),
        1 => key.prop_map(Call::Override),
    ]
}

/// The naive cache: least recently used first.
#[derive(Default)]
struct Model {
    capacity: usize,
    cached: Vec<Cached>,
    /// The instances that are held, by key.
    held: BTreeMap<usize, Vec<u64>>,
    hits: u64,
    misses: u64,
    builds: u64,
    evictions: u64,
}

struct Cached {
    key: usize,
    number: u64,
    hits: u64,
}

impl Model {
    fn is_held(&self, key: usize, number: u64) -> bool {
        self.held.get(&key).is_some_and(|held| held.contains(&number))
    }

    /// Returns the number of the instance that `get` should return.
    fn get(&mut self, key: usize) -> u64 {
        if let Some(place) = self.cached.iter().position(|cached| cached.key == key) {
            self.hits += 1;
            let mut cached = self.cached.remove(place);
            cached.hits += 1;
            let number = cached.number;
            self.cached.push(cached);
            return number;
        }
        self.misses += 1;
        let number = self.builds;
        self.builds += 1;
        self.cached.push(Cached { key, number, hits: 0 });
        // The builder still holds it; for the capacity it counts as free.
        let free = |model: &Self| {
            let is_free = |cached: &&Cached| !model.is_held(cached.key, cached.number);
            model.cached.iter().filter(is_free).count()
        };
        while free(self) > self.capacity {
            let oldest = self
                .cached
                .iter()
                .position(|cached| !self.is_held(cached.key, cached.number));
            self.cached.remove(oldest.unwrap());
            self.evictions += 1;
        }
        number
    }

    fn release(&mut self, key: usize) {
        if let Some(held) = self.held.get_mut(&key).filter(|held| !held.is_empty()) {
            held.remove(0);
        }
    }

    fn holders(&self, key: usize, number: u64) -> usize {
        let held = self.held.get(&key).into_iter().flatten();
        held.filter(|held| **held == number).count()
    }

    /// Returns the number of existing instances, cached or held.
    fn alive(&self) -> usize {
        let held = self
            .held
            .iter()
            .flat_map(|(key, held)| held.iter().map(|number| (*key, *number)));
        let cached = self.cached.iter().map(|cached| (cached.key, cached.number));
        held.chain(cached)
            .collect::<std::collections::BTreeSet<_>>()
            .len()
    }
}

fn name(key: usize) -> String {
    format!("k{key}")
}

fn locator(capacity: usize, alive: &Arc<AtomicU64>) -> ServiceLocator {
    let made = Arc::new(AtomicU64::new(0));
    let register = |key: usize| {
        let (alive, made) = (Arc::clone(alive), Arc::clone(&made));
        (name(key), move || {
            alive.fetch_add(1, Ordering::SeqCst);
            let number = made.fetch_add(1, Ordering::SeqCst);
            let alive = Arc::clone(&alive);
            Arc::new(Counted { number, alive })
        })
    };
    let (first, make) = register(0);
    let builder = ServiceLocator::builder().capacity(capacity);
    let builder = builder.register::<Counted>(move |_| Ok(make())).named(&first);
    let all = (1..KEYS).fold(builder, |builder, key| {
        let (name, make) = register(key);
        builder.register::<Counted>(move |_| Ok(make())).named(&name)
    });
    all.build()
}

/// Compares all data that the cache reports.
fn compare(locator: &ServiceLocator, model: &Model, alive: &AtomicU64) -> Result<(), TestCaseError> {
    let views = views(Some(locator));
    prop_assert_eq!(views.len(), 1);
    let view = &views[0];
    prop_assert_eq!(
        (view.hits, view.misses, view.builds, view.evictions, view.capacity),
        (
            model.hits,
            model.misses,
            model.builds,
            model.evictions,
            Some(model.capacity)
        ),
        "hits, misses, builds, evictions, capacity"
    );
    let about = |entry: &EntryView| (entry.service.clone(), entry.holders, entry.hits, entry.misses);
    let of = |state: InstanceState| view.entries.iter().filter(move |entry| entry.state == state);
    let mut cached: Vec<_> = of(InstanceState::Cached).map(about).collect();
    cached.sort();
    let mut expected: Vec<_> = model
        .cached
        .iter()
        .map(|cached| {
            let service = format!("Counted {:?}", name(cached.key));
            (service, model.holders(cached.key, cached.number), cached.hits, 1)
        })
        .collect();
    expected.sort();
    prop_assert_eq!(cached, expected, "cached: service, holders, hits, misses");
    prop_assert_eq!(
        of(InstanceState::Cached).count() + of(InstanceState::Retired).count(),
        model.alive()
    );
    prop_assert_eq!(alive.load(Ordering::SeqCst), model.alive() as u64, "alive");
    Ok(())
}

fn check(capacity: usize, calls: &[Call]) -> Result<(), TestCaseError> {
    let alive = Arc::new(AtomicU64::new(0));
    let locator = locator(capacity, &alive);
    let mut model = Model {
        capacity,
        ..Model::default()
    };
    let mut held: BTreeMap<usize, Vec<ServiceHandle<Counted>>> = BTreeMap::new();
    let (ask, asked) = mpsc::channel::<usize>();
    let (answer, answers) = mpsc::channel();
    let elsewhere = Worker::current().spawn({
        let locator = locator.clone();
        move || {
            for key in asked {
                let number = locator.get_named::<Counted>(&name(key)).number;
                let _ = answer.send(number);
            }
        }
    });
    // The cache is created by the first call.
    model.get(0);
    locator.get_named::<Counted>(&name(0));
    for call in calls {
        match *call {
            Call::Get(key) => {
                let found = locator.get_named::<Counted>(&name(key)).number;
                prop_assert_eq!(found, model.get(key), "{:?}", call);
            }
            Call::GetElsewhere(key) => {
                ask.send(key).unwrap();
                prop_assert_eq!(answers.recv().unwrap(), model.get(key), "{:?}", call);
            }
            Call::Hold(key) => {
                let found = locator.get_named::<Counted>(&name(key));
                let expected = model.get(key);
                prop_assert_eq!(found.number, expected, "{:?}", call);
                held.entry(key).or_default().push(found);
                model.held.entry(key).or_default().push(expected);
            }
            Call::Release(key) => {
                if let Some(held) = held.get_mut(&key).filter(|held| !held.is_empty()) {
                    held.remove(0);
                }
                model.release(key);
            }
            Call::Clear => {
                locator.clear_worker();
                model.cached.clear();
            }
            Call::Override(key) => {
                alive.fetch_add(1, Ordering::SeqCst);
                let fake = Counted {
                    number: u64::MAX,
                    alive: Arc::clone(&alive),
                };
                drop(locator.override_named(&name(key), Arc::new(fake)));
            }
        }
        compare(&locator, &model, &alive)?;
    }
    drop(ask);
    elsewhere.join().unwrap();
    held.clear();
    drop(locator);
    prop_assert_eq!(alive.load(Ordering::SeqCst), 0, "the locator drops all instances");
    Ok(())
}

/// One example of the property: capacity, order of use, held instances that stay, and none handed out after a clear.
const EXAMPLE: [Call; 14] = [
    Call::Get(1),
    Call::Hold(2),
    Call::Get(0),
    Call::Get(3),
    Call::GetElsewhere(0),
    Call::Get(4),
    Call::Release(2),
    Call::Get(5),
    Call::Get(2),
    Call::Override(0),
    Call::Hold(0),
    Call::Clear,
    Call::Get(0),
    Call::Get(0),
];

/// A single case of the property takes minutes under Miri.
#[cfg(miri)]
#[test]
fn the_cache_agrees_with_the_model_on_one_example() {
    check(2, &EXAMPLE).unwrap();
}

/// In a process of its own: it evicts and clears on purpose, which must not be recorded.
#[cfg(all(unix, not(miri)))]
mod in_a_process {
    use super::*;
    use crate::sys::role::{play, plays, role};

    const PATH: &str = "locator::lru_model::in_a_process::role_model";

    #[test]
    fn the_cache_agrees_with_the_model() {
        let base = tempfile::tempdir().unwrap();
        play(role(PATH, "lru").env("COFFERDAM_DIR", base.path()))
            .end()
            .passed();
    }

    #[test]
    #[ignore = "a role"]
    fn role_model() {
        if !plays(PATH) {
            return;
        }
        check(2, &EXAMPLE).unwrap();
        let config = ProptestConfig {
            cases: 400,
            failure_persistence: None,
            ..ProptestConfig::default()
        };
        proptest!(config, |(capacity in 1..5_usize, calls in prop::collection::vec(call(), 0..60))| {
            check(capacity, &calls)?;
        });
    }
}

/// The fast path counts without a lock, on several threads at once, and loses nothing.
#[test]
fn uses_on_all_threads_are_counted() {
    const THREADS: u64 = 3;
    const USES: u64 = if cfg!(miri) { 20 } else { 2000 };
    let alive = Arc::default();
    let locator = locator(2, &alive);
    let worker = Worker::current();
    let uses = |key: usize| {
        for _ in 0..USES {
            locator.get_named::<Counted>(&name(key));
            locator.get_named::<Counted>(&name(0));
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(worker.wrap(|| uses(1)));
        }
    });
    uses(1);
    let view = &views(Some(&locator))[0];
    assert_eq!(view.hits + view.misses, (THREADS + 1) * USES * 2);
    assert_eq!(view.builds, 2);
    let counted: u64 = view.entries.iter().map(|entry| entry.hits).sum();
    assert_eq!(counted, view.hits);
}
