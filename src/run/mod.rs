//! What outlives a test, or is others' too: names, ports, folders and files of which several runs at once each need
//! their own.

mod append;
mod atomic;
mod directory;
mod host;
mod lease;
mod names;
mod namespace;

pub use append::Appender;
pub use atomic::{AtomicFile, write_atomic};
pub use directory::{DirLease, lease_dir};
pub use lease::{PortLease, lease_listener, lease_port};
pub use names::Names;
pub use namespace::{Namespace, NamespaceHold, output_dir};
