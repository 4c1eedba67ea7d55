//! Interpretation of records: the resources that a record accesses, and how.

pub(crate) mod accesses;
mod certainty;
mod constant_vars;
mod dir_listings;
mod ephemeral_ports;
mod fast_hash;
mod file_locks;
mod lock_events;
pub(crate) mod paths;
pub(crate) mod ports;
pub(crate) mod reading;
mod removed_dirs;
mod used_statics;
pub(crate) mod written_programs;

use super::format::{ITSELF, Kind, SHARED_MEMORY};
use super::log::{Log, Record};
use super::site_table;
use cofferdam::format::ResourceKind;
use cofferdam::{Access, Resource};
use paths::{Links, absolute};
use ports::Port;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// The kind of access to a file or directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum FileAccess {
    /// Read or looked up; a failed lookup reads the absence of the file.
    Read,
    /// Listed, if it is a directory.
    List,
    /// Created as a directory. Two tests that create the same directory do not conflict.
    MakeDir,
    /// Created or changed.
    Write,
    /// Certainly created or removed: a test that lists the directory sees the difference.
    AddOrRemove,
    /// Removed or renamed, with everything below it.
    RemoveTree,
    /// Not there to be removed or renamed. Counts if another test creates or removes it.
    FailedRemoval,
}

impl FileAccess {
    pub(crate) fn access(self) -> Access {
        match self {
            Self::List => Access::List,
            Self::Read | Self::MakeDir => Access::Read,
            Self::Write | Self::AddOrRemove | Self::RemoveTree | Self::FailedRemoval => Access::Write,
        }
    }
}

/// An access to one resource.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Effect {
    File(PathBuf, FileAccess),
    Port(Port, Access),
    Other(Resource, Access),
    /// A file or directory was created, whose mode depends on the umask.
    UsedUmask,
    /// All environment variables were removed.
    ClearedVariables,
    /// A process was started, which inherits the files that are open at that moment.
    StartedProcess,
    /// A file was opened, under a number that a test may have closed.
    OpenedDescriptor,
}

impl Effect {
    /// Returns whether it changes the resource.
    pub(crate) fn writes(&self) -> bool {
        match self {
            Self::File(_, how) => how.access() == Access::Write,
            Self::Port(_, access) | Self::Other(_, access) => *access == Access::Write,
            Self::UsedUmask | Self::StartedProcess | Self::OpenedDescriptor => false,
            Self::ClearedVariables => true,
        }
    }
}

/// The directory in which libc keeps shared memory and semaphores.
const MEMORY: &str = "/dev/shm";

/// Returns the kind of the file of a record.
pub(crate) fn kind_of(record: &Record<'_>) -> ResourceKind {
    match record.kind {
        Kind::BindUnix | Kind::ConnectUnix => ResourceKind::UnixSocket,
        Kind::Open | Kind::Remove if u64::from(record.value) & SHARED_MEMORY != 0 => {
            ResourceKind::SharedMemory
        }
        _ => ResourceKind::File,
    }
}

/// Returns the resource of a kind at a path.
pub(crate) fn resource_at(kind: ResourceKind, path: &Path) -> Resource {
    let name = path.to_string_lossy();
    if kind == ResourceKind::SharedMemory {
        Resource::new(kind, name.strip_prefix(MEMORY).unwrap_or(&name))
    } else {
        Resource::new(kind, name)
    }
}

const WRITE_ONLY: u32 = 1;
const READ_WRITE: u32 = 2;
const CREATE: u32 = 0o100;
const EXCLUSIVE: u32 = 0o200;
const TRUNCATE: u32 = 0o1000;

/// Returns whether the call follows a link. Calls that create, remove or rename a name act on the link itself.
fn follows(record: &Record<'_>) -> bool {
    let value = u64::from(record.value);
    match record.kind {
        Kind::Open => value & ITSELF == 0 && record.value & (CREATE | EXCLUSIVE) != CREATE | EXCLUSIVE,
        Kind::Look | Kind::Change => value & ITSELF == 0,
        Kind::List | Kind::ConnectUnix => true,
        _ => false,
    }
}

