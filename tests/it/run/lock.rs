//! Locks within one process. Each test uses locks with its own names.

use super::is_one_test;
use cofferdam::lock::{LockOptions, lock_shared, try_lock, try_lock_shared};
use cofferdam::{Worker, lock};
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

/// Runs `work` as another test.
fn another_test<T: Send>(name: &str, work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let test = thread::Builder::new().name(format!("{}::{name}", module_path!()));
        test.spawn_scoped(scope, work).unwrap().join().unwrap()
    })
}

#[test]
fn a_test_may_take_its_own_lock_again_and_gives_it_back_with_the_last_guard() {
    let name = "lock tests: again";
    let (first, second) = (lock(name), lock(name));
    assert!(try_lock_shared(name).unwrap().is_some());
    drop(first);
    assert!(another_test("again", || try_lock(name).unwrap().is_none()));
    drop(second);
    assert!(another_test("again", || try_lock(name).unwrap().is_some()));
}

#[test]
fn readers_exclude_a_writer_and_no_other_reader() {
    let name = "lock tests: readers";
    let _reading = lock_shared(name);
    another_test("reader", || {
        assert!(try_lock_shared(name).unwrap().is_some());
        assert!(try_lock(name).unwrap().is_none());
    });
}

#[test]
fn a_second_thread_of_the_same_test_gets_an_error_and_not_a_deadlock() {
    let name = "lock tests: second thread";
    let _alone = lock(name);
    let second = Worker::current().spawn(move || {
        assert!(try_lock(name).unwrap().is_none());
        LockOptions::new().lock(name).unwrap_err().to_string()
    });
    let error = second.join().unwrap();
    assert!(error.contains("would wait for its own test"), "{error}");
}

#[test]
fn a_reader_that_wants_to_write_gets_an_error_and_not_a_deadlock() {
    let name = "lock tests: upgrade";
    let _reading = lock_shared(name);
    let error = LockOptions::new().lock(name).unwrap_err().to_string();
    assert!(error.contains("would wait for its own test"), "{error}");
}

#[test]
fn a_thread_without_a_worker_gets_an_error_that_says_so() {
    let thread = thread::spawn(|| try_lock("lock tests: nobody").map(drop));
    let error = thread.join().unwrap();
    // Under nextest the process is the worker, so there is no such thread.
    if let Err(error) = error {
        assert!(error.to_string().starts_with("no worker is known"), "{error}");
    }
}

#[test]
fn a_guard_may_be_given_back_by_another_thread() {
    let name = "lock tests: moved";
    let alone = lock(name);
    thread::spawn(move || drop(alone)).join().unwrap();
    assert!(another_test("moved", || try_lock(name).unwrap().is_some()));
}

#[test]
fn a_lock_that_times_out_names_its_holder() {
    let name = "lock tests: timeout";
    let _alone = lock(name);
    let error = another_test("late", || {
        let options = LockOptions::new().timeout(Duration::from_millis(5));
        options.lock(name).unwrap_err().to_string()
    });
    // Under nextest both threads are one test.
    if !error.contains("its own test") {
        assert!(
            error.starts_with("lock `lock tests: timeout` was not free within 0.005 s"),
            "{error}"
        );
        #[expect(clippy::disallowed_methods, reason = "the message names this process")]
        let holder = format!("pid {}", std::process::id());
        assert!(
            error.contains("a_lock_that_times_out_names_its_holder") && error.contains(&holder),
            "{error}"
        );
    }
}

#[test]
fn tests_on_four_threads_never_meet_under_a_lock() {
    let name = "lock tests: threads";
    if is_one_test() {
        // Under nextest the process is one test.
        return;
    }
    let (start, inside) = (Barrier::new(4), std::sync::Mutex::new(0_u32));
    thread::scope(|scope| {
        for number in 0..4 {
            let (start, inside) = (&start, &inside);
            let test = thread::Builder::new().name(format!("lock::threads_{number}"));
            let work = move || {
                start.wait();
                for _ in 0..50 {
                    let _alone = lock(name);
                    *inside.try_lock().expect("nobody else is inside") += 1;
                }
            };
            test.spawn_scoped(scope, work).unwrap();
        }
    });
    assert_eq!(inside.into_inner().unwrap(), 200);
}

#[test]
fn hostile_names_are_valid_names() {
    for name in ["", "..", "a/b", "\0", "schema\t\n", &"x".repeat(500)] {
        let guard = lock(name);
        assert_eq!(guard.name(), name);
    }
}
