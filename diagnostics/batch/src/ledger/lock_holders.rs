//! Which processes hold a ledger's locks now: the kernel knows, where there is `/proc/locks`.

use std::path::{Path, PathBuf};

/// A process that reads from the ledger, or writes to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    pub pid: u32,
    /// What the kernel calls the program, without its arguments.
    pub program: Option<String>,
}

impl Holder {
    /// `process 4711 (sqlite3), process 12`.
    pub fn list(all: &[Self]) -> String {
        let name = |one: &Self| match &one.program {
            Some(program) => format!("process {} ({program})", one.pid),
            None => format!("process {}", one.pid),
        };
        all.iter().map(name).collect::<Vec<_>>().join(", ")
    }
}

/// Bytes of the log's index that SQLite locks: who writes, and who reads from where.
const WRITER: std::ops::RangeInclusive<u64> = 120..=120;
const READERS: std::ops::RangeInclusive<u64> = 123..=127;

/// The kernel hands its table out page by page. A lock that is given back meanwhile moves those behind it, and one of
/// them is left out.
const LOOKS: usize = 3;

/// Processes that write now.
pub(super) fn writing(file: &Path) -> Vec<Holder> {
    holding(file, WRITER)
}

/// Other processes that read now, and keep the log from being emptied.
pub(super) fn reading(file: &Path) -> Vec<Holder> {
    let mut found = holding(file, READERS);
    found.retain(|holder| holder.pid != super::session_lease::own_pid());
    found
}

/// `<ledger>-wal` or `-shm`.
pub(super) fn beside(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn holding(file: &Path, bytes: std::ops::RangeInclusive<u64>) -> Vec<Holder> {
    let Some(inode) = inode(&beside(file, "-shm")) else {
        return Vec::new();
    };
    let locks = (0..LOOKS).map(|_| std::fs::read_to_string("/proc/locks").unwrap_or_default());
    let mut pids: Vec<u32> = locks
        .flat_map(|locks| locks.lines().filter_map(lock).collect::<Vec<_>>())
        .filter(|lock| lock.inode == inode && lock.first <= *bytes.end() && lock.last >= *bytes.start())
        .map(|lock| lock.pid)
        .collect();
    pids.sort_unstable();
    pids.dedup();
    let holder = |pid| Holder {
        pid,
        program: std::fs::read_to_string(format!("/proc/{pid}/comm"))
            .ok()
            .map(|name| name.trim_end().to_owned()),
    };
    pids.into_iter().map(holder).collect()
}

/// Its number alone: what the kernel calls the device differs from what it tells of the file on some file systems.
#[cfg(unix)]
fn inode(file: &Path) -> Option<u64> {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata(file).ok().map(|known| known.ino())
}

#[cfg(not(unix))]
fn inode(_file: &Path) -> Option<u64> {
    None
}

#[derive(Debug, PartialEq, Eq)]
struct Lock {
    pid: u32,
    inode: u64,
    first: u64,
    last: u64,
}

/// `1: POSIX  ADVISORY  READ 4711 08:01:2093 123 123`; a process that only waits has an arrow: `1: -> POSIX …`.
fn lock(line: &str) -> Option<Lock> {
    let mut words = line.split_ascii_whitespace().skip(1);
    if words.next()? != "POSIX" {
        return None;
    }
    let mut words = words.skip(2);
    let pid = words.next()?.parse().ok()?;
    let inode = words.next()?.rsplit(':').next()?.parse().ok()?;
    let first = words.next()?.parse().ok()?;
    let last = match words.next()? {
        "EOF" => u64::MAX,
        last => last.parse().ok()?,
    };
    Some(Lock {
        pid,
        inode,
        first,
        last,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_s_lines_are_read_and_those_who_wait_are_left_out() {
        let told = lock("12: POSIX  ADVISORY  READ  4711 fe:00:2093 123 127").unwrap();
        let wanted = Lock {
            pid: 4711,
            inode: 2093,
            first: 123,
            last: 127,
        };
        assert_eq!(told, wanted);
        let open_end = lock("12: POSIX  ADVISORY  WRITE 4711 fe:00:2093 0 EOF").unwrap();
        assert_eq!(open_end.last, u64::MAX);
        for other in [
            "1: -> POSIX  ADVISORY  READ 4711 fe:00:2093 123 127",
            "1: FLOCK  ADVISORY  WRITE 4711 fe:00:2093 0 EOF",
            "1: POSIX  ADVISORY  READ 4711",
            "",
        ] {
            assert_eq!(lock(other), None, "{other}");
        }
    }
}