/// Returns an access with the real path of its file, preceded by a read of the link if the path is one: the access depends
/// on its target.
pub(crate) fn through_links(effect: Effect, record: &Record<'_>, links: &mut Links) -> [Option<Effect>; 2] {
    let Effect::File(path, how) = effect else {
        return [None, Some(effect)];
    };
    let path = links.resolve(path);
    let target = if follows(record) {
        links.target(&path)
    } else {
        None
    };
    match target.map(Path::to_owned) {
        Some(target) => [
            Some(Effect::File(path, FileAccess::Read)),
            Some(Effect::File(target, how)),
        ],
        None => [None, Some(Effect::File(path, how))],
    }
}

/// Returns the resource that the descriptors of a process are together.
pub(crate) fn descriptors() -> Resource {
    Resource::new(ResourceKind::Descriptors, "")
}

/// Returns whether the record comes from the process that the tests share, or from a copy of it that is about to execute a
/// program.
pub(crate) fn is_shared(log: &Log, record: &Record<'_>) -> bool {
    log.is_test() && (record.pid == log.pid() || record.kind == Kind::Execute)
}

/// Returns the accesses of a record. `folder` is the working directory at that time; `shared` is whether the record comes
/// from the process whose environment the tests share.
pub(crate) fn effects(record: &Record<'_>, folder: Option<&Path>, shared: bool) -> Vec<Effect> {
    let mut effects = Vec::new();
    let (first, second) = (path(record.text), path(record.second));
    let file = |path: &Path, how: FileAccess| absolute(folder, path).map(|path| Effect::File(path, how));
    // A call that failed because the object was there, or was not, might succeed in another schedule, so the attempt counts.
    // Any other failure changes nothing and only reads.
    let or_read = |how: FileAccess| if record.failed() { FileAccess::Read } else { how };
    let made = |how: FileAccess| if record.taken() { how } else { or_read(how) };
    let removed = |how: FileAccess| {
        if record.absent() {
            FileAccess::FailedRemoval
        } else {
            made(how)
        }
    };
    let access = |writes: bool| {
        if writes && (!record.failed() || record.taken()) && !record.same() {
            Access::Write
        } else {
            Access::Read
        }
    };
    if shared && matches!(record.kind, Kind::Open | Kind::List) && !record.failed() {
        effects.push(Effect::OpenedDescriptor);
    }
    match record.kind {
        Kind::Open => {
            let writes = record.value & 3 == WRITE_ONLY || record.value & 3 == READ_WRITE;
            let writes = writes || record.value & (CREATE | TRUNCATE) != 0;
            let how = match record.value & (CREATE | EXCLUSIVE) {
                both if both == CREATE | EXCLUSIVE => FileAccess::AddOrRemove,
                _ if writes => FileAccess::Write,
                _ => FileAccess::Read,
            };
            let how = if how == FileAccess::AddOrRemove {
                made(how)
            } else {
                or_read(how)
            };
            effects.extend(file(first, how));
            if record.value & CREATE != 0 && !record.failed() {
                effects.push(Effect::UsedUmask);
            }
        }
        Kind::Look => effects.extend(file(first, FileAccess::Read)),
        Kind::List => effects.extend(file(first, or_read(FileAccess::List))),
        Kind::MakeFolder => {
            effects.extend(file(first, made(FileAccess::MakeDir)));
            if !record.failed() {
                effects.push(Effect::UsedUmask);
            }
        }
        Kind::RemoveFolder => effects.extend(file(first, removed(FileAccess::RemoveTree))),
        Kind::Remove => effects.extend(file(first, removed(FileAccess::AddOrRemove))),
        Kind::Symlink => effects.extend(file(first, made(FileAccess::AddOrRemove))),
        Kind::Change => effects.extend(file(first, or_read(FileAccess::Write))),
        Kind::Rename => {
            effects.extend(file(first, removed(FileAccess::RemoveTree)));
            effects.extend(file(second, removed(FileAccess::RemoveTree)));
        }
        Kind::Link => {
            effects.extend(file(first, FileAccess::Read));
            effects.extend(file(second, made(FileAccess::AddOrRemove)));
        }
        Kind::BindUnix | Kind::ConnectUnix => {
            let how = if record.kind == Kind::BindUnix {
                FileAccess::AddOrRemove
            } else {
                FileAccess::Read
            };
            if record.text.starts_with(b"@") {
                let name = Resource::new(ResourceKind::UnixSocket, record.words());
                effects.push(Effect::Other(name, access(how == FileAccess::AddOrRemove)));
            } else {
                effects.extend(file(
                    first,
                    if how == FileAccess::AddOrRemove {
                        made(how)
                    } else {
                        how
                    },
                ));
            }
        }
        Kind::BindTcp | Kind::BindUdp | Kind::ConnectTcp => {
            effects.push(Effect::Port(
                Port::of(record),
                access(record.kind != Kind::ConnectTcp),
            ));
        }
        Kind::Other => effects.push(Effect::Other(Resource::name(record.words()), access(true))),
        Kind::GetVariable | Kind::SetVariable | Kind::UnsetVariable if shared => {
            let variable = Resource::env(record.words());
            effects.push(Effect::Other(variable, access(record.kind != Kind::GetVariable)));
        }
        Kind::ClearVariables if shared => effects.push(Effect::ClearedVariables),
        Kind::ChangeFolder | Kind::GetFolder if shared => {
            effects.push(Effect::Other(
                Resource::cwd(),
                access(record.kind == Kind::ChangeFolder),
            ));
        }
        Kind::Mask if shared => effects.push(Effect::Other(Resource::umask(), access(true))),
        Kind::SetLocale | Kind::GetLocale if shared => {
            effects.push(Effect::Other(
                Resource::locale(),
                access(record.kind == Kind::SetLocale),
            ));
        }
        Kind::SetSignal | Kind::GetSignal if shared => {
            let signal = Resource::new(ResourceKind::Signal, record.words());
            effects.push(Effect::Other(signal, access(record.kind == Kind::SetSignal)));
        }
        Kind::WaitAny | Kind::WaitChild if shared => {
            let children = Resource::new(ResourceKind::Children, "");
            effects.push(Effect::Other(children, access(record.kind == Kind::WaitAny)));
        }
        Kind::CloseTwice if shared => effects.push(Effect::Other(descriptors(), Access::Write)),
        Kind::UseStatic if shared => {
            let one = Resource::new(ResourceKind::Static, record.words());
            effects.push(Effect::Other(
                one,
                access(record.value & u32::from(site_table::ACCESS) != u32::from(site_table::READ)),
            ));
        }
        Kind::Execute if shared => effects.push(Effect::StartedProcess),
        // A child process has its own.
        Kind::GetVariable
        | Kind::SetVariable
        | Kind::UnsetVariable
        | Kind::ClearVariables
        | Kind::ChangeFolder
        | Kind::GetFolder
        | Kind::Mask
        | Kind::SetLocale
        | Kind::GetLocale
        | Kind::SetSignal
        | Kind::GetSignal
        | Kind::WaitAny
        | Kind::WaitChild
        | Kind::CloseTwice
        | Kind::UseStatic
        | Kind::Execute => {}
        // No accesses.
        Kind::Program
        | Kind::Module
        | Kind::Folder
        | Kind::Test
        | Kind::ShortName
        | Kind::TestOver
        | Kind::Child
        | Kind::Named
        | Kind::Locked
        | Kind::Unlocked
        | Kind::Waits
        | Kind::Stack
        | Kind::GivenPort
        | Kind::LeasedPort
        | Kind::Printed
        | Kind::Order
        | Kind::PutBack
        | Kind::TakesLock
        | Kind::ReleasesLock
        | Kind::LocksInUse
        | Kind::UsesLock
        | Kind::LocksUnseen => {}
    }
    // A new process may have changed its own directory before it executes a program.
    let is_relative = record.folder != 0 && !matches!(record.kind, Kind::ChangeFolder | Kind::Execute);
    if is_relative && shared && record.kind.is_access() {
        effects.push(Effect::Other(Resource::cwd(), Access::Read));
    }
    effects
}

