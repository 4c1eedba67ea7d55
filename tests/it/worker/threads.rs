//! The worker of each thread. Roles have leased lanes, as under `cargo test`; the other tests hold under every
//! runner.

use cofferdam::{Error, Worker};
use std::sync::{Barrier, mpsc};
use std::thread;

#[test]
fn a_test_has_a_worker_and_keeps_it() {
    let worker = Worker::current();
    assert_eq!(worker.id(), Worker::current().id());
    assert_eq!(
        worker.test(),
        Some("worker::threads::a_test_has_a_worker_and_keeps_it")
    );
    assert_eq!(worker.to_string(), worker.id());
    assert!(!worker.run().is_empty());
}

#[test]
fn threads_started_for_a_worker_belong_to_it() {
    let worker = Worker::current();
    let id = || Worker::current().id().to_owned();
    assert_eq!(worker.spawn(id).join().unwrap(), worker.id());
    assert_eq!(thread::spawn(worker.wrap(id)).join().unwrap(), worker.id());
    thread::scope(|scope| {
        let wrapped = scope.spawn(worker.wrap(id));
        let entered = scope.spawn(|| {
            let _scope = worker.enter();
            id()
        });
        assert_eq!(wrapped.join().unwrap(), worker.id());
        assert_eq!(entered.join().unwrap(), worker.id());
    });
}

#[test]
fn a_child_that_panics_leaves_its_scope_and_its_test_goes_on() {
    let worker = Worker::current();
    assert!(worker.spawn(|| panic!("as it should")).join().is_err());
    let panicking = worker.wrap(|| panic!("as it should"));
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(panicking)).is_err());
    assert_eq!(Worker::current().id(), worker.id());
}

#[test]
fn work_that_is_never_done_leaves_with_its_closure() {
    let worker = Worker::current();
    let kept = String::from("kept");
    drop(worker.wrap(move || kept));
    assert_eq!(worker.spawn(|| 7).join().unwrap(), 7);
}

#[test]
fn a_workers_folder_is_its_own_and_stays() {
    let worker = Worker::current();
    let dir = worker.dir().unwrap();
    assert!(dir.is_dir() && dir.is_absolute());
    assert_eq!(dir, worker.dir().unwrap());
    assert!(dir.parent().unwrap().ends_with(worker.id()), "{}", dir.display());
}

/// Runs `work` as libtest runs a test: on a fresh thread named by the test's path.
fn as_test<R: Send>(name: &str, work: impl FnOnce() -> R + Send) -> R {
    thread::scope(|scope| {
        let test = thread::Builder::new().name(name.to_owned());
        test.spawn_scoped(scope, work).unwrap().join().unwrap()
    })
}

fn on_thread(name: Option<&str>) -> Result<String, Error> {
    let thread = name.map_or_else(thread::Builder::new, |name| {
        thread::Builder::new().name(name.to_owned())
    });
    let asked = thread.spawn(|| Worker::try_current().map(|worker| worker.id().to_owned()));
    asked.unwrap().join().unwrap()
}

/// The tests below run in a separate process, with all lanes to themselves.
#[cfg(all(unix, not(miri)))]
mod alone {
    use super::*;
    use crate::role::{play, plays, role};
    use cofferdam::diagnostics::base_dir;

    fn in_a_process(path: &str) -> tempfile::TempDir {
        let base = tempfile::tempdir().unwrap();
        let mut command = role(path, "threads");
        command
            .env("COFFERDAM_DIR", base.path())
            .env("COFFERDAM_RECORD", "s");
        play(&mut command).end().passed();
        base
    }

    fn journal(worker: &str) -> String {
        let base = base_dir(None).unwrap();
        std::fs::read_to_string(
            base.join("runs/threads/workers")
                .join(worker)
                .join("journal.ndjson"),
        )
        .unwrap()
    }

    #[test]
    fn a_thread_that_no_worker_was_passed_to_is_refused() {
        in_a_process("worker::threads::alone::role_refused");
    }

    #[test]
    #[ignore = "a role"]
    fn role_refused() {
        if !plays("worker::threads::alone::role_refused") {
            return;
        }
        for name in ["tokio-rt-worker", "rayon-0", "my pool"] {
            let error = on_thread(Some(name)).unwrap_err().to_string();
            assert!(error.contains(&format!("the thread {name:?}")), "{error}");
        }
        assert!(
            on_thread(None)
                .unwrap_err()
                .to_string()
                .contains("without a name")
        );

        assert_eq!(Worker::current().id(), "w0");
    }

    #[test]
    fn tests_at_once_have_the_smallest_numbers_and_a_later_one_has_them_again() {
        in_a_process("worker::threads::alone::role_compact");
    }

