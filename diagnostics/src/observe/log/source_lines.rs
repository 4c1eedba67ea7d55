//! The source lines of an access: the innermost line of the user's code, and the line in the test.

use super::{FRAMES, Log};
use crate::observe::format::Kind;
use addr2line::Loader;
use std::borrow::Cow;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;

/// The origin of an access: a call stack in the process of a log. For a child process, it is that of its start by its parent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CallSite {
    pub(crate) log: usize,
    pub(crate) stack: u32,
}

/// Resolves origins of accesses to source lines.
pub(crate) struct LineResolver<'a> {
    logs: &'a [Log],
    /// The directory the command was started in; paths are shown relative to it.
    root: &'a Path,
    modules: HashMap<usize, Vec<Module>>,
    stacks: HashMap<usize, HashMap<u32, &'a [u8]>>,
    programs: HashMap<PathBuf, Option<Loader>>,
    known: HashMap<(PathBuf, u64), Rc<[UserCall]>>,
}

/// A call from the user's own code.
#[derive(Clone, Debug, PartialEq, Eq)]
struct UserCall {
    /// The path of the function, if the program has symbols.
    function: Option<String>,
    line: String,
}

/// A program or library in memory.
#[derive(Clone, Debug)]
pub(crate) struct Module {
    base: u64,
    file: PathBuf,
}

impl Module {
    /// Returns whether it was loaded from that file.
    pub(crate) fn is(&self, path: &[u8]) -> bool {
        self.file.as_os_str().as_bytes() == path
    }
}

/// Returns the program and libraries of a log.
pub(crate) fn modules(log: &Log) -> Vec<Module> {
    let mut program = PathBuf::new();
    let mut modules = Vec::new();
    for record in log.records() {
        let path = || PathBuf::from(OsStr::from_bytes(record.text));
        match record.kind {
            Kind::Program => program = path(),
            Kind::Module => modules.push(Module {
                base: record.number().unwrap_or_default(),
                // The dynamic linker reports the program itself without a name.
                file: if record.text.is_empty() {
                    program.clone()
                } else {
                    path()
                },
            }),
            _ => {}
        }
    }
    modules
}

/// Returns each call's file and the offset in it.
pub(crate) fn located_frames<'a>(
    modules: &'a [Module],
    frames: &'a [u8],
) -> impl Iterator<Item = (&'a Path, u64)> {
    let addresses = frames.chunks_exact(8).filter_map(|word| word.try_into().ok());
    // A return address points at the instruction after the call.
    let addresses = addresses.map(|word| u64::from_ne_bytes(word).saturating_sub(1));
    addresses.filter_map(|address| {
        // The module with the highest base below the address.
        let module = modules
            .iter()
            .filter(|module| module.base <= address)
            .max_by_key(|module| module.base)?;
        Some((module.file.as_path(), address - module.base))
    })
}

/// Returns whether a function at that address, inlined ones included, matches one of these parts of a name or of a file.
pub(crate) fn is_within(program: &Loader, address: u64, names: &[&str], files: &[&str]) -> bool {
    let has = |text: &str, parts: &[&str]| parts.iter().any(|part| text.contains(part));
    if program
        .find_symbol(address)
        .is_some_and(|name| has(&addr2line::demangle_auto(name.into(), None), names))
    {
        return true;
    }
    let Ok(mut frames) = program.find_frames(address) else {
        return false;
    };
    while let Ok(Some(frame)) = frames.next() {
        if frame
            .location
            .and_then(|location| location.file)
            .is_some_and(|file| has(file, files))
        {
            return true;
        }
    }
    false
}

impl<'a> LineResolver<'a> {
    pub(crate) fn new(logs: &'a [Log], root: &'a Path) -> Self {
        Self {
            logs,
            root,
            modules: HashMap::new(),
            stacks: HashMap::new(),
            programs: HashMap::new(),
            known: HashMap::new(),
        }
    }

    /// Returns the innermost line of the user's code, if the program was built with line tables: `tests/shop.rs:7`.
    pub(crate) fn line(&mut self, place: CallSite) -> Option<String> {
        let (calls, _) = self.calls(place)?;
        calls.into_iter().next().map(|call| call.line)
    }

    /// Returns the line in the test itself: of the innermost call from it, or else of the outermost call from the user's
    /// code, which a macro may have named otherwise.
    pub(crate) fn test_line(&mut self, place: CallSite, test: &str) -> Option<String> {
        let (calls, is_complete) = self.calls(place)?;
        let is_test = |call: &&UserCall| {
            call.function
                .as_deref()
                .is_some_and(|function| is_function_of(function, test))
        };
        let outermost = calls.last().filter(|_| is_complete);
        calls
            .iter()
            .find(is_test)
            .or(outermost)
            .map(|call| call.line.clone())
    }

    /// Returns the functions of the user's code on the stack of this place, the innermost first.
    pub(crate) fn functions(&mut self, place: CallSite) -> Vec<String> {
        let calls = self.calls(place).map(|(calls, _)| calls).unwrap_or_default();
        calls.into_iter().filter_map(|call| call.function).collect()
    }

    /// Returns the calls from the user's code, the innermost first, and whether the stack reaches the start of the thread.
    fn calls(&mut self, place: CallSite) -> Option<(Vec<UserCall>, bool)> {
        let CallSite { log, stack } = place;
        self.stacks_of(log);
        let modules = self.modules_of(log);
        let frames = self.stacks.get(&log)?.get(&stack)?;
        let is_complete = frames.len() < FRAMES as usize * size_of::<u64>();
        let calls = located_frames(&modules, frames)
            .flat_map(|(file, address)| self.calls_at(file, address).to_vec());
        Some((calls.collect(), is_complete))
    }

