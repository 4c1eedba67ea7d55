//! Removed and renamed directories, which take everything below them away.

use super::fast_hash::FastHash;
use crate::observe::interpret::FileAccess;
use cofferdam::Access;
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// The tests that removed or renamed each path.
#[derive(Debug, Default)]
pub(crate) struct RemovedDirs {
    /// Keyed by bytes: comparing paths component by component is much slower.
    tests_by_path: HashMap<OsString, Vec<usize>, FastHash>,
}

impl RemovedDirs {
    pub(crate) fn add(&mut self, path: &Path, test: usize) {
        let tests = self.tests_by_path.entry(path.into()).or_default();
        if !tests.contains(&test) {
            tests.push(test);
        }
    }

    /// Returns whether `test` removed or renamed the path or a directory above it.
    pub(crate) fn is_removed_by(&self, path: &Path, test: usize) -> bool {
        let tests_by_path = |path: &Path| self.tests_by_path.get(path.as_os_str());
        path.ancestors()
            .filter_map(tests_by_path)
            .any(|tests| tests.contains(&test))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.tests_by_path.is_empty()
    }

    /// Returns the resources that one use of a path accesses.
    ///
    /// A removed directory represents everything below it: the test that removes it writes it, and every other test that
    /// uses a path below it reads it. Those tests also keep their own use of the path, since two of them may conflict there.
    pub(crate) fn accesses<'a>(
        &'a self,
        path: &'a Path,
        how: FileAccess,
        test: usize,
    ) -> Vec<(&'a Path, Access)> {
        // Walks upward, so the last match is the topmost.
        let (mut own, mut another) = (None, None);
        for folder in ancestors(path) {
            if let Some(tests) = self.tests_by_path.get(folder.as_os_str()) {
                if tests.contains(&test) {
                    own = Some(folder);
                } else {
                    another = Some(folder);
                }
            }
        }
        let mut accesses = vec![match own {
            Some(folder) => (folder, Access::Write),
            None => (path, how.access()),
        }];
        if let Some(folder) = another.filter(|folder| *folder != path && Some(*folder) != own) {
            accesses.push((folder, Access::Read));
        }
        accesses
    }
}

/// Returns the path and the directories above it, except the root: as [`Path::ancestors`] for a path without `.`, which is
/// slower.
fn ancestors(path: &Path) -> impl Iterator<Item = &Path> {
    std::iter::successors(Some(path), |path| parent(path))
}

fn parent(path: &Path) -> Option<&Path> {
    let bytes = path.as_os_str().as_bytes();
    let end = bytes
        .iter()
        .rposition(|byte| *byte == b'/')
        .filter(|end| *end > 0)?;
    Some(Path::new(OsStr::from_bytes(&bytes[..end])))
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: usize = 1;
    const B: usize = 2;

    fn accesses(removed_dirs: &RemovedDirs, path: &str, how: FileAccess, test: usize) -> Vec<String> {
        let accesses = removed_dirs.accesses(Path::new(path), how, test);
        accesses
            .iter()
            .map(|(path, access)| format!("{access} {}", path.display()))
            .collect()
    }

    #[test]
    fn without_removals_a_path_is_unchanged() {
        let none = RemovedDirs::default();
        assert_eq!(accesses(&none, "/d/x", FileAccess::Write, A), ["write /d/x"]);
        // Two who make one folder want the same.
        assert_eq!(accesses(&none, "/d", FileAccess::MakeDir, A), ["read /d"]);
    }

    #[test]
    fn removing_a_directory_changes_it_and_uses_below_depend_on_it() {
        let mut removed_dirs = RemovedDirs::default();
        removed_dirs.add(Path::new("/d"), A);
        assert_eq!(
            accesses(&removed_dirs, "/d", FileAccess::RemoveTree, A),
            ["write /d"]
        );
        assert_eq!(accesses(&removed_dirs, "/d/x", FileAccess::Read, A), ["write /d"]);
        assert_eq!(
            accesses(&removed_dirs, "/d/x/y", FileAccess::Write, B),
            ["write /d/x/y", "read /d"]
        );
        assert_eq!(accesses(&removed_dirs, "/d", FileAccess::MakeDir, B), ["read /d"]);
        assert_eq!(
            accesses(&removed_dirs, "/e/x", FileAccess::Read, B),
            ["read /e/x"]
        );
        assert_eq!(accesses(&removed_dirs, "/dd", FileAccess::Read, B), ["read /dd"]);
    }

    #[test]
    fn of_nested_folders_the_topmost_stands_for_all() {
        let mut removed_dirs = RemovedDirs::default();
        for path in ["/d", "/d/e"] {
            removed_dirs.add(Path::new(path), A);
        }
        removed_dirs.add(Path::new("/d/f"), B);
        assert_eq!(
            accesses(&removed_dirs, "/d/e/x", FileAccess::Write, A),
            ["write /d"]
        );
        assert_eq!(
            accesses(&removed_dirs, "/d/e/x", FileAccess::Read, B),
            ["read /d/e/x", "read /d"]
        );
        assert_eq!(
            accesses(&removed_dirs, "/d/f/x", FileAccess::Write, B),
            ["write /d/f", "read /d"]
        );
    }
}
