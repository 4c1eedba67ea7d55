//! Proxies, which build their service at the first use.

use super::lane::all;
use super::service::{Lifetime, Service};
use super::service_handle::ServiceHandle;
use super::wait_graph::ProxyHolder;
use super::{Locator, ServiceLocator};
use crate::error::{self, Error};
use crate::event::Event;
use crate::journal;
use crate::resource::Access;
use crate::worker::{Worker, current};
use once_cell::sync::OnceCell;
use std::fmt;
use std::ops::Deref;
use std::panic::Location;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

/// A service that is built at the first use of the proxy, which then holds the instance.
///
/// It derefs to the service; after the first use that costs as much as a [`OnceCell`]. It keeps its instance even after
/// `clear_worker` or an override, and the report then names the holder. It belongs to the first worker that uses it (one
/// from [`Context::lazy`](super::Context::lazy) to the worker of that context). Used by another worker it remains the
/// first one's service, and with recording on the report names both.
///
/// ```
/// use cofferdam::ServiceLocator;
/// use std::sync::Arc;
/// struct Slow(u32);
/// let locator = ServiceLocator::builder().register::<Slow>(|_| Ok(Arc::new(Slow(7)))).build();
/// let slow = locator.lazy::<Slow>();      // nothing is built
/// assert_eq!(slow.0, 7);                  // now it is
/// ```
pub struct LazyProxy<T: ?Sized> {
    /// Stays empty while events are recorded, so that every use takes the slow path.
    ready: OnceCell<ServiceHandle<T>>,
    watched: OnceCell<WatchedService<T>>,
    source: ProxySource,
    made_at: &'static Location<'static>,
}

/// The data to resolve the instance with, at the first use.
struct ProxySource {
    locator: LocatorRef,
    service: Arc<Service>,
    /// The worker that it belongs to, if that is known before the first use.
    owner: Option<Worker>,
    /// The build whose factory created the proxy, if a factory did.
    holder: Option<ProxyHolder>,
}

/// A reference to the locator: weak in a proxy that a service holds, which must not keep its own locator alive.
enum LocatorRef {
    Strong(ServiceLocator),
    Weak(Weak<Locator>),
}

struct WatchedService<T: ?Sized> {
    service: ServiceHandle<T>,
    number: u64,
    lane: String,
    /// The last execution that used it, so that each is recorded once.
    user: AtomicU64,
}

impl<T: ?Sized + Send + Sync + 'static> LazyProxy<T> {
    #[track_caller]
    pub(super) fn new(locator: &ServiceLocator, service: Arc<Service>) -> Self {
        Self::from(ProxySource {
            locator: LocatorRef::Strong(locator.clone()),
            service,
            owner: None,
            holder: ProxyHolder::current(),
        })
    }

    #[track_caller]
    pub(super) fn within(locator: &ServiceLocator, service: Arc<Service>, owner: Worker) -> Self {
        Self::from(ProxySource {
            locator: LocatorRef::Weak(Arc::downgrade(&locator.0)),
            service,
            owner: Some(owner),
            holder: ProxyHolder::current(),
        })
    }

    #[track_caller]
    fn from(source: ProxySource) -> Self {
        Self {
            ready: OnceCell::new(),
            watched: OnceCell::new(),
            source,
            made_at: Location::caller(),
        }
    }

    /// Returns the service, building it at the first use.
    ///
    /// # Errors
    /// When it cannot be built; the next use tries again.
    pub fn try_get(&self) -> Result<&ServiceHandle<T>, Error> {
        if let Some(service) = self.ready.get() {
            return Ok(service);
        }
        let watched = match self.watched.get() {
            Some(watched) => watched,
            None => {
                // Outside the cell: a thread that waits for a busy cell is unknown to the detection of cycles.
                let (service, number, lane) = self.source.find()?;
                if !journal::is_on() {
                    return Ok(self.ready.get_or_init(|| service));
                }
                self.watched.get_or_init(|| WatchedService {
                    service,
                    number,
                    lane,
                    user: AtomicU64::new(0),
                })
            }
        };
        self.watch(watched);
        Ok(&watched.service)
    }

    /// Records the uses, once per test: by tests of the owner, and by those of other workers.
    fn watch(&self, watched: &WatchedService<T>) {
        let service = &self.source.service;
        // A thread without a worker belongs to a service, or gets an error when it requests a worker.
        let Ok(worker) = Worker::try_current() else { return };
        let (execution, instance) = (worker.execution(), watched.number);
        if watched.user.swap(execution, Ordering::Relaxed) == execution {
            return;
        }
        worker.record(|| {
            if service.lifetime == Lifetime::Shared || all::of(service.lifetime, &worker).name == watched.lane
            {
                return Event::Used {
                    execution,
                    instance,
                    guards: current::guards(Access::Write),
                };
            }
            Event::Foreign {
                execution,
                service: service.label(),
                instance,
                owner: watched.lane.clone(),
                place: self.made_at.to_string(),
            }
        });
    }
}

impl ProxySource {
    fn find<T: ?Sized + Send + Sync + 'static>(&self) -> Result<(ServiceHandle<T>, u64, String), Error> {
        let locator = match &self.locator {
            LocatorRef::Strong(locator) => locator.clone(),
            LocatorRef::Weak(locator) => ServiceLocator(locator.upgrade().ok_or_else(|| self.dropped())?),
        };
        let worker = match &self.owner {
            // This thread may work for a later test of the same worker.
            Some(owner) => Worker::try_current()
                .ok()
                .filter(|now| now.id() == owner.id())
                .unwrap_or(owner.clone()),
            None => Worker::try_current()?,
        };
        let (service, number, lane) = locator.resolve(&self.service, &worker, self.holder.as_ref())?;
        Ok((ServiceHandle::new(service), number, lane))
    }

    fn dropped(&self) -> Error {
        Error::unknown(
            self.service.label(),
            format!("{} (dropped)", self.service.locator),
            Vec::new(),
        )
    }
}

impl<T: ?Sized + Send + Sync + 'static> Deref for LazyProxy<T> {
    type Target = T;

    /// # Panics
    /// When the service cannot be built, with the error that [`LazyProxy::try_get`] returns.
    #[inline]
    #[track_caller]
    fn deref(&self) -> &T {
        match self.ready.get() {
            Some(service) => service,
            None => error::or_panic::<&ServiceHandle<T>>(self.try_get()),
        }
    }
}

impl<T: ?Sized> fmt::Debug for LazyProxy<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_built = self.ready.get().is_some() || self.watched.get().is_some();
        f.debug_struct("LazyProxy")
            .field("service", &self.source.service.label())
            .field("is_built", &is_built)
            .finish_non_exhaustive()
    }
}
