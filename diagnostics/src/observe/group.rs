//! nextest's test groups: tests in one of a single thread never run at one time.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::{fs, io};

/// What nextest calls the group of those that are in none.
const NONE: &str = "@global";

/// Notes the group of a test, beside the log of its process.
pub(super) fn note(folder: &Path, pid: u32, group: &OsStr, workspace: &OsStr) -> io::Result<()> {
    if group == NONE {
        // Of an earlier process that had this number.
        return match fs::remove_file(place(folder, pid)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
    }
    let text = [group.as_bytes(), b"\n", workspace.as_bytes()].concat();
    fs::write(place(folder, pid), text)
}

fn place(folder: &Path, pid: u32) -> PathBuf {
    folder.join(format!("{pid}.group"))
}

/// The groups that tests were in, as far as they keep them apart.
#[derive(Debug, Default)]
pub(super) struct Groups {
    by_process: HashMap<u32, String>,
}

impl Groups {
    /// Those of these processes.
    pub(super) fn read(folder: &Path, pids: impl Iterator<Item = u32>) -> Self {
        let mut settings: HashMap<PathBuf, Option<toml::Table>> = HashMap::new();
        let mut groups = Self::default();
        for pid in pids {
            let noted = fs::read(place(folder, pid)).unwrap_or_default();
            let mut parts = noted.splitn(2, |byte| *byte == b'\n');
            let (Some(group), Some(root)) = (parts.next(), parts.next()) else {
                continue;
            };
            let root = PathBuf::from(OsStr::from_bytes(root));
            let group = String::from_utf8_lossy(group).into_owned();
            let settings = settings.entry(root).or_insert_with_key(|root| {
                fs::read_to_string(root.join(".config/nextest.toml"))
                    .ok()?
                    .parse()
                    .ok()
            });
            if settings
                .as_ref()
                .is_some_and(|settings| is_of_one(settings, &group))
            {
                groups.by_process.insert(pid, format!("test group {group}"));
            }
        }
        groups
    }

    /// As a lock of that process's test.
    pub(super) fn guard(&self, pid: u32) -> Option<&String> {
        self.by_process.get(&pid)
    }
}

fn is_of_one(settings: &toml::Table, group: &str) -> bool {
    let threads = settings
        .get("test-groups")
        .and_then(|groups| groups.get(group)?.get("max-threads"));
    threads.and_then(toml::Value::as_integer) == Some(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_of_one_thread_is_a_lock_of_its_tests() {
        let dir = tempfile::tempdir().unwrap();
        let (folder, root) = (dir.path(), dir.path().as_os_str());
        fs::create_dir(folder.join(".config")).unwrap();
        let settings = "[test-groups]\none = { max-threads = 1 }\ntwo = { max-threads = 2 }\n";
        fs::write(folder.join(".config/nextest.toml"), settings).unwrap();
        // The system gives a number again when its process is gone.
        for (pid, group) in [
            (3, "one"),
            (1, "one"),
            (2, "two"),
            (3, "@global"),
            (4, "gone"),
            (5, "@global"),
        ] {
            note(folder, pid, OsStr::new(group), root).unwrap();
        }
        let groups = Groups::read(folder, 1..=5);
        let found: Vec<_> = (1..=5).filter_map(|pid| groups.guard(pid)).collect();
        assert_eq!(found, ["test group one"]);
    }
}
