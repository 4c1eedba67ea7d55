//! All uses of statics by tests, also of those that make no conflict: counters, and statics that tests only read or initialize. They
//! matter if a test fails that does not fail alone.

use super::format::{Kind, RUN};
use super::log::Log;
use super::log::attribution::Attribution;
use super::log::source_lines::{CallSite, LineResolver};
use super::site_table::{ACCESS, COUNT, WRITE};
use cofferdam::format::ResourceKind;
use cofferdam::{Access, Resource};
use cofferdam_conflicts::{Conflict, Kind as ConflictKind, StaticFacts, Test, Use};
use std::collections::BTreeMap;

/// The statics of all processes by process and path.
#[derive(Debug, Default)]
pub(super) struct StaticUses {
    all: BTreeMap<(u32, String), UsersOfStatic>,
}

#[derive(Debug, Default)]
struct UsersOfStatic {
    /// Its declaration, as the table of statics has it: `/w/src/lib.rs:7`.
    line: String,
    /// Set if numbers are added to it, and it is neither read nor set.
    is_only_counted: bool,
    /// The first use of each way by each test, with its time.
    users: BTreeMap<usize, BTreeMap<Access, (CallSite, u64)>>,
}

impl StaticUses {
    pub(super) fn read(logs: &[Log], attribution: &Attribution) -> Self {
        let mut uses = Self::default();
        for (index, log) in logs.iter().enumerate().filter(|(index, _)| !attribution.is_replaced(*index)) {
            for record in log.records() {
                if record.kind != Kind::UseStatic || record.test == RUN {
                    continue;
                }
                let Some(test) = attribution.test(index, &record) else {
                    continue;
                };
                let one = uses
                    .all
                    .entry((log.pid(), record.words().into_owned()))
                    .or_insert_with(|| UsersOfStatic {
                        line: String::from_utf8_lossy(record.second).into_owned(),
                        is_only_counted: true,
                        users: BTreeMap::new(),
                    });
                let how = record.value as u8 & ACCESS;
                one.is_only_counted &= how == COUNT;
                let access = if how == WRITE { Access::Write } else { Access::Read };
                let place = CallSite::Stack {
                    log: index,
                    stack: record.stack,
                };
                let of_test = one.users.entry(test).or_default();
                of_test.entry(access).or_insert((place, record.at));
            }
        }
        uses
    }

    /// Returns the line that declares a static of a process, as the table of statics has it.
    pub(super) fn line(&self, pid: u32, name: &str) -> Option<&str> {
        Some(&self.all.get(&(pid, name.to_owned()))?.line)
    }

    /// Returns whether numbers are only added to a static.
    pub(super) fn is_only_counted(&self, pid: u32, name: &str) -> bool {
        let one = self.all.get(&(pid, name.to_owned()));
        one.is_some_and(|one| one.is_only_counted)
    }

    /// Returns the statics that several tests use and none is known to change, as conflicts without lines.
    pub(super) fn unchanged(&self, attribution: &Attribution, run: &str) -> Vec<Conflict> {
        let is_changed = |one: &UsersOfStatic| {
            let mut users = one.users.values();
            users.any(|uses| uses.contains_key(&Access::Write))
        };
        let shared = self.all.iter().filter(|(_, one)| one.users.len() > 1 && !is_changed(one));
        shared.map(|((pid, name), one)| {
            let tests = one.users.iter().map(|(test, uses)| {
                let known = &attribution.tests[*test];
                let uses = uses.iter().map(|(access, (_, at))| Use {
                    access: Some(*access),
                    service: None,
                    place: None,
                    test_place: None,
                    from: *at,
                    to: *at,
                });
                Test {
                    run: run.to_owned(),
                    worker: String::new(),
                    pid: *pid,
                    binary: known.binary.clone(),
                    package: String::new(),
                    runner: None,
                    name: Some(known.name.clone()),
                    attempt: 1,
                    grade: None,
                    fails_alone: false,
                    uses: uses.collect(),
                }
            });
            let tests: Vec<Test> = tests.collect();
            Conflict {
                kind: ConflictKind::SharedResource,
                resource: Some(Resource::new(ResourceKind::Static, name)),
                service: None,
                grade: None,
                overlapped: false,
                between_runs: false,
                message: format!("static {name} is used by {} tests", tests.len()),
                help: String::new(),
                output: None,
                name_parts: None,
                static_facts: Some(StaticFacts::default()),
                use_count: tests.len() as u64,
                tests,
                pairs: Vec::new(),
                pair_count: 0,
            }
        })
        .collect()
    }

    /// Returns the lines of a test's use of a static.
    pub(super) fn place(&self, pid: u32, name: &str, is_it: impl Fn(usize) -> bool, access: Access) -> Option<CallSite> {
        let one = self.all.get(&(pid, name.to_owned()))?;
        let (_, uses) = one.users.iter().find(|(test, _)| is_it(**test))?;
        Some(uses.get(&access)?.0)
    }
}

/// The resources that the initializers of statics read, by process and static.
pub(super) type Captured = BTreeMap<(u32, String), Vec<Resource>>;

/// Returns the path of the static whose initializer a call is in, if the call is in one: a closure in the static's path, or the
/// function that `lazy_static!` makes.
pub(super) fn initialized_by(function: &str) -> Option<String> {
    if let Some(static_ref) = function.strip_suffix("::__static_ref_initialize") {
        return Some(format!("{static_ref}::__stability::LAZY"));
    }
    let (path, closure) = function.rsplit_once("::")?;
    closure.starts_with("{{closure}}").then(|| path.to_owned()).or_else(|| closure.starts_with("{closure#").then(|| path.to_owned()))
}

/// Returns the static whose initializer an access is made from.
pub(super) fn initializer(lines: &mut LineResolver<'_>, place: CallSite, is_static: impl Fn(&str) -> bool) -> Option<String> {
    let functions = lines.functions(place);
    let mut paths = functions.iter().filter_map(|function| initialized_by(function));
    paths.find(|path| is_static(path))
}
