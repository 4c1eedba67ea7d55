//! What outlives a test, or is others' too: names, ports, folders and files of which several runs at once each need
//! their own.

mod append;
mod atomic;
mod names;

pub use append::Appender;
pub use atomic::{AtomicFile, write_atomic};
pub use names::Names;
