//! Random schedules of several workers: none ever gets the instance of another, and each has one at a time.
//!
//! The workers are threads with names as libtest gives them to tests, in a separate process, so that each leases a
//! lane under every runner. A lane passes from test to test, as in a real run.

mod test;
mod world;

use super::{alone, as_test, own_worker};
use proptest::prelude::*;
use std::sync::mpsc;
use world::{BUILT, KEYS, Key, SEEN, Work, World, lock};

#[derive(Clone, Debug)]
enum Call {
    Get(Key),
    Proxy(Key),
    Spawned(Key),
    Entered(Key),
    /// On the test's own thread, as another running worker.
    Visited(Key),
    /// On a thread that serves all workers in turn.
    Pooled(Key),
    /// On three threads of the worker at once.
    Race(Key),
    Hold(Key),
    Release,
    /// Uses more services than the capacity.
    Fill,
    ClearWorker,
    ClearAll,
    Override(Key),
    /// While another thread of the worker requests the first service, which may be built from this one.
    OverrideAmid(Key, Key),
    /// Drops one of the guards.
    EndOverride(usize),
    ForgetOverride(Key),
    /// Passes everything that was returned here to another worker, proxies included.
    Lend(Key),
    Borrow,
}

fn call() -> impl Strategy<Value = Call> {
    let key = prop::sample::select(&KEYS[..]);
    let replaced = prop::sample::select(
        &[
            Key::Base,
            Key::Base,
            Key::Direct,
            Key::Later,
            Key::Shared,
            Key::Static,
        ][..],
    );
    prop_oneof![
        8 => key.clone().prop_map(Call::Get),
        2 => key.clone().prop_map(Call::Proxy),
        2 => key.clone().prop_map(Call::Spawned),
        2 => key.clone().prop_map(Call::Entered),
        2 => prop::sample::select(&[Key::Base, Key::Direct, Key::Static][..]).prop_map(Call::Visited),
        3 => key.clone().prop_map(Call::Pooled),
        1 => key.clone().prop_map(Call::Race),
        2 => key.clone().prop_map(Call::Hold),
        2 => Just(Call::Release),
        3 => Just(Call::Fill),
        1 => Just(Call::ClearWorker),
        1 => Just(Call::ClearAll),
        3 => replaced.clone().prop_map(Call::Override),
        2 => (key.clone(), replaced.clone()).prop_map(|(key, replaced)| Call::OverrideAmid(key, replaced)),
        2 => any::<usize>().prop_map(Call::EndOverride),
        1 => replaced.prop_map(Call::ForgetOverride),
        2 => key.prop_map(Call::Lend),
        2 => Just(Call::Borrow),
    ]
}

/// The tests of one thread, in order, each with its calls.
fn tests() -> impl Strategy<Value = Vec<Vec<Call>>> {
    prop::collection::vec(prop::collection::vec(call(), 0..20), 1..4)
}

fn run(schedules: &[Vec<Vec<Call>>]) {
    lock(&BUILT).clear();
    lock(&SEEN).clear();
    let (pool, work) = mpsc::channel::<Work>();
    let world = World::new(pool);
    std::thread::scope(|scope| {
        scope.spawn(|| work.into_iter().for_each(|work| work()));
        let world = &world;
        let workers: Vec<_> = schedules
            .iter()
            .enumerate()
            .map(|(number, tests)| {
                scope.spawn(move || {
                    for (round, calls) in tests.iter().enumerate() {
                        let over = as_test(&format!("lane::test_{number}_{round}"), || {
                            test::run(world, calls)
                        });
                        // A thread that is clearing all lanes may still be about to drop it.
                        let before = world.clears();
                        let is_over = over.iter().all(|found| found.strong_count() == 0);
                        if before.is_some() && world.clears() == before {
                            assert!(is_over, "a service of one test outlives it");
                        }
                    }
                })
            })
            .collect();
        let ended: Vec<_> = workers.into_iter().map(|worker| worker.join()).collect();
        world.close();
        ended.into_iter().for_each(|ended| ended.unwrap());
    });
    // Two simultaneous first uses of a proxy may each build it, if all lanes are cleared in between.
    let had_races = !lock(&world.untouched).is_empty();
    drop(world);
    let (built, seen) = (lock(&BUILT), lock(&SEEN));
    for (of, builds) in built.iter().filter(|((_, key), _)| !key.is_static()) {
        let seen = seen.get(of).map_or(0, |seen| seen.len() as u64);
        assert!(
            seen == *builds || (matches!(of.1, Key::Base | Key::Later) && had_races && seen < *builds),
            "{of:?}: {seen} seen, {builds} built"
        );
    }
}

alone! {
    fn no_worker_gets_the_instance_of_another_and_each_has_one_at_a_time() {
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
