//! Timelines of a run: the times at which its tests used the resources, read from the observer's logs.
//!
//! A use lasts from the call to the end of the pause after it. If two uses overlap, no guard separates the tests.

use super::env_lock::EnvAccess;
use super::pauses::Pauses;
use crate::observe::causes::covers;
use crate::observe::format::Kind;
use crate::observe::interpret::accesses::WorkingDirs;
use crate::observe::interpret::paths::Links;
use crate::observe::interpret::written_programs::WrittenPrograms;
use crate::observe::interpret::{Effect, FileAccess, effects, is_shared, through_links};
use crate::observe::log::Log;
use crate::observe::log::attribution::{Attribution, KnownTests};
use crate::observe::log::backtraces::BacktraceFilter;
use cofferdam::Resource;
use cofferdam::format::ResourceKind;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// A test: its program and its name.
pub(super) type Name<'a> = (&'a str, &'a str);

/// The maximum time between uses of one visit, in microseconds.
const AT_ONCE: u64 = 20_000;

/// The beginning and the end of a use, and whether it is a change.
pub(super) type Span = (u64, u64, bool);

/// The maximum number of uses to compare, which bounds the time; later uses hardly add an overlap.
const MOST: usize = 4096;

/// A test's first visit to a resource, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) from: u64,
    /// The end of the last pause of the visit.
    pub(super) to: u64,
    /// Set if the test paused at all.
    pub(super) paused: bool,
    /// Set if it had waited for std's lock around all variables on its way to another variable. The pausing test holds that
    /// lock.
    pub(super) waited_for_std: bool,
}

impl Window {
    /// Returns the duration of the visit in microseconds.
    pub(super) fn length(self) -> u64 {
        self.to.saturating_sub(self.from)
    }
}

/// The uses of some resources by one test of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Timeline {
    /// The time at which the test began.
    pub(super) began: Option<u64>,
    /// By resource, in the order in which they began.
    pub(super) uses: Vec<Vec<Span>>,
    /// Set if it paused at one of the resources.
    pub(super) paused: bool,
    /// Set if it waited for std's lock around all variables before its first use, on its way to another variable.
    pub(super) waited_for_std: bool,
    /// The time at which it began such a wait between its first use and its first change.
    pub(super) change_waited_for_std: Option<u64>,
}

/// The first change of a resource by a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) at: u64,
    /// The time since the test began, in microseconds, without its pauses at the resource.
    pub(super) after: u64,
    /// The sum of these pauses.
    pub(super) paused: u64,
}

impl Timeline {
    /// Notes a wait for std's lock around all variables that is not part of an access to one of the resources.
    fn waits_for_std(&mut self, since: u64) {
        if self.first().is_none() {
            self.waited_for_std = true;
        } else if !self.uses.iter().flatten().any(|(_, _, writes)| *writes) {
            self.change_waited_for_std = self.change_waited_for_std.or(Some(since));
        }
    }

    /// Returns the time of the first use of any of the resources.
    pub(super) fn first(&self) -> Option<u64> {
        self.uses.iter().flatten().map(|(from, ..)| *from).min()
    }

    /// Returns the first visit to these resources.
    pub(super) fn window(&self, of: &[usize]) -> Option<Window> {
        let uses = self.first_visit(of);
        let (from, ..) = *uses.first()?;
        let ends = |(_, end, _): &Span| *end;
        let changes = uses.iter().filter(|(_, _, writes)| *writes);
        // After its last change the resource is as the test leaves it, so a guard may be released here.
        let last_change = changes.map(|(from, ..)| *from).max();
        let until = |(begun, ..): &&Span| last_change.is_none_or(|last| *begun <= last);
        Some(Window {
            from,
            to: uses.iter().filter(until).map(ends).max()?,
            paused: self.paused,
            waited_for_std: self.waited_for_std,
        })
    }

