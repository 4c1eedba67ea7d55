//! Values whose `Drop` misbehaves.

#[cfg(all(unix, not(miri)))]
use super::alone;
use super::{Log, Noted, OnDrop, in_time, is_same};
use cofferdam::{ServiceLocator, Worker};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak, mpsc};
use std::time::Duration;

/// A service that does something when it is dropped.
type Any = OnDrop<Box<dyn FnMut() + Send + Sync>>;

fn any(work: impl FnMut() + Send + Sync + 'static) -> Arc<Any> {
    Arc::new(OnDrop(Box::new(work)))
}

/// The locator, for services that use it later.
type Slot = Arc<OnceLock<ServiceLocator>>;

/// A panic's value has a `Drop` as well.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("again");
    }
}

#[test]
fn a_drop_that_asks_for_others_and_for_itself_is_answered() {
    let slot = Slot::default();
    let (within, asks) = (Arc::clone(&slot), AtomicBool::new(true));
    let locator = ServiceLocator::builder()
        .register::<u8>(|_| Ok(Arc::new(7)))
        .register::<Any>(move |_| {
            let (slot, first) = (Arc::clone(&within), asks.swap(false, Ordering::SeqCst));
            Ok(any(move || {
                if let (Some(locator), true) = (slot.get(), first) {
                    assert_eq!(*locator.get::<u8>(), 7);
                    locator.get::<Any>();
                    locator.clear_worker();
                    locator.get::<Any>();
                }
            }))
        })
        .build();
    assert!(slot.set(locator.clone()).is_ok());
    in_time(move || {
        let first = Arc::downgrade(&locator.get::<Any>().into_arc());
        locator.clear_worker();
        locator.get::<Any>();
        assert_eq!(first.strong_count(), 0);
    });
}

#[test]
fn a_drop_that_runs_because_of_an_eviction_is_answered() {
    let slot = Slot::default();
    let (within, log) = (Arc::clone(&slot), Log::default());
    let noted = log.clone();
    let locator = ServiceLocator::builder()
        .capacity(1)
        .register::<u8>(|_| Ok(Arc::new(7)))
        .register::<u16>(|_| Ok(Arc::new(8)))
        .register::<Any>(move |_| {
            let (slot, log) = (Arc::clone(&within), noted.clone());
            Ok(any(move || {
                let locator = slot.get().unwrap();
                log.note(format!("{} {}", locator.get::<u8>(), locator.get::<u16>()));
            }))
        })
        .build();
    assert!(slot.set(locator.clone()).is_ok());
    in_time(move || {
        locator.get::<Any>();
        locator.get::<u8>();
        assert_eq!(log.take(), ["7 8"]);
    });
}

/// Several instances may be evicted at once; those that come later are still available.
#[test]
fn a_drop_may_keep_what_was_next_to_be_evicted_and_it_is_still_the_one() {
    let kept: Arc<Mutex<Option<Arc<u8>>>> = Arc::default();
    let next: Arc<Mutex<Weak<u8>>> = Arc::default();
    let (keep, of) = (Arc::clone(&kept), Arc::clone(&next));
    let builds = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&builds);
    let locator = ServiceLocator::builder()
        .capacity(1)
        .register::<Any>(move |_| {
            let (keep, of) = (Arc::clone(&keep), Arc::clone(&of));
            Ok(any(move || *keep.lock().unwrap() = of.lock().unwrap().upgrade()))
        })
        .register::<u8>(move |_| Ok(Arc::new(counted.fetch_add(1, Ordering::SeqCst) as u8)))
        .register::<u16>(|_| Ok(Arc::new(0)))
        .build();
    let (any, first) = (locator.get::<Any>(), locator.get::<u8>().into_arc());
    *next.lock().unwrap() = Arc::downgrade(&first);
    drop((any, first));
    locator.get::<u16>();
    let kept = kept.lock().unwrap().take().unwrap();
    assert!(is_same(&locator.get::<u8>(), &kept));
    assert_eq!(builds.load(Ordering::SeqCst), 1);
}

#[test]
fn a_drop_that_uses_what_was_next_to_be_evicted_keeps_it() {
    let slot = Slot::default();
    let within = Arc::clone(&slot);
    let locator = ServiceLocator::builder()
        .capacity(1)
        .register::<Any>(move |_| {
            let slot = Arc::clone(&within);
            Ok(any(move || drop(slot.get().unwrap().get::<u8>())))
        })
        .register::<u8>(|_| Ok(Arc::new(7)))
        .register::<u16>(|_| Ok(Arc::new(8)))
        .build();
    assert!(slot.set(locator.clone()).is_ok());
    let (any, first) = (locator.get::<Any>(), locator.get::<u8>().into_arc());
    let kept = Arc::downgrade(&first);
    drop((any, first));
    // Both exceed the capacity now, and the first one to be dropped uses the second.
    locator.get::<u16>();
    assert!(kept.upgrade().is_some_and(|kept| is_same(&kept, &locator.get())));
    locator.clear_worker();
}

