//! Ports and directories that belong to one test while it holds them.
//!
//! No other test, process or concurrent run of the user gets the same one.

mod dir;
pub(crate) mod port;

pub use dir::{DirLease, dir, socket_dir};
pub use port::{PortLease, listener, port, ports};
