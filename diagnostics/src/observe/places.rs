//! The line in the source that something was done from: the first of the calls that is in the user's own code.

use super::format::Kind;
use super::log::Log;
use addr2line::Loader;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

/// Where something was done.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place {
    /// In the process of that log, by the calls of that number.
    Here { log: usize, stack: u32 },
    /// In a process that was started there: by the record at that position.
    Begun { log: usize, position: usize },
}

/// Turns places into lines.
pub(crate) struct Lines<'a> {
    logs: &'a [Log],
    /// Shown without what is common to all: the folder that the command was started in.
    root: &'a Path,
    modules: HashMap<usize, Vec<Module>>,
    stacks: HashMap<usize, HashMap<u32, &'a [u8]>>,
    programs: HashMap<PathBuf, Option<Loader>>,
    known: HashMap<(PathBuf, u64), Option<String>>,
}

/// A part of a program in memory.
#[derive(Clone, Debug)]
pub(super) struct Module {
    base: u64,
    file: PathBuf,
}

impl Module {
    /// Whether that is its file.
    pub(super) fn is(&self, path: &[u8]) -> bool {
        self.file.as_os_str().as_bytes() == path
    }
}

/// The parts that a log speaks of.
pub(super) fn modules(log: &Log) -> Vec<Module> {
    let mut program = PathBuf::new();
    let mut modules = Vec::new();
    for record in log.records() {
        let path = || PathBuf::from(OsStr::from_bytes(record.text));
        match record.kind {
            Kind::Program => program = path(),
            Kind::Module => modules.push(Module {
                base: record.number().unwrap_or_default(),
                // The program itself has no name in memory.
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

/// Where calls were made from: the file, and the place in it.
pub(super) fn places<'a>(modules: &'a [Module], frames: &'a [u8]) -> impl Iterator<Item = (&'a Path, u64)> {
    let addresses = frames.chunks_exact(8).filter_map(|word| word.try_into().ok());
    // A return address is that of the next instruction.
    let addresses = addresses.map(|word| u64::from_ne_bytes(word).saturating_sub(1));
    addresses.filter_map(|address| {
        // Of the parts that begin before it, the one that begins last.
        let module = modules
            .iter()
            .filter(|module| module.base <= address)
            .max_by_key(|module| module.base)?;
        Some((module.file.as_path(), address - module.base))
    })
}

/// Whether one of the functions that were inlined there is in one of these parts of a library, by its name or its file.
pub(super) fn is_within(program: &Loader, address: u64, names: &[&str], files: &[&str]) -> bool {
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

impl<'a> Lines<'a> {
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

    /// `tests/shop.rs:7`, if the program was built with line tables.
    pub(crate) fn line(&mut self, place: Place) -> Option<String> {
        let (log, stack) = match place {
            Place::Here { log, stack } => (log, stack),
            Place::Begun { log, position } => (log, self.logs[log].records().nth(position)?.stack),
        };
        self.stacks_of(log);
        let modules = self.modules_of(log);
        let frames = self.stacks.get(&log)?.get(&stack)?;
        places(&modules, frames).find_map(|(file, address)| self.line_at(file, address))
    }

    /// Return addresses by the numbers of their stacks, the innermost first, eight bytes each.
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

    fn line_at(&mut self, file: &Path, address: u64) -> Option<String> {
        let key = (file.to_owned(), address);
        if let Some(known) = self.known.get(&key) {
            return known.clone();
        }
        let program = self
            .programs
            .entry(file.to_owned())
            .or_insert_with(|| Loader::new(file).ok());
        let line = program
            .as_ref()
            .and_then(|program| user_line(program, address, self.root));
        self.known.insert(key, line.clone());
        line
    }
}

/// The innermost of the calls that were inlined there that is in the user's own code.
fn user_line(program: &Loader, address: u64, root: &Path) -> Option<String> {
    let mut frames = program.find_frames(address).ok()?;
    while let Ok(Some(frame)) = frames.next() {
        if let Some(location) = frame.location
            && let (Some(file), Some(line)) = (location.file, location.line)
            && is_user_s(file)
        {
            return Some(format!("{}:{line}", shown(file, root)));
        }
    }
    None
}

/// Not std's, and not a dependency's: those do what the user's code asks for.
fn is_user_s(file: &str) -> bool {
    let dependencies = [
        "/registry/src/",
        "/git/checkouts/",
        "/vendor/",
        "/lib/rustlib/src/",
    ];
    let is_std_s = file.starts_with("/rustc/") || file.starts_with("/rust/deps/");
    !is_std_s && !dependencies.iter().any(|part| file.contains(part)) && !file.is_empty()
}

/// As a person would write it: from `root` on, without the ways back that `#[path]` makes.
fn shown(file: &str, root: &Path) -> String {
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
            assert_eq!(shown(file, Path::new("/w")), text);
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
            assert_eq!(is_user_s(file), own, "{file}");
        }
    }
}
