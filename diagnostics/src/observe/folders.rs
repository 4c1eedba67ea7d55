//! Files that go with their folder: who removes or renames one takes away all that is below.

use super::meaning::How;
use cofferdam::Access;
use std::collections::HashMap;
use std::ffi::OsString;
use std::path::Path;

/// Who removed or renamed what.
#[derive(Debug, Default)]
pub(super) struct Uprooted {
    /// By their bytes: a path is compared part by part, which takes much longer.
    by: HashMap<OsString, Vec<usize>>,
}

impl Uprooted {
    pub(super) fn add(&mut self, path: &Path, test: usize) {
        let tests = self.by.entry(path.into()).or_default();
        if !tests.contains(&test) {
            tests.push(test);
        }
    }

    /// Whether that test removed or renamed the path, or a folder that it lies in.
    pub(super) fn is_by(&self, path: &Path, test: usize) -> bool {
        let by = |path: &Path| self.by.get(path.as_os_str());
        path.ancestors().filter_map(by).any(|tests| tests.contains(&test))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by.is_empty()
    }

    /// What a use of a path by a test is a use of.
    ///
    /// A folder that somebody removes stands for everything in it: whoever removes it changes it, and all others who use
    /// something in it depend on it. They still use what they use, for two of them may meet there.
    pub(super) fn uses<'a>(&'a self, path: &'a Path, how: How, test: usize) -> Vec<(&'a Path, Access)> {
        // From the path up, so the last found is the topmost.
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
