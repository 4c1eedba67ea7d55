//! Services with async factories.

use cofferdam::locator::AsyncContext;
use cofferdam::{Access, Resource, ServiceLocator, Worker, WorkerLocal};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::{Barrier, Notify, oneshot};

struct Pool(String);
struct Shop(Arc<Pool>);

static POOL: WorkerLocal<Pool> = WorkerLocal::new_async(&|cx: AsyncContext| async move {
    tokio::task::yield_now().await;
    Ok(Pool(cx.worker().id().to_owned()))
});

fn locator() -> ServiceLocator {
    ServiceLocator::builder()
        .register_async::<Pool, _>(|cx| async move { Ok(Arc::new(Pool(cx.worker().id().to_owned()))) })
        .register_async::<Shop, _>(|cx| async move { Ok(Arc::new(Shop(cx.get::<Pool>().await?))) })
        .register::<u8>(|_| Ok(Arc::new(7)))
        .build()
}

#[cofferdam::test]
async fn a_static_is_built_once_for_its_worker() {
    let first = POOL.get_async().await;
    assert_eq!(first.0, Worker::current().id());
    let other = tokio::spawn(async { POOL.get_async().await }).await.unwrap();
    assert!(std::ptr::eq(&*first, &*other));
}

#[cofferdam::test]
async fn services_are_built_from_services() {
    let locator = locator();
    let shop = locator.get_async::<Shop>().await;
    let pool = locator.get_async::<Pool>().await;
    assert!(std::ptr::eq(&*shop.0, &*pool));
    // With a blocking factory the two kinds of requests are one.
    assert_eq!((*locator.get_async::<u8>().await, *locator.get::<u8>()), (7, 7));
}

#[cofferdam::test]
async fn a_blocking_request_inside_a_runtime_is_an_error_also_if_the_service_is_built() {
    let locator = locator();
    for _ in 0..2 {
        for text in [
            POOL.try_get().err().unwrap().to_string(),
            locator.try_get::<Pool>().err().unwrap().to_string(),
        ] {
            assert!(text.starts_with("Pool has an async factory"), "{text}");
            assert!(text.contains("get_async"), "{text}");
        }
        POOL.get_async().await;
        locator.get_async::<Pool>().await;
    }
}

#[test]
fn a_blocking_request_outside_of_runtimes_builds_it() {
    assert_eq!(POOL.get().0, Worker::current().id());
    let locator = locator();
    let lazy = locator.lazy::<Shop>();
    assert_eq!(lazy.0.0, Worker::current().id());
}

#[tokio::test]
async fn another_runtime_than_the_workers_gets_an_error_that_names_both() {
    let locator = locator();
    let error = locator.try_get_async::<Pool>().await.err().unwrap().to_string();
    let here = format!(
        "requested on tokio runtime {}",
        tokio::runtime::Handle::current().id()
    );
    assert!(
        error.contains(&here) && error.contains("#[cofferdam::test]"),
        "{error}"
    );
    let owner = format!("Pool belongs to the runtime of worker {}", Worker::current());
    assert!(error.starts_with(&owner), "{error}");
}

#[cofferdam::test]
async fn a_service_that_is_built_is_not_for_other_runtimes() {
    let own = tokio::runtime::Handle::current().id();
    let pool = POOL.get_async().await;
    let asked = Worker::current().spawn(|| {
        let foreign = tokio::runtime::Builder::new_current_thread().build().unwrap();
        foreign.block_on(async { POOL.try_get_async().await.err().unwrap().to_string() })
    });
    let error = tokio::task::spawn_blocking(|| asked.join().unwrap())
        .await
        .unwrap();
    let owner = format!("Pool belongs to tokio runtime {own} of worker {}", pool.0);
    assert!(error.starts_with(&owner), "{error}");
}

#[test]
fn without_a_runtime_a_future_gets_an_error_and_the_next_request_tries_again() {
    let locator = locator();
    let mut future = Box::pin(locator.try_get_async::<Pool>());
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let std::task::Poll::Ready(outcome) = future.as_mut().poll(&mut context) else {
        panic!("it waits");
    };
    let error = outcome.err().unwrap().to_string();
    assert!(error.contains("requested outside of a tokio runtime"), "{error}");
    drop(future);
    assert_eq!(locator.get::<Pool>().0, Worker::current().id());
}

