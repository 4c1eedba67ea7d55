//! Futures on a runtime whose threads belong to no test.

use cofferdam::Worker;
use std::sync::Arc;
use tokio::runtime::Builder;
use tokio::sync::{Barrier, oneshot};

fn id() -> String {
    Worker::current().id().to_owned()
}

#[test]
fn a_future_works_for_its_worker_on_every_thread_of_the_runtime() {
    let worker = Worker::current();
    let runtime = Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let meet = Arc::new(Barrier::new(8));
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let meet = Arc::clone(&meet);
            runtime.spawn(worker.instrument(async move {
                let before = id();
                meet.wait().await;
                tokio::task::yield_now().await;
                (before, id())
            }))
        })
        .collect();
    for task in tasks {
        let (before, after) = runtime.block_on(task).unwrap();
        assert_eq!((before.as_str(), after.as_str()), (worker.id(), worker.id()));
    }
}

#[test]
fn a_future_that_is_cancelled_is_dropped_in_its_worker() {
    struct Asks(Option<oneshot::Sender<Result<String, cofferdam::Error>>>);
    impl Drop for Asks {
        fn drop(&mut self) {
            let asked = Worker::try_current().map(|worker| worker.id().to_owned());
            self.0.take().unwrap().send(asked).unwrap();
        }
    }
    let worker = Worker::current();
    let runtime = Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let (answer, answered) = oneshot::channel();
    let (starts, started) = oneshot::channel();
    let asks = Asks(Some(answer));
    let task = runtime.spawn(worker.instrument(async move {
        let _asks = asks;
        starts.send(()).unwrap();
        std::future::pending::<()>().await;
    }));
    runtime.block_on(started).unwrap();
    task.abort();
    assert_eq!(runtime.block_on(answered).unwrap().unwrap(), worker.id());
}

#[test]
fn a_future_that_panics_leaves_its_scope() {
    let worker = Worker::current();
    let runtime = Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let panicked = runtime.spawn(worker.instrument(async { panic!("as it should") }));
    assert!(runtime.block_on(panicked).is_err());
    let next = runtime.spawn(worker.instrument(async { id() }));
    assert_eq!(runtime.block_on(next).unwrap(), worker.id());
}
