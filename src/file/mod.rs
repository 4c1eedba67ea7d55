//! Files that several processes write.

mod append;
mod atomic;

pub use append::Appender;
pub use atomic::{AtomicFile, write_atomic};
