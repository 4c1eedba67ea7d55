//! A static that each worker has its own of.

use super::Context;
use super::instance::Instance;
use super::lane::thread_cache;
use super::override_guard::OverrideGuard;
use super::registry::{Key, Scope, Service};
use super::resolve::{Ask, resolve};
use super::service_handle::ServiceHandle;
use crate::error::{self, BoxError, Error};
use crate::sys::clock;
use crate::worker::Worker;
use once_cell::sync::OnceCell;
use std::any::{TypeId, type_name};
use std::fmt;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

/// As [`LazyLock`](std::sync::LazyLock) in a static, but each worker has its own, and it is dropped at exit.
///
/// The smallest step from a suite that shares a static: the static's type changes, and `.get()` is added where it is
/// used. It is never evicted. Under `cargo test` a worker's tests share it one after the other; under nextest every
/// test is a process and builds its own.
///
/// ```
/// use cofferdam::WorkerLocal;
/// use std::sync::Mutex;
///
/// static ORDERS: WorkerLocal<Mutex<Vec<u32>>> = WorkerLocal::new(|_| Ok(Mutex::default()));
///
/// ORDERS.get().lock().unwrap().push(7);
/// assert_eq!(*ORDERS.get().lock().unwrap(), [7]);
/// ```
pub struct WorkerLocal<T> {
    factory: fn(&Context<'_>) -> Result<T, BoxError>,
    place: &'static Location<'static>,
    service: OnceCell<Arc<Service>>,
}

impl<T: Send + Sync + 'static> WorkerLocal<T> {
    /// How each worker's value is built, at the worker's first use.
    #[track_caller]
    pub const fn new(factory: fn(&Context<'_>) -> Result<T, BoxError>) -> Self {
        Self {
            factory,
            place: Location::caller(),
            service: OnceCell::new(),
        }
    }

    /// Returns this worker's own.
    ///
    /// # Panics
    /// On what [`try_get`](Self::try_get) returns as an error, with the whole story.
    #[inline]
    #[track_caller]
    pub fn get(&self) -> ServiceHandle<T> {
        error::or_panic(self.try_get())
    }

    /// Returns this worker's own. Asked for again by the same test it costs a thread-local look-up and a reference count.
    ///
    /// # Errors
    /// When there is no worker on this thread, the factory fails, or it waits in a circle.
    #[inline]
    pub fn try_get(&self) -> Result<ServiceHandle<T>, Error> {
        let service = self.service();
        if let Some(found) = thread_cache::get(service.key.locator, "") {
            return Ok(ServiceHandle::new(found));
        }
        let worker = Worker::try_current()?;
        let ask = Ask {
            service,
            locator: None,
            capacity: None,
            build_timeout: Duration::from_secs(60),
            holder: None,
        };
        super::typed(resolve(&ask, &worker)?, &service.key, &worker).map(ServiceHandle::new)
    }

    /// Puts `fake` in its place for this worker, until the guard is dropped or the test ends.
    ///
    /// # Panics
    /// On a thread without a worker.
    #[track_caller]
    pub fn override_with(&self, fake: Arc<T>) -> OverrideGuard {
        OverrideGuard::new(self.service(), Instance::new(fake))
    }

    #[inline]
    fn service(&self) -> &Arc<Service> {
        self.service.get_or_init(|| {
            let factory = self.factory;
            Arc::new(Service {
                key: Key {
                    locator: clock::unique(),
                    type_id: TypeId::of::<T>(),
                    name: Arc::from(""),
                },
                type_name: type_name::<T>(),
                locator: format!("static at {}", self.place).into(),
                scope: Scope::Worker,
                factory: Box::new(move |context| {
                    factory(context).map(|value| Instance::new(Arc::new(value)))
                }),
                reset: None,
                place: self.place,
            })
        })
    }
}

impl<T> fmt::Debug for WorkerLocal<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkerLocal")
            .field("place", &format_args!("{}", self.place))
            .finish_non_exhaustive()
    }
}

impl<T> Drop for WorkerLocal<T> {
    /// One that is no static takes its services along.
    fn drop(&mut self) {
        if let Some(service) = self.service.get() {
            super::forget(service.key.locator);
        }
    }
}
