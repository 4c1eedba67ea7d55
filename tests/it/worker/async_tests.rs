//! `#[cofferdam::test]`, in this process under either runner.

use crate::run::state;
use cofferdam::diagnostics::LockState;
use cofferdam::lock::LockGuard;
use cofferdam::{Worker, serial};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Barrier;

fn id() -> String {
    Worker::current().id().to_owned()
}

#[cofferdam::test]
async fn the_body_and_its_tasks_have_the_worker() {
    let worker = Worker::current();
    let task = tokio::spawn(async {
        let before = id();
        tokio::task::yield_now().await;
        (before, tokio::spawn(async { id() }).await.unwrap())
    });
    let (before, inner) = task.await.unwrap();
    assert_eq!([before.as_str(), inner.as_str()], [worker.id(); 2]);
    assert!(
        worker
            .test()
            .unwrap()
            .ends_with("the_body_and_its_tasks_have_the_worker")
    );
}

#[cofferdam::test]
async fn a_closure_on_another_thread_has_the_worker() {
    let (own, thread) = (id(), std::thread::current().id());
    let closure = || (id(), std::thread::current().id());
    let (other, its_thread) = tokio::task::spawn_blocking(closure).await.unwrap();
    assert_eq!(other, own);
    assert_ne!(its_thread, thread);
}

#[cofferdam::test(flavor = "multi_thread", worker_threads = 3)]
async fn every_thread_of_the_runtime_has_the_worker() {
    let (own, meet) = (Worker::current(), Arc::new(std::sync::Barrier::new(3)));
    // All three are in the barrier at once, so each is on a thread of its own.
    let tasks = (0..3).map(|_| {
        let meet = Arc::clone(&meet);
        tokio::spawn(async move {
            meet.wait();
            (id(), std::thread::current().id())
        })
    });
    let mut threads = std::collections::HashSet::new();
    for task in tasks.collect::<Vec<_>>() {
        let (other, thread) = task.await.unwrap();
        assert_eq!(other, own.id());
        threads.insert(thread);
    }
    assert_eq!(threads.len(), 3);
    assert!(
        std::thread::current()
            .name()
            .unwrap()
            .contains("every_thread_of_the_runtime")
    );
}

#[cofferdam::test]
async fn timers_and_sockets_work() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (accepted, connected) = tokio::join!(listener.accept(), tokio::net::TcpStream::connect(address));
    assert!(accepted.is_ok() && connected.is_ok());
    tokio::time::sleep(Duration::from_millis(1)).await;
}

#[cofferdam::test]
async fn a_result_is_passed_on() -> Result<(), fmt::Error> {
    fmt::Write::write_str(&mut String::new(), "")?;
    Ok(())
}

#[cofferdam::test]
#[should_panic(expected = "as it should")]
async fn a_panic_is_passed_on() {
    tokio::task::yield_now().await;
    panic!("as it should");
}

#[cofferdam::test]
fn a_function_that_is_not_async_is_a_test_too() -> Result<(), fmt::Error> {
    assert!(tokio::runtime::Handle::try_current().is_err());
    assert!(!id().is_empty());
    Ok(())
}

#[cofferdam::test]
#[should_panic(expected = "as it should")]
fn so_is_one_that_panics() {
    panic!("as it should");
}

mod elsewhere {
    pub(super) use cofferdam as renamed;
}

#[elsewhere::renamed::test(flavor = "multi_thread", crate = elsewhere::renamed)]
async fn the_crate_may_have_another_name() {
    assert!(!id().is_empty());
}

#[serial(async_tests_above)]
#[cofferdam::test]
async fn a_lock_above_is_held() {
    tokio::task::yield_now().await;
    assert_eq!(state("async_tests_above"), LockState::Exclusive);
}

#[cofferdam::test]
#[serial(async_tests_below)]
async fn a_lock_below_is_held() -> Result<(), fmt::Error> {
    tokio::task::yield_now().await;
    assert_eq!(state("async_tests_below"), LockState::Exclusive);
    Ok(())
}

#[cofferdam::test(flavor = "current_thread")]
#[should_panic(expected = "as it should")]
#[serial(async_tests_panics)]
async fn a_test_with_a_lock_may_panic() {
    assert_eq!(state("async_tests_panics"), LockState::Exclusive);
    panic!("as it should");
}

/// All of the attribute's tests are found by a module's `#[serial]`.
#[serial(async_tests_module)]
mod a_module {
    use super::*;

    #[cofferdam::test]
    async fn gives_its_lock_to_each() {
        assert_eq!(state("async_tests_module"), LockState::Exclusive);
    }
}

#[cofferdam::test]
async fn a_lock_is_awaited() {
    let guard: LockGuard = cofferdam::lock::lock_async("async_tests_awaited").await;
    assert_eq!(state("async_tests_awaited"), LockState::Exclusive);
    drop(guard);
}

#[cofferdam::test]
async fn a_panic_in_a_task_is_the_tasks() {
    let task = tokio::spawn(async { panic!("as it should") });
    assert!(task.await.unwrap_err().is_panic());
}

#[cofferdam::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_tasks_meet_in_one_worker() {
    let (own, meet) = (id(), Arc::new(Barrier::new(64)));
    let tasks: Vec<_> = (0..64)
        .map(|_| {
            let meet = Arc::clone(&meet);
            tokio::spawn(async move {
                meet.wait().await;
                tokio::task::yield_now().await;
                id()
            })
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await.unwrap(), own);
    }
}

#[test]
fn a_thread_of_another_runtime_gets_help_for_runtimes() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("my pool")
        .build()
        .unwrap();
    let asked = runtime.block_on(runtime.spawn(async { Worker::try_current().map(|_| ()) }));
    // Under nextest every thread of the process has its worker.
    if let Err(error) = asked.unwrap() {
        let text = error.to_string();
        assert!(
            text.contains("#[cofferdam::test]") && text.contains("`instrument`"),
            "{text}"
        );
    }
}
