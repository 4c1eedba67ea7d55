//! Directories that tests list: a test that lists one sees names that other tests add or remove.

use super::accesses::{Accesses, InternedEffect, TestAccess};
use crate::observe::interpret::FileAccess;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::OsStr;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};
use std::{env, fs};

/// The number of names reported per directory; more would repeat one cause.
const NAMES: usize = 3;

/// The names that change in listed directories.
#[derive(Debug, Default)]
pub(crate) struct DirListings {
    /// By the directory's number, each changed name and the tests that change it.
    names: HashMap<u32, Vec<(u32, HashSet<u32>)>>,
}

impl DirListings {
    pub(crate) fn of(accesses: &Accesses<'_>) -> Self {
        // By the directory's path: its number, and the test that lists it if there is only one.
        let mut lists: HashMap<&OsStr, (u32, Option<u32>)> = HashMap::new();
        for one in &accesses.all {
            let InternedEffect::File(folder, FileAccess::List) = one.effect else {
                continue;
            };
            let path = accesses.files.get(folder);
            if !is_world_shared(path) {
                let (_, lister) = lists.entry(path).or_insert((folder, Some(one.test)));
                *lister = lister.filter(|lister| *lister == one.test);
            }
        }
        if lists.is_empty() {
            return Self::default();
        }
        let since = accesses.all.iter().map(|one| one.at).min().unwrap_or_default();
        let mut found: HashMap<u32, BTreeMap<&OsStr, (u32, HashSet<u32>)>> = HashMap::new();
        for one in &accesses.all {
            let InternedEffect::File(file, how) = one.effect else {
                continue;
            };
            if !matches!(
                how,
                FileAccess::Write | FileAccess::AddOrRemove | FileAccess::RemoveTree
            ) {
                continue;
            }
            let path = accesses.files.get(file);
            let folder = Path::new(path).parent().map(Path::as_os_str);
            let Some((folder, lister)) = folder.and_then(|folder| lists.get(folder)) else {
                continue;
            };
            // Asking the file system about every file of a test's own directory would take most of the time.
            if *lister == Some(one.test) {
                continue;
            }
            if how == FileAccess::Write && !is_new(path, since) {
                continue;
            }
            let names = found.entry(*folder).or_default();
            let (_, tests) = names.entry(path).or_insert_with(|| (file, HashSet::new()));
            tests.insert(one.test);
        }
        let names = found
            .into_iter()
            .map(|(folder, names)| (folder, names.into_values().collect()));
        Self {
            names: names.collect(),
        }
    }

    /// Returns the names that a test sees by this access and that other tests change.
    pub(crate) fn names(&self, accesses: &Accesses<'_>, one: &TestAccess) -> impl Iterator<Item = u32> {
        let names = match one.effect {
            InternedEffect::File(file, FileAccess::List) => self.names.get(&file).filter(|_| {
                // Removing a directory recursively lists it first.
                let folder = Path::new(accesses.files.get(file));
                !accesses.removed_dirs.is_removed_by(folder, one.test as usize)
            }),
            _ => None,
        };
        let test = one.test;
        names
            .into_iter()
            .flatten()
            .filter(move |(_, tests)| tests.iter().any(|other| *other != test))
            .map(|(name, _)| *name)
            .take(NAMES)
    }
}

/// Returns whether a directory is shared by all programs; a test that lists it must expect any name.
fn is_world_shared(folder: &OsStr) -> bool {
    Path::new(folder) == env::temp_dir() || folder == "/tmp" || folder == "/dev/shm"
}

