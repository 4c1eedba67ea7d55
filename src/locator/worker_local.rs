//! Statics with one value per worker.

use super::Context;
#[cfg(feature = "tokio")]
use super::async_context::{AsyncContext, StaticFactory};
#[cfg(feature = "tokio")]
use super::async_resolve::{AsyncRequest, resolve_async, resolve_blocking};
use super::builder::BUILD_TIMEOUT;
use super::instance::{self, Instance};
use super::lane::thread_cache;
use super::override_guard::OverrideGuard;
use super::resolve::{ServiceRequest, resolve};
use super::service::{Key, Lifetime, Service};
use super::service_handle::ServiceHandle;
use crate::error::{self, BoxError, Error};
use crate::sys::clock;
use crate::worker::Worker;
use once_cell::sync::OnceCell;
use std::any::{TypeId, type_name};
use std::fmt;
use std::ops::Deref;
use std::panic::Location;
use std::sync::Arc;

/// A static like [`LazyLock`](std::sync::LazyLock), but with one value per worker, dropped at exit.
///
/// The smallest step from a suite that shares a static: change the static's type and add `.get()` where it is used. A
/// value is never evicted. Under `cargo test` a worker's tests use it one after the other, unless it is
/// [`per_test`](Self::per_test); under nextest every test is a process and builds its own.
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
    factory: ValueFactory<T>,
    lifetime: Lifetime,
    reset: Option<ResetFn<T>>,
    #[cfg(feature = "tokio")]
    starts_tasks: bool,
    place: &'static Location<'static>,
    service: OnceCell<Arc<Service>>,
}

/// A function that restores a value to its initial state.
type ResetFn<T> = fn(&T) -> Result<(), BoxError>;

