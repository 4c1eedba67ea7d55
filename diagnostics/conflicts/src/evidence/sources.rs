//! Finds the files to read.

use crate::read_error::ReadError;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The kind of a file, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    Journal,
    /// A snapshot, if its content says so.
    Json,
    /// A session's account.
    Account,
    /// The commands of teardowns that failed.
    Teardown,
}

/// Passes every file under `path` that may be a recording to `found`, in an order that does not depend on the file system.
///
/// `visited` holds the real paths of earlier ones, so that a file that is reached twice is read once, and a loop of
/// symbolic links ends.
pub(super) fn walk(
    path: &Path,
    visited: &mut BTreeSet<PathBuf>,
    found: &mut impl FnMut(Result<(&Path, Sort), ReadError>),
) {
    let mut left = vec![path.to_owned()];
    while let Some(path) = left.pop() {
        match step(&path, visited, found) {
            Ok(more) => left.extend(more),
            Err(error) => found(Err(error)),
        }
    }
}

fn step(
    path: &Path,
    visited: &mut BTreeSet<PathBuf>,
    found: &mut impl FnMut(Result<(&Path, Sort), ReadError>),
) -> Result<Vec<PathBuf>, ReadError> {
    let io = |source| ReadError::io("read", path, source);
    let real = path.canonicalize().map_err(io)?;
    let kind = std::fs::metadata(&real).map_err(io)?;
    if kind.is_dir() {
        if !visited.insert(real) {
            return Ok(Vec::new());
        }
        let is_run = path.join("run.json").exists();
        let mut within = Vec::new();
        for entry in std::fs::read_dir(path).map_err(io)? {
            let entry = entry.map_err(io)?.path();
            if is_run && KEEPERS.iter().any(|name| entry.ends_with(name)) {
                continue;
            }
            // A dangling link in a folder is no journal.
            if entry.is_dir() || (entry.is_file() && sort(&entry).is_some()) {
                within.push(entry);
            }
        }
        within.sort_unstable_by(|a, b| b.cmp(a));
        return Ok(within);
    }
    match sort(path) {
        Some(sort) if kind.is_file() => {
            if visited.insert(real) {
                found(Ok((path, sort)));
            }
            Ok(Vec::new())
        }
        _ => Err(ReadError::unreadable(
            path,
            None,
            "neither a directory nor a journal (*.ndjson) nor a snapshot (*.json)",
        )),
    }
}

/// Folders of a run that hold no recordings, and that the keeper may be removing.
const KEEPERS: [&str; 2] = ["fixtures", "keeper"];

fn sort(path: &Path) -> Option<Sort> {
    match path.extension()?.to_str()? {
        "ndjson" => Some(Sort::Journal),
        "account" => Some(Sort::Account),
        "teardown" => Some(Sort::Teardown),
        "json" if path.file_name()? != "run.json" => Some(Sort::Json),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(path: &Path) -> Vec<String> {
        let (mut visited, mut names) = (BTreeSet::new(), Vec::new());
        walk(path, &mut visited, &mut |found| {
            names.push(match found {
                Ok((path, sort)) => format!("{} {sort:?}", path.file_name().unwrap().to_string_lossy()),
                Err(error) => error.to_string(),
            });
        });
        names
    }

    #[test]
    fn files_come_in_the_order_of_their_names_and_others_are_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        for name in [
            "b/2.ndjson",
            "b/1.json",
            "a/z.ndjson",
            "run.json",
            "notes.txt",
            "c.ndjson",
        ] {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        assert_eq!(
            names(dir.path()),
            [
                "z.ndjson Journal",
                "1.json Json",
                "2.ndjson Journal",
                "c.ndjson Journal"
            ]
        );
    }

    #[test]
    fn files_of_a_run_s_fixtures_are_ignored() {
        let dir = tempfile::tempdir().unwrap();
        let run = dir.path().join("runs/r");
        for name in [
            "run.json",
            "workers/w0/journal.ndjson",
            "fixtures/pg/teardown.ndjson",
            "keeper/1.json",
        ] {
            let path = run.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        assert_eq!(names(dir.path()), ["journal.ndjson Journal"]);
        // Elsewhere these names have no meaning.
        std::fs::rename(run.join("run.json"), run.join("notes.txt")).unwrap();
        assert_eq!(names(dir.path()).len(), 3);
    }

    #[cfg(unix)]
    #[test]
    fn a_loop_of_links_ends_and_a_file_reached_twice_is_read_once() {
        let dir = tempfile::tempdir().unwrap();
        let inner = dir.path().join("inner");
        std::fs::create_dir(&inner).unwrap();
        std::fs::write(inner.join("j.ndjson"), "").unwrap();
        std::os::unix::fs::symlink(dir.path(), inner.join("up")).unwrap();
        std::os::unix::fs::symlink(inner.join("j.ndjson"), inner.join("again.ndjson")).unwrap();
        std::os::unix::fs::symlink("nowhere", inner.join("dead.ndjson")).unwrap();
        assert_eq!(names(dir.path()).len(), 1);
    }

    #[test]
    fn a_named_file_that_is_missing_or_foreign_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let missing = names(&dir.path().join("gone"));
        assert!(missing[0].starts_with("could not read "), "{missing:?}");
        std::fs::write(dir.path().join("a.txt"), "").unwrap();
        let other = names(&dir.path().join("a.txt"));
        assert!(
            other[0].contains("neither a directory nor a journal"),
            "{other:?}"
        );
    }
}
