//! The calls that led to a hook: the memory to find them in, and their return addresses.

pub(crate) mod modules;
pub(crate) mod trace;
pub(crate) mod unwind;
pub(crate) mod work_memory;
