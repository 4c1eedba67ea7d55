//! The services of a schedule, and what all its workers can see.

use cofferdam::{LazyProxy, ServiceLocator, Worker, WorkerLocal};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak, mpsc};

/// A service that knows where it comes from.
pub(super) struct Own {
    pub(super) key: Key,
    pub(super) number: u64,
    /// Who built it, or whose fake it is.
    pub(super) worker: String,
    pub(super) test: String,
    pub(super) part: Option<Arc<Own>>,
    pub(super) later: Option<LazyProxy<Own>>,
    pub(super) is_real: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    Base,
    /// Built from `Base`.
    Direct,
    /// Holds a proxy of `Base`.
    Later,
    /// Of one test, built from `Base`.
    OfTest,
    Shared,
    Static,
    Filler(u8),
}

pub(super) const KEYS: [Key; 6] = [
    Key::Base,
    Key::Direct,
    Key::Later,
    Key::OfTest,
    Key::Shared,
    Key::Static,
];

impl Key {
    pub(super) fn name(self) -> String {
        format!("{self:?}")
    }

    /// Whether it changes when `Base` is replaced.
    pub(super) fn has_base(self) -> bool {
        matches!(self, Self::Direct | Self::Later | Self::OfTest)
    }
}

/// What all workers of one schedule can see.
pub(super) struct World {
    pub(super) locator: ServiceLocator,
    /// What each lane was handed last, for the next test in it.
    pub(super) lanes: Mutex<BTreeMap<String, Known>>,
    pub(super) lent: Mutex<Vec<Arc<Own>>>,
    /// Those whose proxy any worker may have been the first to use, at any moment.
    pub(super) untouched: Mutex<BTreeSet<u64>>,
    /// A thread that works for whoever asks.
    pool: Mutex<Option<mpsc::Sender<Work>>>,
    pub(super) clears_begun: AtomicU64,
    pub(super) clears_ended: AtomicU64,
}

pub(super) type Work = Box<dyn FnOnce() + Send>;

/// What was handed out, with the fakes of `Base` and of itself in force, and when all was cleared last.
pub(super) type Known = BTreeMap<(Key, Option<u64>), (Weak<Own>, u64)>;

/// How many were built, and which were seen, by worker and service.
pub(super) static BUILT: Mutex<BTreeMap<(String, Key), u64>> = Mutex::new(BTreeMap::new());
pub(super) static SEEN: Mutex<BTreeMap<(String, Key), BTreeSet<u64>>> = Mutex::new(BTreeMap::new());
pub(super) static STATICS: Mutex<BTreeMap<String, u64>> = Mutex::new(BTreeMap::new());
pub(super) static LOCAL: WorkerLocal<Own> =
    WorkerLocal::new(|cx| Ok(Own::new(Key::Static, cx.worker(), true)));

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Own {
    pub(super) fn new(key: Key, worker: &Worker, is_real: bool) -> Self {
        static NUMBERS: AtomicU64 = AtomicU64::new(0);
        let id = worker.id().to_owned();
        if is_real {
            *lock(&BUILT).entry((id.clone(), key)).or_default() += 1;
            // Whoever could come in between shall.
            std::thread::yield_now();
        }
        Self {
            key,
            number: NUMBERS.fetch_add(1, Ordering::SeqCst),
            worker: id,
            test: worker.test().unwrap_or("main").to_owned(),
            part: None,
            later: None,
            is_real,
        }
    }
}

impl World {
    pub(super) fn new(pool: mpsc::Sender<Work>) -> Self {
        let builder = ServiceLocator::builder()
            .capacity(2)
            .register::<Own>(|cx| Ok(Arc::new(Own::new(Key::Base, cx.worker(), true))))
            .named(&Key::Base.name())
            .register::<Own>(|cx| {
                let part = Some(cx.get_named(&Key::Base.name())?);
                Ok(Arc::new(Own {
                    part,
                    ..Own::new(Key::Direct, cx.worker(), true)
                }))
            })
            .named(&Key::Direct.name())
            .register::<Own>(|cx| {
                let later = Some(cx.lazy_named(&Key::Base.name())?);
                Ok(Arc::new(Own {
                    later,
                    ..Own::new(Key::Later, cx.worker(), true)
                }))
            })
            .named(&Key::Later.name())
            .register::<Own>(|cx| {
                let part = Some(cx.get_named(&Key::Base.name())?);
                Ok(Arc::new(Own {
                    part,
                    ..Own::new(Key::OfTest, cx.worker(), true)
                }))
            })
            .named(&Key::OfTest.name())
            .per_test()
            .register_shared::<Own>(|cx| Ok(Arc::new(Own::new(Key::Shared, cx.worker(), true))))
            .named(&Key::Shared.name());
        let builder = (0..4).fold(builder, |builder, number| {
            let filler = Key::Filler(number);
            builder
                .register::<Own>(move |cx| Ok(Arc::new(Own::new(filler, cx.worker(), true))))
                .named(&filler.name())
        });
        Self {
            locator: builder.build(),
            lanes: Mutex::default(),
            lent: Mutex::default(),
            untouched: Mutex::default(),
            pool: Mutex::new(Some(pool)),
            clears_begun: AtomicU64::new(0),
            clears_ended: AtomicU64::new(0),
        }
    }

    pub(super) fn get(&self, key: Key) -> Arc<Own> {
        self.getter(key)()
    }

    /// Asks for a service wherever it is called.
    pub(super) fn getter(&self, key: Key) -> impl FnOnce() -> Arc<Own> + Send + use<> {
        let locator = self.locator.clone();
        move || match key {
            Key::Static => LOCAL.get(),
            key => locator.get_named(&key.name()),
        }
    }

    /// Does the work on the pool's thread.
    pub(super) fn pooled<R: Send + 'static>(&self, work: impl FnOnce() -> R + Send + 'static) -> R {
        let (done, is_done) = mpsc::channel();
        let pool = lock(&self.pool).clone().unwrap();
        pool.send(Box::new(move || drop(done.send(work())))).unwrap();
        drop(pool);
        is_done.recv().unwrap()
    }

    /// The pool has nothing more to do.
    pub(super) fn close(&self) {
        lock(&self.pool).take();
    }

    /// How often all was cleared, unless that is going on.
    pub(super) fn clears(&self) -> Option<u64> {
        let ended = self.clears_ended.load(Ordering::SeqCst);
        (self.clears_begun.load(Ordering::SeqCst) == ended).then_some(ended)
    }
}

pub(super) fn note(found: &Own) {
    if !found.is_real {
        return;
    }
    lock(&SEEN)
        .entry((found.worker.clone(), found.key))
        .or_default()
        .insert(found.number);
}
