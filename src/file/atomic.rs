//! Files that are replaced in one step: whoever reads finds the old one or the new one, never half of either.

use crate::error::Error;
use crate::run::facts;
use crate::sys::file_size::Limited;
use crate::sys::{clock, file_lock, process};
use std::collections::HashSet;
use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Replaces the file at `path` by one with these bytes, in one step. Short for [`AtomicFile`] with its defaults.
///
/// ```
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path().join("prices.csv");
/// cofferdam::write_atomic(&path, "tea,3\n").unwrap();
/// assert_eq!(std::fs::read_to_string(&path).unwrap(), "tea,3\n");
/// ```
///
/// # Errors
/// As [`AtomicFile::write`].
pub fn write_atomic(path: impl AsRef<Path>, bytes: impl AsRef<[u8]>) -> Result<(), Error> {
    AtomicFile::new(path).write(bytes)
}

/// How a file is replaced in one step.
///
/// The new content is written beside the old file and takes its place when it is whole. Until then, and for ever if
/// the writer fails or is killed, readers find the old file. The permissions of the file that is replaced are kept;
/// its owner, further links to it and extended attributes are not. A symbolic link stays, and what it points to is
/// replaced. Of several writers the last one wins; use a lock where that is not enough.
///
/// What a killed writer left beside the file is removed by the next process that writes into the folder: only what
/// its name and a kernel lock say nobody writes any more. Where the system does not tell which processes live it
/// stays.
///
/// ```
/// use cofferdam::AtomicFile;
/// use std::io::Write as _;
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path().join("orders.csv");
/// AtomicFile::new(&path)
///     .durable()
///     .write_with(|file| {
///         for order in 0..3 {
///             writeln!(file, "{order},tea")?;
///         }
///         Ok(())
///     })
///     .unwrap();
/// assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 3);
/// ```
#[derive(Clone, Debug)]
pub struct AtomicFile {
    path: PathBuf,
    durable: bool,
    private: bool,
}

impl AtomicFile {
    /// A file at `path`, whose folder is there.
    pub fn new(path: impl AsRef<Path>) -> Self {
        Self {
            path: path.as_ref().to_owned(),
            durable: false,
            private: false,
        }
    }

    /// Waits until the new file and its name are on the disk. Without it a crash of the machine (not of the process)
    /// may leave an empty file. Costs milliseconds.
    pub fn durable(mut self) -> Self {
        self.durable = true;
        self
    }

    /// On Unix, lets nobody but its owner read or write the file (mode 0600), from its first byte on and whatever
    /// the old file allowed.
    pub fn private(mut self) -> Self {
        self.private = true;
        self
    }

    /// Replaces the file by one with these bytes.
    ///
    /// # Errors
    /// When the folder is missing or cannot be written to, or the disk is full. The old file stays then.
    pub fn write(&self, bytes: impl AsRef<[u8]>) -> Result<(), Error> {
        self.write_with(|file| file.write_all(bytes.as_ref()))
    }

    /// Replaces the file by what `content` writes; it may take its time, and it is buffered.
    ///
    /// # Errors
    /// As [`write`](Self::write), and when `content` fails. The old file stays then, also when `content` panics.
    pub fn write_with(&self, content: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Error> {
        self.replace(content)
            .map_err(|source| Error::io("write", &self.path, source))
    }

    fn replace(&self, content: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
        let is_link = std::fs::symlink_metadata(&self.path).is_ok_and(|there| there.is_symlink());
        let path = if is_link {
            std::fs::canonicalize(&self.path)?
        } else {
            self.path.clone()
        };
        let dir = match path.parent() {
            Some(dir) if !dir.as_os_str().is_empty() => dir,
            _ => Path::new("."),
        };
        sweep_once(dir);
        let kept = std::fs::metadata(&path)
            .ok()
            .filter(|_| !self.private)
            .map(|old| old.permissions());
        let unfinished = Unfinished::new(dir, kept.as_ref(), self.private)?;
        let mut writer = BufWriter::new(Limited(&unfinished.file));
        content(&mut writer)?;
        writer.flush()?;
        drop(writer);
        if let Some(kept) = kept {
            unfinished.file.set_permissions(kept)?;
        }
        if self.durable {
            unfinished.file.sync_all()?;
        }
        unfinished.become_file(&path)?;
        if self.durable && cfg!(unix) {
            File::open(dir)?.sync_all()?;
        }
        Ok(())
    }
}

/// What stands before the process in the name of a file that is not finished.
const MARK: &str = ".cofferdam-";
const END: &str = ".tmp";

/// A file that is being written; dropped before it is finished, it is removed.
struct Unfinished {
    path: Option<PathBuf>,
    file: File,
}

impl Unfinished {
    fn new(dir: &Path, kept: Option<&Permissions>, private: bool) -> io::Result<Self> {
        let Writer { boot, pid, started } = Writer::own();
        let path = dir.join(format!("{MARK}{boot}-{pid}-{started}-{}{END}", clock::unique()));
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        {
            use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
            // Never open to more people than the file will be.
            if private {
                options.mode(0o600);
            } else if let Some(kept) = kept {
                options.mode(kept.mode() & 0o777 | 0o200);
            }
        }
        #[cfg(not(unix))]
        let _ = (kept, private);
        let file = options.open(&path)?;
        // Held until the file is closed: another container's process number would tell a sweeper nothing. (Elsewhere
        // it would keep readers away.)
        if cfg!(unix) {
            file_lock::try_hold(&file);
        }
        Ok(Self {
            path: Some(path),
            file,
        })
    }

