//! Stacks of calls: the working memory to find them in, the program's modules, and the return addresses.

pub(crate) mod modules;
pub(crate) mod trace;
pub(crate) mod unwind;
pub(crate) mod work_memory;