/// Returns whether the file exists and was created at or after `since`, in microseconds: opening a file for writing does
/// not tell whether it was new. A file that is gone was removed by name, which is a record of its own.
fn is_new(path: &OsStr, since: u64) -> bool {
    let made = fs::symlink_metadata(path).and_then(|file| file.created());
    // File systems round times to ticks.
    made.is_ok_and(|made| made + Duration::from_millis(20) >= UNIX_EPOCH + Duration::from_micros(since))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::format::Kind;
    use crate::observe::interpret::reading::read;
    use crate::observe::launch::test_groups::TestGroups;
    use crate::observe::log::attribution::{Attribution, KnownTests};
    use crate::observe::log::test_log::LogBuilder;
    use std::path::PathBuf;

    const A: u32 = 1;
    const B: u32 = 2;
    const C: u32 = 3;

    /// What the tests `a`, `b` and `c` of a program meet on, each with how many parties.
    fn met(records: &[(u32, Kind, u64, &str)]) -> Vec<String> {
        let mut made = LogBuilder::new(7, 1, true);
        made.record(1, 0, Kind::Program, 0, "/t/shop", b"");
        for (number, name) in [(A, "a"), (B, "b"), (C, "c")] {
            made.record(2, 0, Kind::Test, number.into(), name, b"");
        }
        // Long after all files of this machine were made.
        let later = 10_000_000_000_000_000;
        for (at, (test, kind, value, path)) in (later..).zip(records) {
            made.record(at, *test, *kind, *value, path, b"");
        }
        let logs = [made.log()];
        let names = ["a", "b", "c"].map(str::to_owned).into();
        let known = KnownTests {
            lists: [(PathBuf::from("/t/shop"), names)].into(),
            ..KnownTests::default()
        };
        let attribution = Attribution::of(&logs, &known);
        let reading = read(
            &logs,
            &attribution,
            &TestGroups::default(),
            "r",
            Path::new("/ours"),
        );
        let conflicts = reading.evidence.conflicts();
        let met = conflicts.iter().map(|conflict| {
            let resource = conflict.resource.as_ref().unwrap();
            format!("{} {}", resource.as_str(), conflict.uses().count())
        });
        met.collect()
    }

    #[test]
    fn listing_a_directory_conflicts_with_adding_and_removing_names_in_it() {
        let made = (A, Kind::Open, 0o301, "/d/x");
        let listed = (B, Kind::List, 0, "/d");
        for change in [
            made,
            (A, Kind::Remove, 0, "/d/x"),
            (A, Kind::RemoveFolder, 0, "/d/x"),
            (A, Kind::Symlink, 0, "/d/x"),
        ] {
            assert_eq!(met(&[change, listed]), ["/d/x 2"], "{change:?}");
        }
        assert_eq!(met(&[made, listed, (C, Kind::List, 0, "/d")]), ["/d/x 3"]);
        // To empty a folder it is listed, which is no finding of its own.
        assert_eq!(met(&[made, listed, (B, Kind::RemoveFolder, 0, "/d")]), ["/d 2"]);
        assert_eq!(met(&[listed, (C, Kind::List, 0, "/d")]), [""; 0]);
    }

    #[test]
    fn accesses_that_do_not_matter_to_a_listing_do_not_conflict_with_it() {
        let listed = (B, Kind::List, 0, "/d");
        for other in [
            (A, Kind::Open, 0o1101, "/d/x"),
            (A, Kind::Change, 0, "/d/x"),
            (A, Kind::Open, 0o301, "/d/e/x"),
            (A, Kind::MakeFolder, 0, "/d/x"),
            (B, Kind::Remove, 0, "/d/x"),
        ] {
            assert_eq!(met(&[other, listed]), [""; 0], "{other:?}");
        }
        let in_temp = env::temp_dir().join("x");
        let temp = env::temp_dir();
        let (in_temp, temp) = (in_temp.to_str().unwrap(), temp.to_str().unwrap());
        assert_eq!(
            met(&[(A, Kind::Remove, 0, in_temp), (B, Kind::List, 0, temp)]),
            [""; 0]
        );
    }

    #[test]
    fn tests_that_change_different_names_do_not_conflict_and_few_of_many_names_are_reported() {
        let names = ["/d/a", "/d/b", "/d/c", "/d/e"].map(|name| (A, Kind::Remove, 0, name));
        let other = (C, Kind::Remove, 0, "/d/f");
        assert_eq!(met(&[&names[..], &[other]].concat()), [""; 0]);
        let all = [&names[..], &[other, (B, Kind::List, 0, "/d")]].concat();
        assert_eq!(met(&all), ["/d/a 2", "/d/b 2", "/d/c 2"]);
    }

    #[test]
    fn a_file_is_new_if_it_was_made_since() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x");
        fs::write(&file, "").unwrap();
        if fs::metadata(&file).unwrap().created().is_ok() {
            assert!(is_new(file.as_os_str(), 0));
        }
        assert!(!is_new(file.as_os_str(), 10_000_000_000_000_000));
        assert!(!is_new(dir.path().join("gone").as_os_str(), 0));
    }
}
