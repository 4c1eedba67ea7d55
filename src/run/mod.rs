//! What outlives a test process or is others' too: locks that keep tests apart, and names, ports, folders and files of
//! which several runs at once each need their own; and servers that are started once per run.

mod append;
mod atomic;
mod directory;
mod fault;
mod fixture;
mod handle;
mod held;
mod host;
mod keeper;
mod lease;
mod lock;
mod lock_file;
mod names;
mod namespace;
mod owner;
pub(crate) mod seen;
#[cfg(feature = "serial")]
pub mod serial;
mod setup;
mod wait;

pub use append::Appender;
pub use atomic::{AtomicFile, write_atomic};
pub use directory::{DirLease, lease_dir, socket_dir};
pub use fixture::Fixture;
pub use lease::{PortLease, lease_listener, lease_port};
#[cfg(feature = "tokio")]
pub use lock::lock_async;
pub use lock::{LockGuard, LockOptions, lock, lock_shared, try_lock, try_lock_shared};
pub use names::Names;
pub use namespace::{Namespace, NamespaceHold, output_dir};
pub use setup::{Setup, StopSignal};
