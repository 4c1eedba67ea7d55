//! File locks that tests held at each access.

use cofferdam::Access;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

#[derive(Debug)]
struct HeldLock {
    file: usize,
    shared: bool,
    from: u64,
    to: u64,
    /// The observer's number of the file.
    number: u64,
    log: usize,
}

/// The locks each test held, and when.
#[derive(Debug, Default)]
pub(crate) struct FileLocks {
    names: Vec<String>,
    known: HashMap<PathBuf, usize>,
    holds: HashMap<usize, Vec<HeldLock>>,
    /// File and test.
    lock: HashSet<(usize, usize)>,
}

impl FileLocks {
    pub(crate) fn lock(&mut self, log: usize, test: usize, path: &Path, number: u64, shared: bool, at: u64) {
        let file = self.number(path);
        self.lock.insert((file, test));
        self.holds.entry(test).or_default().push(HeldLock {
            file,
            shared,
            from: at,
            to: u64::MAX,
            number,
            log,
        });
    }

    pub(crate) fn unlock(&mut self, log: usize, test: usize, number: u64, at: u64) {
        let holds = self.holds.get_mut(&test).into_iter().flatten();
        for hold in holds.filter(|hold| hold.log == log && hold.number == number && hold.to == u64::MAX) {
            hold.to = at;
        }
    }

    /// Notes a file that a test locks without keeping other tests of its process away. It still guards itself.
    pub(crate) fn note_ineffective(&mut self, test: usize, path: &Path) {
        let file = self.number(path);
        self.lock.insert((file, test));
    }

    /// Returns the number of a lock that is known by this path or name.
    pub(super) fn number(&mut self, path: &Path) -> usize {
        let next = self.names.len();
        let file = *self.known.entry(path.to_owned()).or_insert(next);
        if file == next {
            self.names.push(path.to_string_lossy().into_owned());
        }
        file
    }

    /// Returns the locks that protected an access. A lock held shared does not protect a write.
    ///
    /// A file used as a lock guards itself, since it must be opened before it can be locked.
    pub(crate) fn held(&self, test: usize, path: Option<&Path>, access: Access, at: u64) -> Vec<usize> {
        if self.names.is_empty() {
            return Vec::new();
        }
        let holds = self.holds.get(&test).into_iter().flatten();
        let mut files: Vec<usize> = holds
            .filter(|hold| hold.from <= at && at <= hold.to && (!hold.shared || access != Access::Write))
            .map(|hold| hold.file)
            .collect();
        let own = path.and_then(|path| self.known.get(path));
        files.extend(own.filter(|file| self.lock.contains(&(**file, test))));
        files.sort_unstable();
        files.dedup();
        files
    }

    pub(crate) fn names(&self, files: &[usize]) -> Vec<String> {
        files.iter().map(|file| self.names[*file].clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCK: &str = "/t/lock";

    fn held(guards: &FileLocks, path: &str, access: Access, at: u64) -> Vec<String> {
        guards.names(&guards.held(1, Some(Path::new(path)), access, at))
    }

    #[test]
    fn accesses_between_locking_and_unlocking_are_guarded() {
        let mut guards = FileLocks::default();
        guards.lock(0, 1, Path::new(LOCK), 9, false, 10);
        guards.unlock(0, 1, 9, 20);
        for (at, guarded) in [(9, false), (10, true), (20, true), (21, false)] {
            assert_eq!(
                !held(&guards, "/a", Access::Write, at).is_empty(),
                guarded,
                "{at}"
            );
        }
        assert!(
            guards
                .held(2, Some(Path::new("/a")), Access::Write, 15)
                .is_empty()
        );
    }

    #[test]
    fn a_shared_lock_guards_no_change() {
        let mut guards = FileLocks::default();
        guards.lock(0, 1, Path::new(LOCK), 9, true, 10);
        assert_eq!(held(&guards, "/a", Access::Read, 11), [LOCK]);
        assert!(held(&guards, "/a", Access::Write, 11).is_empty());
    }

    #[test]
    fn a_lock_file_guards_itself_even_when_it_is_created() {
        let mut guards = FileLocks::default();
        guards.lock(0, 1, Path::new(LOCK), 9, false, 10);
        guards.unlock(0, 1, 9, 20);
        assert_eq!(held(&guards, LOCK, Access::Write, 1), [LOCK]);
        assert!(guards.held(2, Some(Path::new(LOCK)), Access::Write, 1).is_empty());
    }
}
