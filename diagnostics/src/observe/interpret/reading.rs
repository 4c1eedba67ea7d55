//! From logs to evidence: attributes each record to its test, interprets it, and passes it to the conflict detection as a
//! claim.

use super::accesses::{Accesses, InternedEffect, Interner, TestAccess, WorkingDirs};
use super::certainty::{Certainty, graded};
use super::dir_listings::DirListings;
use super::fast_hash::FastHash;
use super::written_programs::executables;
use crate::findings::Coverage;
use crate::observe::causes::{Cause, ConflictPath, CreatedName, NameFamily, PathFacts, causes};
use crate::observe::format::RUN;
use crate::observe::interpret::{FileAccess, descriptors};
use crate::observe::launch::test_groups::TestGroups;
use crate::observe::log::attribution::Attribution;
use crate::observe::log::backtraces::BacktraceFilter;
use crate::observe::log::source_lines::{CallSite, LineResolver};
use crate::observe::log::{Log, Record};
use crate::observe::observed_tests::SourceLines;
use cofferdam::format::ResourceKind;
use cofferdam::{Access, Resource};
use cofferdam_conflicts::{Conflict, Evidence, Kind, Observed, Test};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// The result of reading all logs.
pub(crate) struct Reading<'o> {
    pub(crate) evidence: Evidence,
    /// The same, as if the locks that are perhaps held were; `None` if there are none.
    perhaps: Option<Evidence>,
    /// The accesses under locks, as if there were no locks.
    pub(crate) locked: Evidence,
    pub(crate) coverage: Coverage,
    accesses: Accesses<'o>,
}

/// One access to a resource by a test.
pub(crate) struct UsedResource {
    /// An index into the known tests.
    pub(crate) test: usize,
    pub(crate) resource: Resource,
    pub(crate) access: Access,
    /// An index into the places: see [`Reading::place`].
    pub(crate) place: usize,
    /// The times of the first and last recorded access, in microseconds since 1970.
    pub(crate) window: (u64, u64),
}

/// The tests that create names of a family, each with the place where it does.
type Makers = HashMap<u32, u32>;

/// Returns the resource that a use of a file is a use of, and the place to report for it.
type CauseOf<'c> = dyn Fn(u32, &TestAccess) -> Option<(Resource, u32)> + 'c;

/// Returns the source line of a use, by the number of its place.
pub(crate) type LineOf<'l> = dyn FnMut(usize) -> Option<String> + 'l;

