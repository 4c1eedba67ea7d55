//! Reads the uses of each test from an observation, as the decision on attributes needs them.

use crate::findings::{Account, Entry, ReportedOutcome, TestResult, binary_of};
use crate::fix::relaxation::{ObservedUses, RanProgram, SuiteTest};
use crate::observe::{ListedAccess, ObservationResult};
use crate::scene::TestId;
use cofferdam::format::{ResourceKind, Scope};
use cofferdam::{Access, Resource};
use cofferdam_conflicts::Test;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The uses of all tests, and what is needed to run them again.
#[derive(Debug, Default)]
pub(super) struct Observed {
    pub(super) uses: ObservedUses,
    /// The names of the tests, by number.
    pub(super) ids: Vec<TestId>,
    /// The duration of each test; zero if it is not known.
    pub(super) durations: Vec<Duration>,
    /// The resources that each test uses, each with whether it changes it.
    touched: Vec<BTreeMap<Resource, bool>>,
    pub(super) unwatched: Vec<Entry>,
    pub(super) account: Account,
}

/// The number of a test, by the directory of its package, its program and its name.
type Numbers = HashMap<(PathBuf, String, String), usize>;

/// The words of declared types that hide no change: a change of the value in one of these locks or cells is seen.
const PLAIN: [&str; 48] = [
    "static",
    "mut",
    "std",
    "sync",
    "cell",
    "lazy",
    "once_cell",
    "regex",
    "core",
    "collections",
    "path",
    "time",
    "LazyLock",
    "Lazy",
    "OnceLock",
    "OnceCell",
    "Mutex",
    "RwLock",
    "RefCell",
    "Cell",
    "Option",
    "Vec",
    "HashMap",
    "HashSet",
    "BTreeMap",
    "BTreeSet",
    "String",
    "str",
    "PathBuf",
    "Path",
    "Regex",
    "Duration",
    "bool",
    "char",
    "u8",
    "u16",
    "u32",
    "u64",
    "u128",
    "usize",
    "i8",
    "i16",
    "i32",
    "i64",
    "i128",
    "isize",
    "f32",
    "f64",
];

/// Reads the result of an observation in `dir`.
pub(super) fn read(mut result: ObservationResult, dir: &Path) -> Observed {
    let mut observed = Observed::default();
    let mut numbers = Numbers::new();
    for (program, ran) in result.ran.iter().enumerate() {
        let first = observed.ids.len();
        for name in &ran.tests {
            numbers.insert(
                (PathBuf::from(&ran.package), ran.binary.clone(), name.clone()),
                observed.ids.len(),
            );
            let id = TestId {
                binary: ran.binary.clone(),
                name: name.clone(),
            };
            // Programs of two packages may have the same name: what is not known of one of them is not known of the test.
            let same = |one: &&TestResult| one.binary == ran.binary && one.name == *name;
            let of_test: Vec<&TestResult> = result.results.iter().filter(same).collect();
            let unseen = if result.own_processes.contains(&(ran.binary.clone(), name.clone())) {
                Some("ran in a process of its own")
            } else {
                why_unseen(&of_test)
            };
            observed.uses.tests.push(SuiteTest {
                name: name.clone(),
                program,
                unseen: unseen.map(str::to_owned),
                starts_programs: result.starters.contains(&(ran.binary.clone(), name.clone())),
                ..SuiteTest::default()
            });
            observed.durations.push(
                of_test
                    .iter()
                    .filter_map(|one| duration(one))
                    .max()
                    .unwrap_or_default(),
            );
            observed.ids.push(id);
        }
        observed.uses.programs.push(RanProgram {
            package: PathBuf::from(&ran.package),
            binary: ran.binary.clone(),
            tests: (first..observed.ids.len()).collect(),
        });
    }
    observed.touched.resize(observed.ids.len(), BTreeMap::new());
    for entry in &result.statics.unwatched {
        let binary = binary_of(Path::new(&entry.name));
        observed.leave_out(
            &format!("uses statics that were not observed ({})", entry.reason),
            &|id| id.binary == binary,
        );
    }
    for (test, process) in &result.unseen_starts {
        let why = format!(
            "starts {}, which was not observed ({})",
            process.name, process.reason
        );
        match test {
            Some((binary, name)) => observed.leave_out(&why, &|id| id.binary == *binary && id.name == *name),
            None => observed.leave_out(&format!("may be the test that {why}"), &|_| true),
        }
    }
    observed.add_conflicts(&result, &numbers);
    observed.add_statics(&result);
    observed.add_accesses(&result.accesses, &numbers, dir);
    observed.unwatched = std::mem::take(&mut result.statics.unwatched);
    observed.account = result.account;
    observed
}