enum ValueFactory<T> {
    Blocking(fn(&Context<'_>) -> Result<T, BoxError>),
    #[cfg(feature = "tokio")]
    Async(&'static dyn StaticFactory),
}

impl<T: Send + Sync + 'static> WorkerLocal<T> {
    /// Creates the static. `factory` builds each worker's value at the worker's first use.
    #[track_caller]
    pub const fn new(factory: fn(&Context<'_>) -> Result<T, BoxError>) -> Self {
        Self {
            factory: ValueFactory::Blocking(factory),
            lifetime: Lifetime::Worker,
            reset: None,
            #[cfg(feature = "tokio")]
            starts_tasks: false,
            place: Location::caller(),
            service: OnceCell::new(),
        }
    }

    /// Limits each value to one test, under every runner: it is dropped when the test ends.
    ///
    /// ```
    /// use cofferdam::WorkerLocal;
    /// use std::sync::Mutex;
    /// static BASKET: WorkerLocal<Mutex<Vec<u32>>> = WorkerLocal::new(|_| Ok(Mutex::default())).per_test();
    /// BASKET.get().lock().unwrap().push(7);
    /// ```
    ///
    /// # Panics
    /// After [`reset`](Self::reset), which would have no effect. In a static that is an error of the compiler.
    #[track_caller]
    pub const fn per_test(mut self) -> Self {
        assert!(
            self.reset.is_none(),
            "a value that lives for one test is never reset: remove `reset` or `per_test`"
        );
        self.lifetime = Lifetime::Test;
        self
    }

    /// Sets a function that restores a value to its initial state. It runs before the worker's next test gets its first
    /// service. If it fails, the value is dropped and built anew, as after a test that failed while it held the value.
    ///
    /// Under nextest it never runs: the next test is another process and builds its own value.
    ///
    /// ```
    /// use cofferdam::WorkerLocal;
    /// use std::sync::Mutex;
    /// static STOCK: WorkerLocal<Mutex<Vec<u32>>> = WorkerLocal::new(|_| Ok(Mutex::default()))
    ///     .reset(|stock| Ok(stock.lock().map_err(|error| error.to_string())?.clear()));
    /// assert!(STOCK.get().lock().unwrap().is_empty());
    /// ```
    ///
    /// # Panics
    /// After [`per_test`](Self::per_test). In a static that is an error of the compiler.
    #[track_caller]
    pub const fn reset(mut self, reset: fn(&T) -> Result<(), BoxError>) -> Self {
        assert!(
            matches!(self.lifetime, Lifetime::Worker),
            "a value that lives for one test is never reset: remove `reset` or `per_test`"
        );
        self.reset = Some(reset);
        self
    }

    /// Declares that the value also starts tasks after its factory has returned, like a pool that opens connections on demand
    /// and starts a task for each.
    ///
    /// Tasks that a test leaves on its worker's runtime are aborted with that runtime, and services built on it are built
    /// anew. If the test used this value, or a service built from it, the tasks count as the value's instead: the runtime is
    /// kept, and tasks that the test itself has left continue, too.
    ///
    /// ```
    /// use cofferdam::WorkerLocal;
    /// # struct Pool;
    /// # impl Pool { async fn connect(_url: &str) -> Result<Self, std::io::Error> { Ok(Self) } }
    /// static POOL: WorkerLocal<Pool> =
    ///     WorkerLocal::new_async(&|_| async { Ok(Pool::connect("postgres://localhost").await?) }).starts_tasks();
    /// # POOL.get();
    /// ```
    #[cfg(feature = "tokio")]
    pub const fn starts_tasks(mut self) -> Self {
        self.starts_tasks = true;
        self
    }

    /// Creates the static with an async factory, which runs on the worker's runtime. Request the value, which belongs to that
    /// runtime, with [`get_async`](Self::get_async).
    ///
    /// ```
    /// use cofferdam::WorkerLocal;
    /// use cofferdam::locator::AsyncContext;
    /// # struct Pool;
    /// # impl Pool { async fn connect(_url: &str) -> Result<Self, std::io::Error> { Ok(Self) } }
    ///
    /// static POOL: WorkerLocal<Pool> = WorkerLocal::new_async(&|cx: AsyncContext| async move {
    ///     Ok(Pool::connect(&format!("postgres://localhost/{}", cx.worker())).await?)
    /// });
    /// # POOL.get();
    /// ```
    ///
    /// The factory runs as a task of its own, which a request that is cancelled does not cancel.
    #[cfg(feature = "tokio")]
    #[track_caller]
    pub const fn new_async<F, R>(factory: &'static F) -> Self
    where
        F: Fn(AsyncContext) -> R + Sync,
        R: Future<Output = Result<T, BoxError>> + Send + 'static,
    {
        Self {
            factory: ValueFactory::Async(factory),
            lifetime: Lifetime::Worker,
            reset: None,
            #[cfg(feature = "tokio")]
            starts_tasks: false,
            place: Location::caller(),
            service: OnceCell::new(),
        }
    }

    /// Returns this worker's value, building it if necessary, without blocking the runtime while an async factory builds it.
    ///
    /// # Panics
    /// On the error that [`try_get_async`](Self::try_get_async) returns, when it is awaited.
    #[cfg(feature = "tokio")]
    #[track_caller]
    pub fn get_async(&self) -> impl Future<Output = ServiceHandle<T>> + Send + use<'_, T> {
        error::or_panic_at(self.try_get_async(), Location::caller())
    }

    /// Returns this worker's value, building it if necessary.
    ///
    /// # Errors
    /// Like [`try_get`](Self::try_get); also on any runtime but the worker's own, which `#[cofferdam::test]` provides, if the
    /// factory is async.
    #[cfg(feature = "tokio")]
    pub async fn try_get_async(&self) -> Result<ServiceHandle<T>, Error> {
        let ValueFactory::Async(factory) = self.factory else {
            return self.try_get();
        };
        let worker = Worker::try_current()?;
        let resolved = resolve_async(self.async_request(factory), &worker).await?;
        resolved.downcast(self.service(), &worker).map(ServiceHandle::new)
    }

    #[cfg(feature = "tokio")]
    fn async_request(&self, factory: &'static dyn StaticFactory) -> AsyncRequest {
        AsyncRequest {
            service: Arc::clone(self.service()),
            factory: Arc::new(|context| factory.start(context)),
            locator: None,
            capacity: None,
            build_timeout: BUILD_TIMEOUT,
            holder: None,
        }
    }

    /// Returns this worker's value.
    ///
    /// # Panics
    /// On the error that [`try_get`](Self::try_get) returns.
    #[inline]
    #[track_caller]
    pub fn get(&self) -> ServiceHandle<T> {
        error::or_panic(self.try_get())
    }

    /// Returns this worker's value. A repeated call in the same test costs a thread-local lookup and a reference count.
    ///
    /// # Errors
    /// When this thread has no worker, the factory fails, or factories wait for each other in a cycle.
    #[inline]
    pub fn try_get(&self) -> Result<ServiceHandle<T>, Error> {
        let service = self.service();
        if let Some(found) = thread_cache::get(service.key.locator, "") {
            return Ok(ServiceHandle::new(found));
        }
        let worker = Worker::try_current()?;
        #[cfg_attr(
            not(feature = "tokio"),
            expect(
                clippy::infallible_destructuring_match,
                reason = "with tokio there is another kind"
            )
        )]
        let factory = match self.factory {
            ValueFactory::Blocking(factory) => factory,
            #[cfg(feature = "tokio")]
            ValueFactory::Async(factory) => {
                return resolve_blocking(self.async_request(factory), &worker)?
                    .downcast(service, &worker)
                    .map(ServiceHandle::new);
            }
        };
        let factory =
            move |context: &Context<'_>| factory(context).map(|value| Instance::new(Arc::new(value)));
        let request = ServiceRequest {
            service,
            factory: &factory,
            locator: None,
            capacity: None,
            build_timeout: BUILD_TIMEOUT,
            holder: None,
        };
        resolve(&request, &worker)?
            .downcast(service, &worker)
            .map(ServiceHandle::new)
    }

    /// Replaces the value by `fake` for this worker, until the guard is dropped or the test ends.
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
            Arc::new(Service {
                key: Key {
                    locator: clock::unique(),
                    type_id: TypeId::of::<T>(),
                    name: Arc::from(""),
                },
                type_name: type_name::<T>(),
                locator: format!("static at {}", self.place).into(),
                lifetime: self.lifetime,
                reset: self.reset.map(super::service::reset_of),
                #[cfg(feature = "tokio")]
                starts_tasks: self.starts_tasks,
                place: self.place,
            })
        })
    }
}