#[cofferdam::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_at_one_time_share_one_build() {
    static BUILDS: AtomicUsize = AtomicUsize::new(0);
    let locator = ServiceLocator::builder()
        .register_async::<usize, _>(|_| async {
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
            Ok(Arc::new(BUILDS.fetch_add(1, Ordering::SeqCst)))
        })
        .build();
    let meet = Arc::new(Barrier::new(32));
    let tasks: Vec<_> = (0..32)
        .map(|_| {
            let (locator, meet) = (locator.clone(), Arc::clone(&meet));
            tokio::spawn(async move {
                meet.wait().await;
                *locator.get_async::<usize>().await
            })
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await.unwrap(), 0);
    }
    assert_eq!(BUILDS.load(Ordering::SeqCst), 1);
}

/// On one thread: if joining a build blocked it, the build would never end.
#[cofferdam::test]
async fn joining_a_build_does_not_block_the_thread() {
    let (release, ready) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (released, started) = (Arc::clone(&release), Arc::clone(&ready));
    let locator = ServiceLocator::builder()
        .register_async::<u8, _>(move |_| {
            let (released, started) = (Arc::clone(&released), Arc::clone(&started));
            async move {
                started.notify_one();
                released.notified().await;
                Ok(Arc::new(7))
            }
        })
        .build();
    let first = tokio::spawn({
        let locator = locator.clone();
        async move { *locator.get_async::<u8>().await }
    });
    ready.notified().await;
    let (second, ()) = tokio::join!(locator.get_async::<u8>(), async {
        tokio::task::yield_now().await;
        release.notify_one();
    });
    assert_eq!((first.await.unwrap(), *second), (7, 7));
}

#[cofferdam::test]
async fn a_request_that_is_cancelled_does_not_cancel_the_build() {
    static BUILDS: AtomicUsize = AtomicUsize::new(0);
    let release = Arc::new(Notify::new());
    let released = Arc::clone(&release);
    let locator = ServiceLocator::builder()
        .register_async::<u8, _>(move |_| {
            let released = Arc::clone(&released);
            async move {
                BUILDS.fetch_add(1, Ordering::SeqCst);
                released.notified().await;
                Ok(Arc::new(7))
            }
        })
        .build();
    let cancelled = tokio::time::timeout(Duration::from_millis(1), locator.get_async::<u8>()).await;
    assert!(cancelled.is_err());
    release.notify_one();
    assert_eq!(*locator.get_async::<u8>().await, 7);
    assert_eq!(BUILDS.load(Ordering::SeqCst), 1);
}

#[cofferdam::test]
async fn a_cycle_of_async_factories_is_an_error_with_its_path() {
    struct A;
    struct B;
    let locator = ServiceLocator::builder()
        .register_async::<A, _>(|cx| async move {
            cx.get::<B>().await?;
            Ok(Arc::new(A))
        })
        .register_async::<B, _>(|cx| async move {
            cx.get::<A>().await?;
            Ok(Arc::new(B))
        })
        .build();
    let error = locator.try_get_async::<A>().await.err().unwrap().to_string();
    let worker = Worker::current();
    let path = format!("A ({worker}) -> B ({worker}) -> A ({worker})");
    assert!(error.contains(&path), "{error}");
    // Begun from both sides.
    let (a, b) = tokio::join!(locator.try_get_async::<A>(), locator.try_get_async::<B>());
    for error in [a.err().unwrap(), b.err().unwrap()] {
        assert!(error.to_string().contains("a cycle of factories"), "{error}");
    }
}

