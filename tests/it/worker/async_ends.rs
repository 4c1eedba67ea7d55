//! The end of async tests: what they leave on their worker's runtime, and what the worker's next test finds there.
//!
//! In processes of their own, whose threads lease workers, as under `cargo test`.

use crate::role::{Ended, play, plays, role};
use cofferdam::worker::runtime::{Flavor, Outcome, block_on};
use cofferdam::{ServiceLocator, Worker, WorkerLocal};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use tokio::runtime::{Builder, Handle, Id};
use tokio::task::JoinSet;

/// Runs a test on a thread with its name, as libtest does, and returns its result or that of its panic.
fn test<R: Outcome + Send>(name: &str, body: impl AsyncFnOnce() -> R + Send) -> Option<R> {
    in_flavor(Flavor::current_thread(), name, body)
}

fn flavors() -> [Flavor; 2] {
    [
        Flavor::current_thread(),
        Flavor::multi_thread(Builder::new_multi_thread, Some(2)),
    ]
}

fn in_flavor<R: Outcome + Send>(
    flavor: Flavor,
    name: &str,
    body: impl AsyncFnOnce() -> R + Send,
) -> Option<R> {
    let run = || catch_unwind(AssertUnwindSafe(|| block_on(flavor, async { body().await })));
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name(name.to_owned());
        thread.spawn_scoped(scope, run).unwrap().join().unwrap().ok()
    })
}

fn value<T: Send>(name: &str, body: impl AsyncFnOnce() -> T + Send) -> T {
    test(name, async || Ok::<_, ()>(body().await)).unwrap().unwrap()
}

fn runtime() -> Id {
    Handle::current().id()
}

#[track_caller]
fn ended(path: &str) -> Ended {
    let base = tempfile::tempdir().unwrap();
    let ended = play(role(path, "ends").env("COFFERDAM_DIR", base.path())).end();
    ended.passed();
    ended
}

/// Tests of which each plays its body in a process of its own, and checks the warnings.
macro_rules! in_own_processes {
    ($($name:ident $role:ident $warnings:tt $body:block)*) => {$(
        #[test]
        fn $name() {
            let ended = ended(concat!("worker::async_ends::", stringify!($role)));
            let warnings = ended.warnings();
            let wanted: &[&str] = &$warnings;
            assert_eq!(warnings.len(), wanted.len(), "{warnings:?}");
            for (warning, wanted) in warnings.iter().zip(wanted) {
                assert!(warning.contains(wanted), "{warning}");
            }
        }

        #[test]
        #[ignore = "a role"]
        fn $role() {
            if plays(concat!("worker::async_ends::", stringify!($role))) $body
        }
    )*};
}

/// A service that counts its instances, and is built on the runtime.
struct Pool(usize);

static BUILDS: AtomicUsize = AtomicUsize::new(0);
static POOL: WorkerLocal<Pool> = WorkerLocal::new_async(&|_| async {
    // Its own task, as a pool has one.
    tokio::spawn(std::future::pending::<()>());
    tokio::task::yield_now().await;
    Ok(Pool(BUILDS.fetch_add(1, Ordering::SeqCst)))
});

async fn pool() -> usize {
    POOL.get_async().await.0
}

impl Pool {
    /// Opens one more connection, which has a task of its own, as those of deadpool and bb8 have.
    fn connect(&self) -> usize {
        tokio::spawn(std::future::pending::<()>());
        self.0
    }
}

static GROWING: WorkerLocal<Pool> = WorkerLocal::new_async(&|_| async {
    let pool = Pool(BUILDS.fetch_add(1, Ordering::SeqCst));
    pool.connect();
    Ok(pool)
})
.starts_tasks();

