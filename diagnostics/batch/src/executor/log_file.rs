//! Log files: the output of a job goes there directly, and nothing of it is kept in memory.

use super::job::JobId;
use regex::bytes::Regex;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

/// The log of one attempt.
#[derive(Debug)]
pub(super) struct LogFile {
    pub(super) file: File,
    pub(super) path: PathBuf,
}

/// Returns the file name: `j1.log`, or `j1.2.log` for the second attempt.
pub(super) fn name(job: JobId, attempt: u32) -> String {
    match attempt {
        1 => format!("{job}.log"),
        _ => format!("{job}.{attempt}.log"),
    }
}

impl LogFile {
    /// Creates a file that only its owner can read.
    pub(super) fn create(folder: &Path, name: &str) -> io::Result<Self> {
        let path = folder.join(name);
        let mut options = File::options();
        // Both streams, and surviving processes of the job, append to the same file.
        options.append(true).create(true).read(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        Ok(Self {
            file: options.open(&path)?,
            path,
        })
    }

    /// Reuses an empty file for another job.
    pub(super) fn rename(self, folder: &Path, name: &str) -> io::Result<Self> {
        let path = folder.join(name);
        std::fs::rename(&self.path, &path)?;
        Ok(Self {
            file: self.file,
            path,
        })
    }

    pub(super) fn remove(self) {
        let _ = std::fs::remove_file(&self.path);
    }

    /// Returns the size of the file.
    pub(super) fn bytes(&self) -> u64 {
        self.file.metadata().map_or(0, |metadata| metadata.len())
    }

    /// Returns whether the pattern occurs in the file. A match longer than [`OVERLAP`] may be missed.
    pub(super) fn matches(&mut self, pattern: &Regex) -> bool {
        search(&mut self.file, pattern).unwrap_or(false)
    }
}

const CHUNK: usize = 1 << 16;

/// The part of a chunk that is searched again together with the next one.
const OVERLAP: usize = 1 << 12;

fn search(file: &mut File, pattern: &Regex) -> io::Result<bool> {
    file.seek(SeekFrom::Start(0))?;
    let mut text = Vec::with_capacity(CHUNK + OVERLAP);
    loop {
        let read = file.by_ref().take(CHUNK as u64).read_to_end(&mut text)?;
        if pattern.is_match(&text) {
            return Ok(true);
        }
        if read == 0 {
            return Ok(false);
        }
        let done = text.len().saturating_sub(OVERLAP);
        text.drain(..done);
    }
}

/// Returns the last lines of a file, at most `lines` and at most 16 KiB.
pub fn tail(path: &Path, lines: usize) -> io::Result<Vec<String>> {
    const LONGEST: u64 = 1 << 14;
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LONGEST)))?;
    let mut bytes = Vec::new();
    file.take(LONGEST).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let mut last: Vec<String> = text.lines().rev().take(lines).map(str::to_owned).collect();
    last.reverse();
    Ok(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn a_pattern_is_found_across_chunks_and_in_bytes_that_are_no_text() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = LogFile::create(dir.path(), "j1.log").unwrap();
        log.file.write_all(&vec![0xff; CHUNK - 3]).unwrap();
        log.file.write_all(b"out of disk").unwrap();
        let pattern = Regex::new("out of (disk|memory)").unwrap();
        assert!(log.matches(&pattern));
        assert!(!log.matches(&Regex::new("out of luck").unwrap()));
        assert_eq!(log.bytes(), CHUNK as u64 + 8);
    }

    #[test]
    fn each_attempt_has_its_own_log() {
        assert_eq!(
            (name(JobId(3), 1), name(JobId(3), 2)),
            ("j3.log".to_owned(), "j3.2.log".to_owned())
        );
    }

    #[test]
    fn the_tail_is_bounded_for_any_content() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        std::fs::write(&path, "a\nb\nc\n").unwrap();
        assert_eq!(tail(&path, 2).unwrap(), ["b", "c"]);
        std::fs::write(&path, vec![0xfe; 1 << 20]).unwrap();
        let lines = tail(&path, 10).unwrap();
        assert_eq!(lines.len(), 1);
        assert!(lines[0].chars().count() <= 1 << 14);
    }
}
