//! The interface of an async factory to its surroundings.

use super::ServiceLocator;
use super::context::Context;
use super::instance::Instance;
use super::service::{Service, ServiceClaim, label};
use crate::error::{BoxError, Error};
use crate::resource::{Access, Resource};
use crate::worker::{Worker, current};
use std::fmt;
use std::panic::Location;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

/// The interface of an async factory: other services, the worker, a directory. The counterpart of [`Context`], which an
/// async factory cannot borrow.
///
/// ```
/// use cofferdam::ServiceLocator;
/// use std::sync::Arc;
/// struct Config { url: String }
/// struct Client { url: String }
///
/// let locator = ServiceLocator::builder()
///     .register::<Config>(|cx| Ok(Arc::new(Config { url: format!("mem://{}", cx.worker()) })))
///     .register_async::<Client, _>(|cx| async move {
///         let config = cx.get::<Config>().await?;
///         Ok(Arc::new(Client { url: config.url.clone() }))
///     })
///     .build();
/// assert!(locator.get::<Client>().url.starts_with("mem://w"));    // outside of a runtime
/// ```
pub struct AsyncContext {
    pub(super) locator: Option<ServiceLocator>,
    pub(super) worker: Worker,
    pub(super) service: Arc<Service>,
    pub(super) claims: Arc<Mutex<Vec<ServiceClaim>>>,
}

/// A build in progress.
pub(crate) type BuildFuture = Pin<Box<dyn Future<Output = Result<Instance, BoxError>> + Send>>;

/// The async factory of a service.
pub(crate) type AsyncFactory = dyn Fn(AsyncContext) -> BuildFuture + Send + Sync;

/// The async factory of a static, as a `const fn` can store it.
pub(crate) trait StaticFactory: Sync {
    fn start(&'static self, context: AsyncContext) -> BuildFuture;
}

impl<T, F, R> StaticFactory for F
where
    T: Send + Sync + 'static,
    F: Fn(AsyncContext) -> R + Sync,
    R: Future<Output = Result<T, BoxError>> + Send + 'static,
{
    fn start(&'static self, context: AsyncContext) -> BuildFuture {
        Box::pin(async { self(context).await.map(|value| Instance::new(Arc::new(value))) })
    }
}

impl AsyncContext {
    /// Returns the worker's `T`, building it if necessary.
    ///
    /// # Errors
    /// Like [`Context::get`].
    pub async fn get<T: ?Sized + Send + Sync + 'static>(&self) -> Result<Arc<T>, Error> {
        self.get_named("").await
    }

    /// Like [`get`](Self::get), for one of several `T`.
    ///
    /// # Errors
    /// Like [`get`](Self::get).
    pub async fn get_named<T: ?Sized + Send + Sync + 'static>(&self, name: &str) -> Result<Arc<T>, Error> {
        let Some(locator) = &self.locator else {
            return Err(Error::no_locator(label(std::any::type_name::<T>(), name)));
        };
        let found = locator.try_get_named_async::<T>(name).await?;
        Ok(found.into_arc())
    }

    /// Returns the worker that the service is built for.
    pub fn worker(&self) -> &Worker {
        &self.worker
    }

    /// Returns a directory for this service and worker; see [`Context::dir`].
    ///
    /// # Errors
    /// Like [`Context::dir`].
    pub fn dir(&self) -> Result<PathBuf, Error> {
        Context::new(self.locator.as_ref(), &self.worker, &self.service).dir()
    }

    /// Declares that this service uses a resource; see [`Context::claim`].
    #[track_caller]
    pub fn claim(&self, resource: Resource, access: Access) {
        let claim = ServiceClaim {
            resource,
            access,
            guards: current::guards(access),
            place: Location::caller(),
        };
        let mut claims = self.claims.lock().unwrap_or_else(PoisonError::into_inner);
        claims.push(claim);
    }
}

impl fmt::Debug for AsyncContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncContext")
            .field("service", &self.service.label())
            .field("worker", &self.worker)
            .finish_non_exhaustive()
    }
}