    fn become_file(mut self, path: &Path) -> io::Result<()> {
        if let Some(own) = &self.path {
            std::fs::rename(own, path)?;
            self.path = None;
        }
        Ok(())
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// The process that writes a file, as the file's name tells it.
#[derive(Debug, PartialEq, Eq)]
struct Writer<'a> {
    boot: &'a str,
    pid: u32,
    started: u64,
}

impl<'a> Writer<'a> {
    fn own() -> Writer<'static> {
        let facts = facts();
        Writer {
            boot: facts.space.boot.get(..8).unwrap_or("0"),
            // Of a forked child, not its parent's.
            pid: process::id(),
            started: process::started(),
        }
    }

    fn of(name: &'a str) -> Option<Self> {
        let mut parts = name.strip_prefix(MARK)?.strip_suffix(END)?.split('-');
        let (boot, pid, started) = (parts.next()?, parts.next()?, parts.next()?);
        parts.next()?.parse::<u64>().ok()?;
        Some(Self {
            boot,
            pid: pid.parse().ok()?,
            started: started.parse().ok()?,
        })
        .filter(|_| parts.next().is_none())
    }

    /// Whether it is known to be gone: a process of another boot or machine is not ours to judge.
    fn is_gone(&self, boot: &str, is_alive: fn(u32, u64) -> bool) -> bool {
        boot != "0" && self.boot == boot && !is_alive(self.pid, self.started)
    }
}

/// Sweeps a folder when this process first writes there.
fn sweep_once(dir: &Path) {
    static SWEPT: Mutex<Option<HashSet<PathBuf>>> = Mutex::new(None);
    if SWEPT
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .get_or_insert_with(HashSet::new)
        .insert(dir.to_owned())
    {
        sweep(dir);
    }
}

/// Removes what writers left that are gone.
fn sweep(dir: &Path) {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return;
    };
    let boot = Writer::own().boot;
    for entry in entries.flatten() {
        let name = entry.file_name();
        let writer = name.to_str().and_then(Writer::of);
        if !writer.is_some_and(|writer| writer.is_gone(boot, process::is_alive)) {
            continue;
        }
        if let Ok(file) = File::open(entry.path())
            && file_lock::try_hold(&file)
        {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(dir).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_writer_that_fails_or_panics_leaves_the_old_file_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        write_atomic(&path, "old").unwrap();
        let file = AtomicFile::new(&path);
        let error = file.write_with(|to| {
            to.write_all(b"ne")?;
            Err(io::Error::other("enough"))
        });
        let text = error.unwrap_err().to_string();
        assert!(
            text.starts_with("could not write") && text.ends_with("enough"),
            "{text}"
        );
        let panicked = std::panic::catch_unwind(|| file.write_with(|_| panic!("no more")));
        assert!(panicked.is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "old");
        assert_eq!(names(dir.path()), ["file"]);
    }

    #[test]
    fn a_folder_that_is_missing_is_an_error_that_names_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("missing/file");
        let error = write_atomic(&path, "new").unwrap_err().to_string();
        assert!(error.contains(path.to_str().unwrap()), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn permissions_are_kept_and_links_followed() {
        use std::os::unix::fs::{PermissionsExt as _, symlink};
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let mode = || std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777;
        write_atomic(&path, "old").unwrap();
        for kept in [0o640, 0o755, 0o440] {
            std::fs::set_permissions(&path, Permissions::from_mode(kept)).unwrap();
            write_atomic(&path, "new").unwrap();
            assert_eq!(mode(), kept);
        }
        AtomicFile::new(&path).private().write("secret").unwrap();
        assert_eq!(mode(), 0o600);

        let link = dir.path().join("link");
        symlink("file", &link).unwrap();
        AtomicFile::new(&link).durable().write("through").unwrap();
        assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "through");
    }

    #[test]
    fn what_is_not_known_to_be_a_dead_writers_is_nobodys_to_remove() {
        let gone: fn(u32, u64) -> bool = |_, _| false;
        let alive: fn(u32, u64) -> bool = |_, _| true;
        let writer = Writer::of(".cofferdam-01234567-10-20-3.tmp").unwrap();
        assert!(writer.is_gone("01234567", gone));
        assert!(!writer.is_gone("01234567", alive), "it lives");
        assert!(!writer.is_gone("abcdefab", gone), "of another machine");
        let unknown = Writer::of(".cofferdam-0-10-20-3.tmp").unwrap();
        assert!(!unknown.is_gone("0", gone), "the system does not tell");
        for name in [
            "file",
            ".cofferdam-.tmp",
            ".cofferdam-0-1-2.tmp",
            ".cofferdam-0-x-2-3.tmp",
            ".cofferdam-0-1-2-3-4.tmp",
            ".cofferdam-0-1-2-3",
        ] {
            assert_eq!(Writer::of(name), None, "{name}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_sweep_leaves_what_another_container_writes() {
        let dir = tempfile::tempdir().unwrap();
        let boot = Writer::own().boot;
        // A process number that is nobody's here, as one of another container would be.
        let left = dir
            .path()
            .join(format!("{MARK}{boot}-1-18446744073709551615-7{END}"));
        let file = File::create(&left).unwrap();
        assert!(file_lock::try_hold(&file));
        sweep(dir.path());
        assert!(left.exists());
        drop(file);
        sweep(dir.path());
        assert!(!left.exists());
    }
}
