//! Factories that fail, recurse or block.

#[cfg(all(unix, not(miri)))]
use super::alone;
use super::{in_time, is_same};
use cofferdam::locator::LazyProxy;
use cofferdam::{BoxError, Error, ServiceLocator, Worker, WorkerLocal};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Barrier, Mutex, OnceLock, mpsc};
use std::time::Duration;

struct One;
struct Two;
struct Three;

#[test]
fn a_factory_that_fails_is_tried_again() {
    let tries = AtomicU32::new(0);
    let locator = ServiceLocator::builder()
        .register::<One>(move |_| match tries.fetch_add(1, Ordering::SeqCst) {
            0 => Err("the port is taken".into()),
            1 => panic!("the port is still taken"),
            _ => Ok(Arc::new(One)),
        })
        .build();
    let error = |locator: &ServiceLocator| locator.try_get::<One>().map(drop).unwrap_err().to_string();
    let failed = error(&locator);
    assert!(
        failed.contains("could not be built") && failed.contains("building.rs"),
        "{failed}"
    );
    assert!(failed.contains("the port is taken"), "{failed}");
    let panicked = error(&locator);
    assert!(
        panicked.contains("panicked") && panicked.contains("the port is still taken"),
        "{panicked}"
    );
    assert!(is_same(&locator.get::<One>(), &locator.get::<One>()));
}

#[test]
fn a_failure_names_every_factory_on_its_way() {
    let locator = ServiceLocator::builder()
        .register::<One>(|_| Err(std::io::Error::other("no disk").into()))
        .register::<Two>(|cx| cx.get::<One>().map(|_| Arc::new(Two)).map_err(Into::into))
        .build();
    let error = locator.try_get::<Two>().map(drop).unwrap_err();
    let text = error.to_string();
    assert!(
        text.starts_with("Two could not be built") && text.contains(": One could not be built"),
        "{text}"
    );
    assert!(text.contains("no disk"), "{text}");
    assert!(std::error::Error::source(&error).is_some());
}

fn cycle(error: Result<(), Error>) -> String {
    let text = error.unwrap_err().to_string();
    assert!(text.starts_with("a cycle of factories"), "{text}");
    text.split(": ")
        .nth(1)
        .unwrap()
        .split(". Break")
        .next()
        .unwrap()
        .to_owned()
}

#[test]
fn a_factory_that_asks_for_itself_is_a_cycle() {
    let locator = ServiceLocator::builder()
        .register::<One>(|cx| Ok(cx.get::<One>()?))
        .build();
    let worker = Worker::current();
    assert_eq!(
        cycle(locator.try_get::<One>().map(drop)),
        format!("One ({worker}) -> One ({worker})")
    );
    // The second call gets the same error.
    cycle(locator.try_get::<One>().map(drop));
}

#[test]
fn a_cycle_of_three_is_named_in_their_order() {
    let locator = ServiceLocator::builder()
        .register::<One>(|cx| cx.get::<Two>().map(|_| Arc::new(One)).map_err(Into::into))
        .register::<Two>(|cx| cx.get::<Three>().map(|_| Arc::new(Two)).map_err(Into::into))
        .register_shared::<u8>(|_| Ok(Arc::new(7)))
        .register::<Three>(|cx| {
            cx.get::<u8>()?;
            cx.get::<One>().map(|_| Arc::new(Three)).map_err(Into::into)
        })
        .build();
    let worker = Worker::current();
    for (error, names) in [
        (locator.try_get::<One>().map(drop), ["One", "Two", "Three", "One"]),
        (
            locator.try_get::<Three>().map(drop),
            ["Three", "One", "Two", "Three"],
        ),
    ] {
        assert_eq!(
            cycle(error),
            names.map(|name| format!("{name} ({worker})")).join(" -> ")
        );
    }
}