    /// Returns the time from the test's beginning to its first use of the resource.
    pub(super) fn arrival(&self, resource: usize) -> Option<u64> {
        let (from, ..) = self.uses[resource].first()?;
        Some(from.saturating_sub(self.began?))
    }

    /// Returns the uses of the first visit: those that follow each other within [`AT_ONCE`].
    fn first_visit(&self, of: &[usize]) -> Vec<Span> {
        let mut uses: Vec<Span> = of.iter().flat_map(|one| &self.uses[*one]).copied().collect();
        uses.sort_unstable();
        let mut end = uses.first().map_or(0, |(_, end, _)| *end);
        let length = uses.iter().take_while(|(from, to, _)| {
            let follows = *from <= end + AT_ONCE;
            end = end.max(*to);
            follows
        });
        let length = length.count();
        uses.truncate(length);
        uses
    }

    /// Returns whether all uses of the resource are in the first visit to `of`.
    pub(super) fn uses_only_within(&self, resource: usize, of: &[usize]) -> bool {
        let timeline = self.first_visit(of);
        let last = timeline.last().map_or(0, |(from, ..)| *from);
        self.uses[resource].iter().all(|(from, ..)| *from <= last)
    }

    pub(super) fn uses_resource(&self, resource: usize) -> bool {
        !self.uses[resource].is_empty()
    }

    pub(super) fn changes(&self, resource: usize) -> bool {
        self.last_change(resource).is_some()
    }

    fn last_change(&self, resource: usize) -> Option<u64> {
        let changes = self.uses[resource].iter().filter(|(_, _, writes)| *writes);
        changes.map(|(from, ..)| *from).max()
    }

    /// Returns the first change; `None` if there is none or the beginning of the test is unknown.
    pub(super) fn change(&self, resource: usize) -> Option<Change> {
        let uses = &self.uses[resource];
        let first = uses.iter().position(|(_, _, writes)| *writes)?;
        let (at, ..) = uses[first];
        let paused = uses[..first].iter().map(|(from, to, _)| to - from).sum();
        let after = at.checked_sub(self.began?)?.saturating_sub(paused);
        Some(Change { at, after, paused })
    }

    /// Returns whether two uses overlap, one of which is a change.
    pub(super) fn conflict_tests(&self, other: &Self, resource: usize) -> bool {
        self.any_overlap(other, resource, |a, b| a.2 || b.2)
    }

    /// Returns whether both read the resource at the same time and one of them changes it later, which a reader-writer lock
    /// allows. Reads after the last change do not count: often one test creates the resource for all.
    pub(super) fn reads_alongside(&self, other: &Self, resource: usize) -> bool {
        let last = self.last_change(resource).max(other.last_change(resource));
        self.any_overlap(other, resource, |a, b| last >= Some(a.0.max(b.0)))
    }

    fn any_overlap(&self, other: &Self, resource: usize, counts: impl Fn(&Span, &Span) -> bool) -> bool {
        self.uses[resource].iter().take(MOST).any(|a| {
            let others = other.uses[resource].iter().take(MOST).take_while(|b| b.0 < a.1);
            let mut overlapping = others.filter(|b| a.0 < b.1);
            overlapping.any(|b| counts(a, b))
        })
    }
}