impl Reading<'_> {
    /// Returns the conflicts, one for each cause, each with how the name of its resource is made where that is known.
    ///
    /// `suite` holds the directories of the tests' packages.
    pub(crate) fn conflicts(
        &self,
        run: &str,
        attribution: &Attribution,
        groups: &TestGroups,
        suite: &[PathBuf],
        line_of: &mut LineOf<'_>,
    ) -> Vec<Conflict> {
        let seen = graded(&self.evidence, self.perhaps.as_ref());
        let (met, mut others): (Vec<Conflict>, Vec<Conflict>) = seen
            .into_iter()
            .partition(|conflict| self.file_of(conflict).is_some());
        let (paths, moved) = self.met(&met, &others, attribution);
        let families = self.families(&paths, attribution, line_of);
        let known: Vec<NameFamily> = families.iter().map(|(family, _)| family.clone()).collect();
        let causes = causes(&paths, &known, &moved, &UsedPaths::of(&self.accesses, suite));
        let mut merged: HashMap<(Kind, u32), Resource> = HashMap::new();
        for (conflict, cause) in met.iter().zip(causes) {
            match (cause, self.file_of(conflict)) {
                (Cause::PartOf(resource), Some(file)) => _ = merged.insert((conflict.kind, file), resource),
                (Cause::Consequence, _) => {}
                _ => others.push(conflict.clone()),
            }
        }
        let mut found = others;
        if merged.is_empty() && families.is_empty() {
            return found;
        }
        let claims = Claims::of(&self.accesses, attribution);
        for kind in [Kind::SharedResource, Kind::OrderLeak] {
            let merged = |file: u32| merged.get(&(kind, file));
            let causes: HashSet<&Resource> = claims.files().filter_map(merged).collect();
            let families: Vec<_> = families
                .iter()
                .filter(|(family, _)| {
                    causes.contains(&family.resource()) || family.may_repeat && kind == Kind::SharedResource
                })
                .collect();
            let cause = |file: u32, one: &TestAccess| {
                let path = Path::new(self.accesses.files.get(file));
                let family = families.iter().find(|(family, _)| family.covers(path));
                let place = family.and_then(|(_, tests)| tests.get(&one.test).copied());
                let resource = merged(file)
                    .cloned()
                    .or_else(|| place.and(family).map(|(family, _)| family.resource()))?;
                // The line that creates the name is the cause.
                Some((resource, place.unwrap_or(one.place)))
            };
            let on_causes = |certainty: Certainty| {
                claims.on_causes(
                    (&self.accesses, certainty),
                    run,
                    attribution,
                    groups,
                    kind,
                    &cause,
                )
            };
            let perhaps = self.perhaps.as_ref().map(|_| on_causes(Certainty::Perhaps));
            let conflicts = graded(&on_causes(Certainty::Known), perhaps.as_ref());
            let conflicts = conflicts.into_iter().filter(|conflict| conflict.kind == kind);
            found.extend(conflicts.map(|mut conflict| {
                let family = families
                    .iter()
                    .find(|(family, _)| Some(family.resource()) == conflict.resource);
                if let Some((family, _)) = family {
                    conflict.message.push_str("; the name is made from ");
                    conflict.message.push_str(&family.origin);
                    conflict.name_parts = Some(family.origin.clone());
                }
                conflict
            }));
        }
        found
    }

    /// Returns the paths of these conflicts, and the tests of each of the others that is on a working directory.
    fn met<'c>(
        &self,
        met: &'c [Conflict],
        others: &[Conflict],
        attribution: &Attribution,
    ) -> (Vec<ConflictPath<'c>>, Vec<BTreeSet<usize>>) {
        let mut numbers = TestNumbers::default();
        let is_moved = |conflict: &&Conflict| {
            let resource = conflict.resource.as_ref();
            resource.is_some_and(|one| one.kind() == ResourceKind::Cwd)
        };
        let moved = others.iter().filter(is_moved);
        let moved: Vec<BTreeSet<usize>> = moved.map(|conflict| numbers.of(conflict)).collect();
        let via_foreign_cwd = if moved.is_empty() {
            HashMap::new()
        } else {
            Claims::of(&self.accesses, attribution).via_foreign_cwd()
        };
        let paths = met.iter().map(|conflict| {
            let file = self.file_of(conflict);
            let via_foreign_cwd = file
                .and_then(|file| via_foreign_cwd.get(&file))
                .into_iter()
                .flatten();
            let via_foreign_cwd = via_foreign_cwd.map(|test| &attribution.tests[*test as usize]);
            ConflictPath {
                path: Path::new(conflict.resource.as_ref().map_or("", Resource::as_str)),
                kind: conflict.kind,
                tests: numbers.of(conflict),
                via_foreign_cwd: via_foreign_cwd
                    .map(|test| numbers.get(&test.binary, &test.name))
                    .collect(),
            }
        });
        (paths.collect(), moved)
    }

    /// Returns the number of the file of a conflict.
    fn file_of(&self, conflict: &Conflict) -> Option<u32> {
        let resource = conflict
            .resource
            .as_ref()
            .filter(|one| matches!(one.kind(), ResourceKind::File | ResourceKind::UnixSocket))?;
        self.accesses.files.find(OsStr::new(resource.as_str()))
    }

    /// Returns the families of names that have conflicts or may have them, each with the tests that reach the lines that
    /// create such names.
    fn families(
        &self,
        met: &[ConflictPath<'_>],
        attribution: &Attribution,
        line_of: &mut LineOf<'_>,
    ) -> Vec<(NameFamily, Makers)> {
        // Most files have several accesses, and most keys only one maker.
        let mut keys: Interner<OsStr> = Interner::default();
        let mut key_of_file: HashMap<u32, Option<u32>, FastHash> = HashMap::default();
        let mut candidates: Vec<Vec<(&TestAccess, &Path, bool)>> = Vec::new();
        for one in &self.accesses.all {
            let InternedEffect::File(file, how) = one.effect else {
                continue;
            };
            let path = Path::new(self.accesses.files.get(file));
            let key = key_of_file
                .entry(file)
                .or_insert_with(|| Some(keys.number(NameFamily::key(path)?.as_os_str())));
            if let Some(key) = *key {
                let key = key as usize;
                if key >= candidates.len() {
                    candidates.resize_with(key + 1, Vec::new);
                }
                candidates[key].push((one, path, may_create(how)));
            }
        }
        let met_keys: HashSet<PathBuf> = met.iter().flat_map(|one| NameFamily::keys(one.path)).collect();
        let may_matter = |key: &Path, accesses: &[(&TestAccess, &Path, bool)]| {
            if met_keys.contains(key) {
                return true;
            }
            // Without a conflict, only a name with a coarse clock matters. Checks that first: source lines take long.
            let made = || accesses.iter().filter(|(.., may_create)| *may_create);
            let first = made().next().map(|(one, ..)| one.test);
            made().any(|(one, ..)| Some(one.test) != first)
                && made().any(|(one, path, _)| NameFamily::has_coarse_clock(path, one.at))
        };
        let candidates: BTreeMap<PathBuf, Vec<(&TestAccess, &Path, bool)>> = candidates
            .into_iter()
            .enumerate()
            .map(|(key, accesses)| (PathBuf::from(keys.get(key as u32)), accesses))
            .filter(|(key, accesses)| may_matter(key, accesses))
            .collect();
        let mut families = Vec::new();
        for (key, accesses) in candidates {
            let lines: Vec<Option<String>> = accesses
                .iter()
                .map(|(one, ..)| line_of(one.place as usize))
                .collect();
            let accesses = || accesses.iter().zip(&lines);
            let is_met = |path: &Path| met.iter().any(|one| one.path.starts_with(path));
            let made_at = |is_it: &dyn Fn(&Path) -> bool| -> BTreeSet<&Option<String>> {
                let made = accesses().filter(|((_, path, may_create), _)| *may_create && is_it(path));
                made.map(|(_, line)| line).collect()
            };
            let met_at = made_at(&is_met);
            let mut found: Option<(NameFamily, Makers)> = None;
            // Each line separately: a fixed name may look like a generated one.
            for line in made_at(&|_| true) {
                let reached = || accesses().filter(|(_, at)| *at == line);
                let made: Vec<CreatedName<'_>> = reached()
                    .filter(|((.., may_create), _)| *may_create)
                    .map(|((one, path, _), _)| CreatedName {
                        path,
                        test: one.test,
                        pid: attribution.tests[one.test as usize].pid,
                        at: one.at,
                    })
                    .collect();
                let family = NameFamily::of(key.clone(), &made);
                let Some(family) = family.filter(|family| family.may_repeat || met_at.contains(line)) else {
                    continue;
                };
                let (_, tests) = found.get_or_insert((family, Makers::new()));
                for ((one, ..), _) in reached() {
                    tests.entry(one.test).or_insert(one.place);
                }
            }
            families.extend(found);
        }
        families
    }

    /// Returns the lines of a use, by the number that is its place.
    pub(crate) fn lines_of(
        &self,
        test: &Test,
        used: &cofferdam_conflicts::Use,
        lines: &mut LineResolver<'_>,
    ) -> SourceLines {
        let number = || used.place.as_deref()?.strip_prefix('#')?.parse::<usize>().ok();
        let Some(one) = number().and_then(|number| self.accesses.all.get(number)) else {
            return SourceLines::default();
        };
        let place = self.accesses.places[one.place as usize];
        SourceLines {
            place: lines.line(place),
            test_place: lines.test_line(place, test.name()),
        }
    }

    /// Returns a place by its number.
    pub(crate) fn place(&self, number: usize) -> Option<CallSite> {
        self.accesses.places.get(number).copied()
    }

    /// Returns the number of accesses that [`used`](Self::used) returns, without their resources.
    pub(crate) fn used_count(&self) -> usize {
        let is_used = |one: &&TestAccess| {
            matches!(
                one.effect,
                InternedEffect::File(..) | InternedEffect::Port(..) | InternedEffect::Other(..)
            )
        };
        self.accesses.all.iter().filter(is_used).count()
    }

    /// Returns every access of every test.
    pub(crate) fn used(&self) -> impl Iterator<Item = UsedResource> {
        self.accesses.all.iter().filter_map(|one| {
            let (resource, access) = match one.effect {
                InternedEffect::File(file, how) => (self.accesses.file(file), how.access()),
                InternedEffect::Port(port, access) => (self.accesses.ports.resource(port), access),
                InternedEffect::Other(other, access) => {
                    (self.accesses.others[other as usize].clone(), access)
                }
                InternedEffect::UsedUmask
                | InternedEffect::ClearedVariables
                | InternedEffect::StartedProcess
                | InternedEffect::OpenedDescriptor => return None,
            };
            Some(UsedResource {
                test: one.test as usize,
                resource,
                access,
                place: one.place as usize,
                window: (one.at, one.until),
            })
        })
    }
}

