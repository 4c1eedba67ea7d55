//! Who waits for std's own lock around the variables.
//!
//! A test pauses while it is inside of `std::env::set_var`, and so holds that lock, as it would for some nanoseconds. Whoever
//! waits for it is at the variables already: no lock of the tests' own kept it away.

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

/// Which places of which programs are in std's functions for variables: asked for once, for they are always the same.
#[derive(Debug, Default)]
pub(super) struct EnvLockWaits {
    known: Mutex<HashMap<(PathBuf, u64), bool>>,
}

impl EnvLockWaits {
    /// Whether someone with the calls of that number is on the way to a variable.
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