/// Returns the timeline of each test in `names`, with the uses of each resource in `resources`.
///
/// `env_access` returns the purpose for which a call stack is in one of std's functions for variables, if it is in one.
pub(super) fn timelines(
    logs: &[Log],
    names: &[Name<'_>],
    resources: &[Resource],
    pauses: Pauses,
    env_access: &dyn Fn(&Log, u32) -> Option<EnvAccess>,
) -> Vec<Timeline> {
    let attribution = Attribution::of(logs, &known(logs, names));
    // The position in `names` of each attributed test.
    let positions: Vec<Option<usize>> = attribution
        .tests
        .iter()
        .map(|test| {
            let own = (test.binary.as_str(), test.name.as_str());
            names.iter().position(|name| *name == own)
        })
        .collect();
    let (mut links, mut backtraces) = (Links::default(), BacktraceFilter::default());
    let empty = Timeline {
        uses: vec![Vec::new(); resources.len()],
        ..Timeline::default()
    };
    let mut timelines = vec![empty; names.len()];
    for (index, log) in logs.iter().enumerate() {
        backtraces.scan(log);
        let working_dirs = WorkingDirs::of(log);
        let mut programs = WrittenPrograms::default();
        for record in log.records() {
            programs.add(log, &record, working_dirs.get(log, &record), &mut links);
        }
        // The time since which a test waits for std's lock around the variables.
        let mut waiting = vec![None; names.len()];
        // The same for the late test in a call that reads all variables.
        let mut reads_all = None;
        if let Some(one) = attribution.test_of(index, 0).filter(|_| log.is_test())
            && let Some(position) = positions[one]
        {
            timelines[position].began.get_or_insert(log.began());
        }
        for record in log.records() {
            if record.kind == Kind::Test {
                let position = attribution
                    .test_of(index, record.value)
                    .and_then(|test| positions[test]);
                if let Some(position) = position {
                    timelines[position].began.get_or_insert(record.at);
                }
            }
            let is_looked_at = record.kind.is_access() || record.kind == Kind::Waits;
            if !is_looked_at || backtraces.is_from_backtrace(&record) {
                continue;
            }
            let Some(position) = attribution.test(index, &record).and_then(|test| positions[test]) else {
                continue;
            };
            if record.kind == Kind::Waits {
                match env_access(log, record.stack) {
                    Some(EnvAccess::One) => _ = waiting[position].get_or_insert(record.at),
                    // It names no resource, so a later use of one may have another reason.
                    Some(access) => {
                        timelines[position].waits_for_std(record.at);
                        if access == EnvAccess::All && pauses.late == Some(position) {
                            reads_all = reads_all.or(Some(record.at));
                        }
                    }
                    // The state that this other lock guards may be the reason.
                    None => timelines[position].waited_for_std |= reads_all.take().is_some(),
                }
                continue;
            }
            let is_variable = matches!(
                record.kind,
                Kind::GetVariable | Kind::SetVariable | Kind::UnsetVariable
            );
            let since = waiting[position].take_if(|_| is_variable);
            let pause = record.pause();
            let (first, others) = if log.is_test() {
                pauses.of(position)
            } else {
                (0, pauses.of_child())
            };
            let length = pause.map_or(0, |is_first| if is_first { first } else { others });
            // It found the variable when it read all.
            let found = reads_all.filter(|_| is_variable && pauses.late == Some(position));
            let (from, to) = (since.unwrap_or(record.at), record.at + length * 1000);
            let shared = is_shared(log, &record);
            let effects = effects(&record, working_dirs.get(log, &record), shared);
            let effects = effects
                .into_iter()
                .flat_map(|effect| through_links(effect, &record, &mut links));
            let mut effects: Vec<Effect> = effects.flatten().collect();
            let written = |effect| programs.effect(log.pid(), &record, effect).filter(|_| shared);
            let written = effects.iter().find_map(written);
            effects.extend(written);
            let timeline = &mut timelines[position];
            let mut is_there = false;
            for (resource, uses) in resources.iter().zip(&mut timeline.uses) {
                let own = effects.iter().filter(|effect| is_use(effect, resource));
                if let Some(writes) = own.map(Effect::writes).max() {
                    // The observer lets every other test pause for longer there.
                    let is_longer = resource.kind() == ResourceKind::Executable && record.test % 2 == 1;
                    let to = if is_longer { to + (to - record.at) / 2 } else { to };
                    uses.extend(found.map(|since| (since, since, false)));
                    uses.push((from, to, writes));
                    is_there = true;
                }
            }
            if is_there {
                timeline.paused |= pause.is_some();
            } else if let Some(since) = since {
                timeline.waits_for_std(since);
            }
        }
    }
    // Several processes may work for one test, each with a log of its own.
    timelines
        .iter_mut()
        .flat_map(|timeline| &mut timeline.uses)
        .for_each(|uses| uses.sort_unstable());
    timelines
}

/// Returns whether the effect is a use of the resource: of the resource itself, of a path below it, or a listing of its
/// directory.
fn is_use(effect: &Effect, resource: &Resource) -> bool {
    match effect {
        Effect::File(path, how) => {
            let lists = || *how == FileAccess::List && Path::new(resource.as_str()).parent() == Some(path);
            covers(resource, path) || resource.kind() == ResourceKind::File && lists()
        }
        Effect::Port(port, _) => port.is(resource),
        Effect::Other(other, _) => other == resource,
        Effect::UsedUmask => resource.kind() == ResourceKind::Umask,
        Effect::OpenedDescriptor => resource.kind() == ResourceKind::Descriptors,
        Effect::StartedProcess => resource.kind() == ResourceKind::Executable,
        Effect::ClearedVariables => resource.kind() == ResourceKind::Env,
    }
}

/// Returns the tests of the programs without listing them: only these tests ran.
fn known(logs: &[Log], names: &[Name<'_>]) -> KnownTests {
    let names: BTreeSet<String> = names.iter().map(|(_, name)| (*name).to_owned()).collect();
    let programs = logs.iter().filter(|log| log.is_test()).flat_map(|log| {
        let program = log.records().find(|record| record.kind == Kind::Program);
        program.map(|record| PathBuf::from(&*record.words()))
    });
    KnownTests {
        lists: programs.map(|program| (program, names.clone())).collect(),
        ..KnownTests::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::format::{PAUSED, PAUSED_FIRST};
    use crate::observe::log::test_log::LogBuilder;
    use std::cell::RefCell;

    const A: u32 = 1;
    const B: u32 = 2;

    /// A program with two tests, which were named `a` and `b`.
    fn program() -> LogBuilder {
        let mut made = LogBuilder::new(7, 1, true);
        made.record(1, 0, Kind::Program, 0, "/t/shop", b"");
        made.record(2, 0, Kind::Test, A.into(), "a", b"");
        made.record(2, 0, Kind::Test, B.into(), "b", b"");
        made
    }

    fn found(made: &LogBuilder, resource: &Resource) -> [Option<(u64, u64, bool)>; 2] {
        let pauses = Pauses {
            first: 3,
            others: 2,
            ..Pauses::USUAL
        };
        let env_access = |_: &Log, stack: u32| (stack == 0).then_some(EnvAccess::One);
        let timelines = timelines(
            &[made.log()],
            &[("shop", "a"), ("shop", "b")],
            std::slice::from_ref(resource),
            pauses,
            &env_access,
        );
        [0, 1].map(|test| {
            let window = timelines[test].window(&[0]);
            window.map(|window| (window.from, window.to, window.paused))
        })
    }

    #[test]
    fn a_visit_ends_with_the_pause_of_its_last_use() {
        let mut made = program();
        for (at, test, flags, file) in [
            (1_000, A, PAUSED_FIRST, "/f"),
            (5_000, A, PAUSED, "/f"),
            (6_000, B, 0, "/other"),
            (7_000, B, PAUSED_FIRST, "/f"),
            (20_000, B, 0, "/f"),
            (100_000, A, 0, "/f"),
        ] {
            made.flagged(at, test, Kind::Open, flags, 0, file.as_bytes(), b"");
        }
        let found = found(&made, &Resource::file("/f"));
        assert_eq!(found, [Some((1_000, 7_000, true)), Some((7_000, 20_000, true))]);
    }

    /// Whether changes meet that begin and end so.
    fn entry(a: &[(u64, u64)], b: &[(u64, u64)]) -> bool {
        let changes = |uses: &[(u64, u64)]| uses.iter().map(|(from, to)| (*from, *to, true)).collect();
        met(changes(a), changes(b))
    }

    fn met(a: Vec<Span>, b: Vec<Span>) -> bool {
        let timeline = |uses: Vec<Span>| Timeline {
            uses: vec![uses],
            ..Timeline::default()
        };
        let (a, b) = (timeline(a), timeline(b));
        assert_eq!(a.conflict_tests(&b, 0), b.conflict_tests(&a, 0));
        a.conflict_tests(&b, 0)
    }

    #[test]
    fn tests_overlap_during_their_uses_and_not_between_them() {
        assert!(entry(&[(0, 80)], &[(79, 160)]));
        assert!(entry(&[(0, 80)], &[(40, 40)]));
        assert!(entry(&[(0, 10), (50, 90)], &[(20, 30), (80, 85)]));
        assert!(entry(&[(0, 100), (10, 20)], &[(90, 95)]));
        // Who only touch were kept apart; and a lock may be given back and taken again.
        assert!(!entry(&[(0, 80)], &[(80, 160)]));
        assert!(!entry(&[(0, 10), (50, 60)], &[(20, 30)]));
        assert!(!entry(&[], &[(20, 30)]));
    }

    #[test]
    fn reads_of_a_resource_that_one_test_created_for_all_do_not_count() {
        let (made, both_read) = ((0, 80, true), (80, 160, false));
        let after = (90, 170, false);
        assert!(!met(vec![made, both_read], vec![after]));
        assert!(met(vec![made, both_read], vec![(70, 150, false)]));
    }

    #[test]
    fn simultaneous_reads_are_no_overlap_but_noted_if_a_change_follows() {
        let (read, write, later) = ((80, 160, false), (160, 240, true), (90, 150, false));
        let timeline = |uses: &[Span]| Timeline {
            began: Some(10),
            uses: vec![uses.to_vec()],
            ..Timeline::default()
        };
        for (a, b, both_read) in [
            (&[read, write][..], &[later][..], true),
            (&[read], &[later], false),
            // What one made for all.
            (&[(0, 70, true), read], &[later], false),
        ] {
            let (a, b) = (timeline(a), timeline(b));
            assert!(!a.conflict_tests(&b, 0));
            assert_eq!(a.reads_alongside(&b, 0), both_read);
            assert_eq!(b.reads_alongside(&a, 0), both_read);
        }
        let change = Change {
            at: 160,
            after: 70,
            paused: 80,
        };
        assert_eq!(timeline(&[read, write]).change(0), Some(change));
        assert_eq!(timeline(&[read]).change(0), None);
    }

    #[test]
    fn a_test_that_waits_in_std_for_another_variable_is_delayed() {
        for (first, waited_for_std) in [("HOME", false), ("OTHER", true)] {
            let mut made = program();
            made.record(1_000, B, Kind::Waits, 0, "", b"");
            made.record(4_000, B, Kind::GetVariable, 0, first, b"");
            made.record(5_000, B, Kind::GetVariable, 0, "HOME", b"");
            made.record(6_000, B, Kind::Waits, 0, "", b"");
            made.record(7_000, B, Kind::GetVariable, 0, "OTHER", b"");
            let timelines = timelines(
                &[made.log()],
                &[("shop", "a"), ("shop", "b")],
                &[Resource::env("HOME")],
                Pauses::USUAL,
                &|_, _| Some(EnvAccess::One),
            );
            assert_eq!(timelines[1].waited_for_std, waited_for_std, "{first}");
        }
    }

    #[test]
    fn a_path_below_a_directory_is_a_use_of_it_and_a_similar_name_is_not() {
        let mut made = program();
        made.record(1_000, A, Kind::Open, 0, "/d/x", b"");
        made.record(1_000, B, Kind::Open, 0, "/dd", b"");
        assert_eq!(
            found(&made, &Resource::file("/d")),
            [Some((1_000, 1_000, false)), None]
        );
    }

    #[test]
    fn an_access_through_a_link_is_a_use_of_the_link_and_of_its_target() {
        let dir = tempfile::tempdir().unwrap();
        let root = std::fs::canonicalize(dir.path()).unwrap();
        let [target, link] = ["target", "link"].map(|name| root.join(name).to_str().unwrap().to_owned());
        std::os::unix::fs::symlink(&target, &link).unwrap();
        let mut made = program();
        made.record(1_000, A, Kind::Open, 0, &link, b"");
        made.record(2_000, B, Kind::Open, 0, &target, b"");
        let at = |at: u64| Some((at, at, false));
        assert_eq!(found(&made, &Resource::file(&target)), [at(1_000), at(2_000)]);
        assert_eq!(found(&made, &Resource::file(&link)), [at(1_000), None]);
    }

    #[test]
    fn a_test_that_waits_in_std_has_reached_the_variable_that_it_uses_next() {
        for (name, from) in [("HOME", 1_000), ("OTHER", 5_000)] {
            let mut made = program();
            made.record(1_000, B, Kind::Waits, 0, "", b"");
            made.record(4_000, B, Kind::GetVariable, 0, name, b"");
            made.record(5_000, B, Kind::GetVariable, 0, "HOME", b"");
            assert_eq!(
                found(&made, &Resource::env("HOME"))[1],
                Some((from, 5_000, false)),
                "{name}"
            );
        }
    }

    #[test]
    fn the_late_test_used_a_variable_when_it_read_all_of_them() {
        let mut made = program();
        made.record(1_000, B, Kind::Waits, 0, "", b"");
        made.record(4_000, B, Kind::GetVariable, 0, "OTHER", b"");
        made.record(5_000, B, Kind::GetVariable, 0, "HOME", b"");
        for (late, access, from) in [
            (Some(1), EnvAccess::All, 1_000),
            (Some(1), EnvAccess::One, 5_000),
            (Some(1), EnvAccess::ForChild, 5_000),
            (Some(0), EnvAccess::All, 5_000),
            (None, EnvAccess::All, 5_000),
        ] {
            let timelines = timelines(
                &[made.log()],
                &[("shop", "a"), ("shop", "b")],
                &[Resource::env("HOME")],
                Pauses {
                    late,
                    ..Pauses::USUAL
                },
                &|_, _| Some(access),
            );
            let window = timelines[1].window(&[0]).unwrap();
            assert_eq!((window.from, window.to), (from, 5_000), "{late:?} {access:?}");
        }
    }

    #[test]
    fn a_late_test_that_waits_for_a_lock_after_it_read_all_variables_shows_neither_a_use_nor_a_guard() {
        let mut made = program();
        made.record(1_000, B, Kind::Waits, 0, "", b"");
        made.record(3_000, B, Kind::Waits, 0, "", b"");
        made.record(5_000, B, Kind::GetVariable, 0, "HOME", b"");
        let purposes = RefCell::new(vec![None, Some(EnvAccess::All)]);
        let timelines = timelines(
            &[made.log()],
            &[("shop", "a"), ("shop", "b")],
            &[Resource::env("HOME")],
            Pauses {
                late: Some(1),
                ..Pauses::USUAL
            },
            &|_, _| purposes.borrow_mut().pop().flatten(),
        );
        let window = timelines[1].window(&[0]).unwrap();
        assert_eq!((window.from, window.to), (5_000, 5_000));
        assert!(window.waited_for_std);
    }

    #[test]
    fn creating_a_file_uses_the_umask_and_clearing_all_variables_uses_each() {
        let mut made = program();
        made.record(1_000, A, Kind::SetVariable, 0, "HOME", b"");
        made.record(2_000, B, Kind::ClearVariables, 0, "", b"");
        made.record(3_000, B, Kind::Open, 0o100, "/f", b"");
        let at = |at: u64| Some((at, at, false));
        assert_eq!(found(&made, &Resource::env("HOME")), [at(1_000), at(2_000)]);
        assert_eq!(found(&made, &Resource::umask()), [None, at(3_000)]);
    }
}