/// Reads all logs of `run`. `ours` is the directory of cofferdam's own files.
pub(crate) fn read<'o>(
    logs: &[Log],
    attribution: &Attribution,
    groups: &TestGroups,
    run: &str,
    ours: &'o Path,
) -> Reading<'o> {
    let working_dirs: Vec<WorkingDirs> = logs.iter().map(WorkingDirs::of).collect();
    let mut accesses = Accesses::new(ours);
    let mut backtraces = BacktraceFilter::default();
    for (index, log) in logs.iter().enumerate() {
        accesses.first_pass(index, log, &working_dirs[index], attribution);
    }
    accesses.end_first_pass();
    let mut coverage = Coverage {
        tests: attribution.tests.len() as u64,
        programs: attribution
            .tests
            .iter()
            .map(|test| &test.binary)
            .collect::<HashSet<_>>()
            .len() as u64,
        ..Coverage::default()
    };
    for (index, log) in logs
        .iter()
        .enumerate()
        .filter(|(index, _)| !attribution.is_replaced(*index))
    {
        // The source line of a child process is where the test started it.
        let start = attribution.start(index);
        backtraces.scan(log);
        // The accesses of a fixture's setup belong to the run, not to the test that triggered it.
        let is_counted = |record: &Record<'_>| {
            record.kind.is_access()
                && record.test != RUN
                && !backtraces.is_from_backtrace(record)
                && !attribution.is_harness(index, record)
        };
        for record in log.records().filter(is_counted) {
            coverage.accesses += 1;
            let Some(test) = attribution.test(index, &record) else {
                coverage.of_no_test += 1;
                continue;
            };
            let (log_of_stack, stack) = start.unwrap_or((index, record.stack));
            let place = CallSite {
                log: log_of_stack,
                stack,
            };
            accesses.second_pass(
                (index, log),
                &working_dirs[index],
                &record,
                test,
                place,
                attribution,
            );
        }
    }
    let claims = Claims::of(&accesses, attribution);
    let (evidence, locked) = claims.evidence(&accesses, run, attribution, groups, Certainty::Known);
    let perhaps = accesses.has_uncertain_locks().then(|| {
        let (evidence, _) = claims.evidence(&accesses, run, attribution, groups, Certainty::Perhaps);
        evidence
    });
    Reading {
        evidence,
        perhaps,
        locked,
        coverage,
        accesses,
    }
}

