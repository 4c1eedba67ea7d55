//! How the test programs of a command are started, saved in place of starting them.

use super::started_program::StartedProgram;
use std::fs;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

const NAME: &str = "starts";
/// The size of the length in front of each start.
const LENGTH: usize = 8;

/// The file of the starts. While it exists, the runner starts test programs only to list their tests.
#[derive(Debug)]
pub(super) struct SavedStarts {
    file: File,
}

impl SavedStarts {
    /// Creates the file in the directory of the logs. It is private to its owner: starts include the values of variables.
    pub(super) fn create(dir: &Path) -> io::Result<()> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        options.open(dir.join(NAME))?;
        Ok(())
    }

    /// Opens the file, if there is one.
    pub(super) fn open(dir: &Path) -> io::Result<Option<Self>> {
        match OpenOptions::new().append(true).open(dir.join(NAME)) {
            Ok(file) => Ok(Some(Self { file })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Adds a start.
    pub(super) fn add(mut self, started: &StartedProgram) -> io::Result<()> {
        #[expect(
            clippy::disallowed_methods,
            reason = "runners add to it at the same time, and are soon gone"
        )]
        self.file.lock()?;
        let bytes = started.to_bytes();
        let length = (bytes.len() as u64).to_le_bytes();
        self.file.write_all(&[&length[..], &bytes].concat())
    }

    /// Reads the starts of a command that has ended, in their order.
    pub(super) fn read(dir: &Path) -> io::Result<Vec<StartedProgram>> {
        let bytes = fs::read(dir.join(NAME))?;
        let mut rest = &bytes[..];
        let mut starts = Vec::new();
        while !rest.is_empty() {
            let (started, after) = first(rest).ok_or(io::ErrorKind::InvalidData)?;
            starts.push(started);
            rest = after;
        }
        Ok(starts)
    }
}

/// Returns the first start, and the bytes after it.
fn first(bytes: &[u8]) -> Option<(StartedProgram, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<LENGTH>()?;
    let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
    let (bytes, after) = rest.split_at_checked(length)?;
    Some((StartedProgram::from_bytes(bytes)?, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_are_read_in_their_order_and_an_incomplete_one_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        assert!(SavedStarts::open(dir.path()).unwrap().is_none());
        SavedStarts::create(dir.path()).unwrap();
        assert_eq!(SavedStarts::read(dir.path()).unwrap(), []);
        let started = |program: &str| StartedProgram {
            program: program.into(),
            arguments: vec!["--exact".into(), "".into()],
            dir: "/w".into(),
            variables: vec![("A".into(), "1".into())],
        };
        for program in ["/t/shop", "/t/orders"] {
            let starts = SavedStarts::open(dir.path()).unwrap().unwrap();
            starts.add(&started(program)).unwrap();
        }
        assert_eq!(
            SavedStarts::read(dir.path()).unwrap(),
            [started("/t/shop"), started("/t/orders")]
        );
        let file = dir.path().join(NAME);
        let bytes = fs::read(&file).unwrap();
        fs::write(&file, &bytes[..bytes.len() - 1]).unwrap();
        assert!(SavedStarts::read(dir.path()).is_err());
    }
}
