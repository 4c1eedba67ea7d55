//! What memory is left and what jobs use. Reading and deciding are apart.

use super::event::Hold;
use super::options::MemoryLimits;
use crate::processes::{self, Process};
use std::path::{Path, PathBuf};

/// Who may be started, and who has to go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Reading {
    /// In bytes; `None` where the system does not say.
    pub(super) available: Option<u64>,
    /// All jobs together; 0 unless that is limited.
    pub(super) used: u64,
}

impl Reading {
    /// Whether nothing more may be started.
    pub(super) fn hold(self, limits: &MemoryLimits) -> Option<Hold> {
        if let Some(available) = self.available
            && available < limits.keep_free
        {
            return Some(Hold::MemoryShort {
                available,
                wanted: limits.keep_free,
            });
        }
        let limit = limits.in_all?;
        (self.used >= limit / 10 * 9).then_some(Hold::MemoryInAll {
            used: self.used,
            limit,
        })
    }
}

/// What the processes of the job with this leader have in memory, in bytes; what they share is counted for each.
pub(super) fn resident(all: &[Process], leader: u32) -> u64 {
    members(all, leader)
        .map(|process| process.resident * page_size())
        .sum()
}

/// The same, with their shares of what they have with others. Slower: page tables are walked.
pub(super) fn shares(all: &[Process], leader: u32) -> u64 {
    members(all, leader)
        .map(|process| processes::proportional(process.pid).unwrap_or(process.resident * page_size()))
        .sum()
}

fn members(all: &[Process], leader: u32) -> impl Iterator<Item = &Process> {
    let members = processes::below(all, leader);
    all.iter().filter(move |process| members.contains(&process.pid))
}

#[cfg(unix)]
fn page_size() -> u64 {
    rustix::param::page_size() as u64
}

#[cfg(not(unix))]
fn page_size() -> u64 {
    4096
}

/// What is available to us: of the machine's memory, or of the container's if that is less.
pub(super) struct Available {
    group: Option<PathBuf>,
}

impl Available {
    pub(super) fn new() -> Self {
        let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let path = own.lines().find_map(|line| line.strip_prefix("0::"));
        let group = path.map(|path| Path::new("/sys/fs/cgroup").join(path.trim_start_matches('/')));
        Self { group }
    }

    /// In bytes; `None` where the system does not say.
    pub(super) fn bytes(&self) -> Option<u64> {
        let told = std::fs::read_to_string("/proc/meminfo").ok()?;
        let machine = field(&told, "MemAvailable:")? * 1024;
        Some(self.of_group().map_or(machine, |group| group.min(machine)))
    }

    /// What the machine has in all, in bytes.
    pub(super) fn total() -> Option<u64> {
        let told = std::fs::read_to_string("/proc/meminfo").ok()?;
        Some(field(&told, "MemTotal:")? * 1024)
    }

    fn of_group(&self) -> Option<u64> {
        let read = |name| std::fs::read_to_string(self.group.as_ref()?.join(name)).ok();
        let most: u64 = read("memory.max")?.trim().parse().ok()?;
        let used: u64 = read("memory.current")?.trim().parse().ok()?;
        // Pages of files that nobody uses go when memory is wanted.
        let files = field(&read("memory.stat")?, "inactive_file").unwrap_or(0);
        Some(most.saturating_sub(used.saturating_sub(files)))
    }
}

fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_holds_starts_back_by_either_limit() {
        let limits = MemoryLimits {
            job: None,
            in_all: Some(1000),
            keep_free: 100,
        };
        let hold = |available, used| Reading { available, used }.hold(&limits);
        assert_eq!(hold(Some(100), 899), None);
        assert_eq!(hold(None, 0), None);
        assert_eq!(
            hold(Some(99), 0),
            Some(Hold::MemoryShort {
                available: 99,
                wanted: 100
            })
        );
        assert_eq!(
            hold(Some(100), 900),
            Some(Hold::MemoryInAll {
                used: 900,
                limit: 1000
            })
        );
    }

    #[test]
    fn a_container_s_memory_counts_where_it_is_less() {
        let group = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(group.path().join(name), text).unwrap();
        write("memory.max", "1000\n");
        write("memory.current", "900\n");
        write("memory.stat", "anon 1\ninactive_file 50\nslab 2\n");
        let available = Available {
            group: Some(group.path().to_owned()),
        };
        assert_eq!(available.of_group(), Some(150));
        write("memory.max", "max\n");
        assert_eq!(available.of_group(), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_process_s_share_is_no_more_than_what_it_has() {
        #[expect(clippy::disallowed_methods, reason = "this very process is weighed")]
        let own = std::process::id();
        let all: Vec<Process> = processes::one(own).into_iter().collect();
        // In this order, for other tests make it grow; and the kernel sums up what is resident a little late.
        let shares = shares(&all, own);
        let resident = resident(&all, own) + 4 * 1024 * 1024;
        assert!(0 < shares && shares <= resident, "{shares} of {resident}");
    }
}
