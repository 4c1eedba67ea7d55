//! The only module that reads `/proc`. On systems without it, every function reports that nothing was found.

use std::path::{Path, PathBuf};

/// An entry of the kernel's process table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    pub pid: u32,
    pub parent: u32,
    pub group: u32,
    /// The process has ended, but its parent has not waited for it yet.
    pub is_zombie: bool,
    /// Clock ticks from boot to the start; together with `pid` it identifies one process.
    pub started: u64,
    /// The program's name, truncated by the kernel to 15 bytes.
    pub name: String,
    resident_pages: u64,
}

impl Process {
    /// Returns the memory that is mapped and present; pages shared with other processes count in full.
    pub fn resident_bytes(&self) -> u64 {
        self.resident_pages * page_size()
    }

    #[cfg(test)]
    pub fn for_test(pid: u32, parent: u32, group: u32) -> Self {
        Self {
            pid,
            parent,
            group,
            is_zombie: false,
            started: 0,
            name: String::new(),
            resident_pages: 0,
        }
    }
}

#[cfg(unix)]
fn page_size() -> u64 {
    rustix::param::page_size() as u64
}

#[cfg(not(unix))]
fn page_size() -> u64 {
    4096
}

/// Returns all visible processes.
pub fn all() -> Vec<Process> {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(process)
        .collect()
}

/// Returns one process, if it exists.
pub fn process(pid: u32) -> Option<Process> {
    let stat = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    parse_stat(pid, &stat)
}

/// Parses `/proc/<pid>/stat`. The name in parentheses may contain anything, including `)` and spaces.
fn parse_stat(pid: u32, stat: &[u8]) -> Option<Process> {
    let open = stat.iter().position(|byte| *byte == b'(')?;
    let close = stat.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(stat.get(close + 1..)?).ok()?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
    let id = |index: usize| u32::try_from(number(index)?).ok();
    Some(Process {
        pid,
        is_zombie: matches!(*fields.first()?, "Z" | "X"),
        parent: id(1)?,
        group: id(2)?,
        started: number(19)?,
        resident_pages: number(21)?,
        name: String::from_utf8_lossy(stat.get(open + 1..close)?).into_owned(),
    })
}

/// Counts the children of the current thread, including adopted ones; `None` if the kernel does not report them.
pub fn child_count() -> Option<usize> {
    let children = std::fs::read_to_string("/proc/thread-self/children").ok()?;
    Some(children.split_ascii_whitespace().count())
}

/// Returns the values that these variables had when the process started. The environment of another user's process
/// cannot be read; its variables are `None`.
pub fn variables<const N: usize>(pid: u32, names: [&str; N]) -> [Option<String>; N] {
    let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    names.map(|name| {
        let mut lines = environment.split(|byte| *byte == 0);
        let value = lines.find_map(|line| line.strip_prefix(name.as_bytes())?.strip_prefix(b"="))?;
        Some(String::from_utf8_lossy(value).into_owned())
    })
}

/// Returns the private memory of a process plus its proportional share of shared pages, in bytes. Slow: the kernel walks
/// the page tables.
pub fn proportional_bytes(pid: u32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    Some(field(&text, "Pss:")? * 1024)
}

/// The memory of the machine, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MachineMemory {
    pub total: u64,
    pub available: u64,
}

/// Reads how much memory the machine has.
pub fn machine_memory() -> Option<MachineMemory> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    Some(MachineMemory {
        total: field(&text, "MemTotal:")? * 1024,
        available: field(&text, "MemAvailable:")? * 1024,
    })
}

/// Returns the number that follows a name at the start of a line.
pub fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

/// Returns the folder of this process's control group (version 2).
pub fn cgroup_dir() -> Option<PathBuf> {
    let groups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    Some(Path::new("/sys/fs/cgroup").join(path.trim_start_matches('/')))
}

/// Returns the mask of signals that this process ignores; the lowest bit is signal 1.
pub fn ignored_signals() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0)
}

/// A POSIX lock that a process holds on a range of a file.
#[derive(Debug, PartialEq, Eq)]
pub struct PosixLock {
    pub pid: u32,
    pub inode: u64,
    pub first: u64,
    pub last: u64,
}

/// Returns all POSIX locks that are held. A lock may be missing if another one is released during the read.
pub fn posix_locks() -> Vec<PosixLock> {
    let locks = std::fs::read_to_string("/proc/locks").unwrap_or_default();
    locks.lines().filter_map(parse_lock).collect()
}

/// Parses `1: POSIX  ADVISORY  READ 4711 08:01:2093 123 123`. A process that waits for a lock is marked by an arrow
/// (`1: -> POSIX …`) and holds nothing.
fn parse_lock(line: &str) -> Option<PosixLock> {
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
    Some(PosixLock {
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
    fn a_name_with_parentheses_and_spaces_does_not_shift_the_fields() {
        let mut stat = b"12 (a) Z 1 (b\xff) S 7 9 9 0 -1 0".to_vec();
        stat.extend(b" 1 2 3 4 5 6 7 8 9 10 11 12 4711 900 33 0 0");
        let process = parse_stat(12, &stat).unwrap();
        assert_eq!((process.pid, process.parent, process.group), (12, 7, 9));
        assert_eq!(
            (process.started, process.resident_pages, process.is_zombie),
            (4711, 33, false)
        );
        assert_eq!(process.name, "a) Z 1 (b\u{fffd}");
        assert_eq!(parse_stat(12, b"12 (cut"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_is_in_the_kernel_s_table() {
        #[expect(clippy::disallowed_methods, reason = "the test looks for its own process")]
        let own = std::process::id();
        let process = process(own).unwrap();
        assert!(
            !process.is_zombie && process.resident_pages > 0 && process.started > 0,
            "{process:?}"
        );
        assert!(all().iter().any(|other| other.pid == process.parent));
        assert!(proportional_bytes(own).is_some_and(|bytes| bytes > 0));
        let memory = machine_memory().unwrap();
        assert!(memory.available <= memory.total, "{memory:?}");
    }

    #[test]
    fn locks_are_parsed_and_waiting_processes_are_left_out() {
        let lock = parse_lock("12: POSIX  ADVISORY  READ  4711 fe:00:2093 123 127").unwrap();
        let expected = PosixLock {
            pid: 4711,
            inode: 2093,
            first: 123,
            last: 127,
        };
        assert_eq!(lock, expected);
        let open_end = parse_lock("12: POSIX  ADVISORY  WRITE 4711 fe:00:2093 0 EOF").unwrap();
        assert_eq!(open_end.last, u64::MAX);
        for other in [
            "1: -> POSIX  ADVISORY  READ 4711 fe:00:2093 123 127",
            "1: FLOCK  ADVISORY  WRITE 4711 fe:00:2093 0 EOF",
            "1: POSIX  ADVISORY  READ 4711",
            "",
        ] {
            assert_eq!(parse_lock(other), None, "{other}");
        }
    }
}