    #[test]
    #[ignore = "a role"]
    fn role_compact() {
        if !plays("worker::threads::alone::role_compact") {
            return;
        }
        for _round in 0..50 {
            let all_there = Barrier::new(4);
            let mut ids: Vec<_> = thread::scope(|scope| {
                let tests: Vec<_> = (0..4)
                    .map(|number| {
                        let all_there = &all_there;
                        let test = thread::Builder::new().name(format!("a::test_{number}"));
                        let work = move || {
                            let worker = Worker::current();
                            all_there.wait();
                            (worker.id().to_owned(), worker.index())
                        };
                        test.spawn_scoped(scope, work).unwrap()
                    })
                    .collect();
                tests.into_iter().map(|test| test.join().unwrap()).collect()
            });
            ids.sort();
            let expected: Vec<_> = (0..4)
                .map(|number| (format!("w{number}"), Some(number)))
                .collect();
            assert_eq!(ids, expected);
        }
    }

    #[test]
    fn scopes_nest_and_each_guard_ends_its_own() {
        in_a_process("worker::threads::alone::role_nest");
    }

    #[test]
    #[ignore = "a role"]
    fn role_nest() {
        if !plays("worker::threads::alone::role_nest") {
            return;
        }
        let own = Worker::current();
        as_test("a::other", || {
            let other = Worker::current();
            let id = || Worker::current().id().to_owned();
            assert_eq!((own.id(), other.id()), ("w0", "w1"));
            {
                let _first = own.enter();
                assert_eq!(id(), "w0");
                {
                    let _second = other.enter();
                    assert_eq!(id(), "w1");
                }
                assert_eq!(id(), "w0");
            }
            assert_eq!(id(), "w1");

            let first = own.enter();
            let second = other.enter();
            drop(first);
            assert_eq!(id(), "w1", "the inner scope is still there");
            drop(second);
            let first = other.enter();
            let second = own.enter();
            drop(first);
            assert_eq!(id(), "w0", "the inner scope is still there");
            drop(second);
            assert_eq!(id(), "w1");
        });
    }

    #[test]
    fn a_child_that_outlives_its_test_keeps_the_lane_until_it_ends() {
        in_a_process("worker::threads::alone::role_outlive");
    }

    #[test]
    #[ignore = "a role"]
    fn role_outlive() {
        if !plays("worker::threads::alone::role_outlive") {
            return;
        }
        let id = || Worker::current().id().to_owned();
        let (go, wait) = mpsc::channel::<()>();
        let (worker, child) = as_test("a::leaks", || {
            let worker = Worker::current();
            let child = worker.spawn(move || {
                let _ = wait.recv();
                // Threads that it starts now still belong to its test's lane.
                let grandchild = Worker::current().spawn(|| Worker::current().id().to_owned());
                grandchild.join().unwrap()
            });
            (worker, child)
        });
        assert_eq!(worker.id(), "w0");
        assert_eq!(as_test("a::next", id), "w1", "its lane is not free");
        let events = journal("w0");
        assert!(
            events.contains(r#""event":"quarantined""#) && events.contains(r#""children":1"#),
            "{events}"
        );

        go.send(()).unwrap();
        assert_eq!(child.join().unwrap(), "w0");
        assert_eq!(as_test("a::after", id), "w0", "its lane is free again");
    }

    #[test]
    fn a_worker_of_a_test_that_is_over_cannot_be_entered() {
        in_a_process("worker::threads::alone::role_stale");
    }

    #[test]
    #[ignore = "a role"]
    fn role_stale() {
        if !plays("worker::threads::alone::role_stale") {
            return;
        }
        let stale = as_test("a::over", Worker::current);
        let own = Worker::current();
        assert_eq!((stale.id(), own.id()), ("w0", "w0"));
        for enter in [
            (|worker| drop(worker.enter())) as fn(&Worker),
            |worker| drop(worker.wrap(|| ())),
            |worker| drop(worker.spawn(|| ())),
        ] {
            let panic = as_test("a::enters", || {
                std::panic::catch_unwind(|| enter(&stale)).unwrap_err()
            });
            let message = panic.downcast_ref::<String>().unwrap();
            assert!(
                message.contains("w0 of a::over") && message.contains("the test has ended"),
                "{message}"
            );
        }
    }

    #[test]
    fn a_request_after_the_end_of_the_test_gets_an_error_that_says_so() {
        in_a_process("worker::threads::alone::role_too_late");
    }

    #[test]
    #[ignore = "a role"]
    fn role_too_late() {
        use std::cell::RefCell;

        struct Asks(mpsc::Sender<Result<String, Error>>);
        impl Drop for Asks {
            fn drop(&mut self) {
                let asked = Worker::try_current().map(|worker| worker.id().to_owned());
                self.0.send(asked).unwrap();
            }
        }
        thread_local! {
            static LATE: RefCell<Option<Asks>> = const { RefCell::new(None) };
        }
        if !plays("worker::threads::alone::role_too_late") {
            return;
        }
        let (sender, answers) = mpsc::channel();
        as_test("a::late", || {
            // Thread-locals are dropped in reverse order of their first use: this one after the worker.
            LATE.with_borrow_mut(|late| *late = Some(Asks(sender)));
            Worker::current();
        });
        let error = answers.recv().unwrap().unwrap_err().to_string();
        assert!(error.contains("test has ended"), "{error}");
    }
}
