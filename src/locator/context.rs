//! The interface of a factory to its surroundings.

use super::ServiceLocator;
use super::instance::Instance;
use super::lazy::LazyProxy;
use super::service::{Lifetime, Service, ServiceClaim, label};
use super::service_handle::ServiceHandle;
use crate::error::{BoxError, Error};
use crate::resource::{Access, Resource};
use crate::run;
use crate::worker::{Worker, current};
use std::cell::RefCell;
use std::panic::Location;
use std::path::PathBuf;
use std::sync::Arc;

/// The interface of a factory: other services, the worker, a directory.
///
/// The requests form a graph. It appears in snapshots, names cycles, and lets an override reach all services that are
/// built from the overridden one.
///
/// ```
/// use cofferdam::ServiceLocator;
/// use std::sync::Arc;
/// struct Config { url: String }
/// struct Client { url: String }
///
/// let locator = ServiceLocator::builder()
///     .register::<Config>(|cx| Ok(Arc::new(Config { url: format!("mem://{}", cx.worker()) })))
///     .register::<Client>(|cx| Ok(Arc::new(Client { url: cx.get::<Config>()?.url.clone() })))
///     .build();
/// assert!(locator.get::<Client>().url.starts_with("mem://w"));
/// ```
pub struct Context<'a> {
    locator: Option<&'a ServiceLocator>,
    worker: &'a Worker,
    service: &'a Service,
    claims: RefCell<Vec<ServiceClaim>>,
}

pub(crate) type Factory = dyn Fn(&Context<'_>) -> Result<Instance, BoxError> + Send + Sync;

impl<'a> Context<'a> {
    pub(crate) fn new(locator: Option<&'a ServiceLocator>, worker: &'a Worker, service: &'a Service) -> Self {
        Self {
            locator,
            worker,
            service,
            claims: RefCell::default(),
        }
    }

    pub(crate) fn into_claims(self) -> Vec<ServiceClaim> {
        self.claims.into_inner()
    }

    /// Returns the worker's `T`, building it if necessary.
    ///
    /// # Errors
    /// When it is not registered, its factory fails, it would close a cycle, or its lifetime is shorter than that of the
    /// service being built.
    pub fn get<T: ?Sized + Send + Sync + 'static>(&self) -> Result<Arc<T>, Error> {
        self.get_named("")
    }

    /// Like [`get`](Self::get), for one of several `T`.
    ///
    /// # Errors
    /// Like [`get`](Self::get).
    pub fn get_named<T: ?Sized + Send + Sync + 'static>(&self, name: &str) -> Result<Arc<T>, Error> {
        self.locator::<T>(name)?
            .try_get_named(name)
            .map(ServiceHandle::into_arc)
    }

    /// Returns a proxy for the worker's `T`, which is built at its first use: for services that are needed later, and to
    /// break a cycle.
    ///
    /// Two services that hold each other keep each other alive even after they are cleared: let one hold a
    /// [`Weak`](std::sync::Weak) reference to the other.
    ///
    /// # Errors
    /// When it is not registered, or its lifetime is shorter than that of the service being built.
    pub fn lazy<T: ?Sized + Send + Sync + 'static>(&self) -> Result<LazyProxy<T>, Error> {
        self.lazy_named("")
    }

    /// Like [`lazy`](Self::lazy), for one of several `T`.
    ///
    /// # Errors
    /// Like [`lazy`](Self::lazy).
    pub fn lazy_named<T: ?Sized + Send + Sync + 'static>(&self, name: &str) -> Result<LazyProxy<T>, Error> {
        let locator = self.locator::<T>(name)?;
        let service = Arc::clone(&locator.find::<T>(name)?.service);
        service.check_user(&self.service.label(), self.service.lifetime)?;
        Ok(LazyProxy::within(locator, service, self.worker.clone()))
    }

    fn locator<T: ?Sized>(&self, name: &str) -> Result<&'a ServiceLocator, Error> {
        self.locator
            .ok_or_else(|| Error::no_locator(label(std::any::type_name::<T>(), name)))
    }

    /// Returns the worker that the service is built for; for a shared service, the worker of the first request.
    pub fn worker(&self) -> &Worker {
        self.worker
    }

    /// Returns a directory for this service and worker, creating it if necessary. It is kept for the run: the next instance of
    /// the same worker finds the files that this one leaves, under nextest also in a later test process. A `per_test`
    /// service gets a directory for its test alone.
    ///
    /// # Errors
    /// When the base directory is unknown or the directory cannot be created.
    pub fn dir(&self) -> Result<PathBuf, Error> {
        let service = self.service;
        let whole = [&*service.locator, service.type_name, &*service.key.name];
        let name = run::unique_file_name(&service.label(), &whole);
        let mut dir = PathBuf::from(name);
        match self.service.lifetime {
            Lifetime::Worker => {}
            // Unique in the worker's folder: its processes do not overlap, and each counts its executions.
            Lifetime::Test | Lifetime::Shared => {
                dir.push(format!("{}-{}", run::facts().pid, self.worker.execution()));
            }
        }
        run::private_dir(&self.worker.dir()?, dir)
    }

    /// Declares that this service uses a resource, and so does every test that uses the service. Costs nothing while
    /// recording is off.
    ///
    /// ```
    /// use cofferdam::{Access, Resource, WorkerLocal};
    /// static REPORT: WorkerLocal<std::path::PathBuf> = WorkerLocal::new(|cx| {
    ///     let path = cx.dir()?.join("report.csv");
    ///     cx.claim(Resource::file(&path), Access::Write);
    ///     Ok(path)
    /// });
    /// assert!(REPORT.get().ends_with("report.csv"));
    /// ```
    #[track_caller]
    pub fn claim(&self, resource: Resource, access: Access) {
        let claim = ServiceClaim {
            resource,
            access,
            guards: current::guards(access),
            place: Location::caller(),
        };
        self.claims.borrow_mut().push(claim);
    }
}

impl std::fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context")
            .field("service", &self.service.label())
            .field("worker", self.worker)
            .finish_non_exhaustive()
    }
}