fn path(text: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::format::{ABSENT, FAILED, SAME, TAKEN};
    use crate::observe::log::test_log::LogBuilder;
    use Kind as K;

    /// Returns the accesses of a record as text, in the working directory `/w`.
    fn described(kind: Kind, flags: u8, value: u64, text: &str, second: &str, shared: bool) -> String {
        let mut made = LogBuilder::new(1, 1, true);
        made.flagged(1, 1, kind, flags, value, text.as_bytes(), second.as_bytes());
        let log = made.log();
        let record = log.records().next().unwrap();
        let words = effects(&record, Some(Path::new("/w")), shared);
        let is_named = |effect: &&Effect| **effect != Effect::OpenedDescriptor;
        let words = words.iter().filter(is_named).map(|effect| match effect {
            Effect::File(path, how) => format!("{how:?} {}", path.display()),
            Effect::Port(port, access) => format!("{access} {port:?}"),
            Effect::Other(resource, access) => format!("{access} {resource}"),
            Effect::UsedUmask => "mask".to_owned(),
            Effect::ClearedVariables => "cleared".to_owned(),
            Effect::StartedProcess => "started".to_owned(),
            Effect::OpenedDescriptor => "opened".to_owned(),
        });
        words.collect::<Vec<_>>().join(", ")
    }

    const RELATIVE: u64 = 1 << 32;

    #[test]
    fn each_kind_of_record_has_the_effects_that_other_tests_can_notice() {
        for (kind, flags, value, text, second, meaning) in [
            (K::Open, 0, 0, "/a", "", "Read /a"),
            (K::Open, 0, 1, "/a", "", "Write /a"),
            (K::Open, 0, 2, "/a", "", "Write /a"),
            (K::Open, 0, 0o101, "/a", "", "Write /a, mask"),
            (K::Open, 0, 0o100, "/a", "", "Write /a, mask"),
            (K::Open, 0, 0o301, "/a", "", "AddOrRemove /a, mask"),
            (K::Open, 0, 0o1000, "/a", "", "Write /a"),
            (K::Open, FAILED, 0o301, "/a", "", "Read /a"),
            (K::Open, 0, RELATIVE, "a", "", "Read /w/a, read cwd"),
            (K::Look, FAILED, 0, "/a", "", "Read /a"),
            (K::List, 0, 0, "/a", "", "List /a"),
            (K::List, FAILED, 0, "/a", "", "Read /a"),
            (K::MakeFolder, 0, 0, "/a", "", "MakeDir /a, mask"),
            (K::MakeFolder, FAILED, 0, "/a", "", "Read /a"),
            (K::RemoveFolder, 0, 0, "/a", "", "RemoveTree /a"),
            (K::RemoveFolder, FAILED, 0, "/a", "", "Read /a"),
            (K::Remove, 0, 0, "/a", "", "AddOrRemove /a"),
            (K::Remove, FAILED, 0, "/a", "", "Read /a"),
            (K::Rename, 0, 0, "/a", "/b", "RemoveTree /a, RemoveTree /b"),
            (K::Rename, FAILED, 0, "/a", "/b", "Read /a, Read /b"),
            (K::Link, 0, 0, "/a", "/b", "Read /a, AddOrRemove /b"),
            (K::Symlink, 0, 0, "/a", "", "AddOrRemove /a"),
            (K::Change, 0, 0, "/a", "", "Write /a"),
            (K::BindUnix, 0, 0, "/a.sock", "", "AddOrRemove /a.sock"),
            (K::BindUnix, 0, 0, "@bus", "", "write Unix socket @bus"),
            (K::ConnectUnix, 0, 0, "/a.sock", "", "Read /a.sock"),
            (K::GetVariable, 0, 0, "HOME", "", "read env HOME"),
            (K::SetVariable, 0, 0, "HOME", "", "write env HOME"),
            (K::SetVariable, SAME, 0, "HOME", "", "read env HOME"),
            (K::UnsetVariable, SAME, 0, "HOME", "", "read env HOME"),
            (K::UnsetVariable, 0, 0, "HOME", "", "write env HOME"),
            (K::ClearVariables, 0, 0, "", "", "cleared"),
            (K::ChangeFolder, 0, 0, "/a", "", "write cwd"),
            (K::ChangeFolder, 0, RELATIVE, "a", "", "write cwd"),
            (K::ChangeFolder, FAILED, 0, "/a", "", "read cwd"),
            (K::GetFolder, 0, 0, "", "", "read cwd"),
            (K::Mask, 0, 0, "", "", "write umask"),
            (K::Mask, SAME, 0, "", "", "read umask"),
            (K::SetLocale, 0, 0, "", "", "write locale"),
            (K::SetLocale, SAME, 0, "", "", "read locale"),
            (K::GetLocale, 0, 0, "", "", "read locale"),
            (K::SetSignal, 0, 9, "SIGUSR1", "", "write signal SIGUSR1"),
            (K::SetSignal, SAME, 9, "SIGUSR1", "", "read signal SIGUSR1"),
            (K::CloseTwice, 0, 0, "", "", "write file descriptors"),
            (K::WaitAny, 0, 0, "", "", "write child processes"),
            (K::WaitChild, 0, 0, "", "", "read child processes"),
            (K::Execute, 0, RELATIVE, "a", "", "started"),
            (K::GetSignal, 0, 0, "SIGUSR1", "", "read signal SIGUSR1"),
            (
                K::Other,
                0,
                1,
                "shared memory 2a",
                "",
                "write name shared memory 2a",
            ),
            (K::Child, 0, 12, "", "", ""),
        ] {
            assert_eq!(
                described(kind, flags, value, text, second, true),
                meaning,
                "{kind:?} {flags} {text}"
            );
        }
    }

    #[test]
    fn an_attempt_that_failed_because_of_existing_state_counts() {
        let (taken, absent) = (FAILED | TAKEN, FAILED | ABSENT);
        for (kind, flags, value, text, second, meaning) in [
            (K::Open, taken, 0o301, "/a", "", "AddOrRemove /a"),
            (K::Open, absent, 0o301, "/a", "", "Read /a"),
            (K::Open, absent, 1, "/a", "", "Read /a"),
            (K::Open, taken, 1, "/a", "", "Read /a"),
            (K::MakeFolder, taken, 0, "/a", "", "MakeDir /a"),
            (K::MakeFolder, absent, 0, "/a", "", "Read /a"),
            (K::RemoveFolder, taken, 0, "/a", "", "RemoveTree /a"),
            (K::RemoveFolder, absent, 0, "/a", "", "FailedRemoval /a"),
            (K::Remove, taken, 0, "/a", "", "AddOrRemove /a"),
            (K::Remove, absent, 0, "/a", "", "FailedRemoval /a"),
            (K::Rename, taken, 0, "/a", "/b", "RemoveTree /a, RemoveTree /b"),
            (
                K::Rename,
                absent,
                0,
                "/a",
                "/b",
                "FailedRemoval /a, FailedRemoval /b",
            ),
            (K::Link, taken, 0, "/a", "/b", "Read /a, AddOrRemove /b"),
            (K::Link, absent, 0, "/a", "/b", "Read /a, Read /b"),
            (K::Symlink, taken, 0, "/a", "", "AddOrRemove /a"),
            (K::Change, absent, 0, "/a", "", "Read /a"),
            (K::BindUnix, taken, 0, "/a.sock", "", "AddOrRemove /a.sock"),
            (K::BindUnix, FAILED, 0, "/a.sock", "", "Read /a.sock"),
            (K::BindUnix, taken, 0, "@bus", "", "write Unix socket @bus"),
            (K::ConnectUnix, absent, 0, "/a.sock", "", "Read /a.sock"),
            (
                K::Other,
                taken,
                1,
                "semaphores 2a",
                "",
                "write name semaphores 2a",
            ),
            (
                K::Other,
                absent,
                1,
                "semaphores 2a",
                "",
                "read name semaphores 2a",
            ),
            (K::ChangeFolder, absent, 0, "/a", "", "read cwd"),
        ] {
            assert_eq!(
                described(kind, flags, value, text, second, true),
                meaning,
                "{kind:?} {flags} {text}"
            );
        }
        for (kind, flags, access) in [
            (K::BindTcp, 0, Access::Write),
            (K::BindTcp, taken, Access::Write),
            (K::BindTcp, FAILED, Access::Read),
            (K::BindUdp, taken, Access::Write),
            (K::ConnectTcp, 0, Access::Read),
        ] {
            let mut made = LogBuilder::new(1, 1, true);
            made.flagged(1, 1, kind, flags, 80, &[127, 0, 0, 1], b"");
            let log = made.log();
            let record = log.records().next().unwrap();
            let effects = effects(&record, None, true);
            assert_eq!(
                effects,
                [Effect::Port(Port::of(&record), access)],
                "{kind:?} {flags}"
            );
        }
    }

    #[test]
    fn a_file_is_a_socket_or_shared_memory_by_the_calls_that_use_it() {
        for (kind, value, path, resource) in [
            (K::Open, 0, "/d/a", "file /d/a"),
            (K::BindUnix, 0, "/d/a", "Unix socket /d/a"),
            (K::ConnectUnix, 0, "/d/a", "Unix socket /d/a"),
            (K::Open, SHARED_MEMORY, "/dev/shm/a", "shared memory /a"),
            (K::Remove, SHARED_MEMORY, "/dev/shm/sem.a", "shared memory /sem.a"),
            (K::Open, 0, "/dev/shm/a", "file /dev/shm/a"),
        ] {
            let mut made = LogBuilder::new(1, 1, true);
            made.record(1, 1, kind, value, path, b"");
            let log = made.log();
            let kind = kind_of(&log.records().next().unwrap());
            let found = resource_at(kind, Path::new(path));
            assert_eq!(found.to_string(), resource);
            assert_eq!(found.path(), Some(path.into()));
        }
        assert_eq!(Resource::new(ResourceKind::UnixSocket, "@bus").path(), None);
    }

    #[test]
    fn accesses_to_a_link_and_through_it_are_distinguished() {
        for (kind, value, through) in [
            (K::Open, 0, true),
            (K::Open, 0o1101, true),
            (K::Open, 0o301, false),
            (K::Open, ITSELF, false),
            (K::Look, 0, true),
            (K::Look, ITSELF, false),
            (K::Change, 0, true),
            (K::Change, ITSELF, false),
            (K::List, 0, true),
            (K::ConnectUnix, 0, true),
            (K::BindUnix, 0, false),
            (K::MakeFolder, 0, false),
            (K::RemoveFolder, 0, false),
            (K::Remove, 0, false),
            (K::Rename, 0, false),
            (K::Link, 0, false),
            (K::Symlink, 0, false),
        ] {
            let mut made = LogBuilder::new(1, 1, true);
            made.record(1, 1, kind, value, "/a", b"");
            let log = made.log();
            let record = log.records().next().unwrap();
            assert_eq!(follows(&record), through, "{kind:?} {value:o}");
        }
    }

    #[test]
    fn a_child_process_has_its_own_environment_working_directory_and_umask() {
        assert_eq!(described(K::SetVariable, 0, 0, "HOME", "", false), "");
        assert_eq!(described(K::ChangeFolder, 0, 0, "/a", "", false), "");
        assert_eq!(described(K::GetFolder, 0, 0, "", "", false), "");
        assert_eq!(described(K::Mask, 0, 0, "", "", false), "");
        assert_eq!(described(K::SetLocale, 0, 0, "", "", false), "");
        assert_eq!(described(K::SetSignal, 0, 9, "SIGUSR1", "", false), "");
        assert_eq!(described(K::Open, 0, RELATIVE | 1, "a", "", false), "Write /w/a");
    }
}
