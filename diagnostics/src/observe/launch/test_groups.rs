//! nextest's test groups: tests in a group with `max-threads = 1` never run at the same time.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// Returns the path of the file in which the runner writes the group of a process.
pub(super) fn path(folder: &Path, pid: u32) -> PathBuf {
    folder.join(format!("{pid}.group"))
}

/// The single-threaded test groups that tests ran in.
#[derive(Debug, Default)]
pub(crate) struct TestGroups {
    by_process: HashMap<u32, String>,
}

impl TestGroups {
    /// Reads the groups of these processes.
    pub(crate) fn read(folder: &Path, pids: impl Iterator<Item = u32>) -> Self {
        let mut settings = GroupSettings::default();
        let mut groups = Self::default();
        for pid in pids {
            let saved = fs::read(path(folder, pid)).unwrap_or_default();
            let mut parts = saved.splitn(2, |byte| *byte == b'\n');
            let (Some(group), Some(root)) = (parts.next(), parts.next()) else {
                continue;
            };
            let root = PathBuf::from(OsStr::from_bytes(root));
            let group = String::from_utf8_lossy(group).into_owned();
            if settings.has_one_thread(root, &group) {
                groups.by_process.insert(pid, format!("test group {group}"));
            }
        }
        groups
    }

    /// Returns the group of a process as the name of a lock.
    pub(crate) fn lock_name(&self, pid: u32) -> Option<&String> {
        self.by_process.get(&pid)
    }
}

/// nextest's configuration of each workspace, read once.
#[derive(Debug, Default)]
pub(crate) struct GroupSettings(HashMap<PathBuf, Option<toml::Table>>);

impl GroupSettings {
    /// Returns whether the workspace has such a group with a single thread.
    pub(crate) fn has_one_thread(&mut self, workspace: PathBuf, group: &str) -> bool {
        let settings = self.0.entry(workspace).or_insert_with_key(|root| {
            let text = fs::read_to_string(root.join(".config/nextest.toml"));
            text.ok()?.parse().ok()
        });
        let threads = settings
            .as_ref()
            .and_then(|settings| settings.get("test-groups")?.get(group)?.get("max-threads"));
        threads.and_then(toml::Value::as_integer) == Some(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_of_one_thread_is_a_lock_of_its_tests() {
        let dir = tempfile::tempdir().unwrap();
        let (folder, root) = (dir.path(), dir.path());
        fs::create_dir(folder.join(".config")).unwrap();
        let settings = "[test-groups]\none = { max-threads = 1 }\ntwo = { max-threads = 2 }\n";
        fs::write(folder.join(".config/nextest.toml"), settings).unwrap();
        for (pid, group) in [(1, "one"), (2, "two"), (4, "gone")] {
            fs::write(path(folder, pid), format!("{group}\n{}", root.display())).unwrap();
        }
        let groups = TestGroups::read(folder, 1..=5);
        let found: Vec<_> = (1..=5).filter_map(|pid| groups.lock_name(pid)).collect();
        assert_eq!(found, ["test group one"]);
    }
}
