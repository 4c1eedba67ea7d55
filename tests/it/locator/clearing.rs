//! Clearing: what is dropped, in which order, and which references stay valid.

#[cfg(all(unix, not(miri)))]
use super::alone;
use super::{Log, Noted, is_same};
use cofferdam::locator::LocatorBuilder;
use cofferdam::{ServiceLocator, Worker, WorkerLocal};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

fn with(log: &Log, name: &'static str, builder: LocatorBuilder<impl ?Sized>) -> LocatorBuilder<Noted> {
    let log = log.clone();
    builder
        .register::<Noted>(move |_| Ok(Noted::new(name, &log)))
        .named(name)
}

fn with_shared(log: &Log, name: &'static str, builder: LocatorBuilder<impl ?Sized>) -> LocatorBuilder<Noted> {
    let log = log.clone();
    builder
        .register_shared::<Noted>(move |_| Ok(Noted::new(name, &log)))
        .named(name)
}

fn three(log: &Log) -> ServiceLocator {
    let builder = with(log, "a", ServiceLocator::builder());
    with(log, "c", with_shared(log, "b", builder)).build()
}

fn use_all(locator: &ServiceLocator) {
    for name in ["c", "b", "a"] {
        locator.get_named::<Noted>(name);
    }
}

#[test]
fn clearing_a_worker_drops_its_own_newest_first_and_keeps_what_is_shared() {
    let log = Log::default();
    let locator = three(&log);
    use_all(&locator);
    let shared = locator.get_named::<Noted>("b");
    locator.clear_worker();
    assert_eq!(log.take(), ["a dropped", "c dropped"]);
    assert!(is_same(&locator.get_named::<Noted>("b"), &shared));
    use_all(&locator);
    assert!(log.take().is_empty());
}

#[test]
fn an_overridden_instance_is_dropped_in_order_too() {
    struct Base;
    let log = Log::default();
    let noted = log.clone();
    let builder = ServiceLocator::builder()
        .register::<Base>(|_| Ok(Arc::new(Base)))
        .register::<Noted>(move |cx| {
            cx.get::<Base>()?;
            Ok(Noted::new("aside", &noted))
        });
    let locator = with(&log, "new", with(&log, "old", builder)).build();
    locator.get_named::<Noted>("old");
    locator.get::<Noted>();
    locator.get_named::<Noted>("new");
    let _fake = locator.override_with(Arc::new(Base));
    locator.clear_worker();
    assert_eq!(log.take(), ["new dropped", "aside dropped", "old dropped"]);
}

#[test]
fn clearing_all_drops_what_is_shared_too_newest_first() {
    let log = Log::default();
    let locator = three(&log);
    for _ in 0..2 {
        use_all(&locator);
        locator.clear_all();
        assert_eq!(log.take(), ["a dropped", "b dropped", "c dropped"]);
    }
}

#[test]
fn dropping_a_locator_drops_its_overrides_and_overridden_instances() {
    let log = Log::default();
    let locator = three(&log);
    use_all(&locator);
    let fake = locator.override_named("c", Noted::new("fake", &log));
    drop(locator);
    assert_eq!(
        log.take(),
        ["fake dropped", "a dropped", "b dropped", "c dropped"]
    );
    drop(fake);
    assert!(log.take().is_empty());
}

#[test]
fn dropping_a_worker_local_drops_its_value() {
    static LOG: Mutex<Option<Log>> = Mutex::new(None);
    let log = LOG.lock().unwrap().insert(Log::default()).clone();
    let local = WorkerLocal::new(|_| {
        let log = LOG.lock().unwrap().clone().unwrap();
        Ok(Noted {
            name: "local".into(),
            log,
        })
    });
    assert!(is_same(&local.get(), &local.get()));
    let moved = Box::new(local);
    assert_eq!(moved.get().name, "local");
    assert!(log.take().is_empty());
    drop(moved);
    assert_eq!(log.take(), ["local dropped"]);
    drop(WorkerLocal::new(|_| Ok(7_u8)));
}

/// A locator for a single test is common, and its end must not affect other locators.
#[test]
fn dropping_a_locator_does_not_affect_a_build_of_another_one() {
    let log = Log::default();
    let builds = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&builds);
    let passing = Mutex::new(Some({
        let passing = three(&log);
        use_all(&passing);
        passing
    }));
    let locator = ServiceLocator::builder()
        .register::<u32>(move |_| {
            drop(passing.lock().unwrap().take());
            Ok(Arc::new(counted.fetch_add(1, Ordering::SeqCst)))
        })
        .build();
    let first = locator.get::<u32>();
    assert_eq!(log.take().len(), 3);
    assert!(is_same(&first, &locator.get::<u32>()));
    assert_eq!(builds.load(Ordering::SeqCst), 1);
}

// In separate runs, because these tests provoke conflicts that the suite's own recording must not contain.
#[cfg(all(unix, not(miri)))]
alone! {
    fn an_instance_that_is_held_during_a_clear_stays_valid_and_is_not_returned_again() {
        let log = Log::default();
        let locator = three(&log);
        let held = locator.get_named::<Noted>("a");
        locator.clear_worker();
        assert!(log.take().is_empty());
        let next = locator.get_named::<Noted>("a");
        assert!(!is_same(&held, &next));
        drop(held);
        assert_eq!(log.take(), ["a dropped"]);
        assert!(is_same(&locator.get_named::<Noted>("a"), &next));
    }

    fn all_threads_of_a_worker_notice_a_clear() {
        let log = Log::default();
        let locator = three(&log);
        let before = locator.get_named::<Noted>("a");
        let (there, worker) = (locator.clone(), Worker::current());
        let child = worker.spawn(move || {
            there.get_named::<Noted>("a");
            there.clear_worker();
            there.get_named::<Noted>("a")
        });
        let after = child.join().unwrap();
        assert!(!is_same(&before, &after));
        assert!(is_same(&locator.get_named::<Noted>("a"), &after));
    }

    fn dropping_the_last_clone_of_a_locator_drops_its_services_newest_first() {
        let log = Log::default();
        let locator = three(&log);
        use_all(&locator);
        let _other = three(&log).get_named::<Noted>("a");
        drop(locator.clone());
        assert!(log.take().is_empty());
        drop(locator);
        assert_eq!(log.take(), ["a dropped", "b dropped", "c dropped"]);
    }

    fn a_build_that_a_clear_overtakes_is_returned_only_to_its_current_waiters() {
        struct Clears(u32);
        let slot: Arc<Mutex<Option<ServiceLocator>>> = Arc::default();
        let (within, builds) = (Arc::clone(&slot), AtomicU32::new(0));
        let locator = ServiceLocator::builder()
            .register::<Clears>(move |_| {
                let build = builds.fetch_add(1, Ordering::SeqCst);
                if let Some(locator) = within.lock().unwrap().take() {
                    locator.clear_worker();
                }
                Ok(Arc::new(Clears(build)))
            })
            .build();
        *slot.lock().unwrap() = Some(locator.clone());
        let overtaken = locator.get::<Clears>();
        assert_eq!(overtaken.0, 0);
        assert_eq!((locator.get::<Clears>().0, locator.get::<Clears>().0), (1, 1));
    }
}
