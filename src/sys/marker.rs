//! A session's account: a file in which each process marks that it records, that it had to stop, and that it ended.
//!
//! The complete file is allocated before the first process starts, and each process maps it before `main`, so that marks need
//! neither disk space nor a descriptor.

use layout::intact;
#[cfg(all(unix, not(miri)))]
use layout::{BROKEN, FREE, HEADER, MAGIC, RECORDING, SIZE, SLOT, SLOTS, STARTED, header};
#[cfg(all(unix, not(miri)))]
use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
#[cfg(all(unix, not(miri)))]
use std::sync::atomic::{AtomicU64, Ordering};

/// The layout of an account: words of eight bytes, in the machine's order.
pub mod layout {
    use std::path::{Path, PathBuf};

    /// The first word.
    pub const MAGIC: u64 = u64::from_ne_bytes(*b"coffacct");
    /// The number of slots: of processes that run at the same time or were killed. A slot is free again when its process ends by
    /// itself.
    pub const SLOTS: usize = 4096;
    /// The words of a slot: its state, and its process's name.
    pub const SLOT: usize = 16;
    /// The words before the first slot.
    pub const HEADER: usize = 8;
    /// The length of the file in bytes.
    pub const SIZE: usize = (HEADER + SLOTS * SLOT) * 8;

    /// The words of the header, by their positions.
    pub mod header {
        /// [`MAGIC`](super::MAGIC).
        pub const MAGIC: usize = 0;
        /// The slot at which the search for a free one begins.
        pub const NEXT: usize = 1;
        /// Processes that were started.
        pub const STARTED: usize = 2;
        /// Processes that recorded.
        pub const RECORDED: usize = 3;
        /// Those of them that ended by themselves.
        pub const COMPLETE: usize = 4;
        /// Processes that found no free slot.
        pub const WITHOUT: usize = 5;
    }

    /// The state of a slot, in the lowest byte of its first word: free. Above it is an error's number, and the process's in
    /// the upper half.
    pub const FREE: u64 = 0;
    /// The state of a process that has not recorded yet.
    pub const STARTED: u64 = 1;
    /// The state of a process that records.
    pub const RECORDING: u64 = 2;
    /// The state of a process that could not go on recording.
    pub const BROKEN: u64 = 3;

    /// Returns the file beside an account that is removed by a process that cannot open the account.
    pub fn intact(account: &Path) -> PathBuf {
        account.with_extension("intact")
    }
}

/// Returns the account of a session below cofferdam's directory `base`.
pub(crate) fn path(base: &Path, session: &str) -> PathBuf {
    base.join("runs").join(format!("{session}.account"))
}

/// This process's slot.
#[derive(Debug)]
pub(crate) struct Marker {
    account: PathBuf,
    pid: u32,
    #[cfg(all(unix, not(miri)))]
    place: Option<(&'static [AtomicU64], usize)>,
}

impl Marker {
    /// Takes a slot. `None` where the session has no account.
    pub(crate) fn take(account: &Path, pid: u32, name: &str) -> Option<Self> {
        let marker = Self {
            account: account.to_owned(),
            pid,
            #[cfg(all(unix, not(miri)))]
            place: map(account).and_then(|words| take(words, pid, name)),
        };
        #[cfg(not(all(unix, not(miri))))]
        let _ = name;
        #[cfg(all(unix, not(miri)))]
        if marker.place.is_none() {
            if !intact(account).exists() {
                return None;
            }
            marker.break_seal();
        }
        Some(marker)
    }

    /// Removes the file that vouches for the completeness of the account, which needs neither disk space nor a descriptor.
    fn break_seal(&self) {
        // Another process may have done so.
        let _ = std::fs::remove_file(intact(&self.account));
    }

    /// Marks that this process records.
    pub(crate) fn record(&self) {
        #[cfg(all(unix, not(miri)))]
        if let Some((words, at)) = self.place {
            words[header::RECORDED].fetch_add(1, Ordering::Relaxed);
            words[at].store(RECORDING | u64::from(self.pid) << 32, Ordering::Relaxed);
        }
    }

    /// Marks that this process cannot continue to record, with the number of the error; 0 if it has none.
    pub(crate) fn stop(&self, error: i32) {
        #[cfg(all(unix, not(miri)))]
        if let Some((words, at)) = self.place {
            let number = error as u64 & 0xff_ffff;
            words[at].store(
                BROKEN | number << 8 | u64::from(self.pid) << 32,
                Ordering::Relaxed,
            );
            return;
        }
        let _ = error;
        self.break_seal();
    }

