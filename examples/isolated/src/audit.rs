//! The audit log: who did what and when.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// A text file to which lines are only appended.
#[derive(Debug)]
pub struct Audit {
    path: PathBuf,
    file: File,
}

impl Audit {
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Self {
            path: path.to_owned(),
            file,
        })
    }

    pub fn note(&self, what: &str) -> io::Result<()> {
        (&self.file).write_all(format!("{what}\n").as_bytes())
    }

    pub fn last(&self) -> io::Result<Option<String>> {
        let text = std::fs::read_to_string(&self.path)?;
        Ok(text.lines().last().map(str::to_owned))
    }
}
