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
/// The functions that read all variables.
const READ_ALL: &[&str] = &["std::env::vars"];
/// The functions that do so to pass them to a child process.
const START: &[&str] = &["std::process::", "std::sys::process::", "CommandEnv"];
const FILES: &[&str] = &[
    "/std/src/env.rs",
    "/std/src/sys/env/",
    "/std/src/sys/pal/unix/os.rs",
    "/std/src/sys/unix/os.rs",
];

/// The purpose of a call to one of std's functions for variables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum EnvAccess {
    One,
    /// A read of all variables by the program itself.
    All,
    /// A read of all variables for a child process.
    ForChild,
}

/// A cache of the addresses, by program, that are in std's functions for variables.
#[derive(Default)]
pub(super) struct EnvLockWaits {
    known: Mutex<KnownPlaces>,
}

#[derive(Default)]
struct KnownPlaces {
    /// Kept, because reading the symbols of a program takes longer than most runs.
    programs: HashMap<PathBuf, Option<Loader>>,
    places: HashMap<(PathBuf, u64), Option<EnvAccess>>,
}

impl EnvLockWaits {
    /// Returns the purpose for which the call stack with this number is in one of std's functions for variables; `None` if it
    /// is in none.
    pub(super) fn access(&self, log: &Log, stack: u32) -> Option<EnvAccess> {
        let is_it = |record: &Record<'_>| record.kind == Kind::Stack && record.value == stack;
        let calls = log.records().find(is_it)?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let modules = modules(log);
        let frames = located_frames(&modules, calls.text);
        let accesses: Vec<EnvAccess> = frames
            .filter_map(|(file, address)| known.access(file, address))
            .collect();
        // A process is started for many reasons.
        let is_for_variables = accesses.iter().any(|access| *access != EnvAccess::ForChild);
        accesses.into_iter().max().filter(|_| is_for_variables)
    }
}

impl KnownPlaces {
    fn access(&mut self, file: &Path, address: u64) -> Option<EnvAccess> {
        let program = || Loader::new(file).ok();
        *self.places.entry((file.to_owned(), address)).or_insert_with(|| {
            let program = self.programs.entry(file.to_owned()).or_insert_with(program);
            let program = program.as_ref()?;
            let is_in = |names, files| is_within(program, address, names, files);
            let all = [
                (EnvAccess::ForChild, START, &[][..]),
                (EnvAccess::All, READ_ALL, &[]),
                (EnvAccess::One, NAMES, FILES),
            ];
            let found = all.into_iter().find(|(_, names, files)| is_in(names, files));
            found.map(|(access, ..)| access)
        })
    }
}
