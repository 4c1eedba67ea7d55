//! The files of `--report`, one module for each format.

mod json_file;
mod junit;
mod perfetto;
mod protobuf;
#[cfg(test)]
pub(super) mod sample;
mod sarif;

#[cfg(has_observer)]
use super::hunt;
use super::observed::explained;
use super::{ReportError, summary};
use crate::cli::{FileFormat, ReportFile};
#[cfg(has_observer)]
use crate::commands::hunt::Hunted;
use crate::commands::{Outcome, Refused};
use crate::exit_code;
use crate::findings::TestResult;
use cofferdam::file::write_atomic;
use cofferdam_conflicts::Conflict;
use std::error::Error as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The result of a command, from which its text and every report file are made.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reported<'a> {
    /// Of `run`, `observe` or `check`.
    Outcome(&'a Outcome),
    #[cfg(has_observer)]
    Hunt(&'a Hunted),
}

impl<'a> Reported<'a> {
    /// Returns the results of the tests, as far as they were observed.
    pub(super) fn results(&self) -> &'a [TestResult] {
        match self {
            Self::Outcome(outcome) => {
                let observed = outcome.findings.observed.as_ref();
                observed.map_or(&[], |observed| &observed.results)
            }
            #[cfg(has_observer)]
            Self::Hunt(hunted) => &hunted.results,
        }
    }

    /// Returns what the further runs of a failed test showed, if there were some.
    pub(super) fn examined(&self, result: &TestResult) -> Option<String> {
        let observed = match self {
            Self::Outcome(outcome) => outcome.findings.observed.as_ref()?,
            #[cfg(has_observer)]
            Self::Hunt(_) => return None,
        };
        let mut tests = observed.failed.iter().chain(&observed.unfinished);
        let test = tests.find(|test| test.binary == result.binary && test.name == result.name)?;
        test.examination.as_ref().map(explained)
    }

    /// Returns the conflicts, of a hunt those of its first run.
    pub(super) fn conflicts(&self) -> &'a [Conflict] {
        match self {
            Self::Outcome(outcome) => &outcome.findings.conflicts,
            #[cfg(has_observer)]
            Self::Hunt(hunted) => &hunted.conflicts,
        }
    }

    /// Returns the last line of the text.
    pub(super) fn last_line(&self) -> String {
        match self {
            Self::Outcome(outcome) => summary::last_line(outcome),
            #[cfg(has_observer)]
            Self::Hunt(hunted) => hunt::last_line(hunted),
        }
    }

    /// Returns whether a verdict was possible.
    pub(super) fn has_verdict(&self) -> bool {
        let code = match self {
            Self::Outcome(outcome) => outcome.verdict.code(),
            #[cfg(has_observer)]
            Self::Hunt(hunted) => hunted.exit_code(),
        };
        code == exit_code::NONE || code == exit_code::CONFLICTS
    }
}

/// Creates missing directories, and refuses files that could not be written later.
pub(crate) fn prepare(files: &[ReportFile]) -> Result<(), Refused> {
    let mut known: Vec<PathBuf> = Vec::new();
    let mut wrong = Vec::new();
    for ReportFile { path, .. } in files {
        if let Err(error) = check(path) {
            let path = path.display();
            wrong.push(format!("a report cannot be written to {path}: {error}"));
            continue;
        }
        let target = target(path);
        if known.contains(&target) {
            wrong.push(format!(
                "two reports would be written to {}: give each a file of its own",
                path.display()
            ));
        }
        known.push(target);
    }
    if wrong.is_empty() {
        Ok(())
    } else {
        Err(Refused(wrong))
    }
}

/// Writes each report file. A failure does not keep the others from being written.
pub(crate) fn write(files: &[ReportFile], reported: Reported<'_>) -> Vec<ReportError> {
    let written = files.iter().map(|file| {
        write_one(file, reported).map_err(|source| ReportError {
            file: file.path.display().to_string(),
            source,
        })
    });
    written.filter_map(Result::err).collect()
}

fn write_one(file: &ReportFile, reported: Reported<'_>) -> io::Result<()> {
    let mut text = Vec::new();
    match file.format {
        FileFormat::Json => json_file::write(&mut text, reported),
        FileFormat::Junit => junit::write(&mut text, reported),
        FileFormat::Sarif => sarif::write(&mut text, reported),
        FileFormat::Perfetto => perfetto::write(&mut text, reported),
    }?;
    if is_special(&file.path) {
        return fs::write(&file.path, text);
    }
    // The command may have removed it, as `cargo clean` does.
    fs::create_dir_all(dir_of(&file.path))?;
    write_atomic(&file.path, text).map_err(|error| {
        // The report's own error names the file.
        match error
            .source()
            .and_then(|source| source.downcast_ref::<io::Error>())
        {
            Some(source) => io::Error::new(source.kind(), source.to_string()),
            None => io::Error::other(error),
        }
    })
}

/// Checks that a file can be replaced, by creating another one beside it.
fn check(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if is_special(path) {
        return Ok(());
    }
    let dir = dir_of(path);
    fs::create_dir_all(dir)?;
    tempfile::Builder::new().prefix(".cofferdam-").tempfile_in(dir)?;
    Ok(())
}

/// Returns whether the path leads to a pipe or a device, which must not be replaced by a file.
fn is_special(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|there| !there.is_file())
}

fn dir_of(path: &Path) -> &Path {
    path.parent()
        .filter(|dir| !dir.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

/// Returns one path for all spellings of a file, which need not exist.
fn target(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| {
        let dir = fs::canonicalize(dir_of(path)).unwrap_or_else(|_| dir_of(path).to_owned());
        dir.join(path.file_name().unwrap_or_default())
    })
}
