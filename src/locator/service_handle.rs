//! Handles to services, which notice a panic of the test.

use super::instance;
use crate::worker::current::PanicWitness;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// A test's reference to a service: an [`Arc`] that notices a panic.
///
/// It derefs to the service. A clone costs one reference count, a drop that and one load.
///
/// A handle that is dropped by a panic marks its service: a lock in it may be poisoned, or a change incomplete. The
/// worker's next test gets a new instance of a marked service, of the services that it is built from, and of all that are
/// built from these. A panic that the test catches counts too. A service whose handles were all dropped before the panic
/// stays, and so does a shared one.
///
/// Code that takes an `Arc<T>` gets one from [`into_arc`](Self::into_arc):
///
/// ```
/// use cofferdam::WorkerLocal;
/// use std::sync::{Arc, Mutex};
///
/// struct Shop { stock: Arc<Mutex<Vec<u32>>> }
/// static STOCK: WorkerLocal<Mutex<Vec<u32>>> = WorkerLocal::new(|_| Ok(Mutex::default()));
///
/// let stock = STOCK.get();
/// let shop = Shop { stock: stock.clone().into_arc() };
/// shop.stock.lock().unwrap().push(7);
/// assert_eq!(*stock.lock().unwrap(), [7]);
/// ```
pub struct ServiceHandle<T: ?Sized>(Arc<T>);

impl<T: ?Sized> ServiceHandle<T> {
    #[inline]
    pub(super) fn new(service: Arc<T>) -> Self {
        Self(service)
    }

    /// Returns the service without the handle. The `Arc` does not notice a panic.
    pub fn into_arc(self) -> Arc<T> {
        Arc::clone(&self.0)
    }
}

impl<T: ?Sized> Drop for ServiceHandle<T> {
    #[inline]
    fn drop(&mut self) {
        if std::thread::panicking() {
            instance::spoil(instance::address(&self.0));
            // Not a field, which would cost each drop one more load.
            drop(PanicWitness);
        }
    }
}

impl<T: ?Sized> Deref for ServiceHandle<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: ?Sized> Clone for ServiceHandle<T> {
    #[inline]
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: ?Sized> From<ServiceHandle<T>> for Arc<T> {
    fn from(handle: ServiceHandle<T>) -> Self {
        handle.into_arc()
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for ServiceHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for ServiceHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}
