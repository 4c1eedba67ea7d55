//! A service without its type: the `Arc` that a factory returned, and the number it goes by.

use crate::sys::clock;
use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use once_cell::sync::Lazy;
use std::any::Any;
use std::sync::{Arc, Weak};

/// An `Arc<T>` of some `T`, which may be a trait.
pub(crate) struct Instance(Box<dyn Strong>);

/// What is left of an instance when its cache let go: it can be had again only while somebody holds it.
pub(crate) struct Ghost(Box<dyn Weakly>);

trait Strong: Any + Send + Sync {
    fn references(&self) -> usize;
    fn address(&self) -> usize;
    fn again(&self) -> Box<dyn Strong>;
    fn ghost(&self) -> Box<dyn Weakly>;
}

impl<T: ?Sized + Send + Sync + 'static> Strong for Arc<T> {
    fn references(&self) -> usize {
        Arc::strong_count(self)
    }
    fn address(&self) -> usize {
        Arc::as_ptr(self).cast::<()>() as usize
    }
    fn again(&self) -> Box<dyn Strong> {
        Box::new(Arc::clone(self))
    }
    fn ghost(&self) -> Box<dyn Weakly> {
        Box::new(Arc::downgrade(self))
    }
}

trait Weakly: Send + Sync {
    fn upgrade(&self) -> Option<Box<dyn Strong>>;
    fn references(&self) -> usize;
}

impl<T: ?Sized + Send + Sync + 'static> Weakly for Weak<T> {
    fn upgrade(&self) -> Option<Box<dyn Strong>> {
        Self::upgrade(self).map(|strong| Box::new(strong) as Box<dyn Strong>)
    }
    fn references(&self) -> usize {
        self.strong_count()
    }
}

impl Instance {
    pub(crate) fn new<T: ?Sized + Send + Sync + 'static>(service: Arc<T>) -> Self {
        Self(Box::new(service))
    }

    /// The service, if it is a `T`.
    pub(crate) fn downcast<T: ?Sized + Send + Sync + 'static>(&self) -> Option<&Arc<T>> {
        (&*self.0 as &dyn Any).downcast_ref()
    }

    /// References to the service besides this one.
    pub(crate) fn holders(&self) -> usize {
        self.0.references().saturating_sub(1)
    }

    pub(crate) fn ghost(&self) -> Ghost {
        Ghost(self.0.ghost())
    }
}

impl Clone for Instance {
    fn clone(&self) -> Self {
        Self(self.0.again())
    }
}

impl Ghost {
    pub(crate) fn upgrade(&self) -> Option<Instance> {
        self.0.upgrade().map(Instance)
    }

    pub(crate) fn holders(&self) -> usize {
        self.0.references()
    }
}

/// What caches hold, by address: while one of them holds it nothing else can live there.
static KNOWN: Lazy<DashMap<usize, Known>> = Lazy::new(DashMap::new);

struct Known {
    number: u64,
    caches: usize,
}

/// The number of an instance, the same in every cache that holds it; kept while one of them does.
pub(crate) struct Number {
    number: u64,
    address: usize,
}

impl Number {
    pub(crate) fn of(instance: &Instance) -> Self {
        let address = instance.0.address();
        let number = match KNOWN.entry(address) {
            Entry::Occupied(mut known) => {
                known.get_mut().caches += 1;
                known.get().number
            }
            Entry::Vacant(empty) => {
                empty
                    .insert(Known {
                        number: clock::unique(),
                        caches: 1,
                    })
                    .number
            }
        };
        Self { number, address }
    }

    pub(crate) fn get(&self) -> u64 {
        self.number
    }
}

impl Drop for Number {
    fn drop(&mut self) {
        if let Entry::Occupied(mut known) = KNOWN.entry(self.address) {
            known.get_mut().caches -= 1;
            if known.get().caches == 0 {
                known.remove();
            }
        }
    }
}
