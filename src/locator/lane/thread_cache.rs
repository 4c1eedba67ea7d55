//! The warm path: each thread remembers where the services are that it asked for.
//!
//! What is remembered is weak, so a thread keeps nothing alive; it holds while the thread works for the same life
//! (test) and the worker is in the same epoch. A look-up takes no lock and writes nothing that another worker reads.

use super::Lane;
use super::cache::Uses;
use crate::sys::erased::Erased;
use crate::worker::current;
use std::any::TypeId;
use std::cell::RefCell;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Weak};

/// Places a thread remembers. Two services that fall on one place displace each other, which costs time only; more
/// places would keep more dead instances' memory.
const PLACES: usize = 64;

thread_local! {
    static MIRROR: RefCell<Vec<Option<Seen>>> = const { RefCell::new(Vec::new()) };
}

struct Seen {
    life: u64,
    epoch: u64,
    locator: u64,
    name: Arc<str>,
    lane: Arc<Lane>,
    /// The worker's own lane and its epoch, where the service lies in another: an override would be there.
    own: Option<(Arc<Lane>, u64)>,
    uses: Arc<Uses>,
    /// A `Weak<T>`.
    service: Erased,
}

/// The service, if this thread saw it, in this life and epoch, and it is still there.
#[inline]
pub(crate) fn get<T: ?Sized + Send + Sync + 'static>(locator: u64, name: &str) -> Option<Arc<T>> {
    let life = current::stamp();
    if life == 0 {
        return None;
    }
    let type_id = TypeId::of::<T>();
    MIRROR
        .try_with(|mirror| {
            let mirror = mirror.borrow();
            let seen = mirror.get(place(locator, type_id, name))?.as_ref()?;
            let is_it = seen.life == life
                && seen.locator == locator
                && *seen.name == *name
                && seen.epoch == seen.lane.epoch()
                && seen.own.as_ref().is_none_or(|(own, epoch)| own.epoch() == *epoch);
            if !is_it {
                return None;
            }
            let service = seen.service.get::<Weak<T>>()?.upgrade()?;
            seen.uses.mark(seen.lane.tick());
            Some(service)
        })
        .ok()
        .flatten()
}

/// Remembers a service for this thread's next call.
pub(crate) fn put<T: ?Sized + Send + Sync + 'static>(
    locator: u64,
    name: &Arc<str>,
    lane: Arc<Lane>,
    epoch: u64,
    own: Option<(Arc<Lane>, u64)>,
    uses: Arc<Uses>,
    service: &Arc<T>,
) {
    let life = current::stamp();
    if life == 0 {
        return;
    }
    let type_id = TypeId::of::<T>();
    let seen = Seen {
        life,
        epoch,
        locator,
        name: Arc::clone(name),
        lane,
        own,
        uses,
        service: Erased::new(Arc::downgrade(service)),
    };
    let displaced = MIRROR.try_with(|mirror| {
        let mut mirror = mirror.borrow_mut();
        if mirror.is_empty() {
            mirror.resize_with(PLACES, || None);
        }
        let place = mirror.get_mut(place(locator, type_id, name))?;
        place.replace(seen)
    });
    drop(displaced);
}

#[inline]
fn place(locator: u64, type_id: TypeId, name: &str) -> usize {
    // The type first: that much is known to the compiler.
    let mut hash = Mix(0);
    type_id.hash(&mut hash);
    locator.hash(&mut hash);
    if !name.is_empty() {
        name.hash(&mut hash);
    }
    (hash.0 >> 32) as usize % PLACES
}

/// A type's ID is a hash already; a name is mixed in by FNV-1a.
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
