//! Proxies: built at their first use, and errors until then.

#[cfg(all(unix, not(miri)))]
use super::alone;
use super::{in_time, is_same, panic_of};
use cofferdam::locator::LazyProxy;
use cofferdam::{ServiceLocator, Worker};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Barrier, OnceLock, Weak};
use std::time::Duration;

struct Counted(u32);

fn counting() -> (ServiceLocator, Arc<AtomicU32>) {
    let builds = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&builds);
    let locator = ServiceLocator::builder()
        .register::<Counted>(move |_| Ok(Arc::new(Counted(counted.fetch_add(1, Ordering::SeqCst)))))
        .build();
    (locator, builds)
}

#[test]
fn nothing_is_built_before_the_first_use() {
    let (locator, builds) = counting();
    let proxy = locator.lazy::<Counted>();
    assert_eq!(builds.load(Ordering::SeqCst), 0);
    assert!(format!("{proxy:?}").contains("is_built: false"), "{proxy:?}");
    assert_eq!(proxy.0, 0);
    assert!(format!("{proxy:?}").contains("is_built: true"), "{proxy:?}");
    assert!(is_same(proxy.try_get().unwrap(), &locator.get()));
    assert_eq!(builds.load(Ordering::SeqCst), 1);
}

#[test]
fn on_a_thread_that_is_nobodys_its_factory_may_ask_for_other_services() {
    struct Asking(u32);
    struct Holder(LazyProxy<Asking>);
    let (builds, locator) = (Arc::new(AtomicU32::new(3)), ServiceLocator::builder());
    let locator = locator
        .register::<Counted>(move |_| Ok(Arc::new(Counted(builds.fetch_add(1, Ordering::SeqCst)))))
        .register::<Asking>(|cx| Ok(Arc::new(Asking(cx.get::<Counted>()?.0))))
        .register::<Holder>(|cx| Ok(Arc::new(Holder(cx.lazy()?))))
        .build();
    let holder = locator.get::<Holder>();
    assert_eq!(std::thread::spawn(move || holder.0.0).join().unwrap(), 3);
    assert_eq!((locator.get::<Asking>().0, locator.get::<Counted>().0), (3, 3));
}

#[test]
fn a_proxy_that_is_never_used_builds_nothing() {
    let (locator, builds) = counting();
    drop(locator.lazy::<Counted>());
    assert_eq!(builds.load(Ordering::SeqCst), 0);
}

#[test]
fn a_proxy_whose_build_failed_tries_again() {
    let tries = AtomicU32::new(0);
    let locator = ServiceLocator::builder()
        .register::<Counted>(move |_| match tries.fetch_add(1, Ordering::SeqCst) {
            0 => Err("not yet".into()),
            1 => panic!("nor now"),
            tried => Ok(Arc::new(Counted(tried))),
        })
        .build();
    let dropped_half_built = locator.lazy::<Counted>();
    assert!(
        dropped_half_built
            .try_get()
            .map(drop)
            .unwrap_err()
            .to_string()
            .contains("not yet")
    );
    drop(dropped_half_built);
    let proxy = locator.lazy::<Counted>();
    assert!(panic_of(|| proxy.0).contains("nor now"));
    assert_eq!(proxy.0, 2);
}

#[test]
fn a_proxy_of_what_is_not_registered_is_refused_at_once() {
    assert!(panic_of(|| counting().0.lazy::<u8>()).contains("u8 is not registered"));
}

struct Left(LazyProxy<Right>);
/// Two services that hold each other would never be dropped.
struct Right(Weak<Left>);

#[test]
fn a_proxy_breaks_a_cycle() {
    let locator = ServiceLocator::builder()
        .register::<Left>(|cx| Ok(Arc::new(Left(cx.lazy()?))))
        .register::<Right>(|cx| Ok(Arc::new(Right(Arc::downgrade(&cx.get()?)))))
        .build();
    let left = locator.get::<Left>();
    assert!(left.0.0.upgrade().is_some_and(|again| is_same(&again, &left)));
}

