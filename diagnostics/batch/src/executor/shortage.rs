//! What the system has no more of, and how many jobs the limit of open files has room for.

use std::io;

/// What kept jobs from being started, though more may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortage {
    /// Open files: this process's limit, or the machine's.
    Files,
    Processes,
    Memory,
}

impl Shortage {
    /// Every one of them with its word in events, and what lifts it.
    const ALL: [(Self, &'static str, &'static str); 3] = [
        (
            Self::Files,
            "files",
            "no more files can be open (`ulimit -n` shows and sets the limit)",
        ),
        (
            Self::Processes,
            "processes",
            "no more processes can be started (`ulimit -u` shows and sets the limit)",
        ),
        (
            Self::Memory,
            "memory",
            "the system has no memory for another process",
        ),
    ];

    /// Returns what an error is for want of, if it is.
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

    fn known(self) -> (&'static str, &'static str) {
        let known = Self::ALL.iter().find(|(one, ..)| *one == self);
        known.map_or(("", ""), |(_, word, text)| (word, text))
    }

    /// In a word, for programs.
    pub fn word(self) -> &'static str {
        self.known().0
    }

    /// For people.
    pub fn text(self) -> &'static str {
        self.known().1
    }
}

/// How many files are open for a moment while a job is started, or looked after, besides the log that it keeps open.
#[cfg(unix)]
const RESERVE: u64 = 6;

/// Returns how many jobs can run at once before this process may open no more files; at least one.
#[cfg(unix)]
pub(super) fn room() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let Some(limit) = limit else {
        return usize::MAX;
    };
    // The folder itself is open while it is listed. Where there is none, it is as it usually is.
    let open = std::fs::read_dir("/dev/fd").map_or(16, |open| open.count() as u64);
    usize::try_from(limit.saturating_sub(open + RESERVE).max(1)).unwrap_or(usize::MAX)
}

#[cfg(not(unix))]
pub(super) fn room() -> usize {
    usize::MAX
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use rustix::io::Errno;

    #[test]
    fn what_is_short_is_known_by_the_error() {
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
