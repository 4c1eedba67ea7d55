//! What the processes of a session said of their own recording.

use crate::error::Error;
use crate::sys::marker;
use std::path::Path;

/// What was started with recording on, and what came of it, as the session's account says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Account {
    /// Processes that were started.
    pub started: u64,
    /// Those that recorded.
    pub recorded: u64,
    /// Those of them that ended by themselves.
    pub complete: u64,
    /// Those of them that were killed, or still run.
    pub incomplete: u64,
    /// Those that could not record, or not to their end.
    pub lost: Vec<LostProcess>,
}

/// A process whose records are missing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LostProcess {
    /// Its program, and its test where it has but one.
    pub name: String,
    /// Why it could not record.
    pub reason: String,
    /// How many processes this is about.
    pub count: u64,
}

/// Reserves the account of a session below cofferdam's folder `base`, before its first process starts.
///
/// # Errors
/// When there is no room for it, or the session has one.
pub fn reserve(base: &Path, session: &str) -> Result<(), Error> {
    let path = marker::path(base, &crate::run::file_name(session));
    marker::create(&path).map_err(|source| Error::io("create", &path, source))
}

impl Account {
    /// Adds what stands in that file.
    pub(super) fn read(&mut self, path: &Path) -> Result<(), Error> {
        let read = marker::read(path).map_err(|source| Error::io("read", path, source))?;
        self.started += read.started;
        self.recorded += read.recorded;
        self.complete += read.complete;
        self.incomplete += read.incomplete;
        for (pid, name, number) in read.broken {
            let reason = match number {
                0 => "its journal could not be written".to_owned(),
                number => format!(
                    "its journal could not be written: {}",
                    std::io::Error::from_raw_os_error(number)
                ),
            };
            self.lost.push(LostProcess {
                name: format!("{name} (process {pid})"),
                reason,
                count: 1,
            });
        }
        let mut lose = |reason: &str, count| {
            self.lost.push(LostProcess {
                name: "a test process".to_owned(),
                reason: reason.to_owned(),
                count,
            });
        };
        if read.without > 0 {
            lose(
                "too many processes ran at one time for the session's account",
                read.without,
            );
        }
        if !read.is_intact {
            lose("it could not open the session's account", 1);
        }
        Ok(())
    }
}