/// The numbers of tests for [`causes`].
#[derive(Default)]
struct TestNumbers(HashMap<(String, String), usize>);

impl TestNumbers {
    fn get(&mut self, binary: &str, test: &str) -> usize {
        let next = self.0.len();
        *self.0.entry((binary.to_owned(), test.to_owned())).or_insert(next)
    }

    fn of(&mut self, conflict: &Conflict) -> BTreeSet<usize> {
        let tests = conflict.tests.iter();
        tests.map(|test| self.get(&test.binary, test.name())).collect()
    }
}

/// The resource of a claim, by number, or a variable that was cleared with all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum ClaimTarget<'a> {
    File(u32),
    Port(u32),
    Other(u32),
    Mask(u32),
    Executables(u32),
    Descriptors(u32),
    Variable(u32, &'a str),
}

/// A summary of the users of a resource, enough to rule out a conflict.
#[derive(Clone, Copy, Debug)]
struct UseSummary {
    first: u32,
    several: bool,
    written: bool,
}

/// The claims of all accesses.
struct Claims<'a> {
    all: Vec<(&'a TestAccess, ClaimTarget<'a>, Access)>,
    users: HashMap<ClaimTarget<'a>, UseSummary, FastHash>,
}

impl<'a> Claims<'a> {
    fn of(accesses: &'a Accesses<'_>, attribution: &Attribution) -> Self {
        let mut claims = Self {
            all: Vec::new(),
            users: HashMap::default(),
        };
        let listed = DirListings::of(accesses);
        for one in &accesses.all {
            let pid = attribution.tests[one.test as usize].pid;
            match one.effect {
                InternedEffect::File(file, how) => {
                    for name in listed.names(accesses, one) {
                        claims.add(one, ClaimTarget::File(name), Access::List);
                    }
                    if accesses.removed_dirs.is_empty() {
                        claims.add_file(one, file, how);
                        continue;
                    }
                    let path = Path::new(accesses.files.get(file));
                    for (used, access) in accesses.removed_dirs.accesses(path, how, one.test as usize) {
                        if used == path && how == FileAccess::FailedRemoval {
                            claims.add_file(one, file, how);
                        } else if let Some(file) = accesses.files.find(used.as_os_str()) {
                            // Present, since the test that removed it accessed it.
                            claims.add(one, ClaimTarget::File(file), access);
                        }
                    }
                }
                InternedEffect::Port(port, access) => {
                    for port in accesses.ports.met_by(port) {
                        claims.add(one, ClaimTarget::Port(port), access);
                    }
                }
                InternedEffect::Other(other, access) => {
                    let resource = &accesses.others[other as usize];
                    let (kind, name) = (resource.kind(), resource.as_str());
                    let access = if accesses.constant_vars.is_constant(pid, kind, name) {
                        Access::Read
                    } else {
                        access
                    };
                    claims.add(one, ClaimTarget::of(resource, other, pid), access);
                }
                // Every test that creates files depends on the umask, which matters if a test changes it.
                InternedEffect::UsedUmask if accesses.masked.contains(&pid) => {
                    claims.add(one, ClaimTarget::Mask(pid), Access::Read)
                }
                InternedEffect::UsedUmask => {}
                InternedEffect::StartedProcess if accesses.with_written_programs.contains(&pid) => {
                    claims.add(one, ClaimTarget::Executables(pid), Access::Read);
                }
                InternedEffect::OpenedDescriptor if accesses.with_double_closes.contains(&pid) => {
                    claims.add(one, ClaimTarget::Descriptors(pid), Access::Read);
                }
                InternedEffect::StartedProcess | InternedEffect::OpenedDescriptor => {}
                InternedEffect::ClearedVariables => {
                    for name in accesses.variables.get(&pid).into_iter().flatten() {
                        let is_constant = accesses.constant_vars.is_constant(pid, ResourceKind::Env, name);
                        let access = if is_constant { Access::Read } else { Access::Write };
                        claims.add(one, ClaimTarget::Variable(pid, name), access);
                    }
                }
            }
        }
        claims
    }