#[test]
fn a_proxy_used_while_its_own_service_is_built_is_a_cycle_and_no_deadlock() {
    let locator = ServiceLocator::builder()
        .register::<Left>(|cx| Ok(Arc::new(Left(cx.lazy()?))))
        .register::<Right>(|cx| {
            let left = cx.get::<Left>()?;
            left.0.try_get()?;
            Ok(Arc::new(Right(Arc::downgrade(&left))))
        })
        .build();
    let error = in_time(move || {
        locator
            .get::<Left>()
            .0
            .try_get()
            .map(drop)
            .unwrap_err()
            .to_string()
    });
    assert!(
        error.contains("a cycle of factories") && error.contains("Right"),
        "{error}"
    );
}

#[test]
fn a_proxy_that_all_use_and_two_threads_build_in_opposite_order_is_a_cycle_and_no_deadlock() {
    struct One;
    struct Two;
    let proxy: Arc<OnceLock<LazyProxy<One>>> = Arc::default();
    let meet = Arc::new(Barrier::new(2));
    let (held, met) = (Arc::clone(&proxy), Arc::clone(&meet));
    let locator = ServiceLocator::builder()
        .build_timeout(Duration::from_secs(600))
        .register::<One>(move |cx| {
            meet.wait();
            cx.get::<Two>()?;
            Ok(Arc::new(One))
        })
        .register::<Two>(move |_| {
            met.wait();
            held.get().unwrap().try_get()?;
            Ok(Arc::new(Two))
        })
        .build();
    assert!(proxy.set(locator.lazy()).is_ok());
    let results = in_time(move || {
        let worker = Worker::current();
        let one = worker.spawn(move || proxy.get().unwrap().try_get().map(drop));
        let two = worker.spawn(move || locator.try_get::<Two>().map(drop));
        [one.join().unwrap(), two.join().unwrap()]
    });
    for result in results {
        let error = result.unwrap_err().to_string();
        assert!(error.contains("a cycle of factories"), "{error}");
    }
}

// In separate runs, because these tests provoke conflicts that the suite's own recording must not contain.
#[cfg(all(unix, not(miri)))]
alone! {
    fn a_proxy_stays_what_it_was_at_its_first_use() {
        let (locator, _) = counting();
        let proxy = locator.lazy::<Counted>();
        let first = proxy.0;
        locator.clear_worker();
        assert_ne!(locator.get::<Counted>().0, first);
        assert_eq!(proxy.0, first);
    }
}

#[cfg(all(unix, not(miri)))]
mod recorded {
    use super::super::as_test;
    use super::*;
    use crate::role::{play, plays, role};

    const PATH: &str = "locator::lazy::recorded::role_recorded";

    /// Recording takes another path through every use, with the same result.
    #[test]
    fn a_use_by_another_worker_is_recorded_once_and_the_proxy_keeps_its_service() {
        let base = tempfile::tempdir().unwrap();
        let mut role = role(PATH, "recorded");
        let role = role
            .env("COFFERDAM_DIR", base.path())
            .env("COFFERDAM_RECORD", "s");
        play(role).end().passed();
        let journal = base.path().join("runs/recorded/workers/w1/journal.ndjson");
        let journal = std::fs::read_to_string(journal).unwrap();
        let uses: Vec<_> = journal
            .lines()
            .filter(|line| line.contains(r#""event":"foreign""#))
            .collect();
        assert_eq!(uses.len(), 1, "{journal}");
        assert!(
            uses[0].contains(r#""owner":"w0""#) && uses[0].contains("lazy.rs:"),
            "{}",
            uses[0]
        );
    }

    #[test]
    #[ignore = "a role"]
    fn role_recorded() {
        if !plays(PATH) {
            return;
        }
        let (locator, builds) = counting();
        let proxy = locator.lazy::<Counted>();
        assert_eq!(builds.load(Ordering::SeqCst), 0);
        let first = proxy.0;
        locator.clear_worker();
        assert_eq!(proxy.0, first);
        as_test("a::other", || {
            assert_eq!((proxy.0, proxy.0), (first, first));
            assert_ne!(locator.get::<Counted>().0, first);
        });
    }
}
