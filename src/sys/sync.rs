//! Synchronization within a process, replaced by loom's under `--cfg loom` to test all schedules of the state machines
//! built on it.

#[cfg(all(test, loom))]
pub(crate) use loom::sync::{Condvar, Mutex, MutexGuard};
#[cfg(not(all(test, loom)))]
pub(crate) use std::sync::{Condvar, Mutex, MutexGuard};

use dashmap::DashMap;
use std::hash::Hash;
use std::sync::PoisonError;
use std::time::Duration;

/// Returns a concurrent map. The default number of shards depends on the number of cores, which takes twenty system calls and
/// 60 µs of each test process.
pub(crate) fn map<K: Eq + Hash, V>() -> DashMap<K, V> {
    DashMap::with_shard_amount(16)
}

/// Locks, ignoring poison: each guarded state is consistent wherever a panic could occur.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits for a notification, for at most `limit`.
pub(crate) fn wait<'a, T>(condvar: &Condvar, guard: MutexGuard<'a, T>, limit: Duration) -> MutexGuard<'a, T> {
    match condvar.wait_timeout(guard, limit) {
        Ok((guard, _)) => guard,
        Err(poisoned) => poisoned.into_inner().0,
    }
}

/// Locks when `is_done` is true or the limit has passed.
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

/// loom has no time, so the limit may pass at any moment; the schedule decides what other threads do before.
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
