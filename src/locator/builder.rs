//! Naming the services of a locator, and how each is built.

use super::context::Context;
use super::instance::Instance;
use super::registry::{Key, Registry, Reset, Scope, Service};
use super::{Locator, ServiceLocator};
use crate::error::{self, BoxError, Error};
use crate::sys::clock;
use std::any::{TypeId, type_name};
use std::marker::PhantomData;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

/// How many services nobody holds a worker keeps, unless told otherwise.
const CAPACITY: usize = 50;
/// How long one waits for another thread's build, unless told otherwise.
const BUILD_TIMEOUT: Duration = Duration::from_secs(60);

/// Collects services for a [`ServiceLocator`]; `T` is the one registered last, which [`named`](Self::named),
/// [`per_test`](Self::per_test) and [`reset`](Self::reset) speak of.
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
#[must_use = "`build` makes the locator"]
pub struct LocatorBuilder<T: ?Sized = Nothing> {
    id: u64,
    name: Arc<str>,
    capacity: usize,
    build_timeout: Duration,
    services: Vec<Service>,
    /// The first thing that was asked for and cannot be.
    refused: Option<Error>,
    last: PhantomData<fn() -> Box<T>>,
}

/// The type of a [`LocatorBuilder`] before anything is registered.
///
/// It is neither `Send` nor `Sync`, as no service may be: what speaks of a service is not there yet.
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
    /// What reports and errors call the locator; without it, the place in the source where it is built.
    pub fn name(mut self, name: &str) -> Self {
        self.name = name.into();
        self
    }

    /// How many services a worker keeps that nobody else holds, 50 unless told otherwise. One more evicts the least
    /// recently used. Services in use are counted apart and never evicted: dropping them would free nothing.
    pub fn capacity(mut self, services: usize) -> Self {
        self.capacity = services;
        self
    }

    /// How long a call waits for another thread that builds, drops or resets the service, 60 s unless told otherwise.
    /// Then it is an error that says who does.
    pub fn build_timeout(mut self, limit: Duration) -> Self {
        self.build_timeout = limit;
        self
    }

    /// Each worker its own `U`, built by `factory` at the worker's first use and kept until it is evicted, cleared,
    /// or the process ends.
    ///
    /// The factory runs with no lock held, once at a time for each worker. Its error or panic reaches everyone who
    /// waits for it; the next call tries again.
    #[track_caller]
    pub fn register<U: ?Sized + Send + Sync + 'static>(
        self,
        factory: impl Fn(&Context<'_>) -> Result<Arc<U>, BoxError> + Send + Sync + 'static,
    ) -> LocatorBuilder<U> {
        self.with(Scope::Worker, factory)
    }

    /// One `U` for all workers of the process: for what is read only or made for many threads. Declared sharing is no
    /// conflict. It is never evicted, and it cannot be built from what a worker has of its own.
    ///
    /// Under nextest every test is a process, so each builds one: what is to be built once per run is not kept in
    /// memory.
    #[track_caller]
    pub fn register_shared<U: ?Sized + Send + Sync + 'static>(
        self,
        factory: impl Fn(&Context<'_>) -> Result<Arc<U>, BoxError> + Send + Sync + 'static,
    ) -> LocatorBuilder<U> {
        self.with(Scope::Shared, factory)
    }

    #[track_caller]
    fn with<U: ?Sized + Send + Sync + 'static>(
        mut self,
        scope: Scope,
        factory: impl Fn(&Context<'_>) -> Result<Arc<U>, BoxError> + Send + Sync + 'static,
    ) -> LocatorBuilder<U> {
        self.services.push(Service {
            key: Key {
                locator: self.id,
                type_id: TypeId::of::<U>(),
                name: Arc::from(""),
            },
            type_name: type_name::<U>(),
            locator: Arc::from(""),
            scope,
            factory: Box::new(move |context| factory(context).map(Instance::new)),
            reset: None,
            place: Location::caller(),
        });
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

    /// Makes the locator.
    ///
    /// # Panics
    /// On what [`try_build`](Self::try_build) returns as an error.
    #[track_caller]
    pub fn build(self) -> ServiceLocator {
        error::or_panic(self.try_build())
    }

    /// Makes the locator.
    ///
    /// # Errors
    /// When the capacity is 0, two services have one type and name, or a service was asked to do what its life rules
    /// out: `reset` without a next test, `per_test` of what is shared.
    pub fn try_build(self) -> Result<ServiceLocator, Error> {
        if self.capacity == 0 {
            return Err(Error::zero_capacity());
        }
        if let Some(refused) = self.refused {
            return Err(refused);
        }
        let mut services = self.services;
        for service in &mut services {
            if service.reset.is_some() && service.scope != Scope::Worker {
                return Err(Error::pointless(service.label(), service.scope.words(), "reset"));
            }
            service.locator = Arc::clone(&self.name);
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
    /// Tells the service registered last apart from others of its type.
    pub fn named(mut self, name: &str) -> Self {
        self.last().key.name = Arc::from(name);
        self
    }

    /// Lets the service registered last live for one test, under every runner: it is dropped when the test ends.
    pub fn per_test(mut self) -> Self {
        let last = self.last();
        if last.scope == Scope::Shared {
            let refused = Error::pointless(last.label(), last.scope.words(), "per_test");
            self.refused.get_or_insert(refused);
        } else {
            last.scope = Scope::Test;
        }
        self
    }

    /// What makes the service registered last as good as new. It runs when the lane passes to another test, before
    /// that test is handed anything, in the order the services were built. If it fails the service is dropped and
    /// built anew.
    ///
    /// Under nextest it never runs: there the next test is another process, and builds its own.
    pub fn reset(mut self, reset: impl Fn(&T) -> Result<(), BoxError> + Send + Sync + 'static) -> Self {
        let reset: Box<Reset> = Box::new(move |instance| match instance.downcast::<T>() {
            Some(service) => reset(service),
            None => Ok(()),
        });
        self.last().reset = Some(reset);
        self
    }

    fn last(&mut self) -> &mut Service {
        self.services
            .last_mut()
            .expect("`T` is a service that was registered")
    }
}

impl<T: ?Sized> std::fmt::Debug for LocatorBuilder<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let services: Vec<_> = self.services.iter().map(Service::label).collect();
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
    fn what_the_life_of_a_service_rules_out_is_refused() {
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
