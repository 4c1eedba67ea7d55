//! Replacing a file in one step: readers find the old content or the new, never a part of either.

use crate::error::Error;
use crate::run::facts;
use crate::sys::file_size::Limited;
use crate::sys::{clock, file_lock, process};
use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Replaces the content of the file at `path` in one step. Short for [`AtomicFile`] with its defaults.
///
/// ```
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path().join("prices.csv");
/// cofferdam::file::write_atomic(&path, "tea,3\n").unwrap();
/// assert_eq!(std::fs::read_to_string(&path).unwrap(), "tea,3\n");
/// ```
///
/// # Errors
/// Like [`AtomicFile::write`].
pub fn write_atomic(path: impl AsRef<Path>, bytes: impl AsRef<[u8]>) -> Result<(), Error> {
    AtomicFile::new(path).write(bytes)
}

/// A file whose content is replaced in one step.
///
/// The new content is written to a temporary file beside the old one, which it replaces when it is complete. Until then, and
/// if the writer fails or is killed, readers find the old file. The permissions of the old file are kept; its owner, other
/// hard links and extended attributes are not. A symbolic link stays, and its target is replaced. Of several writers the
/// last one wins; use a lock if that is not enough.
///
/// The next process that writes to the directory removes the temporary files of killed writers, if their names and a kernel
/// lock show that no process writes to them. Where the system does not report running processes, they stay.
///
/// ```
/// use cofferdam::file::AtomicFile;
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
    /// Describes a file at `path`, whose directory must exist.
    pub fn new(path: impl AsRef<Path>) -> Self {
        Self {
            path: path.as_ref().to_owned(),
            durable: false,
            private: false,
        }
    }

    /// Waits until the new file and its name are on disk. Otherwise a crash of the machine (not of the process) may leave an
    /// empty file. Costs milliseconds.
    pub fn durable(mut self) -> Self {
        self.durable = true;
        self
    }

    /// On Unix, restricts the file to its owner (mode 0600) from its creation on, whatever the permissions of the old file.
    pub fn private(mut self) -> Self {
        self.private = true;
        self
    }

    /// Replaces the content with these bytes.
    ///
    /// # Errors
    /// When the directory is missing or cannot be written, or when the disk is full. The old file then stays.
    pub fn write(&self, bytes: impl AsRef<[u8]>) -> Result<(), Error> {
        self.write_with(|file| file.write_all(bytes.as_ref()))
    }

    /// Replaces the content with the output of `content`, which is buffered.
    ///
    /// # Errors
    /// Like [`write`](Self::write), and when `content` fails. The old file then stays, also when `content` panics.
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

/// The beginning of the name of an unfinished file, before the process.
const PREFIX: &str = ".cofferdam-";
const SUFFIX: &str = ".tmp";

/// A temporary file, removed on drop unless it is finished.
struct Unfinished {
    path: Option<PathBuf>,
    file: File,
}

impl Unfinished {
    fn new(dir: &Path, kept: Option<&Permissions>, private: bool) -> io::Result<Self> {
        let Writer { boot, pid, started } = Writer::own();
        let path = dir.join(format!(
            "{PREFIX}{boot}-{pid}-{started}-{}{SUFFIX}",
            clock::unique()
        ));
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        {
            use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
            // Never accessible to more users than the final file.
            if private {
                options.mode(0o600);
            } else if let Some(kept) = kept {
                options.mode(kept.mode() & 0o777 | 0o200);
            }
        }
        #[cfg(not(unix))]
        let _ = (kept, private);
        let file = options.open(&path)?;
        // Locked until it is closed, because the process number of another container means nothing to a sweeper. (On other
        // systems the lock would exclude readers.)
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

/// The process that writes a temporary file, as encoded in its name.
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
            // A forked child has its own number.
            pid: process::id(),
            started: process::started(),
        }
    }

    fn of(name: &'a str) -> Option<Self> {
        let mut parts = name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?.split('-');
        let (boot, pid, started) = (parts.next()?, parts.next()?, parts.next()?);
        parts.next()?.parse::<u64>().ok()?;
        Some(Self {
            boot,
            pid: pid.parse().ok()?,
            started: started.parse().ok()?,
        })
        .filter(|_| parts.next().is_none())
    }

    /// Returns whether the process is known to have ended. A process of another boot or machine is not.
    fn has_ended(&self, boot: &str, is_alive: fn(u32, u64) -> bool) -> bool {
        boot != "0" && self.boot == boot && !is_alive(self.pid, self.started)
    }
}

/// Sweeps a directory at this process's first write to it.
fn sweep_once(dir: &Path) {
    static SWEPT: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());
    let mut swept = SWEPT.lock().unwrap_or_else(PoisonError::into_inner);
    if !swept.iter().any(|known| known == dir) {
        swept.push(dir.to_owned());
        drop(swept);
        sweep(dir);
    }
}

/// Removes the temporary files of processes that have ended.
fn sweep(dir: &Path) {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return;
    };
    let boot = Writer::own().boot;
    for entry in entries.flatten() {
        let name = entry.file_name();
        let writer = name.to_str().and_then(Writer::of);
        if !writer.is_some_and(|writer| writer.has_ended(boot, process::is_alive)) {
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
    fn only_files_of_writers_known_to_have_ended_are_removed() {
        let gone: fn(u32, u64) -> bool = |_, _| false;
        let alive: fn(u32, u64) -> bool = |_, _| true;
        let writer = Writer::of(".cofferdam-01234567-10-20-3.tmp").unwrap();
        assert!(writer.has_ended("01234567", gone));
        assert!(!writer.has_ended("01234567", alive), "it is running");
        assert!(!writer.has_ended("abcdefab", gone), "of another machine");
        let unknown = Writer::of(".cofferdam-0-10-20-3.tmp").unwrap();
        assert!(!unknown.has_ended("0", gone), "the system does not say");
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
        // A process number that is not used here, like one of another container.
        let left = dir
            .path()
            .join(format!("{PREFIX}{boot}-1-18446744073709551615-7{SUFFIX}"));
        let file = File::create(&left).unwrap();
        assert!(file_lock::try_hold(&file));
        sweep(dir.path());
        assert!(left.exists());
        drop(file);
        sweep(dir.path());
        assert!(!left.exists());
    }
}
