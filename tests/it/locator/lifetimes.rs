//! Lifetimes of services: one test, or the tests of one worker with a reset between them.

use super::{Log, Noted, alone, as_test, is_same, own_worker};
use cofferdam::locator::LazyProxy;
use cofferdam::{BoxError, ServiceLocator, Worker, WorkerLocal};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, mpsc};

/// A service that logs its builds, resets and drops.
struct Counted {
    name: &'static str,
    number: u32,
    log: Log,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.log.note(format!("{} {} dropped", self.name, self.number));
    }
}

/// Creates them, with consecutive numbers.
#[derive(Clone, Default)]
struct Maker {
    log: Log,
    made: Arc<AtomicU32>,
}

impl Maker {
    fn make(&self, name: &'static str) -> Arc<Counted> {
        let number = self.made.fetch_add(1, Ordering::SeqCst);
        Arc::new(Counted {
            name,
            number,
            log: self.log.clone(),
        })
    }

    fn reset(&self) -> impl Fn(&Counted) -> Result<(), BoxError> + Send + Sync + 'static {
        let log = self.log.clone();
        move |counted| {
            log.note(format!("{} {} reset", counted.name, counted.number));
            Ok(())
        }
    }
}

fn per_test(log: &Log) -> ServiceLocator {
    let log = log.clone();
    ServiceLocator::builder()
        .register::<Noted>(move |cx| Ok(Noted::new(cx.worker().test().unwrap_or("main"), &log)))
        .per_test()
        .build()
}

fn number(locator: &ServiceLocator, name: &str) -> u32 {
    locator.get_named::<Counted>(name).number
}

