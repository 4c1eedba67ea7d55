//! Recognition of accesses that std makes to print a backtrace: it reads the working directory and `RUST_BACKTRACE`, and
//! opens debug information. They do not count as accesses of the test.

use super::source_lines::{Module, located_frames, modules};
use crate::observe::format::Kind;
use crate::observe::log::{Log, Record};
use addr2line::Loader;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

/// Prefixes of the functions in std that print backtraces.
const PRINTING: [&str; 5] = [
    "std::sys::backtrace::",
    "std::sys_common::backtrace::",
    "std::backtrace::",
    "std::backtrace_rs::",
    "std::panicking::default_hook",
];
/// Functions around every test and every `main`: code called from there belongs to the program.
const MARKS: [&str; 2] = ["__rust_begin_short_backtrace", "__rust_end_short_backtrace"];
/// The directory of the system's debug information.
const DEBUG_FILES: &[u8] = b"/usr/lib/debug";

/// The role of a function on a call stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FrameRole {
    Prints,
    /// Any other function of std.
    Std,
    Other,
}

/// Recognizes records that come from the printing of a backtrace.
#[derive(Default)]
pub(crate) struct BacktraceFilter {
    programs: HashMap<PathBuf, Option<Loader>>,
    functions: HashMap<(PathBuf, u64), FrameRole>,
    /// Call stacks of the current log that print a backtrace.
    stacks: HashSet<u32>,
}

impl BacktraceFilter {
    /// Finds the call stacks in `log` that print a backtrace.
    pub(crate) fn scan(&mut self, log: &Log) {
        self.stacks.clear();
        let modules = modules(log);
        let candidates: HashSet<u32> = log
            .records()
            .filter(|record| record.stack != 0 && may_print(record, &modules))
            .map(|record| record.stack)
            .collect();
        for record in log.records() {
            if record.kind == Kind::Stack && candidates.contains(&record.value) {
                // Only functions of std may lie between the call and the printing function: a panic hook of the program
                // is the program's code.
                let first = located_frames(&modules, record.text)
                    .map(|(file, at)| self.role_of(file, at))
                    .find(|role_of| *role_of != FrameRole::Std);
                if first == Some(FrameRole::Prints) {
                    self.stacks.insert(record.value);
                }
            }
        }
    }

    /// Returns whether printing a backtrace caused this record of the current log.
    pub(crate) fn is_from_backtrace(&self, record: &Record<'_>) -> bool {
        self.stacks.contains(&record.stack)
    }

    fn role_of(&mut self, file: &Path, address: u64) -> FrameRole {
        let key = (file.to_owned(), address);
        if let Some(known) = self.functions.get(&key) {
            return *known;
        }
        let program = self.programs.entry(file.to_owned());
        let program = program.or_insert_with(|| Loader::new(file).ok());
        let name = program.as_ref().and_then(|program| program.find_symbol(address));
        let role_of = name.map_or(FrameRole::Other, |name| {
            role_of(&addr2line::demangle_auto(name.into(), None))
        });
        self.functions.insert(key, role_of);
        role_of
    }
}

/// Returns whether printing a backtrace may cause such a record. Filters first, because resolving a call stack is slow.
fn may_print(record: &Record<'_>, modules: &[Module]) -> bool {
    match record.kind {
        Kind::GetFolder => true,
        Kind::GetVariable => record.text.ends_with(b"_BACKTRACE"),
        Kind::Open | Kind::Look | Kind::List => {
            let is_library = record.text.windows(3).any(|part| part == b".so");
            is_library
                || record.text.starts_with(DEBUG_FILES)
                || modules.iter().any(|module| module.is(record.text))
        }
        _ => false,
    }
}

fn role_of(name: &str) -> FrameRole {
    let plain = name.trim_start_matches(['<', '&', '*']);
    if MARKS.iter().any(|mark| name.contains(mark)) {
        FrameRole::Other
    } else if PRINTING.iter().any(|printing| plain.starts_with(printing)) {
        FrameRole::Prints
    } else if ["std::", "core::", "alloc::"]
        .iter()
        .any(|library| plain.starts_with(library))
    {
        FrameRole::Std
    } else {
        FrameRole::Other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn std_s_printing_is_told_from_what_it_calls_and_from_what_is_called_below_it() {
        for (name, wanted) in [
            ("std::env::current_dir::h0123", FrameRole::Std),
            ("<std::path::PathBuf as core::fmt::Debug>::fmt", FrameRole::Std),
            ("core::fmt::write", FrameRole::Std),
            ("std::sys::backtrace::_print_fmt", FrameRole::Prints),
            (
                "<std::sys::backtrace::BacktraceLock::print::DisplayBacktrace as core::fmt::Display>::fmt",
                FrameRole::Prints,
            ),
            ("std::panicking::default_hook::{{closure}}", FrameRole::Prints),
            (
                "std::sys::backtrace::__rust_begin_short_backtrace",
                FrameRole::Other,
            ),
            ("shop::hook", FrameRole::Other),
            ("test::run_test", FrameRole::Other),
        ] {
            assert_eq!(role_of(name), wanted, "{name}");
        }
    }
}
