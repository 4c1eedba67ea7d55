//! The files of `--report`, one module for each format.

mod html;
mod json_file;
mod junit;
mod lanes;
mod perfetto;
mod protobuf;
mod sarif;

pub(crate) use super::reported::Reported;

use super::ReportError;
use crate::cli::{FileFormat, ReportFile};
use crate::commands::Refused;
use cofferdam::file::write_atomic;
use std::error::Error as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Creates missing directories, and refuses files that cannot be written or are given twice.
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

/// Writes each report file, also after one that failed. Returns the errors.
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
        FileFormat::Html => html::write(&mut text, reported),
        FileFormat::Json => json_file::write(&mut text, reported),
        FileFormat::Junit => junit::write(&mut text, reported),
        FileFormat::Sarif => sarif::write(&mut text, reported),
        FileFormat::Perfetto => perfetto::write(&mut text, reported),
    }?;
    if is_special(&file.path) {
        return fs::write(&file.path, text);
    }
    // The user's command may have removed the directory, as `cargo clean` does.
    fs::create_dir_all(dir_of(&file.path))?;
    write_atomic(&file.path, text).map_err(|error| {
        // `ReportError` names the file already.
        match error
            .source()
            .and_then(|source| source.downcast_ref::<io::Error>())
        {
            Some(source) => io::Error::new(source.kind(), source.to_string()),
            None => io::Error::other(error),
        }
    })
}

/// Checks that a file can be replaced, by creating a temporary one beside it.
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

/// Returns the same path for all spellings of a file, which need not exist.
fn target(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| {
        let dir = fs::canonicalize(dir_of(path)).unwrap_or_else(|_| dir_of(path).to_owned());
        dir.join(path.file_name().unwrap_or_default())
    })
}
