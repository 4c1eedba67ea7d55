//! Services: built once per worker by a factory, found by type, kept in a bounded cache, let go in good order.

mod builder;
mod context;
mod instance;
pub(crate) mod lane;
mod lazy;
#[cfg(test)]
#[cfg(not(loom))]
mod lru_model;
mod override_guard;
mod registry;
mod resolve;
mod service_handle;
mod wait_graph;
#[cfg(test)]
#[cfg(not(loom))]
mod waiting;
mod worker_local;

pub use builder::{LocatorBuilder, Nothing};
pub use context::Context;
pub use lazy::LazyProxy;
pub use override_guard::OverrideGuard;
pub use service_handle::ServiceHandle;
pub use worker_local::WorkerLocal;

use crate::error::{self, Error};
use crate::worker::{Worker, current};
use instance::Instance;
use lane::{all, thread_cache, view};
use registry::{Key, Registry, Scope, Service};
use resolve::{Ask, Found, Holder, resolve};
use std::fmt;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

/// Finds services by type, and gives each worker its own.
///
/// For code under test that asks a locator for what it needs. What a suite owns itself is simpler as a
/// [`WorkerLocal`]. Cloning shares the locator; when the last clone is dropped, so are its services.
///
/// How long a service lives depends on the runner: under `cargo test` as long as its worker's tests, one after the
/// other; under nextest for its test, for there every test is a process.
///
/// Asked for again by the same test a service costs a thread-local look-up and a reference count; the figures are
/// in docs/performance.md.
///
/// ```
/// use cofferdam::{ServiceLocator, Worker};
/// use std::sync::Arc;
///
/// trait Repo: Send + Sync { fn url(&self) -> String; }
/// struct Sql { worker: String }
/// impl Repo for Sql { fn url(&self) -> String { format!("sql://{}", self.worker) } }
///
/// let locator = ServiceLocator::builder()
///     .register::<dyn Repo>(|cx| Ok(Arc::new(Sql { worker: cx.worker().to_string() })))
///     .build();
/// assert_eq!(locator.get::<dyn Repo>().url(), format!("sql://{}", Worker::current()));
///
/// struct Fake;
/// impl Repo for Fake { fn url(&self) -> String { "fake://".into() } }
/// let fake = locator.override_with::<dyn Repo>(Arc::new(Fake));
/// assert_eq!(locator.get::<dyn Repo>().url(), "fake://");
/// drop(fake);
/// assert!(locator.get::<dyn Repo>().url().starts_with("sql://"));
/// ```
#[derive(Clone)]
pub struct ServiceLocator(Arc<Locator>);

pub(crate) struct Locator {
    id: u64,
    name: Arc<str>,
    capacity: usize,
    build_timeout: Duration,
    registry: Registry,
}

impl ServiceLocator {
    /// Begins to name services.
    #[track_caller]
    pub fn builder() -> LocatorBuilder {
        LocatorBuilder::new(Location::caller())
    }

