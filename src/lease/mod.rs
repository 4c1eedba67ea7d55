//! Ports and folders that belong to one test while it holds them.

mod dir;
pub(crate) mod port;

pub use dir::{DirLease, lease_dir, socket_dir};
pub use port::{PortLease, lease_listener, lease_port};