    /// Caches the return addresses of each stack in a log: the innermost first, eight bytes each.
    fn stacks_of(&mut self, log: usize) {
        let logs = self.logs;
        self.stacks.entry(log).or_insert_with(|| {
            let stacks = logs[log].records().filter(|record| record.kind == Kind::Stack);
            stacks.map(|record| (record.value, record.text)).collect()
        });
    }

    fn modules_of(&mut self, log: usize) -> Vec<Module> {
        let read = || modules(&self.logs[log]);
        self.modules.entry(log).or_insert_with(read).clone()
    }

    fn calls_at(&mut self, file: &Path, address: u64) -> Rc<[UserCall]> {
        let key = (file.to_owned(), address);
        if let Some(known) = self.known.get(&key) {
            return Rc::clone(known);
        }
        let program = self
            .programs
            .entry(file.to_owned())
            .or_insert_with(|| Loader::new(file).ok());
        let calls = program
            .as_ref()
            .map(|program| user_calls(program, address, self.root))
            .unwrap_or_default();
        let calls: Rc<[UserCall]> = calls.into();
        self.known.insert(key, Rc::clone(&calls));
        calls
    }
}

/// The calls at that address that are in the user's own code: several where functions were inlined.
fn user_calls(program: &Loader, address: u64, root: &Path) -> Vec<UserCall> {
    let mut calls = Vec::new();
    let Ok(mut frames) = program.find_frames(address) else {
        return calls;
    };
    let mut is_outermost = false;
    while let Ok(Some(frame)) = frames.next() {
        is_outermost = false;
        if let Some(location) = frame.location
            && let (Some(file), Some(line)) = (location.file, location.line)
            && is_user_code(file)
        {
            is_outermost = true;
            let function = frame.function.as_ref().and_then(|name| name.demangle().ok());
            calls.push(UserCall {
                function: function.map(Cow::into_owned),
                line: format!("{}:{line}", display_path(file, root)),
            });
        }
    }
    // Line tables name inlined functions, the symbol table the function that contains them.
    if is_outermost && let (Some(last), Some(symbol)) = (calls.last_mut(), program.find_symbol(address)) {
        last.function = Some(addr2line::demangle_auto(symbol.into(), None).into_owned());
    }
    calls
}

/// Returns whether a function is the named test or a closure in it. Some programs omit the function's path.
fn is_function_of(function: &str, test: &str) -> bool {
    let mut function = function;
    while let Some((outer, last)) = function.rsplit_once("::")
        && last.starts_with('{')
    {
        function = outer;
    }
    let ends = |name: &str| {
        function
            .strip_suffix(name)
            .is_some_and(|rest| rest.is_empty() || rest.ends_with("::"))
    };
    let last = test.rsplit("::").next().unwrap_or(test);
    !test.is_empty() && (ends(test) || function == last)
}

/// Returns whether a file belongs to the user's code, not to std or a dependency, which act on behalf of that code.
pub(crate) fn is_user_code(file: &str) -> bool {
    let dependencies = [
        "/registry/src/",
        "/git/checkouts/",
        "/vendor/",
        "/lib/rustlib/src/",
    ];
    let is_std_s = file.starts_with("/rustc/") || file.starts_with("/rust/deps/");
    !is_std_s && !dependencies.iter().any(|part| file.contains(part)) && !file.is_empty()
}

/// Returns the path relative to `root`, without the `..` that `#[path]` leaves.
pub(crate) fn display_path(file: &str, root: &Path) -> String {
    let mut path = PathBuf::new();
    for part in Path::new(file).components() {
        match part {
            Component::ParentDir if path.file_name().is_some() => _ = path.pop(),
            Component::CurDir => {}
            other => path.push(other),
        }
    }
    path.strip_prefix(root).unwrap_or(&path).display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_shown_from_the_root_on() {
        for (file, text) in [
            ("/w/src/lib.rs", "src/lib.rs"),
            ("/w/src/../tests/a.rs", "tests/a.rs"),
            ("/elsewhere/a.rs", "/elsewhere/a.rs"),
            ("./a.rs", "a.rs"),
        ] {
            assert_eq!(display_path(file, Path::new("/w")), text);
        }
    }

    #[test]
    fn a_test_is_known_by_its_function_and_by_the_closures_in_it() {
        for (function, test, wanted) in [
            ("shop::orders::stores", "orders::stores", true),
            ("shop::orders::stores::{{closure}}", "orders::stores", true),
            (
                "shop::orders::stores::{closure#0}::{closure#1}",
                "orders::stores",
                true,
            ),
            ("stores", "orders::stores", true),
            ("orders::stores", "stores", true),
            ("shop::restores", "stores", false),
            ("shop::orders::stores::helper", "orders::stores", false),
            ("shop::other::stores", "orders::stores", false),
            ("main", "", false),
        ] {
            assert_eq!(is_function_of(function, test), wanted, "{function} {test}");
        }
    }

    #[test]
    fn std_and_dependencies_are_not_the_user_s() {
        for (file, own) in [
            ("/w/src/lib.rs", true),
            ("/w/registry/src.rs", true),
            ("/rustc/0123/library/std/src/fs.rs", false),
            ("/rust/deps/hashbrown-0.16.1/src/map.rs", false),
            ("/h/.cargo/registry/src/index-1/tempfile-3/src/lib.rs", false),
            ("/h/.cargo/git/checkouts/x/src/lib.rs", false),
            ("/h/toolchain/lib/rustlib/src/rust/library/std/src/fs.rs", false),
        ] {
            assert_eq!(is_user_code(file), own, "{file}");
        }
    }
}