alone! {
    fn a_service_of_one_test_ends_with_it() {
        let log = Log::default();
        let locator = per_test(&log);
        for name in ["a::first", "a::second"] {
            as_test(name, || {
                let one = locator.get::<Noted>();
                assert!(is_same(&one, &locator.get()));
                assert!(log.take().is_empty());
            });
            assert_eq!(log.take(), [format!("{name} dropped")]);
        }
    }

    fn a_service_of_a_test_that_panics_ends_with_it_too() {
        let log = Log::default();
        let locator = per_test(&log);
        let panicked = std::thread::scope(|scope| {
            let test = std::thread::Builder::new().name("a::panics".to_owned());
            let work = || {
                locator.get::<Noted>();
                panic!("as it should");
            };
            test.spawn_scoped(scope, work).unwrap().join()
        });
        assert!(panicked.is_err());
        assert_eq!(log.take(), ["a::panics dropped"]);
    }

    fn a_service_that_a_panicking_test_holds_is_not_handed_to_the_next_test() {
        static STOCK: WorkerLocal<Mutex<u32>> = WorkerLocal::new(|_| Ok(Mutex::new(0)));
        static UNTOUCHED: WorkerLocal<Mutex<u32>> = WorkerLocal::new(|_| Ok(Mutex::new(0)));
        struct Shop(Arc<Mutex<u32>>);
        struct Desk(Arc<Mutex<u32>>);
        let locator = ServiceLocator::builder()
            .register::<Mutex<u32>>(|_| Ok(Arc::default()))
            .register::<Shop>(|cx| Ok(Arc::new(Shop(cx.get()?))))
            .register::<Desk>(|cx| Ok(Arc::new(Desk(cx.get()?))))
            .build();
        as_test("a::first", || {
            *UNTOUCHED.get().lock().unwrap() += 1;
            *STOCK.get().lock().unwrap() += 1;
            *locator.get::<Shop>().0.lock().unwrap() += 1;
            *locator.get::<Desk>().0.lock().unwrap() += 1;
        });
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            as_test("a::panics", || {
                let (stock, shop) = (STOCK.get(), locator.get::<Shop>());
                let (_stock, _shop) = (stock.lock().unwrap(), shop.0.lock().unwrap());
                panic!("as it should");
            });
        }));
        assert!(panicked.is_err());
        as_test("a::next", || {
            assert_eq!(*STOCK.get().lock().unwrap(), 0);
            // Its part was poisoned, although the panicking test held it through another service.
            assert_eq!(*locator.get::<Desk>().0.lock().unwrap(), 0);
            assert_eq!(*locator.get::<Shop>().0.lock().unwrap(), 0);
            assert_eq!(*UNTOUCHED.get().lock().unwrap(), 1, "the panicking test did not hold it");
        });
    }

    fn a_service_that_a_panicking_thread_of_a_test_holds_is_not_handed_on() {
        static STOCK: WorkerLocal<Mutex<u32>> = WorkerLocal::new(|_| Ok(Mutex::new(0)));
        as_test("a::first", || {
            let child = Worker::current().spawn(|| {
                let stock = STOCK.get();
                let mut stock = stock.lock().unwrap();
                *stock += 1;
                panic!("as it should");
            });
            assert!(child.join().is_err());
        });
        as_test("a::next", || assert_eq!(*STOCK.get().lock().unwrap(), 0));
    }

    fn a_service_built_anew_after_a_panic_stays_although_the_old_one_is_still_held() {
        static STOCK: WorkerLocal<Mutex<u32>> = WorkerLocal::new(|_| Ok(Mutex::new(0)));
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            as_test("a::panics", || {
                let stock = STOCK.get();
                std::mem::forget(stock.clone());
                panic!("as it should");
            });
        }));
        assert!(panicked.is_err());
        for (test, before) in [("a::first", 0), ("a::second", 1), ("a::third", 2)] {
            as_test(test, || {
                let stock = STOCK.get();
                let mut stock = stock.lock().unwrap();
                assert_eq!(*stock, before, "{test}");
                *stock += 1;
            });
        }
    }

    fn a_service_that_a_panicking_test_does_not_hold_any_more_stays() {
        static STOCK: WorkerLocal<Mutex<u32>> = WorkerLocal::new(|_| Ok(Mutex::new(0)));
        static UNDER_ARC: WorkerLocal<u32> = WorkerLocal::new(|_| Ok(7));
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            as_test("a::panics", || {
                *STOCK.get().lock().unwrap() += 1;
                let _stays: Arc<u32> = UNDER_ARC.get().into_arc();
                panic!("as it should");
            });
        }));
        assert!(panicked.is_err());
        as_test("a::next", || assert_eq!(*STOCK.get().lock().unwrap(), 1));
    }

    fn a_panic_that_a_test_catches_counts_at_its_end() {
        static STOCK: WorkerLocal<Mutex<u32>> = WorkerLocal::new(|_| Ok(Mutex::new(0)));
        as_test("a::first", || {
            let panicked = std::panic::catch_unwind(|| {
                let stock = STOCK.get();
                *stock.lock().unwrap() += 1;
                panic!("as it should");
            });
            assert!(panicked.is_err());
            assert_eq!(*STOCK.get().lock().unwrap(), 1, "its own test keeps it");
        });
        as_test("a::next", || assert_eq!(*STOCK.get().lock().unwrap(), 0));
    }

    fn a_service_that_a_panicking_test_holds_by_a_proxy_is_not_handed_on() {
        let locator = ServiceLocator::builder().register::<Mutex<u32>>(|_| Ok(Arc::default())).build();
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            as_test("a::panics", || {
                let stock = locator.lazy::<Mutex<u32>>();
                *stock.lock().unwrap() += 1;
                panic!("as it should");
            });
        }));
        assert!(panicked.is_err());
        as_test("a::next", || assert_eq!(*locator.get::<Mutex<u32>>().lock().unwrap(), 0));
    }

    fn a_part_that_a_factory_holds_when_it_panics_is_not_handed_on() {
        struct Shop;
        let locator = ServiceLocator::builder()
            .register::<Mutex<u32>>(|_| Ok(Arc::default()))
            .register::<Shop>(|cx| {
                let stock = cx.get::<Mutex<u32>>()?;
                let _stock = stock.lock().unwrap();
                panic!("as it should");
            })
            .build();
        as_test("a::first", || assert!(locator.try_get::<Shop>().is_err()));
        as_test("a::next", || assert_eq!(*locator.get::<Mutex<u32>>().lock().unwrap(), 0));
    }

    fn a_part_of_a_panicking_tests_service_is_not_handed_on_although_a_fake_hid_the_service() {
        struct Fakeable;
        struct Shop(Arc<Mutex<u32>>);
        let locator = ServiceLocator::builder()
            .register::<Fakeable>(|_| Ok(Arc::new(Fakeable)))
            .register::<Mutex<u32>>(|_| Ok(Arc::default()))
            .register::<Shop>(|cx| {
                cx.get::<Fakeable>()?;
                Ok(Arc::new(Shop(cx.get()?)))
            })
            .build();
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            as_test("a::panics", || {
                let _fake = locator.override_with(Arc::new(Fakeable));
                let shop = locator.get::<Shop>();
                let _stock = shop.0.lock().unwrap();
                panic!("as it should");
            });
        }));
        assert!(panicked.is_err());
        as_test("a::next", || assert_eq!(*locator.get::<Mutex<u32>>().lock().unwrap(), 0));
    }

    fn a_thread_that_panics_after_its_test_ended_spoils_its_service_for_the_next_test() {
        static STOCK: WorkerLocal<Mutex<u32>> = WorkerLocal::new(|_| Ok(Mutex::new(0)));
        let (go, wait) = mpsc::channel::<()>();
        let child = as_test("a::first", || {
            let (is_ready, ready) = mpsc::channel();
            let child = Worker::current().spawn(move || {
                let stock = STOCK.get();
                is_ready.send(()).unwrap();
                let _ = wait.recv();
                let _stock = stock.lock().unwrap();
                panic!("as it should");
            });
            ready.recv().unwrap();
            child
        });
        go.send(()).unwrap();
        assert!(child.join().is_err());
        as_test("a::second", || {
            assert_eq!((own_worker().as_str(), *STOCK.get().lock().unwrap()), ("w0", 0));
        });
    }

    fn a_service_of_one_test_that_is_set_aside_for_a_fake_ends_with_its_test() {
        struct Base;
        let log = Log::default();
        let noted = log.clone();
        let locator = ServiceLocator::builder()
            .register::<Base>(|_| Ok(Arc::new(Base)))
            .register::<Noted>(move |cx| {
                cx.get::<Base>()?;
                Ok(Noted::new("of one test", &noted))
            })
            .per_test()
            .build();
        as_test("a::first", || {
            locator.get::<Noted>();
            std::mem::forget(locator.override_with(Arc::new(Base)));
        });
        assert_eq!(log.take(), ["of one test dropped"]);
    }

    fn a_drop_that_asks_for_a_service_after_its_test_gets_an_error_and_later_drops_run() {
        struct Asks(ServiceLocator, Log);
        impl Drop for Asks {
            fn drop(&mut self) {
                let asked = self.0.try_get::<u8>().unwrap_err().to_string();
                self.1.note(asked.contains("test has ended").to_string());
                self.0.get::<u8>();
            }
        }
        let log = Log::default();
        let inner = ServiceLocator::builder().register::<u8>(|_| Ok(Arc::new(7))).build();
        let (there, noted) = (inner.clone(), log.clone());
        let locator = ServiceLocator::builder()
            .register::<Noted>({
                let log = log.clone();
                move |_| Ok(Noted::new("older", &log))
            })
            .per_test()
            .register::<Asks>(move |_| Ok(Arc::new(Asks(there.clone(), noted.clone()))))
            .per_test()
            .build();
        as_test("a::first", || {
            inner.get::<u8>();
            locator.get::<Noted>();
            locator.get::<Asks>();
        });
        assert_eq!(log.take(), ["true", "older dropped"]);
    }

    fn services_are_reset_in_the_order_they_were_built_and_stay() {
        let maker = Maker::default();
        let (one, two, three) = (maker.clone(), maker.clone(), maker.clone());
        let locator = ServiceLocator::builder()
            .register::<Counted>(move |cx| {
                cx.get_named::<Counted>("base")?;
                Ok(one.make("top"))
            })
            .named("top")
            .reset(maker.reset())
            .register::<Counted>(move |_| Ok(two.make("base")))
            .named("base")
            .reset(maker.reset())
            .register::<Counted>(move |_| Ok(three.make("plain")))
            .named("plain")
            .build();
        as_test("a::first", || {
            assert_eq!((number(&locator, "top"), number(&locator, "plain")), (1, 2));
        });
        assert!(maker.log.take().is_empty(), "nothing is reset before it is wanted");
        as_test("a::second", || {
            assert_eq!(number(&locator, "plain"), 2);
            assert_eq!(maker.log.take(), ["base 0 reset", "top 1 reset"]);
            assert_eq!((number(&locator, "top"), number(&locator, "base")), (1, 0));
            assert!(maker.log.take().is_empty(), "once for each test");
        });
    }

    fn a_service_that_cannot_be_reset_goes_with_all_that_is_built_from_it() {
        for panics in [false, true] {
            let maker = Maker::default();
            let (one, two) = (maker.clone(), maker.clone());
            let locator = ServiceLocator::builder()
                .register::<Counted>(move |_| Ok(one.make("base")))
                .named("base")
                .reset(move |_| if panics { panic!("full") } else { Err("full".into()) })
                .register::<Counted>(move |cx| {
                    cx.get_named::<Counted>("base")?;
                    Ok(two.make("top"))
                })
                .named("top")
                .reset(maker.reset())
                .build();
            let first = as_test("a::first", || (number(&locator, "top"), number(&locator, "base")));
            assert_eq!(first, (1, 0));
            as_test("a::second", || {
                let top = number(&locator, "top");
                assert_eq!(maker.log.take(), ["top 1 dropped", "base 0 dropped"]);
                assert_eq!((top, number(&locator, "base")), (3, 2));
            });
        }
    }

    fn a_reset_error_whose_display_panics_keeps_no_test_waiting() {
        #[derive(Debug)]
        struct Unprintable;
        impl std::fmt::Display for Unprintable {
            fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                panic!("no words")
            }
        }
        impl std::error::Error for Unprintable {}
        let maker = Maker::default();
        let made = maker.clone();
        let locator = ServiceLocator::builder()
            .register::<Counted>(move |_| Ok(made.make("base")))
            .named("base")
            .reset(|_| Err(Unprintable.into()))
            .build();
        for (test, wanted) in [("a::first", 0), ("a::second", 1), ("a::third", 2)] {
            assert_eq!(as_test(test, || number(&locator, "base")), wanted, "{test}");
        }
    }

    fn a_service_that_the_first_override_of_a_test_sets_aside_is_reset_first() {
        struct Base;
        let maker = Maker::default();
        let made = maker.clone();
        let locator = ServiceLocator::builder()
            .register::<Base>(|_| Ok(Arc::new(Base)))
            .register::<Counted>(move |cx| {
                cx.get::<Base>()?;
                Ok(made.make("top"))
            })
            .reset(maker.reset())
            .build();
        as_test("a::first", || assert_eq!(locator.get::<Counted>().number, 0));
        as_test("a::second", || {
            let fake = locator.override_with(Arc::new(Base));
            assert_eq!(maker.log.take(), ["top 0 reset"]);
            assert_eq!(locator.get::<Counted>().number, 1);
            drop(fake);
            assert_eq!(maker.log.take(), ["top 1 dropped"]);
            assert_eq!(locator.get::<Counted>().number, 0);
        });
    }

    fn a_reset_may_ask_the_locator_and_others_wait_for_it() {
        let slot: Arc<Mutex<Option<ServiceLocator>>> = Arc::default();
        let (within, maker) = (Arc::clone(&slot), Maker::default());
        let (one, two) = (maker.clone(), maker.clone());
        let log = maker.log.clone();
        let locator = ServiceLocator::builder()
            .register::<Counted>(move |_| Ok(one.make("base")))
            .named("base")
            .register::<Counted>(move |_| Ok(two.make("top")))
            .named("top")
            .reset(move |top| {
                let locator = within.lock().unwrap().clone().unwrap();
                log.note(format!("{} {}", top.number, number(&locator, "base")));
                Ok(())
            })
            .build();
        *slot.lock().unwrap() = Some(locator.clone());
        as_test("a::first", || assert_eq!(number(&locator, "top"), 0));
        as_test("a::second", || {
            let worker = Worker::current();
            let children: Vec<_> = (0..4)
                .map(|_| {
                    let locator = locator.clone();
                    worker.spawn(move || number(&locator, "top"))
                })
                .collect();
            assert!(children.into_iter().all(|child| child.join().unwrap() == 0));
        });
        assert_eq!(maker.log.take(), ["0 1"]);
        slot.lock().unwrap().take();
    }

    fn a_proxy_of_an_earlier_test_works_for_the_test_that_uses_it() {
        struct Holder(LazyProxy<Noted>);
        let log = Log::default();
        let noted = log.clone();
        let locator = ServiceLocator::builder()
            .register::<Noted>(move |cx| Ok(Noted::new(cx.worker().test().unwrap_or("main"), &noted)))
            .register::<Holder>(|cx| Ok(Arc::new(Holder(cx.lazy()?))))
            .build();
        as_test("a::first", || drop(locator.get::<Holder>()));
        as_test("a::second", || assert_eq!(locator.get::<Holder>().0.name, "a::second"));
    }

    fn a_thread_that_outlives_its_test_and_holds_a_fake_is_not_handed_it_again() {
        let locator = ServiceLocator::builder().register::<u8>(|_| Ok(Arc::new(0))).build();
        let (go, wait) = mpsc::channel::<()>();
        let there = locator.clone();
        let child = as_test("a::first", || {
            std::mem::forget(locator.override_with(Arc::new(7_u8)));
            let (is_ready, ready) = mpsc::channel();
            let child = Worker::current().spawn(move || {
                let fake = there.get::<u8>();
                is_ready.send(()).unwrap();
                let _ = wait.recv();
                (*fake, *there.get::<u8>())
            });
            ready.recv().unwrap();
            child
        });
        go.send(()).unwrap();
        assert_eq!(child.join().unwrap(), (7, 0));
    }

    fn a_fake_set_after_the_end_of_its_test_is_not_in_force_for_the_next_test() {
        let locator = ServiceLocator::builder()
            .register_shared::<u8>(|_| Ok(Arc::new(0)))
            .build();
        let (go, wait) = mpsc::channel::<()>();
        let there = locator.clone();
        let child = as_test("a::first", || {
            assert_eq!((own_worker().as_str(), *locator.get::<u8>()), ("w0", 0));
            Worker::current().spawn(move || {
                let _ = wait.recv();
                std::mem::forget(there.override_with(Arc::new(7_u8)));
            })
        });
        go.send(()).unwrap();
        child.join().unwrap();
        as_test("a::second", || {
            assert_eq!((own_worker().as_str(), *locator.get::<u8>()), ("w0", 0));
        });
    }

    fn a_service_that_a_thread_builds_after_its_test_ends_is_dropped_before_the_next_test() {
        let log = Log::default();
        let locator = per_test(&log);
        let (go, wait) = mpsc::channel::<()>();
        let there = locator.clone();
        let child = as_test("a::first", || {
            assert_eq!(own_worker(), "w0");
            Worker::current().spawn(move || {
                let _ = wait.recv();
                drop(there.get::<Noted>());
            })
        });
        go.send(()).unwrap();
        child.join().unwrap();
        assert!(log.take().is_empty());
        as_test("a::second", || {
            assert_eq!(own_worker(), "w0");
            assert_eq!(locator.get::<Noted>().name, "a::second");
            assert_eq!(log.take(), ["a::first dropped"]);
        });
        assert_eq!(log.take(), ["a::second dropped"]);
    }
}

