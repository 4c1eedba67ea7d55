//! What keeps tests of several threads, processes and runs apart.

#[cfg(all(unix, not(miri)))]
mod killed;
#[cfg(not(miri))]
mod lock;
#[cfg(feature = "tokio")]
mod lock_async;
#[cfg(all(feature = "serial", target_os = "linux", not(miri)))]
mod moved;
#[cfg(all(feature = "serial", not(miri)))]
mod serial;
