//! One resource for all conflicts of one cause: a Git repository, a database with its journal, a family of temporary
//! names, a directory. Without it, two tests that share a directory are as many conflicts as it has files.
//!
//! This module maps conflicts to causes; `interpret::reading` then detects conflicts on the causes.

use crate::findings::{Fold, folded, is_random_name, numbers};
use cofferdam::Resource;
use cofferdam::format::ResourceKind;
use cofferdam_conflicts::Kind;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// A path on which tests conflict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ConflictPath<'a> {
    pub(super) path: &'a Path,
    pub(super) kind: Kind,
    pub(super) tests: BTreeSet<usize>,
    /// The tests that came to the path by a working directory that another test had set.
    pub(super) via_foreign_cwd: BTreeSet<usize>,
}

/// The cause of a conflict on a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// The path itself.
    Unmerged,
    /// A resource that the path is a part of.
    PartOf(Resource),
    /// Another conflict of the same tests: the path has a random name, which only shared state can pass on, or a working
    /// directory that another test had set led to it.
    Consequence,
}

/// Facts about paths beyond the conflicts.
pub(super) trait PathFacts {
    /// Returns whether a test accessed the path.
    fn is_used(&self, path: &Path) -> bool;
    /// Returns whether a test created the path.
    fn is_made(&self, path: &Path) -> bool;
    /// Returns whether the path was used as a directory.
    fn is_directory(&self, path: &Path) -> bool;
    /// Returns whether it is a directory that unrelated tests share: the temporary directory, a package, or an ancestor.
    fn is_common(&self, path: &Path) -> bool;
    /// Returns whether it holds the source of the tests.
    fn holds_the_suite(&self, path: &Path) -> bool;
}

