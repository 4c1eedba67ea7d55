//! Recognition of threads that wait for std's own lock around the environment variables.
//!
//! The pause at a variable happens inside of `std::env::set_var`, which holds that lock; without the pause it would hold it
//! for nanoseconds. A test that waits for it has already reached the variables, so no lock of the tests guards them.

use crate::observe::format::Kind;
use crate::observe::log::source_lines::{is_within, located_frames, modules};
use crate::observe::log::{Log, Record};
use addr2line::Loader;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

const NAMES: &[&str] = &["std::env::", "std::sys::env::"];
const FILES: &[&str] = &[
    "/std/src/env.rs",
    "/std/src/sys/env/",
    "/std/src/sys/pal/unix/os.rs",
    "/std/src/sys/unix/os.rs",
];

/// A cache of the addresses, by program, that are in std's functions for variables.
#[derive(Debug, Default)]
pub(super) struct EnvLockWaits {
    known: Mutex<HashMap<(PathBuf, u64), bool>>,
}

impl EnvLockWaits {
    /// Returns whether the call stack with this number is inside of one of std's functions for variables.
    pub(super) fn is_env_access(&self, log: &Log, stack: u32) -> bool {
        let is_it = |record: &Record<'_>| record.kind == Kind::Stack && record.value == stack;
        let Some(calls) = log.records().find(is_it) else {
            return false;
        };
        located_frames(&modules(log), calls.text).any(|(file, address)| self.is_there(file, address))
    }

    fn is_there(&self, file: &Path, address: u64) -> bool {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        *known.entry((file.to_owned(), address)).or_insert_with(|| {
            Loader::new(file).is_ok_and(|program| is_within(&program, address, NAMES, FILES))
        })
    }
}
