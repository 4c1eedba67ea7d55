//! Appending lines to a file from many processes.

use crate::error::Error;
use crate::sys::file_lock;
use crate::sys::file_size::Limited;
use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

/// Appends lines to a file (a log, a CSV) to which other threads, processes and runs append lines as well.
///
/// Lines are never torn or mixed, whatever their length, even if a writer is killed: each is written under a kernel lock,
/// and the next writer removes the incomplete line of a killed one. That applies to appenders only; other writers to the
/// file are not excluded. A file that is removed or renamed is created anew.
///
/// A small file beside it, `.NAME.append`, holds the lock; remove it when no process writes.
///
/// ```
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path().join("results.csv");
/// let results = cofferdam::file::Appender::new(&path);
/// results.line("orders,ok").unwrap();
/// results.line("prices,ok").unwrap();
/// assert_eq!(std::fs::read_to_string(&path).unwrap(), "orders,ok\nprices,ok\n");
/// ```
#[derive(Clone, Debug)]
pub struct Appender {
    path: PathBuf,
    lock: PathBuf,
}

impl Appender {
    /// Creates an appender for the file at `path`, whose directory must exist. Nothing is opened or created before the first
    /// line.
    pub fn new(path: impl AsRef<Path>) -> Self {
        let path = path.as_ref().to_owned();
        let mut name = OsString::from(".");
        name.push(path.file_name().unwrap_or_default());
        name.push(".append");
        Self {
            lock: path.with_file_name(name),
            path,
        }
    }

    /// Appends a line, with a newline at its end if it has none.
    ///
    /// Waits for other appenders, each of which takes a few microseconds; one that is stopped (not killed) while it writes
    /// is waited for until it continues.
    ///
    /// # Errors
    /// When the text contains several lines, when the file or the one beside it cannot be written, or when the disk is full.
    /// The file then contains no part of the line.
    pub fn line(&self, text: impl AsRef<[u8]>) -> Result<(), Error> {
        let text = text.as_ref();
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        if text.contains(&b'\n') {
            let several = io::Error::new(
                io::ErrorKind::InvalidInput,
                "the text contains several lines: append each separately",
            );
            return Err(Error::io("append a line to", &self.path, several));
        }
        let line = [text, b"\n"].concat();
        self.add(&line)
            .map_err(|source| Error::io("append a line to", &self.path, source))
    }

    fn add(&self, line: &[u8]) -> io::Result<()> {
        // One handle per line: a handle that stays open starves other writers and is inherited by a forked child.
        let mut lock = file_lock::exclusive_file(&self.lock)?;
        let mut file = OpenOptions::new()
            .read(true)
            .create(true)
            .append(true)
            .open(&self.path)?;
        if let Some(start) = LineStart::read(&mut lock)? {
            start.repair(&mut file)?;
        }
        if !ends_line(&mut file)? {
            // A separate write, because the newline at the end of our line must be its only one.
            Limited(&file).write_all(b"\n")?;
        }
        let start = LineStart(file.metadata()?.len());
        start.write(&mut lock)?;
        if let Err(error) = Limited(&file).write_all(line) {
            start.repair(&mut file)?;
            LineStart::clear(&mut lock)?;
            return Err(error);
        }
        LineStart::clear(&mut lock)
    }
}

/// Returns whether the file is empty or ends with a newline. Other writers may leave an incomplete line.
fn ends_line(file: &mut File) -> io::Result<bool> {
    if file.metadata()?.len() == 0 {
        return Ok(true);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

/// The start of a line that is being written. It is in the lock file during the write; if the next writer finds it there,
/// the previous one was killed.
#[derive(Clone, Copy)]
struct LineStart(u64);

impl LineStart {
    fn read(lock: &mut File) -> io::Result<Option<Self>> {
        let mut bytes = Vec::new();
        lock.read_to_end(&mut bytes)?;
        let known: Option<[u8; 8]> = bytes.try_into().ok();
        Ok(known
            .map(u64::from_le_bytes)
            .filter(|at| *at != u64::MAX)
            .map(Self))
    }

    fn write(self, lock: &mut File) -> io::Result<()> {
        lock.seek(SeekFrom::Start(0))?;
        Limited(lock).write_all(&self.0.to_le_bytes())
    }

    fn clear(lock: &mut File) -> io::Result<()> {
        Self(u64::MAX).write(lock)
    }

    /// Removes an incomplete line. A line with a newline is complete, or was not written by an appender.
    fn repair(self, file: &mut File) -> io::Result<()> {
        let length = file.metadata()?.len();
        if length <= self.0 {
            return Ok(());
        }
        let mut rest = Vec::new();
        file.seek(SeekFrom::Start(self.0))?;
        file.read_to_end(&mut rest)?;
        if rest.contains(&b'\n') {
            return Ok(());
        }
        file.set_len(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(path: &Path) -> String {
        std::fs::read_to_string(path).unwrap()
    }

    #[test]
    fn a_line_gets_one_newline_and_several_lines_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let log = Appender::new(&path);
        for line in ["a", "b\n", ""] {
            log.line(line).unwrap();
        }
        let error = log.line("c\nd").unwrap_err().to_string();
        assert!(
            error.ends_with("the text contains several lines: append each separately"),
            "{error}"
        );
        assert_eq!(text(&path), "a\nb\n\n");
    }

    #[test]
    fn the_incomplete_line_of_a_killed_writer_is_removed_and_complete_lines_stay() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let log = Appender::new(&path);
        for (left, kept) in [
            ("half", "one\ntwo\n"),
            ("whole\n", "one\nwhole\ntwo\n"),
            ("", "one\ntwo\n"),
        ] {
            std::fs::write(&path, format!("one\n{left}")).unwrap();
            std::fs::write(&log.lock, 4_u64.to_le_bytes()).unwrap();
            log.line("two").unwrap();
            assert_eq!(text(&path), kept, "{left:?}");
        }
    }

    #[test]
    fn text_of_another_writer_without_a_newline_stays_and_gets_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        std::fs::write(&path, "by hand").unwrap();
        Appender::new(&path).line("!").unwrap();
        assert_eq!(text(&path), "by hand\n!\n");
    }

    #[test]
    fn a_file_that_was_removed_is_created_anew() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let log = Appender::new(&path);
        log.line("old").unwrap();
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&log.lock, 4_u64.to_le_bytes()).unwrap();
        log.line("new").unwrap();
        assert_eq!(text(&path), "new\n");
    }
}
