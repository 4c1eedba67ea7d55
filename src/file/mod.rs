//! Files that several threads, processes or runs read and write at the same time.

mod append;
mod atomic;

pub use append::Appender;
pub use atomic::{AtomicFile, write_atomic};