/// Returns why the uses of the test with these results are not known.
fn why_unseen(results: &[&TestResult]) -> Option<&'static str> {
    const UNKNOWN: &str = "has no known result in the observed run";
    let why = |one: &&TestResult| match one.outcome {
        ReportedOutcome::Passed => None,
        ReportedOutcome::Failed => Some("failed in the observed run"),
        ReportedOutcome::Ignored => Some("did not run"),
        ReportedOutcome::Unknown => Some(UNKNOWN),
    };
    results
        .iter()
        .find_map(why)
        .or(results.is_empty().then_some(UNKNOWN))
}

fn duration(result: &TestResult) -> Option<Duration> {
    Some(Duration::from_micros(result.ended?.checked_sub(result.began)?))
}

impl Observed {
    /// Records that the uses of some tests are not known.
    fn leave_out(&mut self, why: &str, is_concerned: &dyn Fn(&TestId) -> bool) {
        for (id, test) in self.ids.iter().zip(&mut self.uses.tests) {
            if is_concerned(id) {
                test.unseen.get_or_insert_with(|| why.to_owned());
            }
        }
    }

    /// Adds the resources of all conflicts, also of those that a lock in the tests' bodies prevents.
    fn add_conflicts(&mut self, result: &ObservationResult, numbers: &Numbers) {
        let number = |test: &Test| {
            let key = (
                PathBuf::from(&test.package),
                test.binary.clone(),
                test.name().to_owned(),
            );
            numbers.get(&key).copied()
        };
        let unlocked = result.conflicts.iter().map(|conflict| (conflict, false));
        for (conflict, is_locked) in unlocked.chain(result.locked.iter().map(|conflict| (conflict, true))) {
            let Some(resource) = conflict.resource.clone() else {
                continue;
            };
            let shared = self.uses.resources.len();
            self.uses.resources.push(resource);
            for test in &conflict.tests {
                let Some(number) = number(test) else { continue };
                *self.uses.tests[number].uses.entry(shared).or_default() |= test.writes();
                if is_locked {
                    self.uses.tests[number].locked_in_bodies.insert(shared);
                }
            }
        }
    }

    /// Adds the statics that one test changes and another uses.
    fn add_statics(&mut self, result: &ObservationResult) {
        for one in &result.statics.shared {
            let shared = self.uses.resources.len();
            self.uses
                .resources
                .push(Resource::new(ResourceKind::Static, one.name.clone()));
            let uses = one.writers.iter().map(|used| (used, true));
            for (used, writes) in uses.chain(one.readers.iter().map(|used| (used, false))) {
                for (id, test) in self.ids.iter().zip(&mut self.uses.tests) {
                    if id.binary == one.binary && id.name == used.test {
                        *test.uses.entry(shared).or_default() |= writes;
                    }
                }
            }
        }
    }

    /// Adds the resources that may change unseen, behind a connection or in a static, and for each test what it changes outside of
    /// its process and what it changes that started programs inherit.
    fn add_accesses(&mut self, accesses: &[ListedAccess], numbers: &Numbers, dir: &Path) {
        let written: BTreeSet<&Resource> = accesses
            .iter()
            .filter(|one| one.access == Access::Write)
            .map(|one| &one.resource)
            .collect();
        let mut opaque: BTreeMap<&Resource, Option<usize>> = BTreeMap::new();
        for one in accesses {
            let key = (one.package.clone(), one.binary.clone(), one.test.clone());
            let Some(number) = numbers.get(&key).copied() else {
                continue;
            };
            let (resource, writes) = (&one.resource, one.access == Access::Write);
            *self.touched[number].entry(resource.clone()).or_default() |= writes;
            if writes && resource.kind().scope() == Scope::Machine {
                self.uses.tests[number]
                    .changes_outside
                    .get_or_insert_with(|| resource.to_string());
            }
            let is_inherited = matches!(
                resource.kind(),
                ResourceKind::Env | ResourceKind::Cwd | ResourceKind::Umask | ResourceKind::Signal
            );
            if is_inherited && writes {
                let test = &mut self.uses.tests[number];
                test.changes_inherited.get_or_insert_with(|| resource.to_string());
            }
            let known = opaque.entry(resource).or_insert_with(|| {
                let what = what_is_opaque(one, &written, dir)?;
                self.uses.opaque.push(what);
                Some(self.uses.opaque.len() - 1)
            });
            self.uses.tests[number].opaque.extend(*known);
        }
    }