#[test]
fn a_cycle_may_go_through_statics_and_locators() {
    static LOCATOR: OnceLock<ServiceLocator> = OnceLock::new();
    static LOCAL: WorkerLocal<Two> = WorkerLocal::new(|_| {
        LOCATOR.get().unwrap().try_get::<Three>()?;
        Ok(Two)
    });
    fn from_local() -> Result<Arc<One>, BoxError> {
        LOCAL.try_get()?;
        Ok(Arc::new(One))
    }
    let inner = ServiceLocator::builder()
        .register::<One>(|_| from_local())
        .build();
    let there = inner.clone();
    let outer = ServiceLocator::builder()
        .register::<Three>(move |_| {
            there
                .try_get::<One>()
                .map(|_| Arc::new(Three))
                .map_err(Into::into)
        })
        .build();
    LOCATOR.set(outer.clone()).unwrap_or_else(|_| unreachable!());
    for error in [
        outer.try_get::<Three>().map(drop),
        inner.try_get::<One>().map(drop),
        LOCAL.try_get().map(drop),
    ] {
        assert_eq!(cycle(error).split(" -> ").count(), 4);
    }
}

/// Requests of a thread that a factory started count as the factory's.
#[test]
fn a_cycle_may_go_through_threads_that_factories_start() {
    let slot: Arc<OnceLock<ServiceLocator>> = Arc::default();
    let (spawned, wrapped) = (Arc::clone(&slot), Arc::clone(&slot));
    let locator = ServiceLocator::builder()
        .build_timeout(Duration::from_secs(600))
        .register::<One>(move |cx| {
            let locator = spawned.get().unwrap().clone();
            let child = cx.worker().spawn(move || locator.try_get::<Two>().map(drop));
            Ok(child.join().unwrap().map(|()| Arc::new(One))?)
        })
        .register::<Two>(move |cx| {
            let ask = cx
                .worker()
                .wrap(|| wrapped.get().unwrap().try_get::<One>().map(drop));
            let asked = std::thread::scope(|scope| scope.spawn(ask).join().unwrap());
            Ok(asked.map(|()| Arc::new(Two))?)
        })
        .build();
    assert!(slot.set(locator.clone()).is_ok());
    let text = in_time(move || cycle(locator.try_get::<Two>().map(drop)));
    assert_eq!(text.split(" -> ").count(), 3, "{text}");
}

/// Two services that request each other, each built first by a different thread.
fn opposite_order(one_tries_again: bool) -> [Result<(), Error>; 2] {
    let meet = Arc::new(Barrier::new(2));
    let met = Arc::clone(&meet);
    let first = std::sync::atomic::AtomicBool::new(true);
    let locator = ServiceLocator::builder()
        .build_timeout(Duration::from_secs(600))
        .register::<One>(move |cx| {
            if first.swap(false, Ordering::SeqCst) {
                meet.wait();
            }
            let two = cx.get::<Two>();
            if !one_tries_again {
                two?;
            }
            Ok(Arc::new(One))
        })
        .register::<Two>(move |cx| {
            met.wait();
            cx.get::<One>()?;
            Ok(Arc::new(Two))
        })
        .build();
    in_time(move || {
        let (worker, there) = (Worker::current(), locator.clone());
        let one = worker.spawn(move || locator.try_get::<One>().map(drop));
        let two = worker.spawn(move || there.try_get::<Two>().map(drop));
        [one.join().unwrap(), two.join().unwrap()]
    })
}

#[test]
fn two_threads_that_build_in_opposite_order_get_an_error_about_the_cycle() {
    for _ in 0..100 {
        for result in opposite_order(false) {
            assert_eq!(cycle(result).split(" -> ").count(), 3);
        }
    }
}

#[test]
fn a_factory_may_do_without_what_would_close_a_cycle() {
    for _ in 0..100 {
        let [one, two] = opposite_order(true);
        // The thread that closed the cycle got the error. If that was `Two`, it failed, and `One` continued without
        // it.
        assert!(one.is_ok());
        if let Err(error) = two {
            cycle(Err(error));
        }
    }
}

