//! Every access of each test, kept once. A suite makes a million accesses to a hundred thousand files, so equal ones are
//! merged.

use super::constant_vars::ConstantVars;
use super::ephemeral_ports::EphemeralPorts;
use super::fast_hash::FastHash;
use super::file_locks::FileLocks;
use super::lock_events::StaticLocks;
use super::paths::{Links, is_of_interest};
use super::ports::Ports;
use super::removed_dirs::RemovedDirs;
use super::used_statics::UsedStatics;
use super::written_programs::WrittenPrograms;
use crate::observe::format::{BETWEEN_PROCESSES, BETWEEN_THREADS, Kind, MEMORY_ENDED, SHARED, header};
use crate::observe::interpret::{
    Effect, FileAccess, effects, is_shared, kind_of, resource_at, through_links,
};
use crate::observe::log::attribution::Attribution;
use crate::observe::log::source_lines::CallSite;
use crate::observe::log::{Log, Record};
use cofferdam::format::ResourceKind;
use cofferdam::{Access, Resource};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ffi::OsStr;
use std::hash::Hash;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Interned values, each kept once and known by its number.
#[derive(Debug)]
pub(crate) struct Interner<T: ?Sized> {
    known: HashMap<Rc<T>, u32, FastHash>,
    all: Vec<Rc<T>>,
}

impl<T: ?Sized> Default for Interner<T> {
    fn default() -> Self {
        Self {
            known: HashMap::default(),
            all: Vec::new(),
        }
    }
}

impl<T: ?Sized + Eq + Hash> Interner<T> {
    pub(crate) fn number(&mut self, one: &T) -> u32
    where
        for<'t> Rc<T>: From<&'t T>,
    {
        if let Some(number) = self.find(one) {
            return number;
        }
        // Four billion values would not fit into memory.
        let number = u32::try_from(self.all.len()).unwrap_or(u32::MAX);
        let one: Rc<T> = one.into();
        self.all.push(Rc::clone(&one));
        self.known.insert(one, number);
        number
    }

    pub(crate) fn find(&self, one: &T) -> Option<u32> {
        self.known.get(one).copied()
    }

    pub(crate) fn get(&self, number: u32) -> &T {
        &self.all[number as usize]
    }
}

/// A resource and the kind of access to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum InternedEffect {
    File(u32, FileAccess),
    Port(u32, Access),
    Other(u32, Access),
    UsedUmask,
    ClearedVariables,
    StartedProcess,
    OpenedDescriptor,
}

/// The first of several equal accesses by a test.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TestAccess {
    pub(crate) test: u32,
    pub(crate) effect: InternedEffect,
    /// The set of locks that it was made under, and that with the locks under which it was perhaps made.
    pub(crate) locks: u32,
    pub(crate) perhaps: u32,
    /// The times of the first and the last recorded access; without a hold only the first is recorded.
    pub(crate) at: u64,
    pub(crate) until: u64,
    /// An index into `places`.
    pub(crate) place: u32,
    /// Whether the test came there only by a working directory that another test had set.
    pub(crate) via_foreign_cwd: bool,
}

fn matters_for_static_locks(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Test
            | Kind::TakesLock
            | Kind::ReleasesLock
            | Kind::LocksInUse
            | Kind::UsesLock
            | Kind::LocksUnseen
    )
}

/// The working directories of the processes of a log.
#[derive(Debug, Default)]
pub(crate) struct WorkingDirs {
    known: HashMap<(u32, u32), PathBuf, FastHash>,
    /// The tests that set each of them, by their numbers in the log; 0 is the process itself, when it began.
    set_by: HashMap<PathBuf, HashSet<u32>>,
    names: Interner<OsStr>,
    /// The times at which a test changed it, each with the number of the new one: of the path in the call, or else of the
    /// directory after it, which another test may have changed again.
    changes: HashMap<u32, BTreeMap<u64, u32>>,
}

