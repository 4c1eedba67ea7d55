//! Locks of one process, replaced by loom's under `--cfg loom` so that every schedule of the state machines
//! built on them can be tried.

#[cfg(all(test, loom))]
pub(crate) use loom::sync::{Condvar, Mutex, MutexGuard};
#[cfg(not(all(test, loom)))]
pub(crate) use std::sync::{Condvar, Mutex, MutexGuard};

use dashmap::DashMap;
use std::hash::Hash;
use std::sync::PoisonError;
use std::time::Duration;

/// A map for all threads. Left to itself it asks the kernel how many cores there are, to choose its shards: twenty
/// calls, 60 µs of each test process.
pub(crate) fn map<K: Eq + Hash, V>() -> DashMap<K, V> {
    DashMap::with_shard_amount(16)
}

/// Locks, also after a panic elsewhere: each guarded state is whole at every point where it could unwind.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits to be notified, for a while.
pub(crate) fn wait<'a, T>(condvar: &Condvar, guard: MutexGuard<'a, T>, limit: Duration) -> MutexGuard<'a, T> {
    match condvar.wait_timeout(guard, limit) {
        Ok((guard, _)) => guard,
        Err(poisoned) => poisoned.into_inner().0,
    }
}

/// Locks as soon as `is_done`, or when the limit has passed and it still is not.
#[cfg(not(all(test, loom)))]
pub(crate) fn lock_when<'a, T>(
    mutex: &'a Mutex<T>,
    changed: &Condvar,
    limit: Duration,
    is_done: impl Fn(&T) -> bool,
) -> MutexGuard<'a, T> {
    match changed.wait_timeout_while(lock(mutex), limit, |state| !is_done(state)) {
        Ok((guard, _)) => guard,
        Err(poisoned) => poisoned.into_inner().0,
    }
}

/// loom knows no time, so the limit passes at any moment: what others do between two looks is up to the schedule.
#[cfg(all(test, loom))]
pub(crate) fn lock_when<'a, T>(
    mutex: &'a Mutex<T>,
    _changed: &Condvar,
    _limit: Duration,
    is_done: impl Fn(&T) -> bool,
) -> MutexGuard<'a, T> {
    let guard = lock(mutex);
    if is_done(&guard) {
        return guard;
    }
    drop(guard);
    loom::thread::yield_now();
    lock(mutex)
}