    /// Returns the resources at which these tests can pause so that they meet. Resources that they change come first, and memory
    /// comes before files, whose names may be new in each run. Variables are left out: std's lock around them would stop the other
    /// tests, too.
    pub(super) fn pauses(&self, tests: &BTreeSet<usize>) -> Vec<&Resource> {
        let mut users: BTreeMap<&Resource, (usize, bool)> = BTreeMap::new();
        for (resource, writes) in tests.iter().flat_map(|test| &self.touched[*test]) {
            let (count, is_changed) = users.entry(resource).or_default();
            *count += 1;
            *is_changed |= writes;
        }
        let mut all: Vec<(&Resource, (usize, bool))> = users
            .into_iter()
            .filter(|(resource, (count, is_changed))| {
                resource.kind() != ResourceKind::Env && (*count > 1 || *is_changed)
            })
            .collect();
        let is_file = |resource: &Resource| resource.kind().scope() == Scope::Machine;
        all.sort_by_key(|(resource, (count, is_changed))| {
            (!is_changed, is_file(resource), usize::MAX - count)
        });
        all.into_iter().map(|(resource, _)| resource).collect()
    }
}

/// Returns a description of the resource if it may change unseen.
fn what_is_opaque(one: &ListedAccess, written: &BTreeSet<&Resource>, dir: &Path) -> Option<String> {
    let kind = one.resource.kind();
    if written.contains(&one.resource) {
        return None;
    }
    // A server of the suite would open it, which is a change.
    if matches!(
        kind,
        ResourceKind::Port | ResourceKind::UdpPort | ResourceKind::UnixSocket
    ) {
        return Some(format!("{}, whose server is not part of the suite", one.resource));
    }
    let declared = one.declared.as_deref().filter(|_| kind == ResourceKind::Static)?;
    let is_plain = declaration(declared, dir).is_some_and(|text| is_plain(&text));
    (!is_plain).then(|| format!("{} ({declared}), whose type may hide changes", one.resource))
}

/// Returns the source of a static from the line of its declaration to its value, or `None` if that does not begin within five
/// lines.
fn declaration(place: &str, dir: &Path) -> Option<String> {
    let (file, line) = place.rsplit_once(':')?;
    let text = fs::read_to_string(dir.join(file)).ok()?;
    let from = text.lines().skip(line.parse::<usize>().ok()?.checked_sub(1)?);
    let from: Vec<&str> = from.take(5).collect();
    without_value(&from.join("\n")).map(str::to_owned)
}

/// Returns the text before the first `=` or `;` outside of brackets: `[u8; 4]` is a type.
fn without_value(text: &str) -> Option<&str> {
    let mut depth = 0_i32;
    let end = text.find(|letter| {
        match letter {
            '(' | '[' => depth += 1,
            ')' | ']' => depth -= 1,
            _ => {}
        }
        depth <= 0 && matches!(letter, '=' | ';')
    })?;
    Some(&text[..end])
}

/// Returns whether a declared type is built from known types only.
fn is_plain(declaration: &str) -> bool {
    let Some((_, type_name)) = declaration.split_once(':') else {
        return false;
    };
    let mut words = type_name
        .split(|letter: char| !letter.is_alphanumeric() && letter != '_')
        .filter(|word| !word.is_empty());
    words.all(|word| PLAIN.contains(&word) || word.starts_with(|first: char| first.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_of_known_words_hides_no_change() {
        for (declaration, plain) in [
            ("static LINE: LazyLock<Regex> ", true),
            ("static NAMES: std::sync::Mutex<HashMap<String, [u8; 4]>> ", true),
            ("static ref PATHS: Vec<&'static str> ", true),
            ("pub(crate) static POOL: OnceLock<Pool> ", false),
            ("static FLAG: AtomicBool ", false),
            ("static PARSER: Box<dyn Fn()> ", false),
            ("static PAIR: ([u8; 2], Box<dyn Fn()>) ", false),
            ("macro!(X)", false),
        ] {
            assert_eq!(is_plain(declaration), plain, "{declaration}");
            for value in ["= [1; 2];", "= f(|x| x == 1);", ";"] {
                let source = format!("{declaration}{value}");
                assert_eq!(without_value(&source), Some(declaration), "{source}");
            }
        }
    }
}
