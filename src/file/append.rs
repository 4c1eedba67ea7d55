//! Lines that many processes add to one file.

use crate::error::Error;
use crate::sys::file_lock;
use crate::sys::file_size::Limited;
use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

/// Adds lines to a file (a log, a CSV) that other threads, processes and runs add lines to as well.
///
/// Lines never tear and never mingle, however long they are and whoever is killed: each goes out under a kernel lock,
/// and what a killed writer left of a line the next one takes away. That holds among appenders; somebody who writes
/// to the file by other means is not kept out. A file that is removed or renamed meanwhile is begun anew.
///
/// Beside the file stands a small one, `.NAME.append`, which holds the lock; remove it when nobody writes.
///
/// ```
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path().join("results.csv");
/// let results = cofferdam::Appender::new(&path);
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
    /// Lines for the file at `path`, whose folder is there. Nothing is opened or made before the first line.
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

    /// Adds a line; the newline at its end is added unless it is there.
    ///
    /// Waits for other appenders, each of which takes a few microseconds; one that was stopped (not killed) while it
    /// writes is waited for until it goes on.
    ///
    /// # Errors
    /// When the text has a newline in its middle, when the file or the one beside it cannot be written to, or when
    /// the disk is full. Nothing of the line is in the file then.
    pub fn line(&self, text: impl AsRef<[u8]>) -> Result<(), Error> {
        let text = text.as_ref();
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        if text.contains(&b'\n') {
            let several = io::Error::new(
                io::ErrorKind::InvalidInput,
                "these are several lines: add each by itself",
            );
            return Err(Error::io("add a line to", &self.path, several));
        }
        let line = [text, b"\n"].concat();
        self.add(&line)
            .map_err(|source| Error::io("add a line to", &self.path, source))
    }

    fn add(&self, line: &[u8]) -> io::Result<()> {
        // A handle for each line: one that is kept starves others, and would be a forked child's too.
        let mut lock = file_lock::exclusive_file(&self.lock)?;
        let mut file = OpenOptions::new()
            .read(true)
            .create(true)
            .append(true)
            .open(&self.path)?;
        if let Some(begun) = Begun::read(&mut lock)? {
            begun.repair(&mut file)?;
        }
        if !ends_line(&mut file)? {
            // By itself: the newline at the end of ours has to be the only one.
            Limited(&file).write_all(b"\n")?;
        }
        let begun = Begun(file.metadata()?.len());
        begun.write(&mut lock)?;
        if let Err(error) = Limited(&file).write_all(line) {
            begun.repair(&mut file)?;
            Begun::clear(&mut lock)?;
            return Err(error);
        }
        Begun::clear(&mut lock)
    }
}

/// Whether the next line begins where the file ends, and not behind what somebody left there by other means.
fn ends_line(file: &mut File) -> io::Result<bool> {
    if file.metadata()?.len() == 0 {
        return Ok(true);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

/// Where a line begins that somebody is writing. It stands in the file beside while he does; found there by the next
/// one, the writer is dead.
#[derive(Clone, Copy)]
struct Begun(u64);

impl Begun {
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

    /// Takes away the beginning of a line that has no end. What has one is whole, or is not ours.
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
            error.ends_with("these are several lines: add each by itself"),
            "{error}"
        );
        assert_eq!(text(&path), "a\nb\n\n");
    }

    #[test]
    fn what_a_killed_writer_left_of_a_line_is_taken_away_and_whole_lines_stay() {
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
    fn text_without_an_end_that_no_appender_wrote_stays_and_gets_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        std::fs::write(&path, "by hand").unwrap();
        Appender::new(&path).line("!").unwrap();
        assert_eq!(text(&path), "by hand\n!\n");
    }

    #[test]
    fn a_file_that_was_removed_is_begun_anew() {
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
