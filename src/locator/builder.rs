//! The builder of a locator.

#[cfg(feature = "tokio")]
use super::async_context::{AsyncContext, BuildFuture};
use super::context::Context;
use super::instance::Instance;
use super::registry::{AnyFactory, Registered, Registry};
use super::service::{Key, Lifetime, Service, reset_of};
use super::{Locator, ServiceLocator};
use crate::error::{self, BoxError, Error};
use crate::sys::clock;
use std::any::{TypeId, type_name};
use std::marker::PhantomData;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

/// The default number of unused services that a worker keeps.
const CAPACITY: usize = 50;
/// The default timeout for another thread's build.
pub(super) const BUILD_TIMEOUT: Duration = Duration::from_secs(60);

/// Builds a [`ServiceLocator`]. `T` is the service registered last, to which [`named`](Self::named),
/// [`per_test`](Self::per_test) and [`reset`](Self::reset) apply.
///
/// ```
/// use cofferdam::ServiceLocator;
/// use std::sync::{Arc, Mutex};
///
/// trait Repo: Send + Sync { fn add(&self, order: u32); }
/// struct InMemory(Mutex<Vec<u32>>);
/// impl Repo for InMemory { fn add(&self, order: u32) { self.0.lock().unwrap().push(order) } }
/// struct Basket;
///
/// let locator = ServiceLocator::builder()
///     .name("shop")
///     .register::<dyn Repo>(|_| Ok(Arc::new(InMemory(Mutex::default()))))
///     .register::<dyn Repo>(|_| Ok(Arc::new(InMemory(Mutex::default())))).named("archive")
///     .register::<Basket>(|_| Ok(Arc::new(Basket))).per_test()
///     .build();
/// locator.get::<dyn Repo>().add(7);
/// locator.get_named::<dyn Repo>("archive").add(8);
/// ```
#[must_use = "`build` creates the locator"]
pub struct LocatorBuilder<T: ?Sized = Nothing> {
    id: u64,
    name: Arc<str>,
    capacity: usize,
    build_timeout: Duration,
    services: Vec<(Service, AnyFactory)>,
    /// The first combination of options that is not possible.
    refused: Option<Error>,
    last: PhantomData<fn() -> Box<T>>,
}

/// The type parameter of a [`LocatorBuilder`] before anything is registered.
///
/// It is neither `Send` nor `Sync`, which no service may be: so the methods that apply to a service are not yet available.
#[derive(Debug)]
pub struct Nothing {
    _no_service: PhantomData<*const ()>,
}

impl LocatorBuilder {
    pub(super) fn new(place: &'static Location<'static>) -> Self {
        Self {
            id: clock::unique(),
            name: place.to_string().into(),
            capacity: CAPACITY,
            build_timeout: BUILD_TIMEOUT,
            services: Vec::new(),
            refused: None,
            last: PhantomData,
        }
    }
}

impl<T: ?Sized> LocatorBuilder<T> {
    /// Sets the name of the locator in reports and errors. The default is the source line of the builder.
    pub fn name(mut self, name: &str) -> Self {
        self.name = name.into();
        self
    }

    /// Sets the number of unused services that each worker keeps, 50 by default. One more evicts the least recently used.
    /// Services in use do not count and are never evicted, because dropping them would free nothing.
    pub fn capacity(mut self, services: usize) -> Self {
        self.capacity = services;
        self
    }

    /// Sets the time that a call waits for another thread that builds, drops or resets the service, 60 s by default.
    /// Afterwards the call fails with an error that names the thread.
    pub fn build_timeout(mut self, limit: Duration) -> Self {
        self.build_timeout = limit;
        self
    }

    /// Registers a service of which each worker has its own, built by `factory` at the worker's first use and kept until
    /// it is evicted, cleared, or the process ends.
    ///
    /// The factory runs without a lock, at most once at a time for each worker. All waiters get its error or panic; the
    /// next call tries again.
    #[track_caller]
    pub fn register<U: ?Sized + Send + Sync + 'static>(
        self,
        factory: impl Fn(&Context<'_>) -> Result<Arc<U>, BoxError> + Send + Sync + 'static,
    ) -> LocatorBuilder<U> {
        self.with_blocking(Lifetime::Worker, factory)
    }

    /// Registers a service of which each worker has its own, built by an async factory on the worker's runtime, to which it
    /// belongs. Request it with [`get_async`](ServiceLocator::get_async).
    ///
    /// The factory runs as a task of its own, which a request that is cancelled does not cancel; otherwise it is like
    /// [`register`](Self::register).
    #[cfg(feature = "tokio")]
    #[track_caller]
    pub fn register_async<U, R>(
        self,
        factory: impl Fn(AsyncContext) -> R + Send + Sync + 'static,
    ) -> LocatorBuilder<U>
    where
        U: ?Sized + Send + Sync + 'static,
        R: Future<Output = Result<Arc<U>, BoxError>> + Send + 'static,
    {
        let factory = move |context| -> BuildFuture {
            let built = factory(context);
            Box::pin(async { built.await.map(Instance::new) })
        };
        self.with(Lifetime::Worker, AnyFactory::Async(Arc::new(factory)))
    }

    /// Registers a service that all workers of the process share: for read-only data, or for types made for many threads.
    /// It is never reported as a conflict and never evicted, and it cannot be built from a worker's own services.
    ///
    /// Under nextest every test is a process, so each builds one. To build once per run, use a `Fixture` (feature `fixtures`).
    #[track_caller]
    pub fn register_shared<U: ?Sized + Send + Sync + 'static>(
        self,
        factory: impl Fn(&Context<'_>) -> Result<Arc<U>, BoxError> + Send + Sync + 'static,
    ) -> LocatorBuilder<U> {
        self.with_blocking(Lifetime::Shared, factory)
    }