impl WorkingDirs {
    pub(crate) fn of(log: &Log) -> Self {
        let mut working_dirs = Self::default();
        for record in log.records() {
            if record.kind == Kind::Folder {
                let folder = PathBuf::from(OsStr::from_bytes(record.text));
                let tests = working_dirs.set_by.entry(folder.clone()).or_default();
                tests.insert(record.test);
                working_dirs.known.insert((record.pid, record.value), folder);
            } else if record.kind != Kind::ChangeFolder || !record.text.starts_with(b"/") {
                continue;
            }
            if record.pid == log.pid() {
                let name = working_dirs.names.number(OsStr::from_bytes(record.text));
                let changes = working_dirs.changes.entry(record.test).or_default();
                changes.entry(record.at).or_insert(name);
            }
        }
        working_dirs
    }

    /// Whether the record's path is a relative one, in a working directory that another test of its process had set.
    fn is_set_by_another(&self, log: &Log, record: &Record<'_>) -> bool {
        let is_shared = log.is_test() && record.pid == log.pid();
        is_shared
            && self
                .get(log, record)
                .and_then(|folder| self.set_by.get(folder))
                .is_some_and(|tests| !tests.contains(&0) && !tests.contains(&record.test))
    }

    /// Returns the number of the directory to which a record of the process that began the log changes; `None` for a record
    /// of another kind.
    fn changed_to(&self, record: &Record<'_>) -> Option<u32> {
        if record.kind != Kind::ChangeFolder {
            return None;
        }
        // After a call without such a path, the new directory is recorded.
        let changes = self.changes.get(&record.test)?;
        changes.range(record.at..).next().map(|(_, name)| *name)
    }

    /// Returns the working directory of a record. A forked process has that of the process that began the log, until it
    /// changes it.
    pub(crate) fn get(&self, log: &Log, record: &Record<'_>) -> Option<&Path> {
        let find = |pid: u32| self.known.get(&(pid, record.folder));
        find(record.pid).or_else(|| find(log.pid())).map(PathBuf::as_path)
    }
}

/// The accesses of all tests.
pub(crate) struct Accesses<'o> {
    ours: &'o Path,
    links: Links,
    pub(crate) locks: FileLocks,
    static_locks: StaticLocks,
    ephemeral_ports: EphemeralPorts,
    pub(crate) removed_dirs: RemovedDirs,
    pub(crate) all: Vec<TestAccess>,
    known: HashMap<(u32, InternedEffect, [u32; 2]), u32, FastHash>,
    known_others: HashMap<Resource, usize>,
    /// Keyed by bytes: comparing paths component by component is much slower.
    pub(crate) files: Interner<OsStr>,
    /// The kinds of files that are sockets or shared memory.
    kinds: HashMap<u32, ResourceKind>,
    pub(crate) ports: Ports,
    pub(crate) others: Vec<Resource>,
    /// Sets of locks held at an access.
    pub(crate) sets: Interner<[usize]>,
    pub(crate) places: Vec<CallSite>,
    /// Processes whose umask a test changed.
    pub(crate) masked: HashSet<u32>,
    programs: WrittenPrograms,
    /// Processes in which a test wrote a program that is executed.
    pub(crate) with_written_programs: HashSet<u32>,
    /// Processes in which a test closed a descriptor twice.
    pub(crate) with_double_closes: HashSet<u32>,
    pub(crate) constant_vars: ConstantVars,
    pub(crate) statics: UsedStatics,
    /// The variables that were accessed by name, by process.
    pub(crate) variables: HashMap<u32, BTreeSet<String>>,
}

impl<'o> Accesses<'o> {
    pub(crate) fn new(ours: &'o Path) -> Self {
        Self {
            ours,
            links: Links::default(),
            locks: FileLocks::default(),
            static_locks: StaticLocks::default(),
            ephemeral_ports: EphemeralPorts::default(),
            removed_dirs: RemovedDirs::default(),
            all: Vec::new(),
            known: HashMap::default(),
            known_others: HashMap::new(),
            files: Interner::default(),
            kinds: HashMap::new(),
            ports: Ports::default(),
            others: Vec::new(),
            sets: Interner::default(),
            places: Vec::new(),
            masked: HashSet::new(),
            programs: WrittenPrograms::default(),
            with_written_programs: HashSet::new(),
            with_double_closes: HashSet::new(),
            constant_vars: ConstantVars::default(),
            statics: UsedStatics::default(),
            variables: HashMap::new(),
        }
    }

