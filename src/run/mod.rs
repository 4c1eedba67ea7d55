//! What outlives a test process: locks that keep tests of several processes and runs apart.

mod held;
mod host;
mod lock;
mod owner;
pub(crate) mod seen;
#[cfg(feature = "serial")]
pub mod serial;
mod wait;

#[cfg(feature = "tokio")]
pub use lock::lock_async;
pub use lock::{LockGuard, LockOptions, lock, lock_shared, try_lock, try_lock_shared};
