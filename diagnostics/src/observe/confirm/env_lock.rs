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
#[derive(Default)]
pub(super) struct EnvLockWaits {
    known: Mutex<KnownPlaces>,
}

#[derive(Default)]
struct KnownPlaces {
    /// Kept, because reading the symbols of a program takes longer than most runs.
    programs: HashMap<PathBuf, Option<Loader>>,
    places: HashMap<(PathBuf, u64), bool>,
}

impl EnvLockWaits {
    /// Returns whether the call stack with this number is inside of one of std's functions for variables.
    pub(super) fn is_env_access(&self, log: &Log, stack: u32) -> bool {
        let is_it = |record: &Record<'_>| record.kind == Kind::Stack && record.value == stack;
        let Some(calls) = log.records().find(is_it) else {
            return false;
        };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        located_frames(&modules(log), calls.text).any(|(file, address)| known.is_there(file, address))
    }
}

impl KnownPlaces {
    fn is_there(&mut self, file: &Path, address: u64) -> bool {
        let program = || Loader::new(file).ok();
        *self.places.entry((file.to_owned(), address)).or_insert_with(|| {
            let program = self.programs.entry(file.to_owned()).or_insert_with(program);
            program
                .as_ref()
                .is_some_and(|program| is_within(program, address, NAMES, FILES))
        })
    }
}
