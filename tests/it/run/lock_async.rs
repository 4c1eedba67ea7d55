//! Asynchronous locks.

use super::is_one_test;
use cofferdam::lock::{LockOptions, lock_async, try_lock};
use cofferdam::{Worker, lock};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use tokio::runtime::Runtime;

#[test]
fn a_second_task_of_the_same_test_gets_an_error_and_not_a_deadlock() {
    let name = "async lock tests: second task";
    let (worker, runtime) = (Worker::current(), Runtime::new().unwrap());
    runtime.block_on(async {
        let _alone = lock_async(name).await;
        for asks in [true, false] {
            let second = worker.instrument(LockOptions::new().lock_async(name));
            let result = if asks {
                runtime.spawn(second).await.unwrap()
            } else {
                second.await
            };
            let error = result.map(drop).unwrap_err().to_string();
            assert!(error.contains("would wait for its own test"), "{error}");
        }
    });
}

#[test]
fn a_task_may_take_a_lock_that_its_thread_holds() {
    let name = "async lock tests: thread and task";
    let _alone = lock(name);
    let runtime = Runtime::new().unwrap();
    runtime.block_on(async { drop(lock_async(name).await) });
}

#[test]
fn a_guard_may_be_held_while_a_task_moves_from_thread_to_thread() {
    let name = "async lock tests: moving";
    let runtime = Runtime::new().unwrap();
    let task = Worker::current().instrument(async move {
        let guard = lock_async(name).await;
        tokio::task::yield_now().await;
        guard.name().to_owned()
    });
    assert_eq!(runtime.block_on(runtime.spawn(task)).unwrap(), name);
}

#[test]
fn a_task_waits_without_blocking_its_thread_until_the_holder_lets_go() {
    if is_one_test() {
        return;
    }
    let name = "async lock tests: waiting";
    let alone = lock(name);
    let other = std::thread::Builder::new().name("lock_async::other".to_owned());
    let (waits, hears) = std::sync::mpsc::channel();
    let other = other.spawn(move || {
        let mut waiting = pin!(lock_async(name));
        let mut context = Context::from_waker(Waker::noop());
        assert!(matches!(waiting.as_mut().poll(&mut context), Poll::Pending));
        waits.send(()).unwrap();
        Runtime::new().unwrap().block_on(waiting).name().to_owned()
    });
    hears.recv().unwrap();
    drop(alone);
    assert_eq!(other.unwrap().join().unwrap(), name);
}

#[test]
fn a_future_that_is_dropped_while_it_waits_leaves_the_lock_to_others() {
    if is_one_test() {
        return;
    }
    let name = "async lock tests: given up";
    let alone = lock(name);
    let other = std::thread::Builder::new().name("lock_async::gives_up".to_owned());
    let gave_up = other.spawn(move || {
        let mut waiting = Box::pin(lock_async(name));
        let mut context = Context::from_waker(Waker::noop());
        assert!(waiting.as_mut().poll(&mut context).is_pending());
    });
    gave_up.unwrap().join().unwrap();
    drop(alone);
    // The thread that still waits for the dropped future releases the lock at once.
    drop(lock(name));
    assert!(try_lock("async lock tests: free").unwrap().is_some());
}
