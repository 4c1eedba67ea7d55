//! The reasons why a file cannot be read.

use std::path::{Path, PathBuf};
use std::{fmt, io};

/// A file that cannot be read, or a part of one.
///
/// [`source`](std::error::Error::source) is the operating system's error, where there is one.
#[derive(Debug)]
pub struct ReadError(Kind);

#[derive(Debug)]
enum Kind {
    Io {
        tried: &'static str,
        file: PathBuf,
        source: io::Error,
    },
    Unreadable {
        file: PathBuf,
        line: Option<u64>,
        reason: String,
    },
    Newer {
        file: PathBuf,
        found: u64,
        known: u64,
    },
    /// The library's own words.
    Library(cofferdam::Error),
}

impl ReadError {
    pub(crate) fn io(tried: &'static str, file: &Path, source: io::Error) -> Self {
        let file = file.to_owned();
        Self(Kind::Io { tried, file, source })
    }

    pub(crate) fn unreadable(file: &Path, line: Option<u64>, reason: impl Into<String>) -> Self {
        let (file, reason) = (file.to_owned(), reason.into());
        Self(Kind::Unreadable { file, line, reason })
    }

    pub(crate) fn newer(file: &Path, found: u64, known: u64) -> Self {
        let file = file.to_owned();
        Self(Kind::Newer { file, found, known })
    }
}

impl From<cofferdam::Error> for ReadError {
    fn from(error: cofferdam::Error) -> Self {
        Self(Kind::Library(error))
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Io { tried, file, source } => write!(f, "could not {tried} {}: {source}", file.display()),
            Kind::Unreadable { file, line, reason } => {
                write!(f, "{}", file.display())?;
                if let Some(line) = line {
                    write!(f, ":{line}")?;
                }
                write!(f, ": {reason}")
            }
            Kind::Newer { file, found, known } => write!(
                f,
                "{}: written in format version {found}, this build reads up to {known}: update cargo-cofferdam to \
                 the version of the library that wrote it",
                file.display()
            ),
            Kind::Library(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ReadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.0 {
            Kind::Io { source, .. } => Some(source),
            Kind::Library(error) => std::error::Error::source(error),
            Kind::Unreadable { .. } | Kind::Newer { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_is_in_the_list_of_errors() {
        let page = include_str!("../../../docs/reference/errors.md");
        let (_, page) = page.split_once("\n## Recordings\n").unwrap();
        assert!(page.contains("`….ndjson:…: …`, `… written in format version …`"));
        let file = Path::new("w0/journal.ndjson");
        let errors = [
            ReadError::unreadable(file, Some(7), "unknown event \"flown\""),
            ReadError::newer(file, 2, 1),
        ];
        let texts = [
            "w0/journal.ndjson:7: unknown event \"flown\"",
            "w0/journal.ndjson: written in format version 2, this build reads up to 1: update cargo-cofferdam to the \
             version of the library that wrote it",
        ];
        assert_eq!(errors.map(|error| error.to_string()), texts);
    }
}