/// Like [`get`](WorkerLocal::get), for code that uses a plain static: only the static's declaration has to change.
///
/// A value that is used this way is never dropped, like that of a plain static: each worker, or with
/// [`per_test`](WorkerLocal::per_test) each test, leaves one behind. A test that panics does not mark it, so use `per_test` if
/// the value is a lock that may be poisoned.
///
/// ```
/// use cofferdam::WorkerLocal;
/// use std::sync::{Mutex, MutexGuard};
///
/// static ORDERS: WorkerLocal<Mutex<Vec<u32>>> = WorkerLocal::new(|_| Ok(Mutex::default())).per_test();
///
/// fn orders() -> MutexGuard<'static, Vec<u32>> {
///     ORDERS.lock().unwrap()
/// }
/// orders().push(7);
/// assert_eq!(*orders(), [7]);
/// ```
///
/// # Panics
/// On the error that [`try_get`](WorkerLocal::try_get) returns.
impl<T: Send + Sync + 'static> Deref for WorkerLocal<T> {
    type Target = T;

    #[inline]
    #[track_caller]
    fn deref(&self) -> &T {
        instance::keep(self.get().into_arc())
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
    /// Drops the values too, if this is not a static.
    fn drop(&mut self) {
        if let Some(service) = self.service.get() {
            super::lane::all::clear(service.key.locator, true);
        }
    }
}