    /// First pass: locks, removed directories and assigned ports, which determine the meaning of the other records.
    pub(crate) fn first_pass(
        &mut self,
        index: usize,
        log: &Log,
        working_dirs: &WorkingDirs,
        attribution: &Attribution,
    ) {
        let matters = |record: &Record<'_>| {
            matches!(
                record.kind,
                Kind::Locked
                    | Kind::Unlocked
                    | Kind::RemoveFolder
                    | Kind::Rename
                    | Kind::GivenPort
                    | Kind::LeasedPort
                    | Kind::Execute
                    | Kind::UseStatic
            ) || matters_for_static_locks(record.kind)
        };
        if log.header(header::MEMORY) == MEMORY_ENDED {
            self.static_locks.end(index);
        }
        for record in log.records().filter(matters) {
            let number = record.number().unwrap_or_default();
            if record.kind == Kind::Unlocked {
                // Another thread may unlock it, so the record names the thread that locked it.
                if let Some(test) = attribution.test_of(index, record.value) {
                    self.locks.unlock(index, test, number, record.at);
                }
                continue;
            }
            if record.kind == Kind::UseStatic {
                self.statics.add(log, &record);
                continue;
            }
            let test = attribution.test(index, &record);
            if matters_for_static_locks(record.kind) {
                let begun = (record.kind == Kind::Test).then_some(record.value);
                let test = begun.map_or(test, |begun| attribution.test_of(index, begun));
                self.static_locks.add(index, test, &record, &mut self.locks);
                continue;
            }
            self.ephemeral_ports.add(&record, test);
            let Some(test) = test else { continue };
            if record.kind == Kind::Locked {
                let way = u64::from(record.value);
                let path = if way & BETWEEN_THREADS != 0 {
                    PathBuf::from(format!("{} of process {}", record.words(), record.pid))
                } else {
                    self.links.resolve(PathBuf::from(OsStr::from_bytes(record.text)))
                };
                // The other tests are threads of the same process.
                let in_process = log.is_test() && record.pid == log.pid() && attribution.tests[test].in_turn;
                if way & BETWEEN_PROCESSES != 0 && in_process {
                    self.locks.note_ineffective(test, &path);
                } else {
                    let shared = way & SHARED != 0;
                    self.locks.lock(index, test, &path, number, shared, record.at);
                }
                continue;
            }
            let folder = working_dirs.get(log, &record);
            self.programs.add(log, &record, folder, &mut self.links);
            for effect in effects(&record, folder, false) {
                if let Effect::File(path, FileAccess::RemoveTree) = effect {
                    self.removed_dirs.add(&self.links.resolve(path), test);
                }
            }
        }
    }

    /// Ends the first pass, once it has seen all logs.
    pub(crate) fn end_first_pass(&mut self) {
        self.static_locks.find_unseen(&mut self.locks);
    }

    /// Returns whether a lock was perhaps held at an access, and is not known to have been.
    pub(crate) fn has_uncertain_locks(&self) -> bool {
        self.all.iter().any(|one| one.perhaps != one.locks)
    }

    /// Second pass: adds the accesses of a record.
    pub(crate) fn second_pass(
        &mut self,
        (index, log): (usize, &Log),
        working_dirs: &WorkingDirs,
        record: &Record<'_>,
        test: usize,
        place: CallSite,
        attribution: &Attribution,
    ) {
        if self.ephemeral_ports.belongs_to(record, test) || self.statics.is_only_counted(log, record) {
            return;
        }
        let shared = is_shared(log, record);
        let pid = attribution.tests[test].pid;
        if shared {
            let directory = working_dirs.changed_to(record).unwrap_or(u32::MAX);
            self.constant_vars.add(record, directory, pid, test as u32);
        }
        let via_foreign_cwd = working_dirs.is_set_by_another(log, record);
        for effect in effects(record, working_dirs.get(log, record), shared) {
            if shared && effect == Effect::UsedUmask {
                self.constant_vars.add_creation(pid, test as u32);
            }
            for effect in through_links(effect, record, &mut self.links)
                .into_iter()
                .flatten()
            {
                if shared && let Some(effect) = self.programs.effect(log.pid(), record, &effect) {
                    self.add(test, effect, (index, record), via_foreign_cwd, place, attribution);
                }
                self.add(test, effect, (index, record), via_foreign_cwd, place, attribution);
            }
        }
    }

    /// Returns the file with this number as a resource.
    pub(crate) fn file(&self, file: u32) -> Resource {
        let kind = self.kinds.get(&file).copied().unwrap_or(ResourceKind::File);
        resource_at(kind, Path::new(self.files.get(file)))
    }

    /// Returns the number of a resource that is not a file.
    fn number(&mut self, resource: Resource) -> u32 {
        let known = *self
            .known_others
            .entry(resource.clone())
            .or_insert(self.others.len());
        if known == self.others.len() {
            self.others.push(resource);
        }
        known as u32
    }

    /// Returns the sets of locks that protected an access, and of those with the locks that perhaps did. What a test leaves in a
    /// static is there for others whichever lock in a static it took.
    fn held(
        &self,
        test: usize,
        (log, record): (usize, &Record<'_>),
        path: Option<&Path>,
        access: Access,
    ) -> [Vec<usize>; 2] {
        let mut known = self.locks.held(test, path, access, record.at);
        if record.kind == Kind::UseStatic {
            return [known.clone(), known];
        }
        let in_statics = self.static_locks.held(log, test, record, access);
        let mut sorted = |more: Vec<usize>| {
            known.extend(more);
            known.sort_unstable();
            known.dedup();
            known.clone()
        };
        [sorted(in_statics.known), sorted(in_statics.perhaps)]
    }

    /// Adds one access, with files by their real paths.
    fn add(
        &mut self,
        test: usize,
        effect: Effect,
        (log, record): (usize, &Record<'_>),
        via_foreign_cwd: bool,
        place: CallSite,
        attribution: &Attribution,
    ) {
        let (kind, at) = (kind_of(record), record.at);
        let of_log = (log, record);
        let (effect, held) = match effect {
            Effect::File(path, how) => {
                let known = self.files.find(path.as_os_str());
                if known.is_none() && !is_of_interest(&path, self.ours) {
                    return;
                }
                // Creating a directory is a write as far as locks are concerned.
                let access = match how {
                    FileAccess::MakeDir => Access::Write,
                    other => other.access(),
                };
                let held = self.held(test, of_log, Some(&path), access);
                let file = known.unwrap_or_else(|| self.files.number(path.as_os_str()));
                if kind != ResourceKind::File {
                    self.kinds.insert(file, kind);
                }
                (InternedEffect::File(file, how), held)
            }
            Effect::Port(port, access) => {
                let held = self.held(test, of_log, None, access);
                (InternedEffect::Port(self.ports.number(port), access), held)
            }
            Effect::Other(resource, access) => {
                let held = self.held(test, of_log, None, access);
                let pid = attribution.tests[test].pid;
                if resource.kind() == ResourceKind::Umask && access == Access::Write {
                    self.masked.insert(pid);
                } else if resource.kind() == ResourceKind::Executable {
                    self.with_written_programs.insert(pid);
                } else if resource.kind() == ResourceKind::Descriptors {
                    self.with_double_closes.insert(pid);
                } else if resource.kind() == ResourceKind::Env {
                    let names = self.variables.entry(pid).or_default();
                    if !names.contains(resource.as_str()) {
                        names.insert(resource.as_str().to_owned());
                    }
                }
                (InternedEffect::Other(self.number(resource), access), held)
            }
            Effect::UsedUmask => (InternedEffect::UsedUmask, Default::default()),
            Effect::ClearedVariables => (InternedEffect::ClearedVariables, Default::default()),
            Effect::StartedProcess => {
                let held = self.held(test, of_log, None, Access::Read);
                (InternedEffect::StartedProcess, held)
            }
            Effect::OpenedDescriptor => (InternedEffect::OpenedDescriptor, Default::default()),
        };
        let (test, sets) = (test as u32, held.map(|held| self.sets.number(&held[..])));
        let next = self.all.len() as u32;
        let known = *self.known.entry((test, effect, sets)).or_insert(next);
        if let Some(known) = self.all.get_mut(known as usize) {
            known.until = known.until.max(at);
            known.via_foreign_cwd &= via_foreign_cwd;
        } else {
            let place_number = self.places.len() as u32;
            self.places.push(place);
            self.all.push(TestAccess {
                test,
                effect,
                locks: sets[0],
                perhaps: sets[1],
                at,
                until: at,
                place: place_number,
                via_foreign_cwd,
            });
        }
    }
}
