//! Shortages of the system, and the number of jobs that the limit of open files permits.

use std::io;

/// A resource whose shortage keeps jobs from starting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortage {
    /// Open files, of this process or of the machine.
    Files,
    Processes,
    Memory,
}

impl Shortage {
    /// Returns the shortage that caused an error, if one did.
    #[cfg(unix)]
    pub(super) fn of(error: &io::Error) -> Option<Self> {
        use rustix::io::Errno;
        match Errno::from_io_error(error)? {
            Errno::MFILE | Errno::NFILE => Some(Self::Files),
            Errno::AGAIN => Some(Self::Processes),
            Errno::NOMEM => Some(Self::Memory),
            _ => None,
        }
    }

    #[cfg(not(unix))]
    pub(super) fn of(error: &io::Error) -> Option<Self> {
        (error.kind() == io::ErrorKind::OutOfMemory).then_some(Self::Memory)
    }

    /// Returns a keyword for programs.
    pub fn key(self) -> &'static str {
        match self {
            Self::Files => "files",
            Self::Processes => "processes",
            Self::Memory => "memory",
        }
    }

    /// Returns the shortage and its remedy in words.
    pub fn text(self) -> &'static str {
        match self {
            Self::Files => "no more files can be open (`ulimit -n` shows and sets the limit)",
            Self::Processes => "no more processes can be started (`ulimit -u` shows and sets the limit)",
            Self::Memory => "the system has no memory for another process",
        }
    }
}

/// The number of files that are open briefly while a job starts or is supervised, besides its log.
#[cfg(unix)]
const RESERVE: u64 = 6;

/// Returns the number of jobs, at least one, that can run before this process reaches its limit of open files.
#[cfg(unix)]
pub(super) fn max_jobs_by_open_files() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let Some(limit) = limit else {
        return usize::MAX;
    };
    // The listing itself opens the folder. Without the folder, assume the usual number.
    let open = std::fs::read_dir("/dev/fd").map_or(16, |open| open.count() as u64);
    usize::try_from(limit.saturating_sub(open + RESERVE).max(1)).unwrap_or(usize::MAX)
}

#[cfg(not(unix))]
pub(super) fn max_jobs_by_open_files() -> usize {
    usize::MAX
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use rustix::io::Errno;

    #[test]
    fn an_error_identifies_the_shortage() {
        for (error, short) in [
            (Errno::MFILE, Some(Shortage::Files)),
            (Errno::NFILE, Some(Shortage::Files)),
            (Errno::AGAIN, Some(Shortage::Processes)),
            (Errno::NOMEM, Some(Shortage::Memory)),
            (Errno::NOENT, None),
        ] {
            assert_eq!(Shortage::of(&error.into()), short);
        }
    }
}
