//! Interpretation of records: the resources that a record accesses, and how.

pub(crate) mod accesses;
mod constant_vars;
mod dir_listings;
mod ephemeral_ports;
mod file_locks;
pub(crate) mod paths;
pub(crate) mod ports;
pub(crate) mod reading;
mod removed_dirs;

use super::format::{ITSELF, Kind, SHARED_MEMORY};
use super::log::Record;
use cofferdam::{Access, Resource, ResourceKind};
use paths::{Links, absolute};
use ports::Port;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// The kind of access to a file or directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum How {
    /// Read or looked up; a failed lookup reads the absence of the file.
    Read,
    /// Listed, if it is a directory.
    List,
    /// Created as a directory. Two tests that create the same directory do not conflict.
    Make,
    /// Created or changed.
    Write,
    /// Certainly created or removed: a test that lists the directory sees the difference.
    Name,
    /// Removed or renamed, with everything below it.
    Uproot,
    /// Not there to be removed or renamed. Counts if another test creates or removes it.
    Miss,
}

impl How {
    pub(crate) fn access(self) -> Access {
        match self {
            Self::List => Access::List,
            Self::Read | Self::Make => Access::Read,
            Self::Write | Self::Name | Self::Uproot | Self::Miss => Access::Write,
        }
    }
}

/// An access to one resource.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Act {
    File(PathBuf, How),
    Port(Port, Access),
    Other(Resource, Access),
    /// A file or directory was created, whose mode depends on the umask.
    UsedMask,
    /// All environment variables were removed.
    ClearedVariables,
}