    /// Marks that this process ends normally. A forked child has no effect.
    pub(crate) fn end(&self, pid: u32) {
        #[cfg(all(unix, not(miri)))]
        if let Some((words, at)) = self.place
            && pid == self.pid
        {
            match words[at].load(Ordering::Relaxed) & 0xff {
                RECORDING => {
                    words[header::COMPLETE].fetch_add(1, Ordering::Relaxed);
                }
                STARTED => {}
                _ => return,
            }
            words[at].store(FREE, Ordering::Release);
        }
        #[cfg(not(all(unix, not(miri))))]
        let _ = pid;
    }
}

#[cfg(all(unix, not(miri)))]
fn take(words: &'static [AtomicU64], pid: u32, name: &str) -> Option<(&'static [AtomicU64], usize)> {
    words[header::STARTED].fetch_add(1, Ordering::Relaxed);
    let first = words[header::NEXT].fetch_add(1, Ordering::Relaxed) as usize;
    let state = STARTED | u64::from(pid) << 32;
    for number in (0..SLOTS).map(|step| (first + step) % SLOTS) {
        let at = HEADER + number * SLOT;
        if words[at]
            .compare_exchange(FREE, state, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
        {
            let mut bytes = name.bytes();
            for word in &words[at + 1..at + SLOT] {
                let bytes: [u8; 8] = std::array::from_fn(|_| bytes.next().unwrap_or(0));
                word.store(u64::from_ne_bytes(bytes), Ordering::Relaxed);
            }
            return Some((words, at));
        }
    }
    words[header::WITHOUT].fetch_add(1, Ordering::Relaxed);
    None
}

#[cfg(all(unix, not(miri)))]
fn map(account: &Path) -> Option<&'static [AtomicU64]> {
    use std::os::fd::AsRawFd as _;
    let file = OpenOptions::new().read(true).write(true).open(account).ok()?;
    if file.metadata().ok()?.len() != SIZE as u64 {
        return None;
    }
    #[expect(unsafe_code, reason = "std does not map files")]
    // SAFETY: a mapping of a file of that length at an address chosen by the kernel, which is never unmapped. The file is not
    // truncated while its session runs, and all access to it is atomic.
    let words = unsafe {
        let map = libc::mmap(
            std::ptr::null_mut(),
            SIZE,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED,
            file.as_raw_fd(),
            0,
        );
        if map == libc::MAP_FAILED {
            return None;
        }
        std::slice::from_raw_parts(map.cast::<AtomicU64>(), SIZE / 8)
    };
    (words[header::MAGIC].load(Ordering::Relaxed) == MAGIC).then_some(words)
}

#[cfg(all(test, unix, not(miri), not(loom)))]
mod tests {
    use super::*;
    use cofferdam_conflicts::{Account, Evidence, reserve};

    fn read(account: &Path) -> Account {
        let mut evidence = Evidence::new();
        evidence.read(account);
        assert_eq!(evidence.problem_count(), 0, "{:?}", evidence.problems());
        evidence.account().clone()
    }

    #[test]
    fn an_account_distinguishes_recording_stopped_and_ended_processes() {
        let dir = tempfile::tempdir().unwrap();
        let account = path(dir.path(), "s");
        assert!(Marker::take(&account, 1, "none").is_none());
        reserve(dir.path(), "s").unwrap();
        let take = |pid| Marker::take(&account, pid, "shop a").unwrap();
        let (ended, killed, broken, idle) = (take(1), take(2), take(3), take(4));
        for marker in [&ended, &killed, &broken] {
            marker.record();
        }
        broken.stop(libc::ENOSPC);
        // A forked child does not end the process.
        killed.end(7);
        ended.end(1);
        broken.end(3);
        idle.end(4);
        let read = read(&account);
        assert_eq!(
            (read.started, read.recorded, read.complete, read.incomplete),
            (4, 3, 1, 1)
        );
        let [lost] = &read.lost[..] else {
            panic!("{:?}", read.lost)
        };
        assert_eq!(lost.name, "shop a (process 3)");
        assert!(lost.reason.contains("No space left"), "{}", lost.reason);
    }

    #[test]
    fn the_folders_of_an_account_are_its_owners_alone() {
        use std::os::unix::fs::{PermissionsExt as _, symlink};
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().join("base");
        reserve(&base, "s").unwrap();
        for folder in [&base, &base.join("runs")] {
            let mode = std::fs::metadata(folder).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o700, "{}", folder.display());
        }
        let planted = dir.path().join("planted");
        std::fs::create_dir(&planted).unwrap();
        symlink(base.join("runs"), planted.join("runs")).unwrap();
        let error = reserve(&planted, "t").unwrap_err().to_string();
        assert!(error.contains("runs is a symbolic link"), "{error}");
    }

    #[test]
    fn a_process_without_a_slot_is_counted_and_one_without_the_account_breaks_the_seal() {
        let dir = tempfile::tempdir().unwrap();
        let account = path(dir.path(), "s");
        reserve(dir.path(), "s").unwrap();
        for pid in 0..=SLOTS as u32 {
            Marker::take(&account, pid + 1, "shop").unwrap();
        }
        let full = read(&account);
        let reasons: Vec<_> = full
            .lost
            .iter()
            .map(|lost| (lost.reason.as_str(), lost.count))
            .collect();
        assert_eq!(
            reasons,
            [
                (
                    "too many processes ran at the same time for the session's account",
                    1
                ),
                ("it could not open the session's account", 1)
            ]
        );
        let other = path(dir.path(), "t");
        reserve(dir.path(), "t").unwrap();
        std::fs::remove_file(&other).unwrap();
        Marker::take(&other, 1, "shop").unwrap().stop(0);
        assert!(!intact(&other).exists());
    }
}
