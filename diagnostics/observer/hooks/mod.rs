//! The functions that programs call in place of libc's, by topic.

pub(crate) mod env_calls;
pub(crate) mod file_calls;
pub(crate) mod kill_calls;
pub(crate) mod lock_calls;
pub(crate) mod long_jumps;
pub(crate) mod process_calls;
pub(crate) mod shell_calls;
pub(crate) mod signal_masks;
pub(crate) mod socket_calls;
pub(crate) mod thread_calls;
pub(crate) mod thread_names;