/// A fixed worker, as under nextest, where the lane belongs to the whole process.
mod fixed {
    use super::*;
    use crate::role::{play, plays, role};
    use std::io::Write as _;

    const PATH: &str = "locator::lifetimes::fixed::role_fixed";

    #[test]
    fn a_service_of_one_test_ends_with_it_in_a_fixed_lane_too() {
        let base = tempfile::tempdir().unwrap();
        let mut role = role(PATH, "fixed");
        let ended = play(
            role.env("COFFERDAM_DIR", base.path())
                .env("COFFERDAM_WORKER", "pinned"),
        )
        .end();
        ended.passed();
        let events: Vec<_> = ended
            .stderr
            .lines()
            .filter(|line| line.ends_with("dropped"))
            .collect();
        assert_eq!(events, ["of the test dropped", "of the worker dropped"]);
    }

    struct ReportsItsDrop(&'static str);

    impl Drop for ReportsItsDrop {
        fn drop(&mut self) {
            std::io::stderr()
                .write_all(format!("{} dropped\n", self.0).as_bytes())
                .unwrap();
        }
    }

    #[test]
    #[ignore = "a role"]
    fn role_fixed() {
        static LOCATOR: std::sync::OnceLock<ServiceLocator> = std::sync::OnceLock::new();
        if !plays(PATH) {
            return;
        }
        let locator = LOCATOR.get_or_init(|| {
            ServiceLocator::builder()
                .register::<ReportsItsDrop>(|_| Ok(Arc::new(ReportsItsDrop("of the test"))))
                .named("test")
                .per_test()
                .register::<ReportsItsDrop>(|_| Ok(Arc::new(ReportsItsDrop("of the worker"))))
                .named("worker")
                .build()
        });
        assert_eq!(own_worker(), "pinned");
        locator.get_named::<ReportsItsDrop>("test");
        // Newer, but dropped later, because its worker continues.
        locator.get_named::<ReportsItsDrop>("worker");
    }
}