#[test]
fn a_wait_that_times_out_names_the_thread_that_builds() {
    let (is_building, building) = mpsc::channel();
    let (go, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let locator = ServiceLocator::builder()
        .build_timeout(Duration::from_millis(30))
        .register::<One>(move |_| {
            is_building.send(()).unwrap();
            let _ = wait.lock().unwrap().recv();
            Ok(Arc::new(One))
        })
        .build();
    let there = locator.clone();
    let builder = std::thread::Builder::new().name("the one that builds".to_owned());
    let builder = builder
        .spawn(Worker::current().wrap(move || there.get::<One>()))
        .unwrap();
    building.recv().unwrap();
    let error = locator.try_get::<One>().map(drop).unwrap_err().to_string();
    assert!(error.contains("is still busy after 0.03 s"), "{error}");
    assert!(
        error.contains(r#"thread "the one that builds" is still building it"#),
        "{error}"
    );
    go.send(()).unwrap();
    let built = builder.join().unwrap();
    assert!(is_same(&built, &locator.get::<One>()));
}

#[test]
fn many_threads_that_want_one_service_have_it_built_once() {
    for _ in 0..100 {
        let builds = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&builds);
        let locator = ServiceLocator::builder()
            .register::<u32>(move |_| Ok(Arc::new(counted.fetch_add(1, Ordering::SeqCst))))
            .build();
        let worker = Worker::current();
        let start = Barrier::new(8);
        let all: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| {
                    let (start, locator) = (&start, &locator);
                    scope.spawn(worker.wrap(move || {
                        start.wait();
                        locator.get::<u32>()
                    }))
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(all.iter().all(|one| is_same(one, &all[0])));
        assert_eq!(builds.load(Ordering::SeqCst), 1);
    }
}

#[test]
fn a_proxy_inside_a_shared_service_is_no_way_for_a_fake_to_reach_all() {
    struct Late(LazyProxy<u32>);
    let locator = ServiceLocator::builder()
        .register_shared::<u32>(|_| Ok(Arc::new(0)))
        .register_shared::<Late>(|cx| Ok(Arc::new(Late(cx.lazy()?))))
        .build();
    let late = locator.get::<Late>();
    let _fake = locator.override_with(Arc::new(7_u32));
    assert_eq!((*locator.get::<u32>(), *late.0), (7, 0));
}

// In separate runs, because these tests provoke conflicts that the suite's own recording must not contain.
#[cfg(all(unix, not(miri)))]
alone! {
    /// The graph of requests includes those that a factory makes later.
    fn a_proxy_inside_a_service_carries_no_fake_beyond_its_override() {
        struct Late(LazyProxy<u32>);
        struct Later(Arc<Late>);
        let locator = ServiceLocator::builder()
            .register::<u32>(|_| Ok(Arc::new(0)))
            .register::<Late>(|cx| Ok(Arc::new(Late(cx.lazy()?))))
            .register::<Later>(|cx| Ok(Arc::new(Later(cx.get()?))))
            .build();
        let value = || *locator.get::<Later>().0.0;
        let fake = locator.override_with(Arc::new(7_u32));
        assert_eq!(value(), 7);
        drop(fake);
        assert_eq!(value(), 0, "used first under the override");
        let real = locator.get::<Later>();
        let fake = locator.override_with(Arc::new(8_u32));
        assert_eq!(value(), 8, "used first before the override");
        drop(fake);
        assert!(is_same(&locator.get::<Later>(), &real));
        assert_eq!(value(), 0);
    }

    /// The first use of the proxy happens while another service is built from the proxy's holder.
    fn a_fake_that_comes_by_a_proxy_reaches_what_is_just_being_built_and_goes_with_it() {
        struct Late(LazyProxy<u32>);
        struct Slow(Arc<Late>);
        let (is_building, building) = mpsc::channel();
        let (go, wait) = mpsc::channel::<()>();
        let wait = Mutex::new(wait);
        let locator = ServiceLocator::builder()
            .register::<u32>(|_| Ok(Arc::new(0)))
            .register::<Late>(|cx| Ok(Arc::new(Late(cx.lazy()?))))
            .register::<Slow>(move |cx| {
                let late = cx.get()?;
                let _ = is_building.send(());
                let _ = wait.lock().unwrap().recv();
                Ok(Arc::new(Slow(late)))
            })
            .build();
        let fake = locator.override_with(Arc::new(7_u32));
        let there = locator.clone();
        let slow = Worker::current().spawn(move || there.get::<Slow>());
        building.recv().unwrap();
        assert_eq!(*locator.get::<Late>().0, 7);
        drop(go);
        let slow = slow.join().unwrap();
        assert_eq!(*slow.0.0, 7);
        assert!(is_same(&slow, &locator.get::<Slow>()), "it is built once");
        drop(fake);
        assert_eq!(*locator.get::<Slow>().0.0, 0);
    }
}
