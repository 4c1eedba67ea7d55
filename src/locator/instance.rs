//! Instances without their type: the `Arc` that a factory returned, and the number that identifies it.

use crate::sys::{clock, sync};
use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use once_cell::sync::Lazy;
use std::any::Any;
use std::sync::{Arc, Weak};

/// An `Arc<T>` of some `T`, which may be a trait.
pub(crate) struct Instance(Box<dyn StrongRef>);

/// A weak reference to an instance. It can be upgraded while other references exist.
struct WeakInstance(Box<dyn WeakRef>);

trait StrongRef: Any + Send + Sync {
    fn references(&self) -> usize;
    fn address(&self) -> usize;
    fn clone_ref(&self) -> Box<dyn StrongRef>;
    fn downgrade(&self) -> Box<dyn WeakRef>;
}

impl<T: ?Sized + Send + Sync + 'static> StrongRef for Arc<T> {
    fn references(&self) -> usize {
        Arc::strong_count(self)
    }
    fn address(&self) -> usize {
        address(self)
    }
    fn clone_ref(&self) -> Box<dyn StrongRef> {
        Box::new(Arc::clone(self))
    }
    fn downgrade(&self) -> Box<dyn WeakRef> {
        Box::new(Arc::downgrade(self))
    }
}

trait WeakRef: Send + Sync {
    fn upgrade(&self) -> Option<Box<dyn StrongRef>>;
    fn references(&self) -> usize;
}

impl<T: ?Sized + Send + Sync + 'static> WeakRef for Weak<T> {
    fn upgrade(&self) -> Option<Box<dyn StrongRef>> {
        Self::upgrade(self).map(|strong| Box::new(strong) as Box<dyn StrongRef>)
    }
    fn references(&self) -> usize {
        self.strong_count()
    }
}

impl Instance {
    pub(crate) fn new<T: ?Sized + Send + Sync + 'static>(service: Arc<T>) -> Self {
        Self(Box::new(service))
    }

    /// Returns the service if it is a `T`.
    pub(crate) fn downcast<T: ?Sized + Send + Sync + 'static>(&self) -> Option<&Arc<T>> {
        (&*self.0 as &dyn Any).downcast_ref()
    }

    /// Returns the number of references besides this one and the one of [`keep`].
    pub(crate) fn holders(&self) -> usize {
        self.0.references().saturating_sub(1 + kept(self.0.address()))
    }

    fn downgrade(&self) -> WeakInstance {
        WeakInstance(self.0.downgrade())
    }
}

impl Clone for Instance {
    fn clone(&self) -> Self {
        Self(self.0.clone_ref())
    }
}

/// The instances that caches know, by address. The address is not reused meanwhile: each [`InstanceNumber`] keeps the
/// memory.
static KNOWN: Lazy<DashMap<usize, KnownInstance>> = Lazy::new(sync::map);

struct KnownInstance {
    number: u64,
    caches: usize,
    /// See [`spoil`].
    spoiled: bool,
    /// See [`keep`].
    kept: Option<&'static (dyn Any + Send + Sync)>,
}

/// Marks an instance that a panic left in an unknown state, so that the worker's next test does not get it.
#[cold]
pub(super) fn spoil(address: usize) {
    if let Some(mut known) = KNOWN.get_mut(&address) {
        known.spoiled = true;
    }
}

/// Returns a reference that is valid for the rest of the process: the service is never dropped. The reference that keeps it is
/// none of its holders.
pub(super) fn keep<T: Send + Sync + 'static>(service: Arc<T>) -> &'static T {
    let address = address(&service);
    let known = KNOWN.get(&address).and_then(|known| known.kept);
    if let Some(kept) = known.and_then(|kept| kept.downcast_ref()) {
        return kept;
    }
    // A cache knows the instance while the caller holds it.
    let mut known = KNOWN.get_mut(&address);
    let other = known.as_ref().and_then(|known| known.kept?.downcast_ref());
    other.unwrap_or_else(|| {
        let kept: &'static T = Box::leak(Box::new(service));
        if let Some(known) = &mut known {
            known.kept = Some(kept);
        }
        kept
    })
}

/// Returns the number of references that [`keep`] has leaked.
fn kept(address: usize) -> usize {
    usize::from(KNOWN.get(&address).is_some_and(|known| known.kept.is_some()))
}

/// Returns the address of the service, its key in [`KNOWN`].
pub(super) fn address<T: ?Sized>(service: &Arc<T>) -> usize {
    Arc::as_ptr(service).cast::<()>() as usize
}

/// The number of an instance: the same in every cache, and kept while a cache knows the instance.
pub(crate) struct InstanceNumber {
    number: u64,
    address: usize,
    /// Dropped after the number is given up; otherwise the next instance at this address would inherit it.
    weak: WeakInstance,
}

impl InstanceNumber {
    pub(crate) fn of(instance: &Instance) -> Self {
        let address = instance.0.address();
        let number = match KNOWN.entry(address) {
            Entry::Occupied(mut known) => {
                let known = known.get_mut();
                known.caches += 1;
                // Otherwise a factory that always returns this instance would run after every test.
                known.spoiled = false;
                known.number
            }
            Entry::Vacant(empty) => {
                empty
                    .insert(KnownInstance {
                        number: clock::unique(),
                        caches: 1,
                        spoiled: false,
                        kept: None,
                    })
                    .number
            }
        };
        Self {
            number,
            address,
            weak: instance.downgrade(),
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

    /// Returns the instance while other references exist.
    pub(crate) fn upgrade(&self) -> Option<Instance> {
        self.weak.0.upgrade().map(Instance)
    }

    /// Returns the number of references, including a cache's own, without the one of [`keep`].
    pub(crate) fn holders(&self) -> usize {
        self.weak.0.references().saturating_sub(kept(self.address))
    }
}

impl Drop for InstanceNumber {
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
    fn an_instance_has_one_number_while_a_cache_knows_it() {
        let service: Arc<str> = Arc::from("service");
        let (one, other) = (Instance::new(Arc::clone(&service)), Instance::new(service));
        let (first, second) = (InstanceNumber::of(&one), InstanceNumber::of(&other));
        assert_eq!(first.get(), second.get());
        assert_ne!(first.get(), InstanceNumber::of(&Instance::new(Arc::new(7))).get());
        let number = first.get();
        drop(first);
        assert_eq!(InstanceNumber::of(&one).get(), number);
    }

    #[test]
    fn the_next_instance_at_an_address_has_a_number_of_its_own() {
        let mut seen = std::collections::HashSet::new();
        // The allocator reuses the same memory again and again.
        for _ in 0..if cfg!(miri) { 20 } else { 1000 } {
            let instance = Instance::new(Arc::new([0_u8; 64]));
            let number = InstanceNumber::of(&instance);
            drop(instance);
            let next = Instance::new(Arc::new([0_u8; 64]));
            assert_ne!(number.address, next.0.address(), "the memory is still known");
            assert!(seen.insert(number.get()) && seen.insert(InstanceNumber::of(&next).get()));
        }
    }

    #[test]
    fn a_weak_reference_can_be_upgraded_while_the_instance_is_held() {
        let service = Arc::new(7_u8);
        let instance = Instance::new(Arc::clone(&service));
        let number = InstanceNumber::of(&instance);
        drop(instance);
        assert_eq!(number.holders(), 1);
        let again = number.upgrade().unwrap();
        assert!(Arc::ptr_eq(again.downcast::<u8>().unwrap(), &service));
        assert_eq!(again.holders(), 1);
        drop((again, service));
        assert!(number.upgrade().is_none());
    }
}