    #[track_caller]
    fn with_blocking<U: ?Sized + Send + Sync + 'static>(
        self,
        lifetime: Lifetime,
        factory: impl Fn(&Context<'_>) -> Result<Arc<U>, BoxError> + Send + Sync + 'static,
    ) -> LocatorBuilder<U> {
        let factory = move |context: &Context<'_>| factory(context).map(Instance::new);
        self.with(lifetime, AnyFactory::Blocking(Box::new(factory)))
    }

    #[track_caller]
    fn with<U: ?Sized + Send + Sync + 'static>(
        mut self,
        lifetime: Lifetime,
        factory: AnyFactory,
    ) -> LocatorBuilder<U> {
        let service = Service {
            key: Key {
                locator: self.id,
                type_id: TypeId::of::<U>(),
                name: Arc::from(""),
            },
            type_name: type_name::<U>(),
            locator: Arc::from(""),
            lifetime,
            reset: None,
            #[cfg(feature = "tokio")]
            starts_tasks: false,
            place: Location::caller(),
        };
        self.services.push((service, factory));
        let Self {
            id,
            name,
            capacity,
            build_timeout,
            services,
            refused,
            last: _,
        } = self;
        LocatorBuilder {
            id,
            name,
            capacity,
            build_timeout,
            services,
            refused,
            last: PhantomData,
        }
    }

    /// Creates the locator.
    ///
    /// # Panics
    /// On the error that [`try_build`](Self::try_build) returns.
    #[track_caller]
    pub fn build(self) -> ServiceLocator {
        error::or_panic(self.try_build())
    }

    /// Creates the locator.
    ///
    /// # Errors
    /// When the capacity is 0, when two services have the same type and name, and when an option contradicts a service's
    /// lifetime: `reset` of one that is `per_test` or shared, `per_test` of one that is shared.
    pub fn try_build(self) -> Result<ServiceLocator, Error> {
        if self.capacity == 0 {
            return Err(Error::zero_capacity());
        }
        if let Some(refused) = self.refused {
            return Err(refused);
        }
        let mut services = Vec::with_capacity(self.services.len());
        for (mut service, factory) in self.services {
            if service.reset.is_some() && service.lifetime != Lifetime::Worker {
                let lifetime = service.lifetime.describe();
                return Err(Error::pointless(service.label(), lifetime, "reset"));
            }
            service.locator = Arc::clone(&self.name);
            let service = Arc::new(service);
            services.push(Registered { service, factory });
        }
        Ok(ServiceLocator(Arc::new(Locator {
            id: self.id,
            name: self.name,
            capacity: self.capacity,
            build_timeout: self.build_timeout,
            registry: Registry::new(services)?,
        })))
    }
}

impl<T: ?Sized + Send + Sync + 'static> LocatorBuilder<T> {
    /// Names the service registered last, to distinguish it from others of its type.
    pub fn named(mut self, name: &str) -> Self {
        self.last().key.name = Arc::from(name);
        self
    }

    /// Limits the service registered last to one test, under every runner: it is dropped when the test ends.
    pub fn per_test(mut self) -> Self {
        let last = self.last();
        if last.lifetime == Lifetime::Shared {
            let refused = Error::pointless(last.label(), last.lifetime.describe(), "per_test");
            self.refused.get_or_insert(refused);
        } else {
            last.lifetime = Lifetime::Test;
        }
        self
    }

    /// Sets a function that restores the service registered last to its initial state. It runs before the worker's next
    /// test gets its first service, in the order in which the services were built. If it fails, the service is dropped
    /// and built anew.
    ///
    /// Under nextest it never runs: the next test is another process and builds its own service.
    pub fn reset(mut self, reset: impl Fn(&T) -> Result<(), BoxError> + Send + Sync + 'static) -> Self {
        self.last().reset = Some(reset_of(reset));
        self
    }

    /// Declares that the service registered last also starts tasks after its factory has returned; see
    /// [`WorkerLocal::starts_tasks`](crate::WorkerLocal::starts_tasks).
    #[cfg(feature = "tokio")]
    pub fn starts_tasks(mut self) -> Self {
        self.last().starts_tasks = true;
        self
    }

    fn last(&mut self) -> &mut Service {
        let last = self.services.last_mut();
        &mut last.expect("`T` is a registered service").0
    }
}

impl<T: ?Sized> std::fmt::Debug for LocatorBuilder<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let services: Vec<_> = self.services.iter().map(|(service, _)| service.label()).collect();
        f.debug_struct("LocatorBuilder")
            .field("name", &self.name)
            .field("services", &services)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_option_that_contradicts_the_lifetime_of_a_service_is_refused() {
        let shared = || ServiceLocator::builder().register_shared::<u8>(|_| Ok(Arc::new(1)));
        let per_test = || {
            ServiceLocator::builder()
                .register::<u8>(|_| Ok(Arc::new(1)))
                .per_test()
        };
        for (builder, method) in [
            (shared().reset(|_| Ok(())), "`reset`"),
            (per_test().reset(|_| Ok(())), "`reset`"),
            (shared().per_test(), "`per_test`"),
        ] {
            let error = builder.try_build().unwrap_err().to_string();
            assert!(error.starts_with("u8 ") && error.contains(method), "{error}");
        }
    }
}
