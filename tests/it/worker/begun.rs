//! Tests that are not libtest's: on threads of other harnesses, and on second threads of a test.

use crate::locator::{alone, as_test};
use cofferdam::{Worker, WorkerLocal};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::thread;

static STOCK: WorkerLocal<Mutex<u32>> = WorkerLocal::new(|_| Ok(Mutex::default()));

static DROPPED: AtomicU32 = AtomicU32::new(0);

/// A value whose drop requests a service.
struct Asks;

impl Drop for Asks {
    fn drop(&mut self) {
        let error = STOCK.try_get().unwrap_err().to_string();
        assert!(error.contains("test has ended"), "{error}");
        DROPPED.fetch_add(1, Ordering::SeqCst);
    }
}

static BASKET: WorkerLocal<Asks> = WorkerLocal::new(|_| Ok(Asks)).per_test();

/// Runs the body of a test on a second thread with the test's name, as rstest does for `#[timeout]`.
fn with_timeout<R: Send + 'static>(body: impl FnOnce() -> R + Send + 'static) -> R {
    let name = thread::current().name().unwrap().to_owned();
    let body = thread::Builder::new().name(name).spawn(body).unwrap();
    body.join().unwrap()
}

alone! {
    fn tests_of_a_harness_have_workers_on_any_threads() {
        let both = Barrier::new(2);
        let run = |name: &'static str| {
            let both = &both;
            move || for round in 0..50 {
                let test = Worker::begin(name);
                both.wait();
                let worker = Worker::current();
                assert_eq!((worker.id(), worker.test()), (test.worker().id(), Some(name)));
                assert!(["w0", "w1"].contains(&worker.id()), "{round}: {worker}");
                *STOCK.get().lock().unwrap() += 1;
                // The other test is running until here.
                both.wait();
            }
        };
        let error = thread::scope(|scope| {
            scope.spawn(run("shop::one"));
            scope.spawn(run("shop::another")).join().unwrap();
            scope.spawn(|| Worker::try_current().unwrap_err().to_string()).join().unwrap()
        });
        assert!(error.contains("a thread without a name"), "{error}");
    }

    fn a_begun_test_ends_with_its_guard() {
        let test = Worker::begin("shop::one");
        let dir = Worker::current().test_dir().unwrap();
        drop(BASKET.get());
        test.end(true);
        assert_eq!(DROPPED.load(Ordering::SeqCst), 1, "a value of one test did not end");
        assert!(!dir.exists());
        let again = Worker::begin("shop::another");
        assert_eq!((again.worker().id(), Worker::current().test()), ("w0", Some("shop::another")));
    }

    fn what_a_begun_test_was_changing_when_it_failed_is_not_handed_on() {
        let failed = std::panic::catch_unwind(|| {
            let _test = Worker::begin("shop::panics");
            let _stock = STOCK.get();
            *STOCK.get().lock().unwrap() = 1;
            panic!("as it should");
        });
        assert!(failed.is_err());
        let test = Worker::begin("shop::returns_an_error");
        assert_eq!(std::mem::replace(&mut *STOCK.get().lock().unwrap(), 2), 0);
        test.end(false);
        let _test = Worker::begin("shop::next");
        assert_eq!(*STOCK.get().lock().unwrap(), 0);
    }

    fn a_begun_test_inside_of_another_test_is_another_worker() {
        as_test("a::test", || {
            let own = Worker::current();
            let inner = Worker::begin("shop::inner");
            assert_ne!(inner.worker().id(), own.id());
            drop(inner);
            assert_eq!(Worker::current().id(), own.id());
        });
    }

    fn the_body_of_a_test_with_a_timeout_belongs_to_the_test() {
        as_test("a::test", || {
            // A fixture, which is created on the test's thread.
            let own = STOCK.get();
            with_timeout(move || {
                *STOCK.get().lock().unwrap() += 1;
                assert_eq!(*own.lock().unwrap(), 1);
                assert_eq!(Worker::current().test(), Some("a::test"));
            });
            assert_eq!(Worker::current().id(), "w0");
        });
        as_test("a::without_a_fixture", || {
            with_timeout(|| assert_eq!(Worker::current().test(), Some("a::without_a_fixture")));
        });
    }

    fn a_body_that_outlives_its_test_keeps_the_worker() {
        let (go, wait) = mpsc::channel::<()>();
        let body = as_test("a::times_out", || {
            let own = Worker::current().id().to_owned();
            let (is_ready, ready) = mpsc::channel();
            let body = thread::Builder::new().name("a::times_out".to_owned());
            let body = body.spawn(move || {
                is_ready.send(Worker::current().id() == own).unwrap();
                let _ = wait.recv();
                Worker::current().id().to_owned()
            });
            assert!(ready.recv().unwrap());
            body.unwrap()
        });
        as_test("a::next", || assert_eq!(Worker::current().id(), "w1"));
        go.send(()).unwrap();
        assert_eq!(body.join().unwrap(), "w0");
        as_test("a::last", || assert_eq!(Worker::current().id(), "w0"));
    }

    fn a_second_thread_whose_name_is_no_path_has_no_worker() {
        as_test("pool", || {
            Worker::current();
            let error = with_timeout(|| Worker::try_current().unwrap_err().to_string());
            assert!(error.contains("a second thread \"pool\""), "{error}");
        });
    }

    fn a_value_is_shared_by_the_threads_of_a_begun_test() {
        let test = Worker::begin("shop::one");
        let stock = STOCK.get().into_arc();
        let child = test.worker().spawn(|| STOCK.get().into_arc());
        assert!(Arc::ptr_eq(&child.join().unwrap(), &stock));
    }
}
