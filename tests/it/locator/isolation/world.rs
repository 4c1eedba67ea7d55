//! The services of a schedule, and the state that all its workers share.

use cofferdam::locator::{LazyProxy, LocatorBuilder};
use cofferdam::{Context, ServiceLocator, Worker, WorkerLocal};
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak, mpsc};
use std::time::Duration;

/// A service that knows its origin.
pub(super) struct Own {
    pub(super) key: Key,
    pub(super) number: u64,
    /// The worker that built it or overrode it.
    pub(super) worker: String,
    pub(super) test: String,
    /// The test for which it was built or last reset; `None` if unknown, because it was built on another thread: the
    /// lane may have passed to the next test by then.
    pub(super) fresh_for: Mutex<Option<String>>,
    pub(super) part: Option<Arc<Own>>,
    pub(super) later: Option<LazyProxy<Own>>,
    pub(super) is_real: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    /// Reset for each test.
    Base,
    /// Built from `Base`, and reset too.
    Direct,
    /// Built from `Direct`.
    Deep,
    /// Holds a proxy of `Base`.
    Later,
    /// Holds a proxy of `Later`.
    Chain,
    /// Per test, built from `Base`.
    OfTest,
    Shared,
    /// Shared, and built from `Shared`.
    SharedToo,
    /// Built from `Shared`.
    OnShared,
    Static,
    StaticToo,
    Filler(u8),
    SharedFiller(u8),
}

pub(super) const KEYS: [Key; 11] = [
    Key::Base,
    Key::Direct,
    Key::Deep,
    Key::Later,
    Key::Chain,
    Key::OfTest,
    Key::Shared,
    Key::SharedToo,
    Key::OnShared,
    Key::Static,
    Key::StaticToo,
];

impl Key {
    pub(super) fn name(self) -> String {
        format!("{self:?}")
    }

    /// Its parts.
    pub(super) fn part(self) -> Option<Self> {
        match self {
            Self::Direct | Self::Later | Self::OfTest => Some(Self::Base),
            Self::Deep => Some(Self::Direct),
            Self::Chain => Some(Self::Later),
            Self::SharedToo | Self::OnShared => Some(Self::Shared),
            _ => None,
        }
    }

    pub(super) fn is_shared(self) -> bool {
        matches!(self, Self::Shared | Self::SharedToo | Self::SharedFiller(_))
    }

    pub(super) fn is_static(self) -> bool {
        matches!(self, Self::Static | Self::StaticToo)
    }

    pub(super) fn is_reset(self) -> bool {
        matches!(self, Self::Base | Self::Direct)
    }
}

/// The state that all workers of one schedule share.
pub(super) struct World {
    pub(super) locator: ServiceLocator,
    /// The state of each lane, for its next test.
    pub(super) lanes: Mutex<BTreeMap<String, Lane>>,
    /// The workers whose tests are running.
    pub(super) running: Mutex<Vec<Worker>>,
    pub(super) lent: Mutex<Vec<Arc<Own>>>,
    /// Workers that may have been the first to use a proxy at any moment.
    pub(super) untouched: Mutex<BTreeSet<u64>>,
    /// The shared services, and the last time at which all lanes were cleared.
    pub(super) shared: Mutex<BTreeMap<Key, (u64, u64)>>,
    /// A thread that works for any worker.
    pool: Mutex<Option<mpsc::Sender<Work>>>,
    clears_begun: AtomicU64,
    clears_ended: AtomicU64,
}

pub(super) type Work = Box<dyn FnOnce() + Send>;

/// The instances that the tests of a lane got.
#[derive(Default)]
pub(super) struct Lane {
    /// With the override in force for any of its parts, and the last time at which all lanes were cleared.
    pub(super) known: BTreeMap<(Key, Option<u64>), (Weak<Own>, u64)>,
    /// By number: the clears of all lanes and of this worker before it.
    pub(super) handed: BTreeMap<u64, (u64, u64)>,
    /// The number of clears of this worker.
    pub(super) clears: u64,
}