    fn add(&mut self, one: &'a TestAccess, target: ClaimTarget<'a>, access: Access) {
        self.push(one, target, access, access == Access::Write);
    }

    /// A failed removal is a write of a file that another test creates or removes, and no access otherwise.
    fn add_file(&mut self, one: &'a TestAccess, file: u32, how: FileAccess) {
        let access = how.access();
        self.push(
            one,
            ClaimTarget::File(file),
            access,
            access == Access::Write && how != FileAccess::FailedRemoval,
        );
    }

    fn push(&mut self, one: &'a TestAccess, target: ClaimTarget<'a>, access: Access, changes: bool) {
        let users = self.users.entry(target).or_insert(UseSummary {
            first: one.test,
            several: false,
            written: false,
        });
        users.several |= users.first != one.test;
        users.written |= changes;
        self.all.push((one, target, access));
    }

    /// Returns the claims on resources that can have conflicts, since most files belong to one test; and those made under
    /// locks, as if there were no locks.
    fn evidence(
        &self,
        accesses: &Accesses<'_>,
        run: &str,
        attribution: &Attribution,
        groups: &TestGroups,
        certainty: Certainty,
    ) -> (Evidence, Evidence) {
        let (mut evidence, mut locked) = (Evidence::new(), Evidence::new());
        evidence.list_up_to(usize::MAX);
        locked.list_up_to(usize::MAX);
        for (one, target, access) in &self.all {
            if !self
                .users
                .get(target)
                .is_some_and(|users| users.several && users.written)
            {
                continue;
            }
            let resource = match target {
                ClaimTarget::File(file) => accesses.file(*file),
                ClaimTarget::Port(port) => accesses.ports.resource(*port),
                ClaimTarget::Other(other) => accesses.others[*other as usize].clone(),
                ClaimTarget::Mask(_) => Resource::umask(),
                ClaimTarget::Executables(_) => executables(),
                ClaimTarget::Descriptors(_) => descriptors(),
                ClaimTarget::Variable(_, name) => Resource::env(*name),
            };
            let claim = (*one, &resource, *access);
            let locks = locks((accesses, certainty), one, attribution, groups);
            enter(&mut evidence, claim, run, attribution, &locks);
            // The lock file itself is not the protected resource.
            if !locks.is_empty() && !locks.iter().any(|lock| lock == resource.as_str()) {
                enter(&mut locked, claim, run, attribution, &[]);
            }
        }
        (evidence, locked)
    }

