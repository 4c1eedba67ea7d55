//! Tests whose work is done by a thread that another test started: of a pool, and of the async runtime of their worker.

use cofferdam::Worker;
use std::path::Path;
use std::sync::mpsc::{Sender, channel};
use std::sync::{LazyLock, Mutex};

type Work = Box<dyn FnOnce() + Send>;

/// A pool of one thread, which the first test that uses it starts.
static POOL: LazyLock<Mutex<Sender<Work>>> = LazyLock::new(|| {
    let (sender, works) = channel::<Work>();
    std::thread::spawn(move || works.into_iter().for_each(|work| work()));
    Mutex::new(sender)
});

fn write(name: &str) {
    let met = Path::new(env!("CARGO_MANIFEST_DIR")).join("met");
    std::fs::write(met.join(name), "").unwrap();
}

/// Does the work on the thread of the pool.
fn on_the_pool(work: impl FnOnce() + Send + 'static) {
    let (done, over) = channel();
    let work = Box::new(move || {
        work();
        done.send(()).unwrap();
    });
    POOL.lock().unwrap().send(work).unwrap();
    over.recv().unwrap();
}

#[test]
fn a_uses_the_pool() {
    on_the_pool(Worker::current().wrap(|| write("pool")));
}

#[test]
fn b_uses_the_pool() {
    on_the_pool(Worker::current().wrap(|| write("pool")));
}

#[test]
fn c_enters_twice() {
    let worker = Worker::current();
    on_the_pool(move || {
        let outer = worker.enter();
        drop(worker.enter());
        write("nested");
        drop(outer);
    });
}

#[test]
fn d_enters_once() {
    let worker = Worker::current();
    on_the_pool(move || {
        let _entered = worker.enter();
        write("nested");
    });
}

#[cofferdam::test(flavor = "multi_thread", worker_threads = 1)]
async fn e_spawns() {
    tokio::spawn(async { write("runtime") }).await.unwrap();
}

#[cofferdam::test(flavor = "multi_thread", worker_threads = 1)]
async fn f_spawns() {
    tokio::spawn(async { write("runtime") }).await.unwrap();
}

#[cofferdam::test(flavor = "multi_thread", worker_threads = 1)]
async fn g_blocks() {
    tokio::task::spawn_blocking(|| write("blocking")).await.unwrap();
}

#[cofferdam::test(flavor = "multi_thread", worker_threads = 1)]
async fn h_blocks() {
    let spawned = tokio::spawn(async { tokio::task::spawn_blocking(|| write("blocking")).await });
    spawned.await.unwrap().unwrap();
}