/// The number of builds, and the instances seen, by worker and service.
pub(super) static BUILT: Mutex<BTreeMap<(String, Key), u64>> = Mutex::new(BTreeMap::new());
pub(super) static SEEN: Mutex<BTreeMap<(String, Key), BTreeSet<u64>>> = Mutex::new(BTreeMap::new());
pub(super) static STATICS: Mutex<BTreeMap<(String, Key), u64>> = Mutex::new(BTreeMap::new());
pub(super) static LOCAL: WorkerLocal<Own> =
    WorkerLocal::new(|cx| Ok(Own::new(Key::Static, cx.worker(), true)));
static LOCAL_TOO: WorkerLocal<Own> = WorkerLocal::new(|cx| Ok(Own::new(Key::StaticToo, cx.worker(), true)));

/// The instances that the locator is dropping on a thread that clears all lanes, and the number of that clear.
static DROPPING: Mutex<BTreeMap<Home, u64>> = Mutex::new(BTreeMap::new());
static CLEARS: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// The number of the clear that this thread performs, 0 outside.
    static CLEARING: Cell<u64> = const { Cell::new(0) };
}

/// The key under which only one instance may exist at a time: its worker, if any, and the override that it is built
/// from.
type Home = (String, Key, Option<u64>);

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Own {
    pub(super) fn new(key: Key, worker: &Worker, is_real: bool) -> Self {
        static NUMBERS: AtomicU64 = AtomicU64::new(0);
        let id = worker.id().to_owned();
        let test = worker.test().unwrap_or("main").to_owned();
        if is_real {
            *lock(&BUILT).entry((id.clone(), key)).or_default() += 1;
            // Gives other threads a chance to interleave.
            std::thread::yield_now();
        }
        Self {
            key,
            number: NUMBERS.fetch_add(1, Ordering::SeqCst),
            fresh_for: Mutex::new(
                (std::thread::current().name() == Some(test.as_str())).then(|| test.clone()),
            ),
            worker: id,
            test,
            part: None,
            later: None,
            is_real,
        }
    }

    fn build(key: Key, cx: &Context<'_>) -> Result<Arc<Self>, cofferdam::BoxError> {
        let clears = CLEARS.load(Ordering::SeqCst);
        let (mut part, mut later) = (None, None);
        match (key, key.part()) {
            (Key::Later | Key::Chain, Some(of)) => later = Some(cx.lazy_named(&of.name())?),
            (_, Some(of)) => part = Some(cx.get_named(&of.name())?),
            (_, None) => {}
        }
        let mut own = Self::new(key, cx.worker(), true);
        (own.part, own.later) = (part, later);
        if let Some(home) = own.home() {
            // A later clear may drop instances that were built meanwhile.
            let dropping = lock(&DROPPING).get(&home).copied();
            assert!(
                dropping.is_none_or(|clear| clear > clears),
                "{key:?} is built while its predecessor is dropped"
            );
        }
        Ok(Arc::new(own))
    }

    /// Returns its parts. A proxy counts as used from then on.
    pub(super) fn made_of(&self) -> Option<&Self> {
        let later = || self.later.as_ref().map(|later| &**later.try_get().unwrap());
        self.part.as_deref().or_else(later)
    }

    /// Returns its key, unless that depends on a proxy.
    fn home(&self) -> Option<Home> {
        if self.later.is_some() {
            return None;
        }
        let worker = if self.key.is_shared() { "" } else { &self.worker };
        let parts = std::iter::successors(Some(self), |own| own.part.as_deref());
        let fake = parts.filter(|own| !own.is_real).map(|fake| fake.number).next();
        Some((worker.to_owned(), self.key, fake))
    }

    fn reset(&self) {
        *lock(&self.fresh_for) = Worker::current().test().map(str::to_owned);
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        let clear = CLEARING.replace(0);
        if let (Some(home), true) = (self.home(), clear > 0 && self.is_real) {
            lock(&DROPPING).insert(home.clone(), clear);
            std::thread::yield_now();
            lock(&DROPPING).remove(&home);
        }
        // An instance that only this thread still held keeps no other waiting.
        self.part = None;
        self.later = None;
        CLEARING.set(clear);
    }
}