#[cofferdam::test]
async fn a_cycle_through_a_blocking_factory_ends_too() {
    struct A;
    struct B;
    let locator = ServiceLocator::builder()
        .register_async::<A, _>(|cx| async move {
            cx.get::<B>().await?;
            Ok(Arc::new(A))
        })
        .register::<B>(|cx| {
            cx.get::<A>()?;
            Ok(Arc::new(B))
        })
        .build();
    let error = locator.try_get_async::<A>().await.err().unwrap().to_string();
    assert!(error.contains("A has an async factory"), "{error}");
}

#[cofferdam::test]
async fn the_wait_of_a_cancelled_request_closes_no_cycle() {
    struct A;
    struct B;
    let (release, released) = (Arc::new(Notify::new()), Arc::new(OnceLock::new()));
    released.set(Arc::clone(&release)).unwrap();
    let locator = ServiceLocator::builder()
        .register_async::<A, _>(move |cx| {
            let release = Arc::clone(released.get().unwrap());
            async move {
                // A waits for B for a while, and no longer when B requests A.
                let waits = tokio::time::timeout(Duration::from_millis(1), cx.get::<B>());
                assert!(waits.await.is_err());
                release.notify_one();
                Ok(Arc::new(A))
            }
        })
        .register_async::<B, _>(move |cx| {
            let release = Arc::clone(&release);
            async move {
                release.notified().await;
                cx.get::<A>().await?;
                Ok(Arc::new(B))
            }
        })
        .build();
    locator.get_async::<A>().await;
    locator.get_async::<B>().await;
}

#[cofferdam::test]
async fn all_requests_get_the_error_or_panic_of_the_factory_and_the_next_tries_again() {
    static BUILDS: AtomicUsize = AtomicUsize::new(0);
    let locator = ServiceLocator::builder()
        .register_async::<usize, _>(|_| async {
            tokio::task::yield_now().await;
            match BUILDS.fetch_add(1, Ordering::SeqCst) {
                0 => Err("no table".into()),
                1 => panic!("no database"),
                build => Ok(Arc::new(build)),
            }
        })
        .build();
    for text in ["no table", "no database"] {
        let (one, other) = tokio::join!(locator.try_get_async::<usize>(), locator.try_get_async::<usize>());
        for error in [one.err().unwrap(), other.err().unwrap()] {
            assert!(error.to_string().contains(text), "{error}");
        }
    }
    assert_eq!(*locator.get_async::<usize>().await, 2);
}

#[cofferdam::test]
async fn a_build_that_takes_too_long_is_named() {
    let (_keep, never) = oneshot::channel::<()>();
    let never = Arc::new(std::sync::Mutex::new(Some(never)));
    let locator = ServiceLocator::builder()
        .build_timeout(Duration::from_millis(1))
        .register_async::<u8, _>(move |_| {
            let never = never.lock().unwrap().take();
            async move {
                never.unwrap().await?;
                Ok(Arc::new(7))
            }
        })
        .build();
    let first = tokio::time::timeout(Duration::from_millis(1), locator.get_async::<u8>());
    assert!(first.await.is_err());
    let error = locator.try_get_async::<u8>().await.err().unwrap().to_string();
    assert!(error.contains("another task is still building it"), "{error}");
}

#[cofferdam::test]
async fn an_override_replaces_it_and_what_is_built_from_it() {
    let locator = locator();
    let real = locator.get_async::<Shop>().await.into_arc();
    let fake = locator.override_with::<Pool>(Arc::new(Pool("fake".to_owned())));
    assert_eq!(locator.get_async::<Shop>().await.0.0, "fake");
    drop(fake);
    assert!(Arc::ptr_eq(&locator.get_async::<Shop>().await.into_arc(), &real));
}

#[cofferdam::test]
async fn a_context_has_a_directory_and_declares_claims() {
    static REPORT: WorkerLocal<std::path::PathBuf> = WorkerLocal::new_async(&|cx: AsyncContext| async move {
        let path = cx.dir()?.join("report.csv");
        cx.claim(Resource::file(&path), Access::Write);
        assert!(
            cx.get::<u8>()
                .await
                .unwrap_err()
                .to_string()
                .contains("`WorkerLocal`")
        );
        Ok(path)
    });
    assert!(REPORT.get_async().await.parent().unwrap().is_dir());
}
