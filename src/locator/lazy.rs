//! Proxies: nothing is built until first use.

use super::lane::all;
use super::registry::{Scope, Service};
use super::resolve::Holder;
use super::service_handle::ServiceHandle;
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

/// A service that is built at its first use, and then is that instance for as long as the proxy lives.
///
/// It derefs to the service; after the first use that costs what [`OnceCell`] costs. It holds its instance: after
/// `clear_worker` or an override it still is the old one, and the report says who held on. It belongs to the worker
/// that used it first (one from [`Context::lazy`](super::Context::lazy) to the worker it was built for); used by
/// another, it is still the first one's, and with recording on the report names both.
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
    /// Empty for ever while events are recorded, so that each use is seen.
    ready: OnceCell<ServiceHandle<T>>,
    watched: OnceCell<Watched<T>>,
    source: Source,
    made_at: &'static Location<'static>,
}

/// How the instance is found when its time comes.
struct Source {
    locator: Origin,
    service: Arc<Service>,
    /// Whose it is, when that is known before the first use.
    owner: Option<Worker>,
    /// What is built from it, when it is a factory that asked for the proxy.
    holder: Option<Holder>,
}

/// A service that holds a proxy must not keep its own locator alive.
enum Origin {
    Strong(ServiceLocator),
    Weak(Weak<Locator>),
}

struct Watched<T: ?Sized> {
    service: ServiceHandle<T>,
    number: u64,
    lane: String,
    /// The last life that used it: each is told once.
    user: AtomicU64,
}

impl<T: ?Sized + Send + Sync + 'static> LazyProxy<T> {
    #[track_caller]
    pub(super) fn new(locator: &ServiceLocator, service: Arc<Service>) -> Self {
        Self::from(Source {
            locator: Origin::Strong(locator.clone()),
            service,
            owner: None,
            holder: Holder::current(),
        })
    }

    #[track_caller]
    pub(super) fn within(locator: &ServiceLocator, service: Arc<Service>, owner: Worker) -> Self {
        Self::from(Source {
            locator: Origin::Weak(Arc::downgrade(&locator.0)),
            service,
            owner: Some(owner),
            holder: Holder::current(),
        })
    }

    #[track_caller]
    fn from(source: Source) -> Self {
        Self {
            ready: OnceCell::new(),
            watched: OnceCell::new(),
            source,
            made_at: Location::caller(),
        }
    }

    /// The service, built now if this is the first use.
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
                // Not within the cell: who finds the cell busy waits where no cycle is seen.
                let (service, number, lane) = self.source.find()?;
                if !journal::is_on() {
                    return Ok(self.ready.get_or_init(|| service));
                }
                self.watched.get_or_init(|| Watched {
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

    /// Tells who uses it, each once: the owner's tests, and those of other workers.
    fn watch(&self, watched: &Watched<T>) {
        let service = &self.source.service;
        // A thread without a worker is a service's own, or one that will be told when it asks for a worker.
        let Ok(worker) = Worker::try_current() else { return };
        let (execution, instance) = (worker.life(), watched.number);
        if watched.user.swap(execution, Ordering::Relaxed) == execution {
            return;
        }
        worker.record(|| {
            if service.scope == Scope::Shared || all::of(service.scope, &worker).name == watched.lane {
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

impl Source {
    fn find<T: ?Sized + Send + Sync + 'static>(&self) -> Result<(ServiceHandle<T>, u64, String), Error> {
        let locator = match &self.locator {
            Origin::Strong(locator) => locator.clone(),
            Origin::Weak(locator) => ServiceLocator(locator.upgrade().ok_or_else(|| self.gone())?),
        };
        let worker = match &self.owner {
            // The owner may be known from an earlier test of its lane.
            Some(owner) => Worker::try_current()
                .ok()
                .filter(|now| now.id() == owner.id())
                .unwrap_or(owner.clone()),
            None => Worker::try_current()?,
        };
        let (service, number, lane) = locator.resolve(&self.service, &worker, self.holder.as_ref())?;
        Ok((ServiceHandle::new(service), number, lane))
    }

    fn gone(&self) -> Error {
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
    /// When the service cannot be built, with the whole story: [`LazyProxy::try_get`] returns it.
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
