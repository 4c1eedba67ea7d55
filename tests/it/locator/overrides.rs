//! Overrides: a fake in place of a service, for one worker and one test.

#[cfg(all(unix, not(miri)))]
use super::alone;
use super::{Log, Noted, is_same};
use cofferdam::locator::LazyProxy;
use cofferdam::{ServiceLocator, Worker, WorkerLocal};
use std::sync::{Arc, Mutex, mpsc};

struct Base(u32);
struct Middle(Arc<Base>);
struct Top(Arc<Middle>);
struct Aside;

fn locator() -> ServiceLocator {
    ServiceLocator::builder()
        .register::<Base>(|_| Ok(Arc::new(Base(0))))
        .register::<Middle>(|cx| Ok(Arc::new(Middle(cx.get()?))))
        .register::<Top>(|cx| Ok(Arc::new(Top(cx.get()?))))
        .register::<Aside>(|_| Ok(Arc::new(Aside)))
        .build()
}

fn base_of(locator: &ServiceLocator) -> u32 {
    locator.get::<Top>().0.0.0
}

#[test]
fn services_built_from_an_override_end_with_it() {
    struct Built(#[expect(dead_code, reason = "held for its drop")] Arc<Noted>);
    let log = Log::default();
    let noted = log.clone();
    let locator = ServiceLocator::builder()
        .register::<Base>(|_| Ok(Arc::new(Base(0))))
        .register::<Built>(move |cx| {
            Ok(Arc::new(Built(Noted::new(
                &format!("of {}", cx.get::<Base>()?.0),
                &noted,
            ))))
        })
        .build();
    locator.get::<Built>();
    let fake = locator.override_with(Arc::new(Base(7)));
    locator.get::<Built>();
    assert!(log.take().is_empty());
    drop(fake);
    assert_eq!(log.take(), ["of 7 dropped"]);
    locator.get::<Built>();
    assert!(log.take().is_empty());
}

#[test]
fn a_static_is_overridden_as_a_service_is() {
    static LOCAL: WorkerLocal<u32> = WorkerLocal::new(|_| Ok(0));
    assert_eq!(*LOCAL.get(), 0);
    let fake = LOCAL.override_with(Arc::new(7));
    assert_eq!(*LOCAL.get(), 7);
    drop(fake);
    assert_eq!(*LOCAL.get(), 0);
}

#[test]
fn an_override_of_one_variant_leaves_the_others_alone() {
    let locator = ServiceLocator::builder()
        .register::<Base>(|_| Ok(Arc::new(Base(0))))
        .register::<Base>(|_| Ok(Arc::new(Base(1))))
        .named("one")
        .build();
    let fake = locator.override_named("one", Arc::new(Base(7)));
    assert_eq!(
        (locator.get::<Base>().0, locator.get_named::<Base>("one").0),
        (0, 7)
    );
    drop(fake);
    assert_eq!(locator.get_named::<Base>("one").0, 1);
}

/// An override belongs to the worker, so it may end on any of its threads.
#[test]
fn a_guard_may_be_dropped_on_another_thread() {
    let locator = locator();
    let fake = locator.override_with(Arc::new(Base(7)));
    assert_eq!(base_of(&locator), 7);
    std::thread::spawn(move || drop(fake)).join().unwrap();
    assert_eq!(base_of(&locator), 0);
}

// In separate runs, because these tests provoke conflicts that the suite's own recording must not contain.
#[cfg(all(unix, not(miri)))]
alone! {
    fn an_override_reaches_what_was_built_from_it_and_then_all_is_as_it_was() {
        let locator = locator();
        let (top, middle, base) = (
            locator.get::<Top>(),
            locator.get::<Middle>(),
            locator.get::<Base>(),
        );
        let aside = locator.get::<Aside>();
        let fake = Arc::new(Base(7));
        let guard = locator.override_with(Arc::clone(&fake));
        assert!(is_same(&locator.get::<Base>(), &fake));
        assert_eq!(base_of(&locator), 7);
        assert!(
            is_same(&locator.get::<Aside>(), &aside),
            "it has nothing to do with the fake"
        );
        drop(guard);
        assert!(is_same(&locator.get::<Top>(), &top));
        assert!(is_same(&locator.get::<Middle>(), &middle));
        assert!(is_same(&locator.get::<Base>(), &base));
        assert!(is_same(&locator.get::<Aside>(), &aside));
    }

    fn overrides_nest() {
        let locator = locator();
        let real = locator.get::<Top>();
        let outer = locator.override_with(Arc::new(Base(1)));
        let top_of_outer = locator.get::<Top>();
        assert_eq!(top_of_outer.0.0.0, 1);
        let inner = locator.override_with(Arc::new(Base(2)));
        assert_eq!(base_of(&locator), 2);
        drop(inner);
        assert!(
            is_same(&locator.get::<Top>(), &top_of_outer),
            "the same one as before"
        );
        drop(outer);
        assert!(
            is_same(&locator.get::<Top>(), &real),
            "the same one as before"
        );
    }

    fn guards_may_be_dropped_in_any_order() {
        let locator = locator();
        let real = locator.get::<Top>();
        let first = locator.override_with(Arc::new(Base(1)));
        assert_eq!(base_of(&locator), 1);
        let second = locator.override_with(Arc::new(Base(2)));
        drop(first);
        assert_eq!(base_of(&locator), 2);
        drop(second);
        assert!(is_same(&locator.get::<Top>(), &real));
    }

    fn overrides_of_two_services_are_kept_apart() {
        let locator = locator();
        let real = locator.get::<Top>();
        let base = locator.override_with(Arc::new(Base(1)));
        let of_base = locator.get::<Top>();
        let middle = locator.override_with(Arc::new(Middle(Arc::new(Base(2)))));
        assert_eq!(base_of(&locator), 2);
        drop(base);
        assert_eq!(base_of(&locator), 2);
        let base = locator.override_with(Arc::new(Base(3)));
        drop(middle);
        assert_eq!(base_of(&locator), 3, "not {}, whose fake is gone", of_base.0.0.0);
        drop(base);
        assert!(is_same(&locator.get::<Top>(), &real));
    }

    fn clearing_drops_what_is_set_aside_and_leaves_the_override_in_force() {
        let locator = locator();
        let real = locator.get::<Top>();
        let fake = locator.override_with(Arc::new(Base(7)));
        locator.clear_worker();
        assert_eq!(base_of(&locator), 7);
        drop(fake);
        let now = locator.get::<Top>();
        assert_eq!(now.0.0.0, 0);
        assert!(!is_same(&now, &real));
    }

    /// The services built meanwhile have not used their proxies, so they do not depend on the override and could stay
    /// as well.
    fn an_overridden_service_returns_whatever_was_built_meanwhile() {
        struct Late(LazyProxy<Base>);
        struct Holds(Arc<Late>);
        for is_held in [true, false] {
            let locator = ServiceLocator::builder()
                .register::<Base>(|_| Ok(Arc::new(Base(0))))
                .register::<Late>(|cx| Ok(Arc::new(Late(cx.lazy()?))))
                .register::<Holds>(|cx| Ok(Arc::new(Holds(cx.get()?))))
                .build();
            let late = locator.get::<Late>();
            assert_eq!(late.0.0, 0);
            let holds = is_held.then(|| locator.get::<Holds>());
            let fake = locator.override_with(Arc::new(Base(7)));
            let meanwhile = locator.get::<Holds>();
            assert!(!is_same(&meanwhile.0, &late));
            drop(fake);
            assert!(is_same(&locator.get::<Late>(), &late));
            let now = locator.get::<Holds>();
            assert!(holds.is_none_or(|holds| is_same(&now, &holds)));
            assert!(is_same(&now.0, &late), "it is built from what is handed out");
        }
    }

    /// Hidden together with the real service, it requests the override through its other proxy: then it is valid at
    /// no time.
    fn a_service_that_holds_both_the_real_one_and_the_override_is_never_returned_again() {
        struct Both(LazyProxy<Base>, LazyProxy<Base>);
        let locator = ServiceLocator::builder()
            .register::<Base>(|_| Ok(Arc::new(Base(0))))
            .register::<Both>(|cx| Ok(Arc::new(Both(cx.lazy()?, cx.lazy()?))))
            .build();
        let both = locator.get::<Both>();
        assert_eq!(both.0.0, 0);
        let fake = locator.override_with(Arc::new(Base(7)));
        assert_eq!(both.1.0, 7);
        let of_fake = locator.get::<Both>();
        assert_eq!((of_fake.0.0, of_fake.1.0), (7, 7));
        drop(fake);
        let now = locator.get::<Both>();
        assert_eq!((now.0.0, now.1.0), (0, 0));
    }

    fn a_build_that_an_override_overtakes_is_returned_only_to_its_current_waiters() {
        let (is_building, building) = mpsc::channel();
        let (go, wait) = mpsc::channel::<()>();
        let wait = Mutex::new(wait);
        let locator = ServiceLocator::builder()
            .register::<Base>(|_| Ok(Arc::new(Base(0))))
            .register::<Middle>(move |cx| {
                let base = cx.get()?;
                let _ = is_building.send(());
                let _ = wait.lock().unwrap().recv();
                Ok(Arc::new(Middle(base)))
            })
            .build();
        let there = locator.clone();
        let overtaken = Worker::current().spawn(move || there.get::<Middle>());
        building.recv().unwrap();
        let fake = locator.override_with(Arc::new(Base(7)));
        drop(go);
        assert_eq!(overtaken.join().unwrap().0.0, 0);
        assert_eq!(locator.get::<Middle>().0.0, 7);
        drop(fake);
        assert_eq!(locator.get::<Middle>().0.0, 0);
    }

    /// A part of a service may be dropped before the service is complete.
    fn an_override_reaches_what_was_built_from_what_is_evicted() {
        struct Copy(u32);
        let locator = ServiceLocator::builder()
            .capacity(1)
            .register::<Base>(|_| Ok(Arc::new(Base(0))))
            .register::<Middle>(|cx| Ok(Arc::new(Middle(cx.get()?))))
            .register::<Aside>(|_| Ok(Arc::new(Aside)))
            .register::<Copy>(|cx| {
                let copy = Copy(cx.get::<Middle>()?.0.0);
                cx.get::<Aside>()?;
                Ok(Arc::new(copy))
            })
            .build();
        assert_eq!(locator.get::<Copy>().0, 0);
        let _fake = locator.override_with(Arc::new(Base(7)));
        assert_eq!(locator.get::<Copy>().0, 7);
    }

    fn a_shared_service_that_was_used_already_is_overridden_too() {
        let locator = ServiceLocator::builder()
            .register_shared::<Base>(|_| Ok(Arc::new(Base(0))))
            .build();
        let real = locator.get::<Base>();
        let fake = locator.override_with(Arc::new(Base(7)));
        assert_eq!(locator.get::<Base>().0, 7);
        drop(fake);
        assert!(is_same(&locator.get::<Base>(), &real));
    }
}

#[cfg(all(unix, not(miri)))]
mod others {
    use super::super::{alone, as_test, own_worker};
    use super::*;

    alone! {
        fn other_workers_notice_nothing() {
            let locator = ServiceLocator::builder()
                .register::<Base>(|_| Ok(Arc::new(Base(0))))
                .register_shared::<Middle>(|_| Ok(Arc::new(Middle(Arc::new(Base(0))))))
                .build();
            let (ask, asked) = mpsc::channel();
            let (answer, answered) = mpsc::channel();
            std::thread::scope(|scope| {
                let locator = &locator;
                let other = std::thread::Builder::new().name("a::other".to_owned());
                let ask_of_other = move || {
                    for () in asked {
                        answer.send((locator.get::<Base>(), locator.get::<Middle>())).unwrap();
                    }
                };
                other.spawn_scoped(scope, ask_of_other).unwrap();
                let others = || {
                    ask.send(()).unwrap();
                    answered.recv().unwrap()
                };
                let before = others();
                let shared = locator.get::<Middle>();
                let _base = locator.override_with(Arc::new(Base(7)));
                let _middle = locator.override_with(Arc::new(Middle(Arc::new(Base(8)))));
                assert_eq!((locator.get::<Base>().0, locator.get::<Middle>().0.0), (7, 8));
                let after = others();
                assert!(is_same(&before.0, &after.0));
                assert!(is_same(&before.1, &after.1) && is_same(&before.1, &shared));
                drop(ask);
            });
        }

        fn a_proxy_used_by_another_worker_builds_from_its_owner_s_services() {
            struct Holder(LazyProxy<Middle>);
            let locator = ServiceLocator::builder()
                .register::<Base>(|_| Ok(Arc::new(Base(0))))
                .register::<Middle>(|cx| Ok(Arc::new(Middle(cx.get()?))))
                .register::<Holder>(|cx| Ok(Arc::new(Holder(cx.lazy()?))))
                .build();
            as_test("a::stays", || {
                let holder = locator.get::<Holder>();
                assert_eq!(own_worker(), "w0");
                std::thread::scope(|scope| {
                    let other = std::thread::Builder::new().name("a::other".to_owned());
                    let uses = || {
                        let _fake = locator.override_with(Arc::new(Base(7)));
                        assert_eq!((own_worker().as_str(), holder.0.0.0), ("w1", 0));
                    };
                    other.spawn_scoped(scope, uses).unwrap();
                });
                assert_eq!(locator.get::<Middle>().0.0, 0);
            });
        }

        fn a_forgotten_guard_ends_with_its_test() {
            let locator = locator();
            let real = as_test("a::first", || {
                let real = locator.get::<Top>();
                std::mem::forget(locator.override_with(Arc::new(Base(7))));
                assert_eq!((own_worker().as_str(), base_of(&locator)), ("w0", 7));
                real
            });
            as_test("a::second", || {
                assert_eq!(own_worker(), "w0");
                assert!(is_same(&locator.get::<Top>(), &real));
                assert_eq!(locator.get::<Base>().0, 0);
            });
        }

        fn a_guard_that_outlives_its_test_does_not_end_the_override_of_another_test() {
            let locator = locator();
            let stale = as_test("a::first", || locator.override_with(Arc::new(Base(1))));
            as_test("a::second", || {
                let _fake = locator.override_with(Arc::new(Base(2)));
                assert_eq!(base_of(&locator), 2);
                drop(stale);
                assert_eq!(base_of(&locator), 2);
            });
        }
    }
}

#[cfg(all(unix, not(miri)))]
mod recorded {
    use super::{Base, locator};
    use crate::role::{play, plays, role};
    use cofferdam_conflicts::Evidence;
    use std::sync::Arc;

    const PATH: &str = "locator::overrides::recorded::role_spies";

    #[test]
    fn a_fake_that_its_test_inspects_afterwards_is_not_reported() {
        let base = tempfile::tempdir().unwrap();
        let mut role = role(PATH, "spies");
        let role = role
            .env("COFFERDAM_DIR", base.path())
            .env("COFFERDAM_RECORD", "s");
        play(role).end().passed();
        let mut evidence = Evidence::new();
        evidence.read(base.path());
        assert_eq!((evidence.problem_count(), evidence.watched().journals), (0, 1));
        assert_eq!(evidence.conflicts(), []);
    }

    #[test]
    #[ignore = "a role"]
    fn role_spies() {
        if !plays(PATH) {
            return;
        }
        let locator = locator();
        let spy = Arc::new(Base(7));
        drop(locator.override_with(Arc::clone(&spy)));
        drop(locator.get::<Base>());
        assert_eq!(spy.0, 7);
    }
}