#[test]
fn an_override_that_ends_in_between_changes_nothing_about_that() {
    let locator = ServiceLocator::builder()
        .capacity(1)
        .register::<u8>(|_| Ok(Arc::new(0)))
        .register::<u16>(|_| Ok(Arc::new(0)))
        .register::<u32>(|_| Ok(Arc::new(0)))
        .build();
    let held = locator.get::<u8>();
    drop(locator.override_with(Arc::new(7_u32)));
    locator.get::<u16>();
    locator.get::<u32>();
    assert!(is_same(&locator.get::<u8>(), &held));
}

#[test]
fn a_get_waits_for_the_drop_of_the_predecessor_and_its_timeout_names_the_dropping_thread() {
    let (is_parked, parked) = mpsc::channel();
    let (go, wait) = mpsc::channel::<()>();
    let once = Mutex::new(Some((is_parked, Mutex::new(wait))));
    let locator = ServiceLocator::builder()
        .build_timeout(Duration::from_millis(30))
        .register::<Any>(move |_| {
            let mut parks = once.lock().unwrap().take();
            Ok(any(move || {
                if let Some((is_parked, wait)) = parks.take() {
                    is_parked.send(()).unwrap();
                    let _ = wait.lock().unwrap().recv();
                }
            }))
        })
        .build();
    let worker = Worker::current();
    locator.get::<Any>();
    let (there, of) = (locator.clone(), worker.clone());
    let clears = std::thread::Builder::new().name("the one that clears".to_owned());
    let clears = clears.spawn(of.wrap(move || there.clear_worker())).unwrap();
    parked.recv().unwrap();
    let error = locator.try_get::<Any>().map(drop).unwrap_err().to_string();
    assert!(error.contains("is still busy after 0.03 s"), "{error}");
    assert!(
        error.contains(r#"thread "the one that clears" is still dropping its predecessor"#),
        "{error}"
    );
    go.send(()).unwrap();
    clears.join().unwrap();
    assert!(locator.try_get::<Any>().is_ok());
}

// In separate runs, because these tests provoke conflicts and output that the suite's own must not contain.
#[cfg(all(unix, not(miri)))]
alone! {
    fn a_panic_in_a_drop_does_not_stop_the_other_drops() {
        let log = Log::default();
        let noted = log.clone();
        let locator = ServiceLocator::builder()
            .register::<Noted>(move |_| Ok(Noted::new("older", &noted)))
            .register::<Any>(|_| Ok(any(|| panic!("as it should"))))
            .build();
        for _ in 0..2 {
            locator.get::<Noted>();
            locator.get::<Any>();
            locator.clear_worker();
            assert_eq!(log.take(), ["older dropped"]);
        }
    }

    fn a_panic_whose_value_panics_is_survived_in_drops_and_in_factories() {
        let log = Log::default();
        let (noted, tries) = (log.clone(), AtomicU32::new(0));
        let locator = ServiceLocator::builder()
            .register::<Noted>(move |_| Ok(Noted::new("older", &noted)))
            .register::<Any>(|_| Ok(any(|| std::panic::panic_any(Bomb))))
            .register::<u8>(move |_| match tries.fetch_add(1, Ordering::SeqCst) {
                0 => std::panic::panic_any(Bomb),
                _ => Ok(Arc::new(7)),
            })
            .build();
        locator.get::<Noted>();
        locator.get::<Any>();
        locator.clear_worker();
        assert_eq!(log.take(), ["older dropped"]);
        let error = locator.try_get::<u8>().unwrap_err().to_string();
        assert!(error.contains("a panic without a message"), "{error}");
        assert_eq!(*locator.get::<u8>(), 7);
        // An instance whose drop panicked keeps no caller waiting.
        assert!(in_time(move || {
            let elsewhere = Worker::current().spawn({
                let locator = locator.clone();
                move || locator.try_get::<Any>().is_ok()
            });
            elsewhere.join().unwrap()
        }));
    }

    /// A factory is dropped with its locator, together with the values that it captured, whose `Drop` is user code.
    fn a_factory_that_asks_when_it_is_dropped_is_answered() {
        struct Plain;
        let other = ServiceLocator::builder()
            .register::<u8>(|_| Ok(Arc::new(7)))
            .build();
        let (there, log) = (other.clone(), Log::default());
        let noted = log.clone();
        in_time(move || {
            let captured = any(move || noted.note(format!("asked: {}", there.get::<u8>())));
            let locator = ServiceLocator::builder()
                .register::<Plain>(move |_| {
                    let _ = &captured;
                    Ok(Arc::new(Plain))
                })
                .build();
            let _held = locator.get::<Plain>();
            drop(locator);
            assert_eq!(log.take(), ["asked: 7"]);
        });
    }
}