    /// Returns the files that have claims.
    fn files(&self) -> impl Iterator<Item = u32> {
        self.all.iter().filter_map(|(_, target, _)| match target {
            ClaimTarget::File(file) => Some(*file),
            _ => None,
        })
    }

    /// Returns for each file the tests that came there only by a working directory that another test had set.
    fn via_foreign_cwd(&self) -> HashMap<u32, Vec<u32>> {
        let mut accesses: HashMap<(u32, u32), bool> = HashMap::new();
        for (one, target, _) in &self.all {
            if let ClaimTarget::File(file) = target {
                *accesses.entry((*file, one.test)).or_insert(true) &= one.via_foreign_cwd;
            }
        }
        let mut via_foreign_cwd: HashMap<u32, Vec<u32>> = HashMap::new();
        for ((file, test), _) in accesses
            .into_iter()
            .filter(|(_, via_foreign_cwd)| *via_foreign_cwd)
        {
            via_foreign_cwd.entry(file).or_default().push(test);
        }
        via_foreign_cwd
    }

    /// Returns the claims on files with a common cause as claims on that cause.
    fn on_causes(
        &self,
        accesses: (&Accesses<'_>, Certainty),
        run: &str,
        attribution: &Attribution,
        groups: &TestGroups,
        kind: Kind,
        cause: &CauseOf<'_>,
    ) -> Evidence {
        let mut evidence = Evidence::new();
        evidence.list_up_to(usize::MAX);
        for (one, target, access) in &self.all {
            let ClaimTarget::File(file) = target else { continue };
            let Some((resource, place)) = cause(*file, one) else {
                continue;
            };
            let claimed = TestAccess { place, ..**one };
            let mut locks = locks(accesses, one, attribution, groups);
            if kind == Kind::OrderLeak {
                // An order leak is a conflict between processes, so tests of one process guard each other here.
                locks.push(format!("process {}", attribution.tests[one.test as usize].pid));
            }
            enter(
                &mut evidence,
                (&claimed, &resource, *access),
                run,
                attribution,
                &locks,
            );
        }
        evidence
    }
}

/// Returns the locks held at an access, and the test group.
fn locks(
    (accesses, certainty): (&Accesses<'_>, Certainty),
    one: &TestAccess,
    attribution: &Attribution,
    groups: &TestGroups,
) -> Vec<String> {
    let set = match certainty {
        Certainty::Known => one.locks,
        Certainty::Perhaps => one.perhaps,
    };
    let mut locks = accesses.locks.names(accesses.sets.get(set));
    locks.extend(
        groups
            .lock_name(attribution.tests[one.test as usize].pid)
            .cloned(),
    );
    locks
}

fn enter(
    evidence: &mut Evidence,
    (one, resource, access): (&TestAccess, &Resource, Access),
    run: &str,
    attribution: &Attribution,
    locks: &[String],
) {
    let test = &attribution.tests[one.test as usize];
    evidence.observe(&Observed {
        run,
        binary: &test.binary,
        pid: test.pid,
        started: test.started,
        in_turn: test.in_turn,
        test: &test.name,
        attempt: 1,
        resource: resource.clone(),
        access,
        guards: locks,
        place: &format!("#{}", one.place),
        window: (one.at, test.end.max(one.at)),
    });
}

/// The facts about paths that the accesses show.
struct UsedPaths<'a> {
    accesses: &'a Accesses<'a>,
    suite: &'a [PathBuf],
    made: HashSet<&'a OsStr>,
    directories: HashSet<&'a OsStr>,
}

impl<'a> UsedPaths<'a> {
    fn of(accesses: &'a Accesses<'_>, suite: &'a [PathBuf]) -> Self {
        let (mut made, mut directories) = (HashSet::new(), HashSet::new());
        for one in &accesses.all {
            let InternedEffect::File(file, how) = one.effect else {
                continue;
            };
            let path = accesses.files.get(file);
            if may_create(how) {
                made.insert(path);
            }
            if matches!(how, FileAccess::MakeDir | FileAccess::List) {
                directories.insert(path);
            }
            directories.extend(Path::new(path).parent().map(Path::as_os_str));
        }
        Self {
            accesses,
            suite,
            made,
            directories,
        }
    }
}

/// Returns whether the access may have created the path.
fn may_create(how: FileAccess) -> bool {
    matches!(
        how,
        FileAccess::MakeDir | FileAccess::Write | FileAccess::AddOrRemove
    )
}

impl PathFacts for UsedPaths<'_> {
    fn is_used(&self, path: &Path) -> bool {
        self.accesses.files.find(path.as_os_str()).is_some()
    }