impl Act {
    /// Returns whether it changes the resource.
    pub(crate) fn writes(&self) -> bool {
        match self {
            Self::File(_, how) => how.access() == Access::Write,
            Self::Port(_, access) | Self::Other(_, access) => *access == Access::Write,
            Self::UsedMask => false,
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
    match kind {
        ResourceKind::SharedMemory => Resource::new(kind, name.strip_prefix(MEMORY).unwrap_or(&name)),
        _ => Resource::new(kind, name),
    }
}

/// Returns the path of a resource, if it has one.
pub(crate) fn path_of(resource: &Resource) -> Option<PathBuf> {
    let name = resource.as_str();
    match resource.kind() {
        ResourceKind::File
        | ResourceKind::Directory
        | ResourceKind::GitRepository
        | ResourceKind::Database
        | ResourceKind::TempName => Some(name.into()),
        ResourceKind::UnixSocket => (!name.starts_with('@')).then(|| name.into()),
        ResourceKind::SharedMemory => Some(format!("{MEMORY}{name}").into()),
        ResourceKind::Port
        | ResourceKind::UdpPort
        | ResourceKind::Env
        | ResourceKind::Cwd
        | ResourceKind::Umask
        | ResourceKind::Name => None,
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
pub(crate) fn led(act: Act, record: &Record<'_>, links: &mut Links) -> [Option<Act>; 2] {
    let Act::File(path, how) = act else {
        return [None, Some(act)];
    };
    let path = links.resolve(path);
    let target = if follows(record) {
        links.target(&path)
    } else {
        None
    };
    match target.map(Path::to_owned) {
        Some(target) => [Some(Act::File(path, How::Read)), Some(Act::File(target, how))],
        None => [None, Some(Act::File(path, how))],
    }
}

/// Returns the accesses of a record. `folder` is the working directory at that time; `shared` is whether the record comes
/// from the process whose environment the tests share.
pub(crate) fn acts(record: &Record<'_>, folder: Option<&Path>, shared: bool) -> Vec<Act> {
    let mut acts = Vec::new();
    let (first, second) = (path(record.text), path(record.second));
    let file = |path: &Path, how: How| absolute(folder, path).map(|path| Act::File(path, how));
    // A call that failed because the object was there, or was not, might succeed in another schedule, so the attempt counts.
    // Any other failure changes nothing and only reads.
    let or_read = |how: How| if record.failed() { How::Read } else { how };
    let made = |how: How| if record.taken() { how } else { or_read(how) };
    let removed = |how: How| if record.absent() { How::Miss } else { made(how) };
    let access = |writes: bool| {
        if writes && (!record.failed() || record.taken()) && !record.same() {
            Access::Write
        } else {
            Access::Read
        }
    };
    match record.kind {
        Kind::Open => {
            let writes = record.value & 3 == WRITE_ONLY || record.value & 3 == READ_WRITE;
            let writes = writes || record.value & (CREATE | TRUNCATE) != 0;
            let how = match record.value & (CREATE | EXCLUSIVE) {
                both if both == CREATE | EXCLUSIVE => How::Name,
                _ if writes => How::Write,
                _ => How::Read,
            };
            let how = if how == How::Name { made(how) } else { or_read(how) };
            acts.extend(file(first, how));
            if record.value & CREATE != 0 && !record.failed() {
                acts.push(Act::UsedMask);
            }
        }
        Kind::Look => acts.extend(file(first, How::Read)),
        Kind::List => acts.extend(file(first, or_read(How::List))),
        Kind::MakeFolder => {
            acts.extend(file(first, made(How::Make)));
            if !record.failed() {
                acts.push(Act::UsedMask);
            }
        }
        Kind::RemoveFolder => acts.extend(file(first, removed(How::Uproot))),
        Kind::Remove => acts.extend(file(first, removed(How::Name))),
        Kind::Symlink => acts.extend(file(first, made(How::Name))),
        Kind::Change => acts.extend(file(first, or_read(How::Write))),
        Kind::Rename => {
            acts.extend(file(first, removed(How::Uproot)));
            acts.extend(file(second, removed(How::Uproot)));
        }
        Kind::Link => {
            acts.extend(file(first, How::Read));
            acts.extend(file(second, made(How::Name)));
        }
        Kind::BindUnix | Kind::ConnectUnix => {
            let how = if record.kind == Kind::BindUnix {
                How::Name
            } else {
                How::Read
            };
            if record.text.starts_with(b"@") {
                let name = Resource::new(ResourceKind::UnixSocket, record.words());
                acts.push(Act::Other(name, access(how == How::Name)));
            } else {
                acts.extend(file(first, if how == How::Name { made(how) } else { how }));
            }
        }
        Kind::BindTcp | Kind::BindUdp | Kind::ConnectTcp => {
            acts.push(Act::Port(
                Port::of(record),
                access(record.kind != Kind::ConnectTcp),
            ));
        }
        Kind::Other => acts.push(Act::Other(Resource::name(record.words()), access(true))),
        Kind::GetVariable | Kind::SetVariable | Kind::UnsetVariable if shared => {
            let variable = Resource::env(record.words());
            acts.push(Act::Other(variable, access(record.kind != Kind::GetVariable)));
        }
        Kind::ClearVariables if shared => acts.push(Act::ClearedVariables),
        Kind::ChangeFolder | Kind::GetFolder if shared => {
            acts.push(Act::Other(
                Resource::cwd(),
                access(record.kind == Kind::ChangeFolder),
            ));
        }
        Kind::Mask if shared => acts.push(Act::Other(Resource::umask(), access(true))),
        _ => {}
    }
    let is_relative = record.folder != 0 && record.kind != Kind::ChangeFolder;
    if is_relative && shared && record.kind.is_access() {
        acts.push(Act::Other(Resource::cwd(), Access::Read));
    }
    acts
}

fn path(text: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::format::{ABSENT, FAILED, SAME, TAKEN};
    use crate::observe::log::made::Made;
    use Kind as K;

    /// Returns the accesses of a record as text, in the working directory `/w`.
    fn told(kind: Kind, flags: u8, value: u64, text: &str, second: &str, shared: bool) -> String {
        let mut made = Made::new(1, 1, true);
        made.flagged(1, 1, kind, flags, value, text.as_bytes(), second.as_bytes());
        let log = made.log();
        let record = log.records().next().unwrap();
        let words = acts(&record, Some(Path::new("/w")), shared);
        let words = words.iter().map(|act| match act {
            Act::File(path, how) => format!("{how:?} {}", path.display()),
            Act::Port(port, access) => format!("{access} {port:?}"),
            Act::Other(resource, access) => format!("{access} {resource}"),
            Act::UsedMask => "mask".to_owned(),
            Act::ClearedVariables => "cleared".to_owned(),
        });
        words.collect::<Vec<_>>().join(", ")
    }

    const RELATIVE: u64 = 1 << 32;

    #[test]
    fn each_kind_of_record_means_what_it_does_to_others() {
        for (kind, flags, value, text, second, meaning) in [
            (K::Open, 0, 0, "/a", "", "Read /a"),
            (K::Open, 0, 1, "/a", "", "Write /a"),
            (K::Open, 0, 2, "/a", "", "Write /a"),
            (K::Open, 0, 0o101, "/a", "", "Write /a, mask"),
            (K::Open, 0, 0o100, "/a", "", "Write /a, mask"),
            (K::Open, 0, 0o301, "/a", "", "Name /a, mask"),
            (K::Open, 0, 0o1000, "/a", "", "Write /a"),
            (K::Open, FAILED, 0o301, "/a", "", "Read /a"),
            (K::Open, 0, RELATIVE, "a", "", "Read /w/a, read cwd"),
            (K::Look, FAILED, 0, "/a", "", "Read /a"),
            (K::List, 0, 0, "/a", "", "List /a"),
            (K::List, FAILED, 0, "/a", "", "Read /a"),
            (K::MakeFolder, 0, 0, "/a", "", "Make /a, mask"),
            (K::MakeFolder, FAILED, 0, "/a", "", "Read /a"),
            (K::RemoveFolder, 0, 0, "/a", "", "Uproot /a"),
            (K::RemoveFolder, FAILED, 0, "/a", "", "Read /a"),
            (K::Remove, 0, 0, "/a", "", "Name /a"),
            (K::Remove, FAILED, 0, "/a", "", "Read /a"),
            (K::Rename, 0, 0, "/a", "/b", "Uproot /a, Uproot /b"),
            (K::Rename, FAILED, 0, "/a", "/b", "Read /a, Read /b"),
            (K::Link, 0, 0, "/a", "/b", "Read /a, Name /b"),
            (K::Symlink, 0, 0, "/a", "", "Name /a"),
            (K::Change, 0, 0, "/a", "", "Write /a"),
            (K::BindUnix, 0, 0, "/a.sock", "", "Name /a.sock"),
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
            (K::Mask, FAILED, 0, "", "", "read umask"),
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
                told(kind, flags, value, text, second, true),
                meaning,
                "{kind:?} {flags} {text}"
            );
        }
    }

    #[test]
    fn an_attempt_that_failed_because_of_what_is_there_counts_as_one() {
        let (taken, absent) = (FAILED | TAKEN, FAILED | ABSENT);
        for (kind, flags, value, text, second, meaning) in [
            (K::Open, taken, 0o301, "/a", "", "Name /a"),
            (K::Open, absent, 0o301, "/a", "", "Read /a"),
            (K::Open, absent, 1, "/a", "", "Read /a"),
            (K::Open, taken, 1, "/a", "", "Read /a"),
            (K::MakeFolder, taken, 0, "/a", "", "Make /a"),
            (K::MakeFolder, absent, 0, "/a", "", "Read /a"),
            (K::RemoveFolder, taken, 0, "/a", "", "Uproot /a"),
            (K::RemoveFolder, absent, 0, "/a", "", "Miss /a"),
            (K::Remove, taken, 0, "/a", "", "Name /a"),
            (K::Remove, absent, 0, "/a", "", "Miss /a"),
            (K::Rename, taken, 0, "/a", "/b", "Uproot /a, Uproot /b"),
            (K::Rename, absent, 0, "/a", "/b", "Miss /a, Miss /b"),
            (K::Link, taken, 0, "/a", "/b", "Read /a, Name /b"),
            (K::Link, absent, 0, "/a", "/b", "Read /a, Read /b"),
            (K::Symlink, taken, 0, "/a", "", "Name /a"),
            (K::Change, absent, 0, "/a", "", "Read /a"),
            (K::BindUnix, taken, 0, "/a.sock", "", "Name /a.sock"),
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
                told(kind, flags, value, text, second, true),
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
            let mut made = Made::new(1, 1, true);
            made.flagged(1, 1, kind, flags, 80, &[127, 0, 0, 1], b"");
            let log = made.log();
            let record = log.records().next().unwrap();
            let acts = acts(&record, None, true);
            assert_eq!(acts, [Act::Port(Port::of(&record), access)], "{kind:?} {flags}");
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
            let mut made = Made::new(1, 1, true);
            made.record(1, 1, kind, value, path, b"");
            let log = made.log();
            let kind = kind_of(&log.records().next().unwrap());
            let found = resource_at(kind, Path::new(path));
            assert_eq!(found.to_string(), resource);
            assert_eq!(path_of(&found), Some(path.into()));
        }
        assert_eq!(path_of(&Resource::new(ResourceKind::UnixSocket, "@bus")), None);
    }

    #[test]
    fn what_is_done_to_a_link_and_what_is_done_through_it_are_told_apart() {
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
            let mut made = Made::new(1, 1, true);
            made.record(1, 1, kind, value, "/a", b"");
            let log = made.log();
            let record = log.records().next().unwrap();
            assert_eq!(follows(&record), through, "{kind:?} {value:o}");
        }
    }

    #[test]
    fn a_child_s_environment_folder_and_mask_are_its_own() {
        assert_eq!(told(K::SetVariable, 0, 0, "HOME", "", false), "");
        assert_eq!(told(K::ChangeFolder, 0, 0, "/a", "", false), "");
        assert_eq!(told(K::GetFolder, 0, 0, "", "", false), "");
        assert_eq!(told(K::Mask, 0, 0, "", "", false), "");
        assert_eq!(told(K::Open, 0, RELATIVE | 1, "a", "", false), "Write /w/a");
    }
}
