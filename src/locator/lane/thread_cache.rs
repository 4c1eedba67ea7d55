//! The fast path of `get`: each thread caches the locations of the services that it has requested.
//!
//! The cached references are weak, so a thread keeps no instance alive. An entry is valid while the thread works for the
//! same execution and the worker is in the same epoch. A lookup takes no lock and writes nothing that another worker reads.

use super::Lane;
use super::cache::UseCounter;
use crate::sys::erased::Erased;
use crate::worker::current;
use std::any::TypeId;
use std::cell::RefCell;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Weak};

/// The number of slots per thread. Two services in one slot displace each other, which costs only time; more slots would
/// keep the memory of more dead instances.
const SLOTS: usize = 64;

thread_local! {
    static CACHE: RefCell<Vec<Option<CachedService>>> = const { RefCell::new(Vec::new()) };
}

struct CachedService {
    execution: u64,
    epoch: u64,
    locator: u64,
    name: Arc<str>,
    lane: Arc<Lane>,
    /// For a service in another lane, the worker's own lane and its epoch: an override would be there.
    own: Option<(Arc<Lane>, u64)>,
    counter: Arc<UseCounter>,
    /// A `Weak<T>`.
    service: Erased,
}

/// Returns the service if this thread has cached it in this execution and epoch and it still exists.
#[inline]
pub(crate) fn get<T: ?Sized + Send + Sync + 'static>(locator: u64, name: &str) -> Option<Arc<T>> {
    let execution = current::execution();
    if execution == 0 {
        return None;
    }
    let type_id = TypeId::of::<T>();
    CACHE
        .try_with(|cache| {
            let cache = cache.borrow();
            let cached = cache.get(slot(locator, type_id, name))?.as_ref()?;
            let is_it = cached.execution == execution
                && cached.locator == locator
                && *cached.name == *name
                && cached.epoch == cached.lane.epoch()
                && cached
                    .own
                    .as_ref()
                    .is_none_or(|(own, epoch)| own.epoch() == *epoch);
            if !is_it {
                return None;
            }
            let service = cached.service.get::<Weak<T>>()?.upgrade()?;
            cached.counter.count(cached.lane.tick());
            Some(service)
        })
        .ok()
        .flatten()
}

/// Caches a service for this thread's next call.
pub(crate) fn put<T: ?Sized + Send + Sync + 'static>(
    locator: u64,
    name: &Arc<str>,
    lane: Arc<Lane>,
    epoch: u64,
    own: Option<(Arc<Lane>, u64)>,
    counter: Arc<UseCounter>,
    service: &Arc<T>,
) {
    let execution = current::execution();
    if execution == 0 {
        return;
    }
    let type_id = TypeId::of::<T>();
    let cached = CachedService {
        execution,
        epoch,
        locator,
        name: Arc::clone(name),
        lane,
        own,
        counter,
        service: Erased::new(Arc::downgrade(service)),
    };
    let displaced = CACHE.try_with(|cache| {
        let mut cache = cache.borrow_mut();
        if cache.is_empty() {
            cache.resize_with(SLOTS, || None);
        }
        let slot = cache.get_mut(slot(locator, type_id, name))?;
        slot.replace(cached)
    });
    drop(displaced);
}

#[inline]
fn slot(locator: u64, type_id: TypeId, name: &str) -> usize {
    // The type first: the compiler can compute that part.
    let mut hash = Mix(0);
    type_id.hash(&mut hash);
    locator.hash(&mut hash);
    if !name.is_empty() {
        name.hash(&mut hash);
    }
    (hash.0 >> 32) as usize % SLOTS
}

/// A hasher for type IDs, which are hashes already; names are mixed in by FNV-1a.
struct Mix(u64);

impl Hasher for Mix {
    #[inline]
    fn write_u64(&mut self, value: u64) {
        self.0 = (self.0 ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    fn finish(&self) -> u64 {
        self.0
    }
}
