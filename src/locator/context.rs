//! What a factory may ask.

use super::ServiceLocator;
use super::lazy::LazyProxy;
use super::registry::Service;
use super::service_handle::ServiceHandle;
use crate::error::Error;
use crate::resource::{Access, Resource};
use crate::run;
use crate::worker::{Worker, current};
use std::cell::RefCell;
use std::panic::Location;
use std::path::PathBuf;
use std::sync::Arc;

/// What a factory may ask while it builds: other services, its worker, a folder.
///
/// What it is asked for is recorded as a graph: it shows in snapshots, names cycles, and lets an override reach
/// all that was built from the overridden service.
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

/// A claim made by a service for all who use it.
#[derive(Clone, Debug)]
pub(crate) struct ServiceClaim {
    pub(crate) resource: Resource,
    pub(crate) access: Access,
    pub(crate) guards: Vec<String>,
    pub(crate) place: &'static Location<'static>,
}

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

    /// The worker's `T`, built now if it is not there yet.
    ///
    /// # Errors
    /// When it is not registered, its factory fails, it would close a cycle, or it lives shorter than what is being
    /// built.
    pub fn get<T: ?Sized + Send + Sync + 'static>(&self) -> Result<Arc<T>, Error> {
        self.get_named("")
    }

    /// As [`get`](Self::get), for one of several `T`.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn get_named<T: ?Sized + Send + Sync + 'static>(&self, name: &str) -> Result<Arc<T>, Error> {
        self.locator::<T>(name)?
            .try_get_named(name)
            .map(ServiceHandle::into_arc)
    }

    /// The worker's `T`, built at its first use: for what is needed later only, and to break a cycle.
    ///
    /// Two services that hold each other keep each other alive for ever, whoever clears them: let one hold a
    /// [`Weak`](std::sync::Weak) of the other.
    ///
    /// # Errors
    /// When it is not registered, or it lives shorter than what is being built.
    pub fn lazy<T: ?Sized + Send + Sync + 'static>(&self) -> Result<LazyProxy<T>, Error> {
        self.lazy_named("")
    }

    /// As [`lazy`](Self::lazy), for one of several `T`.
    ///
    /// # Errors
    /// As [`lazy`](Self::lazy).
    pub fn lazy_named<T: ?Sized + Send + Sync + 'static>(&self, name: &str) -> Result<LazyProxy<T>, Error> {
        let locator = self.locator::<T>(name)?;
        let service = Arc::clone(locator.find::<T>(name)?);
        service.may_serve(&self.service.label(), self.service.scope)?;
        Ok(LazyProxy::within(locator, service, self.worker.clone()))
    }

    fn locator<T: ?Sized>(&self, name: &str) -> Result<&'a ServiceLocator, Error> {
        self.locator
            .ok_or_else(|| Error::no_locator(super::registry::label(std::any::type_name::<T>(), name)))
    }

    /// The worker it is built for; for a shared service, the one that asked first.
    pub fn worker(&self) -> &Worker {
        self.worker
    }

    /// A folder for this service in this worker, made if need be and kept for the run: what an instance leaves there
    /// the next one of the same lane finds, a later test process under nextest too. A `per_test` service gets one
    /// for its test alone.
    ///
    /// # Errors
    /// When there is no place for it or it cannot be made.
    pub fn dir(&self) -> Result<PathBuf, Error> {
        let service = self.service;
        let whole = [&*service.locator, service.type_name, &*service.key.name];
        let name = run::file_name_among(&service.label(), &whole);
        let mut dir = PathBuf::from(name);
        match self.service.scope {
            super::registry::Scope::Worker => {}
            // Unique within the lane's folder: processes of a lane follow each other, executions are counted.
            super::registry::Scope::Test | super::registry::Scope::Shared => {
                dir.push(format!("{}-{}", run::facts().pid, self.worker.life()));
            }
        }
        run::private_dir(&self.worker.dir()?, dir)
    }

    /// Declares that this service uses a resource: every test that uses the service then does. Free while nothing is
    /// recorded.
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