/// Returns the cause of each conflict, in their order. `moved` are the tests of each conflict on a working directory.
pub(super) fn causes(
    met: &[ConflictPath<'_>],
    families: &[NameFamily],
    moved: &[BTreeSet<usize>],
    paths: &dyn PathFacts,
) -> Vec<Cause> {
    let mut causes: Vec<Option<Cause>> = met
        .iter()
        .map(|one| {
            if follows_moves(one, moved) {
                return Some(Cause::Consequence);
            }
            let of = |resource| Some(Cause::PartOf(resource));
            let name = || families.iter().find(|family| family.covers(one.path));
            if let Some(root) = repository(one.path, paths) {
                return of(resource(ResourceKind::GitRepository, &root));
            }
            if let Some(family) = name() {
                return of(family.resource());
            }
            let base = database(one.path, paths)?;
            of(resource(ResourceKind::Database, &base))
        })
        .collect();
    in_repositories(met, &mut causes, paths);
    follows(met, &mut causes, paths);
    in_directories(met, &mut causes, paths);
    causes
        .into_iter()
        .map(|cause| cause.unwrap_or(Cause::Unmerged))
        .collect()
}

/// Returns whether an access to the path is an access to the resource.
pub(super) fn covers(resource: &Resource, path: &Path) -> bool {
    let (kind, Some(name)) = (resource.kind(), resource.path()) else {
        return false;
    };
    if kind == ResourceKind::Database {
        path == name || base(path).as_ref() == Some(&name)
    } else if kind == ResourceKind::TempName {
        component(path, name.components().count()).is_some_and(|part| {
            part.parent() == name.parent() && pattern(&part) == name.file_name().map(ToOwned::to_owned)
        })
    } else {
        path.starts_with(name)
    }
}

/// Returns the path below which accesses count for the resource, if it has one: the Git directory of a repository, since
/// most files of a working tree belong to one test; the parent of a temporary name, since the name differs each time.
pub(super) fn paused_path(resource: &Resource) -> Option<PathBuf> {
    let (kind, path) = (resource.kind(), resource.path()?);
    let is_bare = path.extension().is_some_and(|extension| extension == "git");
    if kind == ResourceKind::GitRepository && !is_bare {
        Some(path.join(".git"))
    } else if kind == ResourceKind::TempName {
        path.parent().map(Path::to_owned)
    } else {
        Some(path)
    }
}

fn resource(kind: ResourceKind, path: &Path) -> Resource {
    Resource::new(kind, path.to_string_lossy())
}

/// Returns the root of the Git repository of a path: a directory with `.git`, or a bare `name.git`.
fn repository(path: &Path, paths: &dyn PathFacts) -> Option<PathBuf> {
    path.ancestors().find_map(|folder| {
        let name = folder.file_name()?.to_str()?;
        if name == ".git" {
            return folder.parent().map(Path::to_owned);
        }
        (name.ends_with(".git") && paths.is_used(&folder.join("HEAD"))).then(|| folder.to_owned())
    })
}

/// The suffixes of the files that SQLite keeps beside a database.
const BESIDE: [&str; 3] = ["-journal", "-wal", "-shm"];

/// Returns the database that a journal or index belongs to.
fn base(path: &Path) -> Option<PathBuf> {
    let name = path.file_name()?.to_str()?;
    let base = BESIDE.iter().find_map(|suffix| name.strip_suffix(suffix))?;
    (!base.is_empty()).then(|| path.with_file_name(base))
}

fn database(path: &Path, paths: &dyn PathFacts) -> Option<PathBuf> {
    if let Some(base) = base(path).filter(|base| paths.is_used(base)) {
        return Some(base);
    }
    let name = path.file_name()?.to_str()?;
    let has = |suffix: &str| paths.is_used(&path.with_file_name(format!("{name}{suffix}")));
    BESIDE.iter().any(|suffix| has(suffix)).then(|| path.to_owned())
}

/// Returns whether a conflict on a file of a working tree is a conflict on its repository. In the repository of the suite
/// itself it is not: those are ordinary files.
fn in_repositories(met: &[ConflictPath<'_>], causes: &mut [Option<Cause>], paths: &dyn PathFacts) {
    let mut users: BTreeMap<Resource, BTreeSet<usize>> = BTreeMap::new();
    for (one, cause) in met.iter().zip(&*causes) {
        if let Some(Cause::PartOf(root)) = cause
            && root.kind() == ResourceKind::GitRepository
        {
            users.entry(root.clone()).or_default().extend(&one.tests);
        }
    }
    users.retain(|root, _| !paths.holds_the_suite(Path::new(root.as_str())));
    for (one, cause) in met.iter().zip(causes) {
        let root = users
            .iter()
            .find(|(root, tests)| covers(root, one.path) && one.tests.is_subset(tests));
        if let (None, Some((root, _))) = (&cause, root) {
            *cause = Some(Cause::PartOf(root.clone()));
        }
    }
}

/// Whether tests meet there only because they share a working directory: of two that came there on their own, each would
/// also come without the other.
fn follows_moves(one: &ConflictPath<'_>, moved: &[BTreeSet<usize>]) -> bool {
    one.kind == Kind::SharedResource
        && one.tests.difference(&one.via_foreign_cwd).count() <= 1
        && moved.iter().any(|tests| one.tests.is_subset(tests))
}

/// Returns whether a conflict follows from another: two tests can only share a path with a random name through other
/// shared state.
fn follows(met: &[ConflictPath<'_>], causes: &mut [Option<Cause>], paths: &dyn PathFacts) {
    let is_random = |path: &Path| {
        path.ancestors().any(|part| {
            let name = part.file_name().and_then(|name| name.to_str());
            name.is_some_and(is_random_name) && paths.is_made(part)
        })
    };
    let random: Vec<bool> = met
        .iter()
        .zip(&*causes)
        .map(|(one, cause)| cause.is_none() && is_random(one.path))
        .collect();
    for (position, one) in met.iter().enumerate().filter(|(position, _)| random[*position]) {
        let explains = |(other, is_random): (&ConflictPath<'_>, &bool)| {
            !is_random && other.kind <= one.kind && one.tests.is_subset(&other.tests)
        };
        if met.iter().zip(&random).any(explains) {
            causes[position] = Some(Cause::Consequence);
        }
    }
}

/// Returns the directories on whose entries the same tests conflict, and those that tests create, list and remove.
fn in_directories(met: &[ConflictPath<'_>], causes: &mut [Option<Cause>], paths: &dyn PathFacts) {
    let is_open = |cause: &Option<Cause>| cause.is_none();
    // Each with the largest set of tests that all conflict on one path in it; for other tests no conflict is known.
    let mut directories: BTreeMap<(Kind, PathBuf), &BTreeSet<usize>> = BTreeMap::new();
    let mut add = |kind: Kind, directory: PathBuf, tests| {
        let known = directories.entry((kind, directory)).or_insert(tests);
        if known.len() < tests.len() {
            *known = tests;
        }
    };
    let mut same: BTreeMap<(Kind, &BTreeSet<usize>), Vec<&Path>> = BTreeMap::new();
    for (one, _) in met.iter().zip(&*causes).filter(|(_, cause)| is_open(cause)) {
        same.entry((one.kind, &one.tests)).or_default().push(one.path);
        if paths.is_directory(one.path) {
            add(one.kind, one.path.to_owned(), &one.tests);
        }
    }
    for ((kind, tests), members) in same {
        for directory in shared_directories(members, paths) {
            add(kind, directory, tests);
        }
    }
    for (one, cause) in met.iter().zip(causes).filter(|(_, cause)| is_open(cause)) {
        // The topmost represents all.
        let mut above: Vec<&Path> = one.path.ancestors().collect();
        above.reverse();
        let directory = above.into_iter().find(|directory| {
            directories
                .get(&(one.kind, (*directory).to_owned()))
                .is_some_and(|tests| one.tests.is_subset(tests))
        });
        *cause = directory.map(|directory| Cause::PartOf(resource(ResourceKind::Directory, directory)));
    }
}

/// Returns the deepest directories that hold at least two of the paths and are not shared by unrelated tests.
fn shared_directories(members: Vec<&Path>, paths: &dyn PathFacts) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![members];
    while let Some(members) = open.pop() {
        let Some((first, others)) = members.split_first() else {
            continue;
        };
        if others.is_empty() {
            continue;
        }
        let holds_all = |folder: &&Path| others.iter().all(|other| other.starts_with(folder));
        let Some(folder) = first.ancestors().find(holds_all) else {
            continue;
        };
        if !paths.is_common(folder) {
            found.push(folder.to_owned());
            continue;
        }
        // Paths in a shared directory may lie in several subdirectories that are not shared.
        let depth = folder.components().count() + 1;
        let mut parts: BTreeMap<PathBuf, Vec<&Path>> = BTreeMap::new();
        for member in members {
            if let Some(part) = component(member, depth) {
                parts.entry(part).or_default().push(member);
            }
        }
        open.extend(parts.into_values());
    }
    found
}

/// Returns the first `depth` components of the path, if it has as many.
fn component(path: &Path, depth: usize) -> Option<PathBuf> {
    let part: PathBuf = path.components().take(depth).collect();
    (part.components().count() == depth).then_some(part)
}

/// Returns the file name without its digits.
fn pattern(path: &Path) -> Option<std::ffi::OsString> {
    Some(folded(path.file_name()?.to_str()?, Fold::Digits).into())
}

/// Names that differ in a process ID, a clock or a counter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NameFamily {
    /// The path with `*` for the digits.
    path: PathBuf,
    /// The source of the digits: "the process ID and a clock".
    pub(super) origin: String,
    /// Set if two tests may create the same name although none did: only a clock of milliseconds or coarser distinguishes
    /// them.
    pub(super) may_repeat: bool,
}

/// An access to a path whose name has digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CreatedName<'a> {
    pub(super) path: &'a Path,
    pub(super) test: u32,
    /// The process of its test.
    pub(super) pid: u32,
    /// Microseconds since 1970.
    pub(super) at: u64,
}

impl NameFamily {
    /// Returns the keys of the families that the path may belong to, the topmost first.
    pub(super) fn keys(path: &Path) -> Vec<PathBuf> {
        let mut keys: Vec<PathBuf> = path.ancestors().filter_map(Self::key).collect();
        keys.reverse();
        keys
    }

    /// Returns the path with `*` for the digits of its last component, if it has any.
    pub(super) fn key(path: &Path) -> Option<PathBuf> {
        let name = path.file_name()?.to_str()?;
        let has_digits = name.bytes().any(|byte| byte.is_ascii_digit());
        (has_digits && !is_random_name(name)).then(|| path.with_file_name(folded(name, Fold::Digits)))
    }

    /// Returns whether the name has the time of its creation, `at` (microseconds since 1970), in milliseconds or coarser.
    /// Only such families may repeat.
    pub(super) fn has_coarse_clock(path: &Path, at: u64) -> bool {
        let name = path.file_name().and_then(|name| name.to_str());
        let is_coarse = |digits| clock_unit(digits, at).is_some_and(|unit| unit <= MILLISECONDS);
        name.is_some_and(|name| numbers(name).into_iter().any(is_coarse))
    }

    /// Returns the family of the names that tests created for this key at one source line. Fixed names with numbers are no
    /// family.
    pub(super) fn of(key: PathBuf, made: &[CreatedName<'_>]) -> Option<Self> {
        let tokens: Vec<Vec<&str>> = made
            .iter()
            .filter_map(|one| Some(numbers(one.path.file_name()?.to_str()?)))
            .collect();
        let count = tokens.first()?.len();
        if tokens.len() != made.len() || tokens.iter().any(|all| all.len() != count) {
            return None;
        }
        let mut parts: Vec<&str> = Vec::new();
        let mut may_repeat = false;
        let mut is_unique = false;
        for position in 0..count {
            let digits = || made.iter().zip(&tokens).map(|(one, all)| (one, all[position]));
            let units: Option<Vec<u32>> = digits().map(|(one, digits)| clock_unit(digits, one.at)).collect();
            let part = if digits().all(|(one, digits)| is_pid(digits, one)) {
                // Tests of one process have the same process ID.
                is_unique |= digits().all(|(one, _)| {
                    made.iter()
                        .all(|other| other.pid != one.pid || other.test == one.test)
                });
                "the process ID"
            } else if let Some(units) = units {
                may_repeat |= units.iter().all(|unit| *unit <= MILLISECONDS);
                is_unique |= units.iter().any(|unit| *unit > MILLISECONDS);
                "a clock"
            } else if is_counter(digits().map(|(one, digits)| (one.pid, digits))) {
                "a counter"
            } else {
                is_unique |= digits().any(|(_, digits)| digits != tokens[0][position]);
                continue;
            };
            is_unique |= part == "a counter";
            if !parts.contains(&part) {
                parts.push(part);
            }
        }
        (!parts.is_empty()).then(|| Self {
            path: key,
            origin: parts.join(" and "),
            may_repeat: may_repeat && !is_unique,
        })
    }

    pub(super) fn resource(&self) -> Resource {
        resource(ResourceKind::TempName, &self.path)
    }

    pub(super) fn covers(&self, path: &Path) -> bool {
        // A cheap check first: most paths are elsewhere.
        let is_near = self.path.parent().is_none_or(|parent| path.starts_with(parent));
        is_near && covers(&self.resource(), path)
    }
}

fn is_pid(digits: &str, one: &CreatedName<'_>) -> bool {
    digits.parse() == Ok(one.pid) || u32::from_str_radix(digits, 16) == Ok(one.pid)
}

/// Units of clocks per second.
const UNITS: [u32; 4] = [0, MILLISECONDS, 6, 9];
const MILLISECONDS: u32 = 3;

/// Returns the unit in which the digits are a time within an hour of `at`, in microseconds since 1970.
fn clock_unit(digits: &str, at: u64) -> Option<u32> {
    const HOUR: u128 = 3_600_000_000;
    let unit = |number: u128| {
        let is_near = |unit: &u32| {
            let nanos = number.saturating_mul(10_u128.pow(9 - unit));
            (nanos / 1000).abs_diff(at.into()) < HOUR
        };
        UNITS.into_iter().find(is_near)
    };
    let decimal = digits.parse().ok().and_then(unit);
    decimal.or_else(|| u128::from_str_radix(digits, 16).ok().and_then(unit))
}

/// Returns whether the numbers are counters: each process counts from the same number, and at least one counts further.
fn is_counter<'a>(numbers: impl Iterator<Item = (u32, &'a str)>) -> bool {
    let mut of_each: BTreeMap<u32, BTreeSet<u64>> = BTreeMap::new();
    for (pid, digits) in numbers {
        let Ok(number) = digits.parse() else { return false };
        of_each.entry(pid).or_default().insert(number);
    }
    let first = of_each.values().next().and_then(BTreeSet::first).copied();
    let counts = |numbers: &BTreeSet<u64>| {
        numbers.first().copied() == first
            && numbers
                .last()
                .zip(first)
                .is_some_and(|(last, first)| last - first == numbers.len() as u64 - 1)
    };
    of_each.len() > 1 && of_each.values().all(counts) && of_each.values().any(|numbers| numbers.len() > 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A machine with the suite in `/w`, on which all other paths were accessed.
    struct Facts {
        unused: &'static [&'static str],
        directories: &'static [&'static str],
    }

    const ALL_USED: Facts = Facts {
        unused: &["/d/data-journal", "/d/report", "/d/report-wal"],
        directories: &[],
    };

    impl PathFacts for Facts {
        fn is_used(&self, path: &Path) -> bool {
            let beside = base(path).is_some_and(|base| !base.ends_with("shop.db"));
            !beside && !self.unused.iter().any(|unused| path == Path::new(unused))
        }
        fn is_made(&self, path: &Path) -> bool {
            !path.starts_with("/tmp/.tmpBefore1")
        }
        fn is_directory(&self, path: &Path) -> bool {
            self.directories
                .iter()
                .any(|directory| path == Path::new(directory))
        }
        fn is_common(&self, path: &Path) -> bool {
            ["/tmp", "/w"]
                .iter()
                .any(|common| Path::new(common).starts_with(path))
        }
        fn holds_the_suite(&self, path: &Path) -> bool {
            Path::new("/w").starts_with(path)
        }
    }

    fn met<'a>(paths: &[(&'a str, &[usize])]) -> Vec<ConflictPath<'a>> {
        let one = |(path, tests): &(&'a str, &[usize])| ConflictPath {
            path: Path::new(*path),
            kind: Kind::SharedResource,
            tests: tests.iter().copied().collect(),
            via_foreign_cwd: BTreeSet::new(),
        };
        paths.iter().map(one).collect()
    }

    /// Returns the causes as text: `-` for the path itself and `follows` for a consequence.
    fn described(paths: &[(&str, &[usize])], families: &[NameFamily], facts: &Facts) -> Vec<String> {
        texts(&causes(&met(paths), families, &[], facts))
    }

    fn texts(causes: &[Cause]) -> Vec<String> {
        let text = |cause: &Cause| match cause {
            Cause::Unmerged => "-".to_owned(),
            Cause::Consequence => "follows".to_owned(),
            Cause::PartOf(resource) => format!("{} {}", resource.kind().key(), resource.as_str()),
        };
        causes.iter().map(text).collect()
    }

    #[test]
    fn a_repository_is_one_cause_with_the_files_of_its_working_tree() {
        let found = described(
            &[
                ("/w/target/repo/.git/index.lock", &[1, 2]),
                ("/w/target/repo/.git/refs/heads/main", &[1, 2, 3]),
                ("/w/target/repo/README", &[1, 2]),
                ("/w/target/repo", &[1, 3]),
                ("/w/target/repo/other", &[1, 4]),
                ("/w/target/bare.git/index", &[1, 2]),
            ],
            &[],
            &ALL_USED,
        );
        let repo = "git-repository /w/target/repo";
        assert_eq!(
            found,
            [repo, repo, repo, repo, "-", "git-repository /w/target/bare.git"]
        );
        // In the suite's own repository a file is an ordinary file.
        let found = described(
            &[("/w/.git/index", &[1, 2]), ("/w/report", &[1, 2])],
            &[],
            &ALL_USED,
        );
        assert_eq!(found, ["git-repository /w", "-"]);
    }

    #[test]
    fn a_database_is_one_cause_with_its_journals() {
        let database = "database /d/shop.db";
        for beside in ["/d/shop.db-journal", "/d/shop.db-wal", "/d/shop.db-shm"] {
            let found = described(&[("/d/shop.db", &[1, 2, 3]), (beside, &[1, 2])], &[], &ALL_USED);
            assert_eq!(found, [database, database], "{beside}");
            assert_eq!(described(&[(beside, &[1, 2])], &[], &ALL_USED), [database]);
        }
        // Without the other half it is an ordinary name.
        assert_eq!(described(&[("/d/data", &[1, 2])], &[], &ALL_USED), ["-"]);
        assert_eq!(described(&[("/d/report-wal", &[1, 2])], &[], &ALL_USED), ["-"]);
    }

    #[test]
    fn the_same_tests_in_one_directory_are_one_cause() {
        let found = described(
            &[("/d/up/a", &[1, 2]), ("/d/up/b/c", &[1, 2]), ("/d/up/e", &[2])],
            &[],
            &ALL_USED,
        );
        assert_eq!(found, ["directory /d/up"; 3]);
        // Other tests have another cause, as do paths that only a shared directory holds.
        assert_eq!(
            described(&[("/d/a", &[1, 2]), ("/d/b", &[1, 3])], &[], &ALL_USED),
            ["-", "-"]
        );
        assert_eq!(
            described(&[("/tmp/a", &[1, 2]), ("/tmp/b", &[1, 2])], &[], &ALL_USED),
            ["-", "-"]
        );
        let found = described(
            &[
                ("/tmp/a/x", &[1, 2]),
                ("/tmp/a/y", &[1, 2]),
                ("/tmp/b", &[1, 2]),
                ("/w/out/x", &[1, 2]),
                ("/w/out/y", &[1, 2]),
            ],
            &[],
            &ALL_USED,
        );
        assert_eq!(
            found,
            [
                "directory /tmp/a",
                "directory /tmp/a",
                "-",
                "directory /w/out",
                "directory /w/out"
            ]
        );
    }

    #[test]
    fn a_directory_that_tests_make_and_remove_is_the_cause_of_what_is_below() {
        let facts = Facts {
            directories: &["/tmp/up"],
            ..ALL_USED
        };
        let found = described(
            &[
                ("/tmp/up", &[1, 2, 3]),
                ("/tmp/up/a", &[1, 2]),
                ("/tmp/up/b", &[1, 4]),
            ],
            &[],
            &facts,
        );
        assert_eq!(found, ["directory /tmp/up", "directory /tmp/up", "-"]);
    }

    #[test]
    fn a_random_name_follows_from_another_conflict_of_the_same_tests() {
        let random = ("/tmp/.tmpAbC12x/f", &[1, 2][..]);
        assert_eq!(
            described(&[random, ("/tmp/state", &[1, 2, 3])], &[], &ALL_USED),
            ["follows", "-"]
        );
        assert_eq!(
            described(&[random, ("/tmp/state", &[1, 3])], &[], &ALL_USED),
            ["-", "-"]
        );
        assert_eq!(described(&[random], &[], &ALL_USED), ["-"]);
        // A suite may be in such a directory itself.
        let before = ("/tmp/.tmpBefore1/f", &[1, 2][..]);
        assert_eq!(
            described(&[before, ("/tmp/state", &[1, 2])], &[], &ALL_USED),
            ["-", "-"]
        );
    }

    #[test]
    fn a_file_in_a_working_directory_that_another_test_had_set_follows_from_that_conflict() {
        let moved = [BTreeSet::from([1, 2, 3]), BTreeSet::from([4, 5])];
        for (kind, tests, via_foreign_cwd, wanted) in [
            // One of them set it, or none did.
            (Kind::SharedResource, &[1, 2, 3][..], &[2, 3][..], "follows"),
            (Kind::SharedResource, &[2, 3], &[2, 3], "follows"),
            (Kind::SharedResource, &[4, 5], &[5], "follows"),
            // Two came there on their own.
            (Kind::SharedResource, &[1, 2, 3], &[3], "-"),
            (Kind::SharedResource, &[1, 2], &[], "-"),
            // Tests of two processes share no working directory.
            (Kind::SharedResource, &[3, 4], &[4], "-"),
            (Kind::OrderLeak, &[1, 2], &[2], "-"),
        ] {
            let one = ConflictPath {
                path: Path::new("/tmp/d/x"),
                kind,
                tests: tests.iter().copied().collect(),
                via_foreign_cwd: via_foreign_cwd.iter().copied().collect(),
            };
            let found = texts(&causes(&[one], &[], &moved, &ALL_USED));
            assert_eq!(found, [wanted], "{kind:?} {tests:?} {via_foreign_cwd:?}");
        }
        // A part of something larger follows all the same, and what else lies there is judged by itself.
        let mut all = met(&[
            ("/tmp/d/repo/.git/index", &[1, 2]),
            ("/tmp/d/repo/README", &[1, 2]),
        ]);
        all[0].via_foreign_cwd.insert(2);
        let found = texts(&causes(&all, &[], &moved, &ALL_USED));
        assert_eq!(found, ["follows", "-"]);
    }

    const NOW: u64 = 1_700_000_000_000_000;

    fn family(key: &str, names: &[(&str, u32)]) -> Option<NameFamily> {
        let made: Vec<CreatedName<'_>> = names
            .iter()
            .zip(1..)
            .map(|((path, pid), test)| CreatedName {
                path: Path::new(*path),
                test,
                pid: *pid,
                at: NOW,
            })
            .collect();
        NameFamily::of(key.into(), &made)
    }

    #[test]
    fn a_name_says_of_what_it_is_made() {
        for (key, names, origin) in [
            (
                "/tmp/x-*",
                &[("/tmp/x-77", 77), ("/tmp/x-78", 78)][..],
                Some("the process ID"),
            ),
            (
                "/tmp/x-*-*",
                &[("/tmp/x-77-1700000000000", 77), ("/tmp/x-77-1700000000001", 77)],
                Some("the process ID and a clock"),
            ),
            ("/tmp/x-*", &[("/tmp/x-18bcfe56800", 77)], Some("a clock")),
            ("/tmp/x-*", &[("/tmp/x-1700000000000000123", 77)], Some("a clock")),
            (
                "/tmp/x*",
                &[("/tmp/x0", 1), ("/tmp/x1", 1), ("/tmp/x0", 2)],
                Some("a counter"),
            ),
            // Fixed numbers: used by one process, or not counted from the same start.
            ("/tmp/x*", &[("/tmp/x0", 1), ("/tmp/x1", 1)], None),
            ("/tmp/x*", &[("/tmp/x1", 1), ("/tmp/x1", 2), ("/tmp/x2", 3)], None),
            ("/tmp/x*", &[("/tmp/x1", 1), ("/tmp/x1", 2)], None),
            ("/tmp/x*", &[], None),
        ] {
            let found = family(key, names);
            assert_eq!(
                found.as_ref().map(|family| family.origin.as_str()),
                origin,
                "{names:?}"
            );
        }
    }

    #[test]
    fn a_family_covers_its_names_and_what_is_below() {
        let family = family("/tmp/x-*", &[("/tmp/x-77", 77)]).unwrap();
        for (path, wanted) in [
            ("/tmp/x-1", true),
            ("/tmp/x-77/a/b", true),
            ("/tmp/y-1", false),
            ("/tmp", false),
            ("/tmp/x-1-2", false),
            ("/var/x-1", false),
        ] {
            assert_eq!(family.covers(Path::new(path)), wanted, "{path}");
        }
        let found = described(
            &[("/tmp/x-77/a", &[1, 2]), ("/tmp/x-78", &[2, 3])],
            &[family],
            &ALL_USED,
        );
        assert_eq!(found, ["temp-name /tmp/x-*"; 2]);
        let keys = NameFamily::keys(Path::new("/tmp/x-77/a1"));
        assert_eq!(keys, [Path::new("/tmp/x-*"), Path::new("/tmp/x-77/a*")]);
    }

    fn path() -> impl Strategy<Value = String> {
        let part = prop_oneof![
            Just("a"),
            Just("b"),
            Just(".git"),
            Just("tmp"),
            Just("w"),
            Just("shop.db"),
            Just("shop.db-wal"),
            Just(".tmpAbC12x")
        ];
        proptest::collection::vec(part, 1..5).prop_map(|parts| format!("/{}", parts.join("/")))
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn no_test_is_lost_and_what_is_joined_is_shared(
            all in proptest::collection::btree_map(path(), proptest::collection::btree_set(0..5_usize, 2..5), 0..8),
        ) {
            let all: Vec<ConflictPath<'_>> = all
                .iter()
                .map(|(path, tests)| ConflictPath { path: Path::new(path), kind: Kind::SharedResource, tests: tests.clone(), via_foreign_cwd: BTreeSet::new() })
                .collect();
            let causes = causes(&all, &[], &[], &ALL_USED);
            prop_assert_eq!(causes.len(), all.len());
            for (one, cause) in all.iter().zip(&causes) {
                let others = || all.iter().zip(&causes).filter(|(other, _)| other.path != one.path);
                match cause {
                    Cause::Unmerged => {}
                    Cause::Consequence => {
                        let mut explained = others().filter(|(_, cause)| **cause != Cause::Consequence);
                        prop_assert!(explained.any(|(other, _)| one.tests.is_subset(&other.tests)));
                    }
                    Cause::PartOf(resource) => {
                        prop_assert!(covers(resource, one.path), "{resource} is not about {:?}", one.path);
                        if resource.kind() == ResourceKind::Directory {
                            let joined = || all.iter().zip(&causes).filter(|(_, other)| *other == cause);
                            let is_all = |(one, _): (&ConflictPath<'_>, _)| {
                                joined().all(|(other, _)| other.tests.is_subset(&one.tests))
                            };
                            prop_assert!(joined().any(is_all), "{resource} joins tests that share nothing");
                        }
                    }
                }
            }
        }
    }
}
