//! A service without its type: the `Arc` that a factory returned, and the number it goes by.

use crate::sys::{clock, sync};
use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use once_cell::sync::Lazy;
use std::any::Any;
use std::sync::{Arc, Weak};

/// An `Arc<T>` of some `T`, which may be a trait.
pub(crate) struct Instance(Box<dyn Strong>);

/// What is left of an instance when its cache let go: it can be had again only while somebody holds it.
struct Ghost(Box<dyn Weakly>);

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
        address(self)
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

    fn ghost(&self) -> Ghost {
        Ghost(self.0.ghost())
    }
}

impl Clone for Instance {
    fn clone(&self) -> Self {
        Self(self.0.again())
    }
}

/// The instances that caches know, by address. No other instance can live there: each [`Number`] keeps the memory.
static KNOWN: Lazy<DashMap<usize, Known>> = Lazy::new(sync::map);

struct Known {
    number: u64,
    caches: usize,
    /// See [`spoil`].
    spoiled: bool,
}

/// Marks an instance that a panic left in an unknown state: the next test of a lane is not handed it.
#[cold]
pub(super) fn spoil(address: usize) {
    if let Some(mut known) = KNOWN.get_mut(&address) {
        known.spoiled = true;
    }
}

/// Returns the address of the service, under which [`KNOWN`] has it.
pub(super) fn address<T: ?Sized>(service: &Arc<T>) -> usize {
    Arc::as_ptr(service).cast::<()>() as usize
}

/// The number of an instance, the same in every cache that knows it; kept while one of them does.
pub(crate) struct Number {
    number: u64,
    address: usize,
    /// Dropped after the number is given up, or the next instance at this address would inherit it.
    ghost: Ghost,
}

impl Number {
    pub(crate) fn of(instance: &Instance) -> Self {
        let address = instance.0.address();
        let number = match KNOWN.entry(address) {
            Entry::Occupied(mut known) => {
                let known = known.get_mut();
                known.caches += 1;
                // A factory that always returns this instance would otherwise run after every test.
                known.spoiled = false;
                known.number
            }
            Entry::Vacant(empty) => {
                empty
                    .insert(Known {
                        number: clock::unique(),
                        caches: 1,
                        spoiled: false,
                    })
                    .number
            }
        };
        Self {
            number,
            address,
            ghost: instance.ghost(),
        }
    }

    pub(crate) fn get(&self) -> u64 {
        self.number
    }

    /// Marks the instance; see [`spoil`].
    pub(crate) fn spoil(&self) {
        spoil(self.address);
    }

    /// Returns whether a panic left the instance in an unknown state.
    pub(crate) fn is_spoiled(&self) -> bool {
        KNOWN.get(&self.address).is_some_and(|known| known.spoiled)
    }

    /// The instance, while somebody holds it.
    pub(crate) fn upgrade(&self) -> Option<Instance> {
        self.ghost.0.upgrade().map(Instance)
    }

    /// References to the instance, a cache's own included.
    pub(crate) fn holders(&self) -> usize {
        self.ghost.0.references()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_has_one_number_as_long_as_it_is_known() {
        let service: Arc<str> = Arc::from("service");
        let (one, other) = (Instance::new(Arc::clone(&service)), Instance::new(service));
        let (first, second) = (Number::of(&one), Number::of(&other));
        assert_eq!(first.get(), second.get());
        assert_ne!(first.get(), Number::of(&Instance::new(Arc::new(7))).get());
        let number = first.get();
        drop(first);
        assert_eq!(Number::of(&one).get(), number);
    }

    #[test]
    fn the_next_instance_at_an_address_has_a_number_of_its_own() {
        let mut seen = std::collections::HashSet::new();
        // The allocator hands the same memory out again and again.
        for _ in 0..if cfg!(miri) { 20 } else { 1000 } {
            let instance = Instance::new(Arc::new([0_u8; 64]));
            let number = Number::of(&instance);
            drop(instance);
            let next = Instance::new(Arc::new([0_u8; 64]));
            assert_ne!(number.address, next.0.address(), "the memory is still known");
            assert!(seen.insert(number.get()) && seen.insert(Number::of(&next).get()));
        }
    }

    #[test]
    fn an_instance_is_had_again_while_somebody_holds_it() {
        let service = Arc::new(7_u8);
        let instance = Instance::new(Arc::clone(&service));
        let number = Number::of(&instance);
        drop(instance);
        assert_eq!(number.holders(), 1);
        let again = number.upgrade().unwrap();
        assert!(Arc::ptr_eq(again.downcast::<u8>().unwrap(), &service));
        assert_eq!(again.holders(), 1);
        drop((again, service));
        assert!(number.upgrade().is_none());
    }
}
