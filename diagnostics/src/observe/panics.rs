//! Accesses by std itself while a test panics or captures a backtrace: it asks for the working directory, for
//! `RUST_BACKTRACE`, and opens the files with line tables. A test that panics uses none of these.

use super::format::Kind;
use super::log::{Log, Record};
use super::places::{Module, is_within, modules, places};
use addr2line::Loader;
use std::collections::HashMap;
use std::path::PathBuf;

const NAMES: &[&str] = &[
    "std::panicking::default_hook",
    "std::panic::get_backtrace_style",
    "std::sys::backtrace::BacktraceLock",
    "std::backtrace::Backtrace::",
    "std::backtrace::Backtrace>::",
    "std::backtrace_rs::",
];
const FILES: &[&str] = &["/std/src/backtrace.rs", "/library/std/src/../../backtrace/"];

/// The stacks that lead through std's panic and backtrace code. Each place of a program is looked up once.
#[derive(Default)]
pub(super) struct Panics<'a> {
    logs: HashMap<usize, Calls<'a>>,
    programs: HashMap<PathBuf, Option<Loader>>,
    known: HashMap<(PathBuf, u64), bool>,
}

/// A log's stacks by number, and its program's parts.
struct Calls<'a> {
    modules: Vec<Module>,
    stacks: HashMap<u32, &'a [u8]>,
    known: HashMap<u32, bool>,
}

impl<'a> Calls<'a> {
    fn of(log: &'a Log) -> Self {
        let stacks = log.records().filter(|record| record.kind == Kind::Stack);
        Self {
            modules: modules(log),
            stacks: stacks.map(|record| (record.value, record.text)).collect(),
            known: HashMap::new(),
        }
    }
}

impl<'a> Panics<'a> {
    /// Returns whether std did this on its own account, as far as stacks were noted.
    pub(super) fn is(&mut self, index: usize, log: &'a Log, record: &Record<'_>) -> bool {
        let may_be = match record.kind {
            Kind::GetFolder => true,
            Kind::GetVariable => matches!(record.text, b"RUST_BACKTRACE" | b"RUST_LIB_BACKTRACE"),
            _ => false,
        };
        if !may_be || record.stack == 0 {
            return false;
        }
        let calls = self.logs.entry(index).or_insert_with(|| Calls::of(log));
        if let Some(known) = calls.known.get(&record.stack) {
            return *known;
        }
        let frames = calls.stacks.get(&record.stack).copied().unwrap_or_default();
        let is = places(&calls.modules, frames).any(|(file, address)| {
            let place = (file.to_owned(), address);
            let programs = &mut self.programs;
            *self.known.entry(place).or_insert_with_key(|(file, address)| {
                let program = programs.entry(file.clone());
                let program = program.or_insert_with(|| Loader::new(file).ok());
                program
                    .as_ref()
                    .is_some_and(|program| is_within(program, *address, NAMES, FILES))
            })
        });
        calls.known.insert(record.stack, is);
        is
    }
}