    fn is_made(&self, path: &Path) -> bool {
        self.made.contains(path.as_os_str())
    }

    fn is_directory(&self, path: &Path) -> bool {
        self.directories.contains(path.as_os_str())
    }

    fn is_common(&self, path: &Path) -> bool {
        let temporary = env::temp_dir();
        let shared = ["/tmp", "/dev/shm"].map(Path::new);
        let home = env::home_dir();
        let mut all = self
            .suite
            .iter()
            .map(PathBuf::as_path)
            .chain(shared)
            .chain([temporary.as_path()])
            .chain(home.as_deref());
        all.any(|common| common.starts_with(path)) || cofferdam::diagnostics::is_target(path)
    }

    fn holds_the_suite(&self, path: &Path) -> bool {
        self.suite.iter().any(|package| package.starts_with(path))
    }
}

impl<'a> ClaimTarget<'a> {
    /// Returns the target of a claim. The umask, variables, executables and descriptors belong to one process.
    fn of(resource: &'a Resource, number: u32, pid: u32) -> Self {
        let kind = resource.kind();
        if kind == ResourceKind::Umask {
            Self::Mask(pid)
        } else if kind == ResourceKind::Executable {
            Self::Executables(pid)
        } else if kind == ResourceKind::Descriptors {
            Self::Descriptors(pid)
        } else if kind == ResourceKind::Env {
            Self::Variable(pid, resource.as_str())
        } else {
            Self::Other(number)
        }
    }
}
