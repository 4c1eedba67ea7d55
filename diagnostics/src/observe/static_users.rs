//! All uses of statics by tests, including statics without a conflict: counters, and statics that tests only read or
//! initialize. They matter for a test that fails, but not alone.

use super::format::{Kind, RUN};
use super::interpret::reading::Reading;
use super::log::Log;
use super::log::attribution::Attribution;
use super::log::source_lines::{CallSite, LineResolver, display_path};
use super::observed_tests::ObservedTests;
use super::site_table::{ACCESS, COUNT, READ};
use super::statics::own_path;
use cofferdam::format::ResourceKind;
use cofferdam::{Access, Resource};
use cofferdam_conflicts::{Conflict, Kind as ConflictKind, Runner, StaticFacts, Test, Use};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The used statics, by process and path.
#[derive(Debug, Default)]
pub(super) struct StaticUses {
    all: BTreeMap<(u32, String), UsersOfStatic>,
}

#[derive(Debug, Default)]
struct UsersOfStatic {
    /// The line of its declaration in the table of statics: `/w/src/lib.rs:7`.
    line: String,
    /// Set if numbers are added to it, and it is neither read nor set.
    is_only_counted: bool,
    /// The place and time of the first read and the first write by each test.
    users: BTreeMap<usize, BTreeMap<Access, (CallSite, u64)>>,
}

impl StaticUses {
    pub(super) fn read(logs: &[Log], attribution: &Attribution) -> Self {
        let mut uses = Self::default();
        for (index, log) in logs
            .iter()
            .enumerate()
            .filter(|(index, _)| !attribution.is_replaced(*index))
        {
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
                let access = if how == READ { Access::Read } else { Access::Write };
                let place = CallSite {
                    log: index,
                    stack: record.stack,
                };
                let of_test = one.users.entry(test).or_default();
                of_test.entry(access).or_insert((place, record.at));
            }
        }
        uses
    }

    /// Returns the line that declares a static of a process, as in the table of statics.
    pub(super) fn line(&self, pid: u32, name: &str) -> Option<&str> {
        Some(&self.all.get(&(pid, name.to_owned()))?.line)
    }

    /// The same, relative to `root`.
    pub(super) fn declaration(&self, pid: u32, name: &str, root: &Path) -> Option<String> {
        let (file, line) = self.line(pid, name)?.rsplit_once(':')?;
        Some(format!("{}:{line}", display_path(file, root)))
    }

    /// Adds the lines of a test's first use of a static to its uses without lines, such as a change found at the test's end.
    pub(super) fn add_lines(
        &self,
        conflict: &mut Conflict,
        name: &str,
        observed: &ObservedTests,
        lines: &mut LineResolver<'_>,
    ) {
        for test in &mut conflict.tests {
            let Some(one) = self.all.get(&(test.pid, name.to_owned())) else {
                continue;
            };
            let mut users = one.users.iter();
            let own = users.find(|(number, _)| observed.tests[**number].name == test.name());
            let Some((place, _)) = own.and_then(|(_, uses)| uses.values().next()) else {
                continue;
            };
            for used in test.uses.iter_mut().filter(|used| used.place.is_none()) {
                used.place = lines.line(*place);
                used.test_place = lines.test_line(*place, test.name.as_deref().unwrap_or_default());
            }
        }
    }

    /// Returns the statics that several tests use and none is known to change, as conflicts.
    pub(super) fn unchanged(
        &self,
        run: &str,
        observed: &ObservedTests,
        lines: &mut LineResolver<'_>,
        root: &Path,
    ) -> Vec<Conflict> {
        let is_changed = |one: &UsersOfStatic| {
            let mut users = one.users.values();
            !one.is_only_counted && users.any(|uses| uses.contains_key(&Access::Write))
        };
        let mut conflicts = Vec::new();
        for ((pid, name), one) in &self.all {
            if one.users.len() < 2 || is_changed(one) {
                continue;
            }
            let mut tests = Vec::new();
            for (number, uses) in &one.users {
                let known = &observed.tests[*number];
                let uses = uses.iter().map(|(access, (place, at))| Use {
                    access: Some(*access),
                    service: None,
                    place: lines.line(*place),
                    test_place: lines.test_line(*place, &known.name),
                    from: *at,
                    to: *at,
                });
                tests.push(Test {
                    run: run.to_owned(),
                    worker: String::new(),
                    pid: *pid,
                    uses: uses.collect(),
                    binary: known.binary.clone(),
                    package: observed.package(*pid),
                    runner: Some(Runner::CargoTest),
                    name: Some(known.name.clone()),
                    attempt: 1,
                    grade: None,
                    fails_alone: false,
                });
            }
            conflicts.push(Conflict {
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
                static_facts: Some(StaticFacts {
                    declared: self.declaration(*pid, name, root),
                    ..StaticFacts::default()
                }),
                use_count: tests.len() as u64,
                tests,
                pairs: Vec::new(),
                pair_count: 0,
            });
        }
        conflicts
    }
}

/// Returns the path of the static that a conflict is on, if it is on one.
pub(super) fn static_of(conflict: &Conflict) -> Option<&str> {
    let resource = conflict.resource.as_ref()?;
    (resource.kind() == ResourceKind::Static).then_some(resource.as_str())
}

/// The resources that the initializers of statics read and a test changes, by process and path of the static.
pub(super) type Captured = BTreeMap<(u32, String), BTreeSet<Resource>>;

/// Returns the resources that initializers of statics read and a test changes.
pub(super) fn captured(
    reading: &Reading<'_>,
    uses: &StaticUses,
    observed: &ObservedTests,
    lines: &mut LineResolver<'_>,
) -> Captured {
    let changes = reading.used().filter(|one| one.access == Access::Write);
    let changed: BTreeSet<Resource> = changes.map(|one| one.resource).collect();
    let mut captured = Captured::new();
    for one in reading.used() {
        if one.access == Access::Write || !changed.contains(&one.resource) {
            continue;
        }
        let pid = observed.tests[one.test].pid;
        let functions = reading.place(one.place).map(|place| lines.functions(place));
        let paths = functions.unwrap_or_default();
        let mut paths = paths.iter().filter_map(|function| initialized_by(function));
        if let Some(path) = paths.find(|path| uses.line(pid, path).is_some())
            && path != one.resource.as_str()
        {
            captured.entry((pid, path)).or_default().insert(one.resource);
        }
    }
    captured
}

/// Returns the path of the static that a function initializes. The function is a closure in the path of the static, or
/// generated by `lazy_static!`.
fn initialized_by(function: &str) -> Option<String> {
    let (path, last) = function.rsplit_once("::")?;
    match last {
        "__static_ref_initialize" => Some(own_path(&format!("{path}::__stability::LAZY"))),
        closure if closure.starts_with('{') => Some(path.to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_initializer_of_a_static_is_recognized_by_its_name() {
        for (function, path) in [
            ("shop::CACHE::{{closure}}", Some("shop::CACHE")),
            ("shop::CACHE::{closure#0}", Some("shop::CACHE")),
            (
                "<shop::CACHE as core::ops::deref::Deref>::deref::__static_ref_initialize",
                Some("shop::CACHE"),
            ),
            ("shop::load", None),
            ("main", None),
        ] {
            assert_eq!(initialized_by(function).as_deref(), path, "{function}");
        }
    }
}
