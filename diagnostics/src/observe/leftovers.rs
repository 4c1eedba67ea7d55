//! Files that reruns leave in the packages whose tests they run.

use super::launch::scratch_dir::PREFIX;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The maximum number of entries to compare; any others are not reported.
const MOST: usize = 200_000;

/// The files below some directories at one moment.
#[derive(Debug)]
pub(crate) struct FileSnapshot {
    folders: Vec<PathBuf>,
    files: BTreeSet<PathBuf>,
}

impl FileSnapshot {
    pub(crate) fn take(folders: BTreeSet<PathBuf>) -> Self {
        let files = files(&folders);
        Self {
            folders: folders.into_iter().collect(),
            files,
        }
    }

    /// Returns the files and directories that exist now and did not then. Of a new directory, only the directory itself.
    pub(crate) fn new_files(&self) -> Vec<PathBuf> {
        if self.files.len() >= MOST {
            return Vec::new();
        }
        let now = files(&self.folders);
        let new: BTreeSet<&PathBuf> = now.difference(&self.files).collect();
        let is_within = |path: &Path| {
            path.parent()
                .is_some_and(|parent| new.contains(&parent.to_owned()))
        };
        new.iter()
            .filter(|path| !is_within(path))
            .map(|path| (*path).clone())
            .collect()
    }
}

fn files<'a>(folders: impl IntoIterator<Item = &'a PathBuf>) -> BTreeSet<PathBuf> {
    let mut files = BTreeSet::new();
    let mut next: Vec<PathBuf> = folders.into_iter().cloned().collect();
    while let Some(folder) = next.pop() {
        let is_git = folder.file_name().is_some_and(|name| name == ".git");
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            if files.len() >= MOST {
                return files;
            }
            let path = entry.path();
            // Our own, where the temporary directory is in a package.
            if entry
                .file_name()
                .as_encoded_bytes()
                .starts_with(PREFIX.as_bytes())
            {
                continue;
            }
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            // Git rewrites its files all the time, but a leftover lock makes every later command fail.
            if is_git && (is_folder || path.extension().is_none_or(|extension| extension != "lock")) {
                continue;
            }
            if is_folder && !cofferdam::diagnostics::is_target(&path) {
                next.push(path.clone());
            }
            files.insert(path);
        }
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_files_are_found_outside_of_target_directories_and_so_is_a_leftover_git_lock() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str| {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        };
        write("src/lib.rs");
        write("target/CACHEDIR.TAG");
        // Cargo does not tag one that was there before.
        write("member/target/.rustc_info.json");
        write(".git/HEAD");
        let before = FileSnapshot::take([dir.path().to_owned()].into());
        assert_eq!(before.new_files(), Vec::<PathBuf>::new());
        for new in [
            "src/new",
            "folder/a",
            "folder/b/c",
            "target/x",
            "member/target/x",
            "cofferdam-observe-x/run",
            ".git/index.lock",
            ".git/index",
        ] {
            write(new);
        }
        let found: Vec<_> = before
            .new_files()
            .into_iter()
            .map(|path| path.strip_prefix(dir.path()).unwrap().display().to_string())
            .collect();
        assert_eq!(found, [".git/index.lock", "folder", "src/new"]);
    }
}
