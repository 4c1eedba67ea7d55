//! Removed and renamed directories, which take everything below them away.

use crate::observe::interpret::How;
use cofferdam::Access;
use std::collections::HashMap;
use std::ffi::OsString;
use std::path::Path;

/// The tests that removed or renamed each path.
#[derive(Debug, Default)]
pub(crate) struct Uprooted {
    /// Keyed by bytes: comparing paths component by component is much slower.
    by: HashMap<OsString, Vec<usize>>,
}

impl Uprooted {
    pub(crate) fn add(&mut self, path: &Path, test: usize) {
        let tests = self.by.entry(path.into()).or_default();
        if !tests.contains(&test) {
            tests.push(test);
        }
    }

    /// Returns whether `test` removed or renamed the path or a directory above it.
    pub(crate) fn is_by(&self, path: &Path, test: usize) -> bool {
        let by = |path: &Path| self.by.get(path.as_os_str());
        path.ancestors().filter_map(by).any(|tests| tests.contains(&test))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by.is_empty()
    }

    /// Returns the resources that one use of a path accesses.
    ///
    /// A removed directory represents everything below it: the test that removes it writes it, and every other test that
    /// uses a path below it reads it. Those tests also keep their own use of the path, since two of them may conflict there.
    pub(crate) fn uses<'a>(&'a self, path: &'a Path, how: How, test: usize) -> Vec<(&'a Path, Access)> {
        // Walks upward, so the last match is the topmost.
        let (mut own, mut another) = (None, None);
        for folder in path.ancestors() {
            if let Some(tests) = self.by.get(folder.as_os_str()) {
                if tests.contains(&test) {
                    own = Some(folder);
                } else {
                    another = Some(folder);
                }
            }
        }
        let mut uses = vec![match own {
            Some(folder) => (folder, Access::Write),
            None => (path, how.access()),
        }];
        if let Some(folder) = another.filter(|folder| *folder != path && Some(*folder) != own) {
            uses.push((folder, Access::Read));
        }
        uses
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: usize = 1;
    const B: usize = 2;

    fn uses(uprooted: &Uprooted, path: &str, how: How, test: usize) -> Vec<String> {
        let uses = uprooted.uses(Path::new(path), how, test);
        uses.iter()
            .map(|(path, access)| format!("{access} {}", path.display()))
            .collect()
    }

    #[test]
    fn where_nobody_removes_anything_a_path_is_itself() {
        let none = Uprooted::default();
        assert_eq!(uses(&none, "/d/x", How::Write, A), ["write /d/x"]);
        // Two who make one folder want the same.
        assert_eq!(uses(&none, "/d", How::Make, A), ["read /d"]);
    }

    #[test]
    fn who_removes_a_folder_changes_it_and_the_others_depend_on_it() {
        let mut uprooted = Uprooted::default();
        uprooted.add(Path::new("/d"), A);
        assert_eq!(uses(&uprooted, "/d", How::Uproot, A), ["write /d"]);
        assert_eq!(uses(&uprooted, "/d/x", How::Read, A), ["write /d"]);
        assert_eq!(
            uses(&uprooted, "/d/x/y", How::Write, B),
            ["write /d/x/y", "read /d"]
        );
        assert_eq!(uses(&uprooted, "/d", How::Make, B), ["read /d"]);
        assert_eq!(uses(&uprooted, "/e/x", How::Read, B), ["read /e/x"]);
        assert_eq!(uses(&uprooted, "/dd", How::Read, B), ["read /dd"]);
    }

    #[test]
    fn of_nested_folders_the_topmost_stands_for_all() {
        let mut uprooted = Uprooted::default();
        for path in ["/d", "/d/e"] {
            uprooted.add(Path::new(path), A);
        }
        uprooted.add(Path::new("/d/f"), B);
        assert_eq!(uses(&uprooted, "/d/e/x", How::Write, A), ["write /d"]);
        assert_eq!(
            uses(&uprooted, "/d/e/x", How::Read, B),
            ["read /d/e/x", "read /d"]
        );
        assert_eq!(
            uses(&uprooted, "/d/f/x", How::Write, B),
            ["write /d/f", "read /d"]
        );
    }
}
