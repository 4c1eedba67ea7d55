//! The file that a job writes its output to. Nothing of it is kept in memory: its end is read when somebody asks.

use super::job::JobId;
use regex::bytes::Regex;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

/// The output of one attempt.
#[derive(Debug)]
pub(super) struct Output {
    pub(super) file: File,
    pub(super) path: PathBuf,
}

/// `j1.log`, and `j1.2.log` for the second attempt.
pub(super) fn name(job: JobId, attempt: u32) -> String {
    match attempt {
        1 => format!("{job}.log"),
        _ => format!("{job}.{attempt}.log"),
    }
}

impl Output {
    /// A file that only its owner can read.
    pub(super) fn create(folder: &Path, name: &str) -> io::Result<Self> {
        let path = folder.join(name);
        let mut options = File::options();
        // Both streams, and processes that a job leaves behind, write to one end.
        options.append(true).create(true).read(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        Ok(Self {
            file: options.open(&path)?,
            path,
        })
    }

    /// The same for another job: nothing is in it.
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

    pub(super) fn written(&self) -> u64 {
        self.file.metadata().map_or(0, |told| told.len())
    }

    /// Whether the pattern is anywhere in it. A match longer than [`OVERLAP`] may be missed.
    pub(super) fn matches(&mut self, pattern: &Regex) -> bool {
        search(&mut self.file, pattern).unwrap_or(false)
    }
}

const CHUNK: usize = 1 << 16;

/// So much of a chunk is looked at again with the next one.
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

/// The last lines of a file, at most so many and so long, whatever it holds.
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
    fn a_pattern_is_found_where_two_chunks_meet_and_in_what_is_no_text() {
        let dir = tempfile::tempdir().unwrap();
        let mut output = Output::create(dir.path(), "j1.log").unwrap();
        output.file.write_all(&vec![0xff; CHUNK - 3]).unwrap();
        output.file.write_all(b"out of disk").unwrap();
        let pattern = Regex::new("out of (disk|memory)").unwrap();
        assert!(output.matches(&pattern));
        assert!(!output.matches(&Regex::new("out of luck").unwrap()));
        assert_eq!(output.written(), CHUNK as u64 + 8);
    }

    #[test]
    fn a_second_attempt_has_a_log_of_its_own() {
        assert_eq!(
            (name(JobId(3), 1), name(JobId(3), 2)),
            ("j3.log".to_owned(), "j3.2.log".to_owned())
        );
    }

    #[test]
    fn the_tail_of_anything_is_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        std::fs::write(&path, "a\nb\nc\n").unwrap();
        assert_eq!(tail(&path, 2).unwrap(), ["b", "c"]);
        std::fs::write(&path, vec![0xfe; 1 << 20]).unwrap();
        let told = tail(&path, 10).unwrap();
        assert_eq!(told.len(), 1);
        assert!(told[0].chars().count() <= 1 << 14);
    }
}
