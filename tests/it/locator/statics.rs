//! Lifetimes of statics: one test, or the tests of one worker with a reset between them.

use super::{alone, as_test};
use cofferdam::WorkerLocal;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

static MADE: AtomicU32 = AtomicU32::new(0);
static DROPPED: AtomicU32 = AtomicU32::new(0);

/// A value with the number of the value before it and one more.
struct Numbered(u32, Mutex<Vec<&'static str>>);

impl Numbered {
    fn new() -> Self {
        Self(MADE.fetch_add(1, Ordering::SeqCst), Mutex::default())
    }
}

impl Drop for Numbered {
    fn drop(&mut self) {
        DROPPED.fetch_add(1, Ordering::SeqCst);
    }
}

static BASKET: WorkerLocal<Numbered> = WorkerLocal::new(|_| Ok(Numbered::new())).per_test();

static STOCK: WorkerLocal<Numbered> = WorkerLocal::new(|_| Ok(Numbered::new())).reset(|stock| {
    let mut left = stock.1.lock().map_err(|error| error.to_string())?;
    if left.contains(&"stuck") {
        return Err("stuck".into());
    }
    left.clear();
    Ok(())
});

fn fails(name: &str, work: impl FnOnce() + Send) {
    let failed = catch_unwind(AssertUnwindSafe(|| as_test(name, work)));
    assert!(failed.is_err(), "{name}");
}

alone! {
    fn a_static_of_one_test_is_dropped_at_its_end() {
        for number in 0..3 {
            as_test("a::test", || {
                assert_eq!((BASKET.get().0, BASKET.get().0), (number, number));
                assert_eq!(DROPPED.load(Ordering::SeqCst), number);
            });
            assert_eq!(DROPPED.load(Ordering::SeqCst), number + 1);
        }
    }

    fn a_fake_of_a_static_of_one_test_ends_with_the_test() {
        as_test("a::first", || {
            std::mem::forget(BASKET.override_with(Arc::new(Numbered::new())));
            assert_eq!(BASKET.get().0, 0);
        });
        as_test("a::second", || assert_eq!(BASKET.get().0, 1));
    }

    fn a_static_is_reset_before_the_next_test_uses_it() {
        as_test("a::first", || STOCK.get().1.lock().unwrap().push("left"));
        as_test("a::second", || {
            let stock = STOCK.get();
            assert_eq!((stock.0, stock.1.lock().unwrap().len()), (0, 0), "it is the same one");
        });
    }

    fn a_static_that_cannot_be_reset_is_built_anew() {
        as_test("a::first", || STOCK.get().1.lock().unwrap().push("stuck"));
        as_test("a::second", || assert_eq!(STOCK.get().0, 1));
        assert_eq!(DROPPED.load(Ordering::SeqCst), 1);
    }

    fn a_static_that_a_failing_test_held_is_not_reset_but_built_anew() {
        fails("a::panics", || {
            let stock = STOCK.get();
            stock.1.lock().unwrap().push("left");
            panic!("as it should");
        });
        as_test("a::second", || {
            assert_eq!(STOCK.get().0, 1);
            STOCK.get().1.lock().unwrap().push("left");
            cofferdam::worker::mark_failed();
        });
        as_test("a::third", || assert_eq!(STOCK.get().0, 2));
    }

    fn a_factory_of_a_static_of_one_test_gets_a_directory_for_that_test() {
        static EXPORT: WorkerLocal<std::path::PathBuf> = WorkerLocal::new(|cx| Ok(cx.dir()?)).per_test();
        let first = as_test("a::first", || {
            std::fs::write(EXPORT.get().join("left"), "").unwrap();
            EXPORT.get().to_path_buf()
        });
        as_test("a::second", || {
            assert_ne!(*EXPORT.get(), first);
            assert_eq!(std::fs::read_dir(&*EXPORT.get()).unwrap().count(), 0);
        });
    }

    fn a_static_is_used_like_a_plain_one_and_no_test_holds_its_value_afterwards() {
        fn lock(of: &'static Numbered) -> MutexGuard<'static, Vec<&'static str>> {
            of.1.lock().unwrap()
        }
        as_test("a::first", || {
            let mut basket = lock(&BASKET);
            basket.push("left");
            assert_eq!((BASKET.0, BASKET.get().0), (0, 0));
            assert!(std::ptr::eq(&raw const *BASKET, &raw const *BASKET));
            lock(&STOCK).push("reset");
        });
        as_test("a::second", || {
            assert_eq!((lock(&BASKET).len(), BASKET.0), (0, 2));
            assert_eq!((lock(&STOCK).len(), STOCK.0), (0, 1), "it is the same one");
        });
        assert_eq!(DROPPED.load(Ordering::SeqCst), 0);
        let caches = cofferdam::diagnostics::collect().caches;
        let known: Vec<_> = caches.iter().flat_map(|cache| &cache.entries).collect();
        assert!(known.len() == 1 && known[0].holders == 0, "{known:?}");
    }
}