    /// The worker's `T`.
    ///
    /// # Panics
    /// On what [`try_get`](Self::try_get) returns as an error, with the whole story.
    #[inline]
    #[track_caller]
    pub fn get<T: ?Sized + Send + Sync + 'static>(&self) -> ServiceHandle<T> {
        error::or_panic(self.try_get())
    }

    /// As [`get`](Self::get), for one of several `T`.
    ///
    /// # Panics
    /// As [`get`](Self::get).
    #[track_caller]
    pub fn get_named<T: ?Sized + Send + Sync + 'static>(&self, name: &str) -> ServiceHandle<T> {
        error::or_panic(self.try_get_named(name))
    }

    /// The worker's `T`, built now if it is not there yet.
    ///
    /// # Errors
    /// When it is not registered, there is no worker on this thread, its factory fails or panics, it waits in a
    /// circle, or another thread that builds it takes longer than the build timeout.
    #[inline]
    pub fn try_get<T: ?Sized + Send + Sync + 'static>(&self) -> Result<ServiceHandle<T>, Error> {
        self.try_get_named("")
    }

    /// As [`try_get`](Self::try_get), for one of several `T`.
    ///
    /// # Errors
    /// As [`try_get`](Self::try_get).
    #[inline]
    pub fn try_get_named<T: ?Sized + Send + Sync + 'static>(
        &self,
        name: &str,
    ) -> Result<ServiceHandle<T>, Error> {
        let found = match thread_cache::get(self.0.id, name) {
            Some(found) => found,
            None => self.find_slowly(name)?,
        };
        Ok(ServiceHandle::new(found))
    }

    #[cold]
    fn find_slowly<T: ?Sized + Send + Sync + 'static>(&self, name: &str) -> Result<Arc<T>, Error> {
        let service = self.find::<T>(name)?;
        self.resolve(service, &Worker::try_current()?, None)
            .map(|(found, ..)| found)
    }

    /// The worker's `T`, built when the proxy is first used.
    ///
    /// # Panics
    /// When it is not registered.
    #[track_caller]
    pub fn lazy<T: ?Sized + Send + Sync + 'static>(&self) -> LazyProxy<T> {
        self.lazy_named("")
    }

    /// As [`lazy`](Self::lazy), for one of several `T`.
    ///
    /// # Panics
    /// When it is not registered.
    #[track_caller]
    pub fn lazy_named<T: ?Sized + Send + Sync + 'static>(&self, name: &str) -> LazyProxy<T> {
        LazyProxy::new(self, Arc::clone(error::or_panic(self.find::<T>(name))))
    }

    /// Puts `fake` in the place of `T` for this worker, until the guard is dropped or the test ends. Other workers
    /// notice nothing.
    ///
    /// # Panics
    /// When `T` is not registered, or on a thread without a worker.
    #[track_caller]
    pub fn override_with<T: ?Sized + Send + Sync + 'static>(&self, fake: Arc<T>) -> OverrideGuard {
        self.override_named("", fake)
    }

    /// As [`override_with`](Self::override_with), for one of several `T`.
    ///
    /// # Panics
    /// As [`override_with`](Self::override_with).
    #[track_caller]
    pub fn override_named<T: ?Sized + Send + Sync + 'static>(
        &self,
        name: &str,
        fake: Arc<T>,
    ) -> OverrideGuard {
        OverrideGuard::new(error::or_panic(self.find::<T>(name)), Instance::new(fake))
    }

    /// Drops this worker's services, newest first; the next use builds anew. What is shared by all workers stays, and
    /// so do overrides. Whoever holds an old instance keeps it, and the report says so; nothing waits until they have
    /// dropped it.
    ///
    /// # Panics
    /// On a thread without a worker.
    #[track_caller]
    pub fn clear_worker(&self) {
        let worker = Worker::current();
        for scope in [Scope::Test, Scope::Worker] {
            let lane = all::of(scope, &worker);
            resolve::let_go(&lane, lane.clear(self.0.id, false));
        }
    }

    /// Drops every worker's services and the shared ones, newest first. Other workers may be in the middle of a
    /// test: what they hold they keep, what they ask for next is built anew.
    pub fn clear_all(&self) {
        clear(self.0.id, false);
    }

    fn find<T: ?Sized + 'static>(&self, name: &str) -> Result<&Arc<Service>, Error> {
        self.0.registry.find::<T>(name, &self.0.name)
    }

    /// The instance, its number, and the name of the lane it lies in.
    fn resolve<T: ?Sized + Send + Sync + 'static>(
        &self,
        service: &Arc<Service>,
        worker: &Worker,
        holder: Option<&Holder>,
    ) -> Result<(Arc<T>, u64, String), Error> {
        let capacity = (service.scope != Scope::Shared).then_some(self.0.capacity);
        let ask = Ask {
            service,
            locator: Some(self),
            capacity,
            build_timeout: self.0.build_timeout,
            holder,
        };
        let found = resolve(&ask, worker)?;
        let (number, lane) = (found.given.number, found.lane.name.clone());
        Ok((typed(found, &service.key, worker)?, number, lane))
    }

    pub(crate) fn id(&self) -> u64 {
        self.0.id
    }
}

/// The instance as what it is, remembered for this thread's next call.
fn typed<T: ?Sized + Send + Sync + 'static>(
    found: Found,
    key: &Key,
    worker: &Worker,
) -> Result<Arc<T>, Error> {
    let Found { given, lane, own } = found;
    let service = given.instance.downcast::<T>().cloned();
    // The key holds the type's ID, so this cannot be; an error is kinder than a panic all the same.
    let service =
        service.ok_or_else(|| Error::unknown(key.name.to_string(), lane.name.clone(), Vec::new()))?;
    // A proxy may have asked on behalf of another worker than this thread's.
    if let Some(uses) = given.uses.filter(|_| current::stamp() == worker.life()) {
        thread_cache::put(key.locator, &key.name, lane, given.epoch, own, uses, &service);
    }
    Ok(service)
}

/// Gives up a locator's services, in all lanes.
fn clear(locator: u64, for_good: bool) {
    let mut leaving = Vec::new();
    // What is shared first: who asks for it from then on, to build from it, is handed the new one.
    for lane in all::shared_first() {
        let left = lane.clear(locator, for_good);
        leaving.extend(left.into_iter().map(|one| (Arc::clone(&lane), one)));
    }
    leaving.sort_by_key(|(_, one)| std::cmp::Reverse(one.entry.about.order));
    let gone: Vec<_> = leaving
        .into_iter()
        .map(|(lane, one)| {
            let gone = lane.let_go(vec![one]);
            (lane, gone)
        })
        .collect();
    for (lane, gone) in gone {
        lane.tell(gone);
    }
}

/// A locator or a `WorkerLocal` is gone, and its services go with it.
fn forget(locator: u64) {
    clear(locator, true);
}

impl Drop for Locator {
    fn drop(&mut self) {
        forget(self.id);
    }
}

impl fmt::Debug for ServiceLocator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceLocator")
            .field("name", &self.0.name)
            .finish_non_exhaustive()
    }
}

/// Every cache of this process, or those of one locator.
pub(crate) fn views(locator: Option<&ServiceLocator>) -> Vec<view::CacheView> {
    let mut views: Vec<_> = all::all()
        .iter()
        .flat_map(|lane| lane.views(locator.map(ServiceLocator::id)))
        .collect();
    views.sort_by(|a, b| (&a.locator, &a.worker).cmp(&(&b.locator, &b.worker)));
    views
}
