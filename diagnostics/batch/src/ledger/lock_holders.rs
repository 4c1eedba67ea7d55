//! The processes that hold SQLite's locks on a ledger, where the kernel lists them.

use crate::proc;
use crate::processes::{NamedProcess, own_pid};
use std::path::{Path, PathBuf};

/// The state of the write-ahead log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WalStatus {
    /// Its size. More than some MB mean that readers keep it from being truncated.
    pub bytes: u64,
    /// Other processes that read right now.
    pub readers: Vec<NamedProcess>,
}

impl WalStatus {
    pub(super) fn of(ledger: &Path) -> Self {
        let wal = std::fs::metadata(sibling(ledger, "-wal"));
        let bytes = wal.map_or(0, |metadata| metadata.len());
        let readers = if bytes > 0 { reading(ledger) } else { Vec::new() };
        Self { bytes, readers }
    }
}

/// The bytes of the log's index that SQLite locks: one for the writer, the others for readers.
const WRITER: std::ops::RangeInclusive<u64> = 120..=120;
const READERS: std::ops::RangeInclusive<u64> = 123..=127;

/// The number of looks at the kernel's table. It is read page by page, and a lock that is released in between moves the
/// ones behind it, so that a single look may miss one.
const LOOKS: usize = 3;

/// Returns the processes that write now.
pub(super) fn writing(file: &Path) -> Vec<NamedProcess> {
    holding(file, WRITER)
}

/// Returns the other processes that read now.
fn reading(file: &Path) -> Vec<NamedProcess> {
    let mut found = holding(file, READERS);
    found.retain(|holder| holder.pid != own_pid());
    found
}

/// Returns `<ledger>-wal` or `<ledger>-shm`.
pub(super) fn sibling(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn holding(file: &Path, bytes: std::ops::RangeInclusive<u64>) -> Vec<NamedProcess> {
    let Some(inode) = inode(&sibling(file, "-shm")) else {
        return Vec::new();
    };
    let mut pids: Vec<u32> = (0..LOOKS)
        .flat_map(|_| proc::posix_locks())
        .filter(|lock| lock.inode == inode && lock.first <= *bytes.end() && lock.last >= *bytes.start())
        .map(|lock| lock.pid)
        .collect();
    pids.sort_unstable();
    pids.dedup();
    let named = |pid| NamedProcess {
        pid,
        program: proc::process(pid).map(|process| process.name),
    };
    pids.into_iter().map(named).collect()
}

/// Returns the inode alone: on some file systems the kernel's lock table has another device number than `stat`.
#[cfg(unix)]
fn inode(file: &Path) -> Option<u64> {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata(file).ok().map(|metadata| metadata.ino())
}

#[cfg(not(unix))]
fn inode(_file: &Path) -> Option<u64> {
    None
}