impl World {
    pub(super) fn new(pool: mpsc::Sender<Work>) -> Self {
        let builder = ServiceLocator::builder()
            .capacity(2)
            // A hang becomes a failure with a message.
            .build_timeout(Duration::from_secs(20));
        let builder = own(builder, Key::Base).reset(|base| {
            base.reset();
            Ok(())
        });
        let builder = own(builder, Key::Direct).reset(|direct| {
            direct.reset();
            Ok(())
        });
        let builder = own(builder, Key::OfTest).per_test();
        let of_worker = [Key::Deep, Key::Later, Key::Chain, Key::OnShared].into_iter();
        let builder = of_worker.chain((0..4).map(Key::Filler)).fold(builder, own);
        let shared = [Key::Shared, Key::SharedToo].into_iter();
        let builder = shared
            .chain((0..2).map(Key::SharedFiller))
            .fold(builder, |builder, key| {
                builder
                    .register_shared::<Own>(move |cx| Own::build(key, cx))
                    .named(&key.name())
            });
        Self {
            locator: builder.build(),
            lanes: Mutex::default(),
            running: Mutex::default(),
            lent: Mutex::default(),
            untouched: Mutex::default(),
            shared: Mutex::default(),
            pool: Mutex::new(Some(pool)),
            clears_begun: AtomicU64::new(0),
            clears_ended: AtomicU64::new(0),
        }
    }

    pub(super) fn get(&self, key: Key) -> Arc<Own> {
        self.getter(key)()
    }

    /// Requests a service from any thread.
    pub(super) fn getter(&self, key: Key) -> impl FnOnce() -> Arc<Own> + Send + use<> {
        let locator = self.locator.clone();
        move || match key {
            Key::Static => LOCAL.get().into_arc(),
            Key::StaticToo => LOCAL_TOO.get().into_arc(),
            key => locator.get_named::<Own>(&key.name()).into_arc(),
        }
    }

    /// Requests it as another worker, if one is running, and returns that worker's ID.
    pub(super) fn visit(&self, own: &Worker, key: Key) -> Option<(String, Arc<Own>)> {
        let running = lock(&self.running);
        let other = running.iter().find(|other| other.id() != own.id())?.clone();
        // While it is in the list, its test is running.
        let _scope = other.enter();
        drop(running);
        Some((other.id().to_owned(), self.get(key)))
    }

    /// Does the work on the pool's thread.
    pub(super) fn pooled<R: Send + 'static>(&self, work: impl FnOnce() -> R + Send + 'static) -> R {
        let (done, is_done) = mpsc::channel();
        let pool = lock(&self.pool).clone().unwrap();
        pool.send(Box::new(move || drop(done.send(work())))).unwrap();
        drop(pool);
        is_done.recv().unwrap()
    }

    /// Waits until the pool is idle.
    pub(super) fn close(&self) {
        lock(&self.pool).take();
    }

    pub(super) fn clear_all(&self) {
        self.clears_begun.fetch_add(1, Ordering::SeqCst);
        CLEARING.set(CLEARS.fetch_add(1, Ordering::SeqCst) + 1);
        self.locator.clear_all();
        CLEARING.set(0);
        self.clears_ended.fetch_add(1, Ordering::SeqCst);
    }

    /// Returns the number of completed clears of all lanes; `None` during one.
    pub(super) fn clears(&self) -> Option<u64> {
        let ended = self.clears_ended.load(Ordering::SeqCst);
        (self.clears_begun.load(Ordering::SeqCst) == ended).then_some(ended)
    }

    /// Returns whether any worker may have been the first to use a proxy in it.
    pub(super) fn is_doubtful(&self, found: &Own) -> bool {
        let is_untouched = lock(&self.untouched).contains(&found.number);
        is_untouched || found.made_of().is_some_and(|part| self.is_doubtful(part))
    }
}

/// A further service of each worker.
fn own<T: ?Sized>(builder: LocatorBuilder<T>, key: Key) -> LocatorBuilder<Own> {
    builder
        .register::<Own>(move |cx| Own::build(key, cx))
        .named(&key.name())
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
