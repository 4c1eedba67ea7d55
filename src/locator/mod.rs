//! Services: built once per worker by a factory, found by type, and kept in a bounded cache.
//!
//! A suite uses [`ServiceLocator`] or [`WorkerLocal`]; this module has the types
//! that they return.

#[cfg(feature = "tokio")]
mod async_context;
#[cfg(feature = "tokio")]
mod async_resolve;
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
mod service;
mod service_handle;
mod wait_graph;
#[cfg(test)]
#[cfg(not(loom))]
mod waiting;
mod worker_local;

#[cfg(feature = "tokio")]
pub use async_context::AsyncContext;
pub use builder::{LocatorBuilder, Nothing};
pub use context::Context;
pub use lazy::LazyProxy;
pub use override_guard::OverrideGuard;
pub use service_handle::ServiceHandle;
pub use worker_local::WorkerLocal;

use crate::error::{self, Error};
use crate::sys::sorted;
use crate::worker::Worker;
use instance::Instance;
use lane::{all, thread_cache, view};
use registry::{AnyFactory, Registered, Registry};
use resolve::{ServiceRequest, resolve};
use service::{Lifetime, Service};
use std::fmt;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;
use wait_graph::ProxyHolder;

/// Finds services by type, with one instance of each per worker.
///
/// For code under test that gets its dependencies from a locator. For values that only the suite uses, a [`WorkerLocal`]
/// is simpler. Clones share one locator; when the last is dropped, so are its services.
///
/// The lifetime of a service depends on the runner: under `cargo test` it serves its worker's tests one after the other;
/// under nextest it serves one test, because every test is a process.
///
/// A repeated request in the same test costs a thread-local lookup and a reference count; docs/design/performance.md has the
/// figures.
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
    /// Returns a builder, with which services are registered.
    #[track_caller]
    pub fn builder() -> LocatorBuilder {
        LocatorBuilder::new(Location::caller())
    }

    /// Returns the worker's `T`, building it if necessary.
    ///
    /// # Panics
    /// On the error that [`try_get`](Self::try_get) returns.
    #[inline]
    #[track_caller]
    pub fn get<T: ?Sized + Send + Sync + 'static>(&self) -> ServiceHandle<T> {
        error::or_panic(self.try_get())
    }

    /// Like [`get`](Self::get), for one of several `T`.
    ///
    /// # Panics
    /// Like [`get`](Self::get).
    #[track_caller]
    pub fn get_named<T: ?Sized + Send + Sync + 'static>(&self, name: &str) -> ServiceHandle<T> {
        error::or_panic(self.try_get_named(name))
    }

    /// Returns the worker's `T`, building it if necessary.
    ///
    /// # Errors
    /// When it is not registered, this thread has no worker, its factory fails or panics, factories wait for each other in
    /// a cycle, or another thread takes longer than the build timeout to build it.
    #[inline]
    pub fn try_get<T: ?Sized + Send + Sync + 'static>(&self) -> Result<ServiceHandle<T>, Error> {
        self.try_get_named("")
    }

    /// Like [`try_get`](Self::try_get), for one of several `T`.
    ///
    /// # Errors
    /// Like [`try_get`](Self::try_get).
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
        let service = &self.find::<T>(name)?.service;
        self.resolve(service, &Worker::try_current()?, None)
            .map(|(found, ..)| found)
    }

    /// Returns the worker's `T`, building it if necessary, without blocking the runtime while it is built by an async factory.
    ///
    /// # Panics
    /// On the error that [`try_get_async`](Self::try_get_async) returns, when it is awaited.
    #[cfg(feature = "tokio")]
    #[track_caller]
    pub fn get_async<T: ?Sized + Send + Sync + 'static>(
        &self,
    ) -> impl Future<Output = ServiceHandle<T>> + Send + use<'_, T> {
        error::or_panic_at(self.try_get_async(), Location::caller())
    }

    /// Returns the worker's `T`, building it if necessary.
    ///
    /// # Errors
    /// Like [`try_get`](Self::try_get); also on any runtime but the worker's own, which `#[cofferdam::test]` provides, if the
    /// service has an async factory.
    #[cfg(feature = "tokio")]
    pub async fn try_get_async<T: ?Sized + Send + Sync + 'static>(&self) -> Result<ServiceHandle<T>, Error> {
        self.try_get_named_async("").await
    }

    /// Like [`try_get_async`](Self::try_get_async), for one of several `T`.
    ///
    /// # Errors
    /// Like [`try_get_async`](Self::try_get_async).
    #[cfg(feature = "tokio")]
    pub async fn try_get_named_async<T: ?Sized + Send + Sync + 'static>(
        &self,
        name: &str,
    ) -> Result<ServiceHandle<T>, Error> {
        let registered = self.find::<T>(name)?;
        let AnyFactory::Async(factory) = &registered.factory else {
            return self.try_get_named(name);
        };
        let worker = Worker::try_current()?;
        let request = self.async_request(&registered.service, factory, None);
        let resolved = async_resolve::resolve_async(request, &worker).await?;
        resolved
            .downcast(&registered.service, &worker)
            .map(ServiceHandle::new)
    }

    #[cfg(feature = "tokio")]
    fn async_request(
        &self,
        service: &Arc<Service>,
        factory: &Arc<async_context::AsyncFactory>,
        holder: Option<&ProxyHolder>,
    ) -> async_resolve::AsyncRequest {
        async_resolve::AsyncRequest {
            service: Arc::clone(service),
            factory: Arc::clone(factory),
            locator: Some(self.clone()),
            capacity: Some(self.0.capacity),
            build_timeout: self.0.build_timeout,
            holder: holder.cloned(),
        }
    }

    /// Returns a proxy for the worker's `T`, which is built when the proxy is first used.
    ///
    /// # Panics
    /// When it is not registered.
    #[track_caller]
    pub fn lazy<T: ?Sized + Send + Sync + 'static>(&self) -> LazyProxy<T> {
        self.lazy_named("")
    }

    /// Like [`lazy`](Self::lazy), for one of several `T`.
    ///
    /// # Panics
    /// When it is not registered.
    #[track_caller]
    pub fn lazy_named<T: ?Sized + Send + Sync + 'static>(&self, name: &str) -> LazyProxy<T> {
        LazyProxy::new(self, Arc::clone(&error::or_panic(self.find::<T>(name)).service))
    }

    /// Replaces `T` by `fake` for this worker, until the guard is dropped or the test ends. Other workers are not affected.
    ///
    /// # Panics
    /// When `T` is not registered, or this thread has no worker.
    #[track_caller]
    pub fn override_with<T: ?Sized + Send + Sync + 'static>(&self, fake: Arc<T>) -> OverrideGuard {
        self.override_named("", fake)
    }

    /// Like [`override_with`](Self::override_with), for one of several `T`.
    ///
    /// # Panics
    /// Like [`override_with`](Self::override_with).
    #[track_caller]
    pub fn override_named<T: ?Sized + Send + Sync + 'static>(
        &self,
        name: &str,
        fake: Arc<T>,
    ) -> OverrideGuard {
        OverrideGuard::new(
            &error::or_panic(self.find::<T>(name)).service,
            Instance::new(fake),
        )
    }

    /// Drops this worker's services, newest first; the next use builds them anew. Shared services and overrides stay. Other
    /// references to an old instance remain valid, and the report names them; the call does not wait for their end.
    ///
    /// # Panics
    /// When this thread has no worker.
    #[track_caller]
    pub fn clear_worker(&self) {
        let worker = Worker::current();
        for lifetime in [Lifetime::Test, Lifetime::Worker] {
            let lane = all::of(lifetime, &worker);
            lane.dispose(lane.clear(self.0.id, false));
        }
    }

    /// Drops all workers' services and the shared ones, newest first. Tests that are running keep the references that they
    /// have; their next requests build anew.
    pub fn clear_all(&self) {
        all::clear(self.0.id, false);
    }

    fn find<T: ?Sized + 'static>(&self, name: &str) -> Result<&Registered, Error> {
        self.0.registry.find::<T>(name, &self.0.name)
    }

    /// Returns the instance, its number, and the name of its lane.
    fn resolve<T: ?Sized + Send + Sync + 'static>(
        &self,
        service: &Arc<Service>,
        worker: &Worker,
        holder: Option<&ProxyHolder>,
    ) -> Result<(Arc<T>, u64, String), Error> {
        let key = &service.key;
        let registered = self.0.registry.get(key.type_id, Arc::clone(&key.name));
        let unknown = || Error::unknown(service.label(), self.0.name.to_string(), Vec::new());
        let resolved = match &registered.ok_or_else(unknown)?.factory {
            AnyFactory::Blocking(factory) => resolve(
                &ServiceRequest {
                    service,
                    factory: &**factory,
                    locator: Some(self),
                    capacity: (service.lifetime != Lifetime::Shared).then_some(self.0.capacity),
                    build_timeout: self.0.build_timeout,
                    holder,
                },
                worker,
            )?,
            #[cfg(feature = "tokio")]
            AnyFactory::Async(factory) => {
                async_resolve::resolve_blocking(self.async_request(service, factory, holder), worker)?
            }
        };
        let (number, lane) = (resolved.instance.number, resolved.lane.name.clone());
        Ok((resolved.downcast(service, worker)?, number, lane))
    }

    pub(crate) fn id(&self) -> u64 {
        self.0.id
    }
}

impl Drop for Locator {
    fn drop(&mut self) {
        all::clear(self.id, true);
    }
}

impl fmt::Debug for ServiceLocator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceLocator")
            .field("name", &self.0.name)
            .finish_non_exhaustive()
    }
}

/// Returns the state of all caches of this process, or of those of one locator.
pub(crate) fn views(locator: Option<&ServiceLocator>) -> Vec<view::CacheView> {
    let mut views = Vec::new();
    for lane in all::shared_first() {
        for view in lane.views(locator.map(ServiceLocator::id)) {
            sorted::insert(&mut views, view, |a, b| {
                (&a.locator, &a.worker) < (&b.locator, &b.worker)
            });
        }
    }
    views
}