in_own_processes! {
    the_runtime_and_its_services_serve_the_workers_next_test role_kept [] {
        let get = async || (runtime(), Worker::current().id().to_owned(), pool().await);
        let first = value("a::first", get);
        for _ in 0..20 {
            assert_eq!(value("a::next", get), first);
        }
        assert_eq!(first.2, 0);
    }

    a_test_that_asks_for_another_flavor_gets_a_new_runtime role_flavors [] {
        let first = value("a::first", async || (runtime(), pool().await));
        let other = in_flavor(flavors()[1], "a::threads", async || Ok::<_, ()>((runtime(), pool().await)));
        let other = other.unwrap().unwrap();
        assert!(first.0 != other.0 && first.1 != other.1);
    }

    a_task_that_is_left_is_aborted_before_the_next_test role_task [] {
        static DROPPED: AtomicUsize = AtomicUsize::new(0);
        struct Counts;
        impl Drop for Counts {
            fn drop(&mut self) {
                DROPPED.fetch_add(1, Ordering::SeqCst);
            }
        }
        for flavor in flavors() {
            DROPPED.store(0, Ordering::SeqCst);
            let (before, after) = mpsc::channel();
            in_flavor(flavor, "a::leaves", async move || {
                before.send(runtime()).unwrap();
                let counts = Counts;
                tokio::spawn(async move {
                    let _counts = counts;
                    std::future::pending::<()>().await;
                });
            });
            assert_eq!(DROPPED.load(Ordering::SeqCst), 1);
            let (next, found) = mpsc::channel();
            in_flavor(flavor, "a::next", async move || next.send(runtime()).unwrap());
            assert_ne!(after.recv().unwrap(), found.recv().unwrap());
        }
    }

    services_that_lose_their_runtime_are_named role_named [
        "a::leaves left 2 tasks on the runtime of worker w0, which is replaced; built on it and so built anew: Pool. A \
         `tokio::task::JoinSet`"
    ] {
        assert_eq!(value("a::first", pool), 0);
        test("a::leaves", async || {
            assert_eq!(pool().await, 0);
            for _ in 0..2 {
                tokio::spawn(std::future::pending::<()>());
            }
        });
        assert_eq!(value("a::next", pool), 1);
    }

    a_pool_that_grows_in_a_test_keeps_its_runtime_if_it_declares_that_it_starts_tasks role_grows [] {
        for flavor in flavors() {
            BUILDS.store(0, Ordering::SeqCst);
            for round in 0..10 {
                in_flavor(flavor, &format!("a::test_{round}"), async || {
                    let pool = GROWING.get_async().await;
                    assert_eq!(pool.connect(), 0);
                    // A task of the pool may also start the next connection when the test is over.
                    tokio::spawn(async {
                        tokio::task::yield_now().await;
                        tokio::spawn(std::future::pending::<()>());
                    });
                })
                .unwrap();
            }
        }
    }

    a_pool_that_grows_without_a_declaration_is_built_anew_and_the_line_says_how_to_declare_it role_undeclared [
        "a::grows left a task on the runtime of worker w0, which is replaced; built on it and so built anew: Pool. A \
         `tokio::task::JoinSet` in the test aborts its tasks when it is dropped; if a service started them, declare that \
         with `starts_tasks`"
    ] {
        test("a::grows", async || assert_eq!(POOL.get_async().await.connect(), 0)).unwrap();
        assert_eq!(value("a::next", pool), 1);
    }

    a_test_that_does_not_use_the_growing_pool_loses_the_tasks_that_it_leaves role_others [
        "a::leaves left a task on the runtime of worker w0, which is replaced; built on it and so built anew: Pool."
    ] {
        test("a::grows", async || assert_eq!(GROWING.get_async().await.connect(), 0)).unwrap();
        test("a::leaves", async || {
            tokio::spawn(std::future::pending::<()>());
        });
        test("a::grows_again", async || assert_eq!(GROWING.get_async().await.connect(), 1)).unwrap();
    }

    a_service_with_a_growing_pool_keeps_the_runtime role_with_pool [] {
        struct Shop(Arc<Pool>);
        let locator = ServiceLocator::builder()
            .register_async::<Pool, _>(|_| async { Ok(Arc::new(Pool(BUILDS.fetch_add(1, Ordering::SeqCst)))) })
            .starts_tasks()
            .register_async::<Shop, _>(|cx| async move { Ok(Arc::new(Shop(cx.get::<Pool>().await?))) })
            .build();
        for round in 0..5 {
            test(&format!("a::test_{round}"), async || {
                assert_eq!(locator.get_async::<Shop>().await.0.connect(), 0);
            })
            .unwrap();
        }
    }

    a_blocking_service_with_a_growing_pool_keeps_the_runtime role_blocking_with_pool [] {
        struct Shop(Arc<Pool>);
        let locator = ServiceLocator::builder()
            .register_async::<Pool, _>(|_| async { Ok(Arc::new(Pool(BUILDS.fetch_add(1, Ordering::SeqCst)))) })
            .starts_tasks()
            .register::<Shop>(|cx| Ok(Arc::new(Shop(cx.get::<Pool>()?))))
            .build();
        std::thread::scope(|scope| {
            let blocking = std::thread::Builder::new().name("a::blocking".to_owned());
            let blocking = blocking.spawn_scoped(scope, || assert_eq!(locator.get::<Shop>().0.0, 0));
            blocking.unwrap().join().unwrap();
        });
        for round in 0..5 {
            test(&format!("a::test_{round}"), async || assert_eq!(locator.get::<Shop>().0.connect(), 0)).unwrap();
        }
    }

    a_failed_test_is_not_blamed role_failed [] {
        assert_eq!(value("a::first", pool), 0);
        let failed = test("a::fails", async || {
            tokio::spawn(std::future::pending::<()>());
            Err::<(), _>("no")
        });
        assert_eq!(failed, Some(Err("no")));
        assert_eq!(value("a::next", pool), 1);
    }

    tasks_in_a_set_are_no_tasks_that_are_left role_set [] {
        for flavor in flavors() {
            BUILDS.store(0, Ordering::SeqCst);
            for round in 0..10 {
                in_flavor(flavor, &format!("a::test_{round}"), async || {
                    assert_eq!(pool().await, 0);
                    let mut tasks = JoinSet::new();
                    for _ in 0..10 {
                        tasks.spawn(std::future::pending::<()>());
                    }
                })
                .unwrap();
            }
        }
    }

    tasks_and_closures_that_end_soon_are_awaited role_soon [] {
        for flavor in flavors() {
            BUILDS.store(0, Ordering::SeqCst);
            for round in 0..10 {
                in_flavor(flavor, &format!("a::test_{round}"), async || {
                    assert_eq!(pool().await, 0);
                    tokio::spawn(async {
                        tokio::spawn(tokio::task::yield_now());
                        tokio::task::yield_now().await;
                    });
                    tokio::task::spawn_blocking(|| Worker::current().id().to_owned()).await.unwrap();
                })
                .unwrap();
            }
        }
    }

    a_closure_that_does_not_end_keeps_its_worker role_closure [] {
        let (let_go, held) = mpsc::channel::<()>();
        let (says, said) = mpsc::channel();
        let worker = value("a::leaves", async || {
            let (started, starts) = mpsc::channel();
            tokio::task::spawn_blocking(move || {
                started.send(()).unwrap();
                held.recv().unwrap();
                says.send(Worker::try_current().map(|_| ())).unwrap();
            });
            starts.recv().unwrap();
            Worker::current().id().to_owned()
        });
        let current = async || Worker::current().id().to_owned();
        assert_ne!(value("a::next", current), worker);
        let_go.send(()).unwrap();
        let error = said.recv().unwrap().unwrap_err().to_string();
        assert!(error.contains("test has ended"), "{error}");
        // The thread gives the worker back when it ends, soon after that.
        while value("a::later", current) != worker {
            std::thread::yield_now();
        }
    }

    a_clock_that_a_test_pauses_is_not_the_next_tests role_clock [
        "a::pauses changed the clock of the runtime of worker w0, which is replaced"
    ] {
        let first = value("a::first", async || (pool().await, runtime()));
        test("a::pauses", async || {
            assert_eq!(pool().await, 0);
            tokio::time::pause();
            tokio::time::sleep(std::time::Duration::from_secs(3600)).await;
        });
        let next = value("a::next", async || (pool().await, runtime()));
        assert!(next.0 == 1 && next.1 != first.1);
    }

    what_a_panic_held_is_not_the_next_tests role_panics [] {
        assert_eq!(value("a::first", pool), 0);
        let panicked = test("a::panics", async || -> () {
            let _held = POOL.get_async().await;
            panic!("as it should");
        });
        assert!(panicked.is_none());
        assert_eq!(value("a::next", pool), 1);
        test("a::panics_in_a_task", async || {
            let task = tokio::spawn(async {
                let _held = POOL.get_async().await;
                panic!("as it should");
            });
            assert!(task.await.is_err());
        });
        assert_eq!(value("a::last", pool), 2);
    }

    a_service_of_one_test_ends_inside_the_runtime role_per_test [] {
        static ENDED_IN: AtomicUsize = AtomicUsize::new(0);
        struct Server;
        impl Drop for Server {
            fn drop(&mut self) {
                tokio::spawn(async {});
                ENDED_IN.fetch_add(1, Ordering::SeqCst);
            }
        }
        let locator = ServiceLocator::builder()
            .register_async::<Server, _>(|_| async { Ok(Arc::new(Server)) })
            .per_test()
            .build();
        for round in 1..=3 {
            test("a::test", async || drop(locator.get_async::<Server>().await));
            assert_eq!(ENDED_IN.load(Ordering::SeqCst), round);
        }
    }

    a_blocking_request_outside_of_runtimes_builds_on_the_workers_runtime role_blocking [] {
        let get = || {
            let pool = POOL.get();
            assert!(Handle::try_current().is_err());
            pool.0
        };
        let run = |name: &str| {
            std::thread::Builder::new().name(name.to_owned()).spawn(get).unwrap().join().unwrap()
        };
        assert_eq!([run("a::first"), run("a::second")], [0, 0]);
        assert_eq!(value("a::third", pool), 0);
    }

    a_service_that_a_blocking_factory_builds_inside_ends_with_the_runtime role_lazily [
        "built anew: u8"
    ] {
        static LAZILY: WorkerLocal<u8> = WorkerLocal::new(|_| {
            tokio::spawn(std::future::pending::<()>());
            Ok(BUILDS.fetch_add(1, Ordering::SeqCst) as u8)
        });
        let get = async || *LAZILY.get();
        assert_eq!([value("a::first", get), value("a::second", get)], [0, 0]);
        test("a::leaves", async || {
            tokio::spawn(std::future::pending::<()>());
        });
        assert_eq!(value("a::next", get), 1);
    }

    two_workers_have_two_runtimes role_two [] {
        let meet = std::sync::Barrier::new(2);
        let get = || async || {
            meet.wait();
            (runtime(), pool().await)
        };
        let (one, other) = std::thread::scope(|scope| {
            let other = scope.spawn(|| value("a::one", get()));
            (value("a::other", get()), other.join().unwrap())
        });
        assert!(one.0 != other.0 && one.1 != other.1);
    }
}
