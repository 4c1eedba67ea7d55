//! Measures the memory of jobs, pauses starts while memory is short, and stops jobs that exceed a limit.

use super::job_event::{AttemptOutcome, MemoryHold};
use super::options::MemoryLimits;
use super::running::{RunningJob, StepContext};
use crate::proc::{self, Process, field};
use crate::processes::descendants;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The time between two measurements while memory is limited.
pub(super) const SAMPLE: Duration = Duration::from_millis(100);

pub(super) struct MemoryMonitor {
    limits: MemoryLimits,
    /// The control group of this process.
    group: Option<PathBuf>,
    /// The available memory, and when it was read.
    available: Option<(Instant, Option<u64>)>,
    /// The last measurement of the jobs.
    measured: Option<Instant>,
    /// The memory of all jobs at that time.
    used: u64,
}

impl MemoryMonitor {
    pub(super) fn new(limits: MemoryLimits) -> Self {
        Self {
            limits,
            group: proc::cgroup_dir(),
            available: None,
            measured: None,
            used: 0,
        }
    }

    /// Returns the reason why no job may start, from readings that are at most one [`SAMPLE`] old.
    pub(super) fn hold(&mut self, now: Instant) -> Option<MemoryHold> {
        if self.limits.keep_free == 0 && self.limits.total.is_none() {
            return None;
        }
        let known = self.available.filter(|(at, _)| now < *at + SAMPLE);
        let (_, available) = known.unwrap_or_else(|| (now, self.read_available()));
        self.available = Some(known.unwrap_or((now, available)));
        let used = self.used;
        MemoryReading { available, used }.hold(&self.limits)
    }

    /// Returns the memory available to this process, limited by its control group; `None` if it is unknown.
    fn read_available(&self) -> Option<u64> {
        let machine = proc::machine_memory()?.available;
        let group = self.group.as_deref().and_then(available_in_group);
        Some(group.map_or(machine, |group| group.min(machine)))
    }

    /// Returns when the jobs have to be measured next, if they are limited.
    pub(super) fn due(&self, now: Instant) -> Option<Instant> {
        let is_limited = self.limits.job.is_some() || self.limits.total.is_some();
        is_limited.then(|| self.measured.map_or(now, |at| at + SAMPLE))
    }

    /// Measures the jobs and stops those that exceed a limit.
    pub(super) fn measure(&mut self, running: &mut [RunningJob], context: &mut StepContext<'_>) {
        self.measured = Some(context.now);
        // Shared pages count for each process, so this is an upper bound.
        let mut sizes: Vec<u64> = running
            .iter()
            .map(|running| resident(context.table.all(), running.pid))
            .collect();
        let is_over_total = self
            .limits
            .total
            .is_some_and(|limit| sizes.iter().sum::<u64>() > limit);
        for (running, size) in running.iter_mut().zip(&mut sizes) {
            let is_over = self.limits.job.is_some_and(|limit| *size > limit);
            if is_over || is_over_total {
                *size = proportional(context.table.all(), running.pid);
            }
            running.memory = running.memory.max(Some(*size));
            if let Some(limit) = self.limits.job.filter(|limit| *size > *limit) {
                running.stop(AttemptOutcome::OverMemory { used: *size, limit }, context);
            }
        }
        self.used = sizes.iter().sum();
        let largest = running.iter_mut().zip(sizes).max_by_key(|(_, size)| *size);
        if let (Some(limit), Some((largest, _))) = (self.limits.total, largest)
            && self.used > limit
        {
            let used = self.used;
            largest.stop(AttemptOutcome::OverTotalMemory { used, limit }, context);
        }
    }
}

/// A reading of memory, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct MemoryReading {
    /// `None` if the system does not report it.
    available: Option<u64>,
    /// All jobs together; 0 unless that is limited.
    used: u64,
}

impl MemoryReading {
    fn hold(self, limits: &MemoryLimits) -> Option<MemoryHold> {
        if let Some(available) = self.available
            && available < limits.keep_free
        {
            return Some(MemoryHold::MachineShort {
                available,
                keep_free: limits.keep_free,
            });
        }
        let limit = limits.total?;
        (self.used >= limit / 10 * 9).then_some(MemoryHold::NearLimit {
            used: self.used,
            limit,
        })
    }
}

/// Returns the available memory of a control group, in bytes; `None` if it has no limit.
fn available_in_group(group: &Path) -> Option<u64> {
    let read = |name| std::fs::read_to_string(group.join(name)).ok();
    let most: u64 = read("memory.max")?.trim().parse().ok()?;
    let used: u64 = read("memory.current")?.trim().parse().ok()?;
    // The kernel reclaims inactive file pages when memory is needed.
    let files = field(&read("memory.stat")?, "inactive_file").unwrap_or(0);
    Some(most.saturating_sub(used.saturating_sub(files)))
}

/// Returns the resident memory of a job in bytes; pages shared by its processes count for each of them.
fn resident(all: &[Process], leader: u32) -> u64 {
    members(all, leader).map(Process::resident_bytes).sum()
}

/// Returns the memory of a job in bytes, with its proportional share of shared pages. Slow: the kernel walks page tables.
fn proportional(all: &[Process], leader: u32) -> u64 {
    members(all, leader)
        .map(|process| proc::proportional_bytes(process.pid).unwrap_or(process.resident_bytes()))
        .sum()
}

fn members(all: &[Process], leader: u32) -> impl Iterator<Item = &Process> {
    let members = descendants(all, leader);
    all.iter().filter(move |process| members.contains(&process.pid))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn either_limit_pauses_starts() {
        let limits = MemoryLimits {
            job: None,
            total: Some(1000),
            keep_free: 100,
        };
        let hold = |available, used| MemoryReading { available, used }.hold(&limits);
        assert_eq!(hold(Some(100), 899), None);
        assert_eq!(hold(None, 0), None);
        assert_eq!(
            hold(Some(99), 0),
            Some(MemoryHold::MachineShort {
                available: 99,
                keep_free: 100
            })
        );
        assert_eq!(
            hold(Some(100), 900),
            Some(MemoryHold::NearLimit {
                used: 900,
                limit: 1000
            })
        );
    }

    #[test]
    fn the_limit_of_a_container_is_respected() {
        let group = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(group.path().join(name), text).unwrap();
        write("memory.max", "1000\n");
        write("memory.current", "900\n");
        write("memory.stat", "anon 1\ninactive_file 50\nslab 2\n");
        let group = group.path();
        assert_eq!(available_in_group(group), Some(150));
        write("memory.max", "max\n");
        assert_eq!(available_in_group(group), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_proportional_share_of_a_process_is_at_most_its_resident_memory() {
        let own = crate::processes::own_pid();
        let all: Vec<Process> = proc::process(own).into_iter().collect();
        // In this order, because other tests make the process grow; and the kernel updates the resident size with a delay.
        let proportional = proportional(&all, own);
        let resident = resident(&all, own) + 4 * 1024 * 1024;
        assert!(
            0 < proportional && proportional <= resident,
            "{proportional} of {resident}"
        );
    }
}
