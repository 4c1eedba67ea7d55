//! One observation, from the launch to the conflicts.

use super::confirm::{ConfirmEvent, ConfirmOptions, RerunReport, StaticCandidates, confirm};
use super::format;
use super::format::{Kind, header};
use super::interpret::reading;
use super::interruption::Interruption;
use super::launch::runner::is_doctest;
use super::launch::test_groups::TestGroups;
use super::launch::{Launch, LaunchError, LaunchSettings, StartedProgram, has_libtest, isolated_rerun};
use super::log::attribution::{Attribution, IsolatedRerun, KnownTests};
use super::log::results;
use super::log::source_lines::LineResolver;
use super::log::{Log, ProcessFacts, account_file, test_order};
use super::observed_tests::{ObservedTests, complete, ran};
use super::scene_runner::SceneRunner;
use super::static_users::{self, Captured, StaticUses, static_of};
use super::statics::{self, ListedStatic};
use super::suite_programs::SuitePrograms;
use crate::findings::{
    Account, Coverage, Program, ReportedOutcome, SharedStatic, StaticUse, Statics, TestResult, UnseenProcess,
};
use crate::scene::{Outcome, SceneResult, StaticId, TestId};
use cofferdam::format::ResourceKind;
use cofferdam::{Access, Resource};
use cofferdam_conflicts::{Conflict, StaticFacts, Test, Use};
use std::collections::{BTreeSet, HashMap};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The observation of one command's test processes.
#[derive(Debug)]
pub(crate) struct ObservedCommand {
    launch: Launch,
    dir: PathBuf,
}

/// The result of an observation.
#[derive(Debug)]
pub(crate) struct ObservationResult {
    pub(crate) coverage: Coverage,
    /// The same, as the detection counts it.
    pub(crate) watched: cofferdam_conflicts::Watched,
    pub(crate) conflicts: Vec<Conflict>,
    /// The conflicts that the tests' own locks prevent.
    pub(crate) locked: Vec<Conflict>,
    /// The programs that were started, and those that were lost.
    pub(crate) account: Account,
    /// Every access, if requested.
    pub(crate) accesses: Vec<ListedAccess>,
    /// The tests that had a process of their own.
    pub(crate) own_processes: BTreeSet<TestName>,
    /// The tests that start programs.
    pub(crate) starters: BTreeSet<TestName>,
    /// The programs that were not recorded, each with the test that started it; `None` if that is not known.
    pub(crate) unseen_starts: Vec<(Option<TestName>, UnseenProcess)>,
    /// The tests that ran, by program.
    pub(crate) ran: Vec<Program>,
    /// The results of the command's tests, in the order in which their programs began.
    pub(crate) results: Vec<TestResult>,
    pub(crate) statics: Statics,
    /// The statics that tests share. Reruns decide which of them are conflicts.
    static_candidates: StaticCandidates,
}

/// One access to a resource by a test.
#[derive(Clone, Debug)]
pub(crate) struct ListedAccess {
    pub(crate) test: String,
    pub(crate) binary: String,
    /// The directory of its package.
    pub(crate) package: PathBuf,
    pub(crate) resource: Resource,
    pub(crate) access: Access,
    pub(crate) place: Option<String>,
    /// The line of the declaration of a static.
    pub(crate) declared: Option<String>,
    /// The times of the first and last such access, in microseconds since 1970.
    pub(crate) window: (u64, u64),
}

impl ObservationResult {
    /// Returns the statics with a lock that both tests of a process use.
    pub(crate) fn shared_locks(&self, pid: u32, tests: [&str; 2]) -> Vec<&str> {
        let statics = self.static_candidates.conflicts.iter();
        let locks = statics.filter(|conflict| {
            let facts = conflict.static_facts.as_ref();
            let is_lock = |facts: &StaticFacts| {
                let mut locks = ["Mutex<", "RwLock<"].iter();
                locks.any(|lock| facts.type_name.contains(lock))
            };
            let uses_it = |name: &&str| {
                let mut users = conflict.tests.iter();
                users.any(|test| test.pid == pid && test.name() == *name)
            };
            facts.is_some_and(is_lock) && tests.iter().all(uses_it)
        });
        locks.filter_map(static_of).collect()
    }
}

impl ObservedCommand {
    /// Prepares the observation of a command started in `dir`.
    pub(crate) fn begin(dir: &Path, settings: LaunchSettings) -> Result<Self, LaunchError> {
        Ok(Self {
            launch: Launch::new(dir, settings)?,
            dir: dir.to_owned(),
        })
    }

    /// Returns the variables to set for the command.
    pub(crate) fn variables(&self) -> Vec<(&'static str, OsString)> {
        self.launch.variables()
    }

    /// Reads the logs. `ours` is the directory of cofferdam's own files; `listed` asks for all accesses.
    pub(crate) fn end(&self, run: &str, ours: &Path, listed: bool) -> ObservationResult {
        let (mut account, mut logs) = account_file::read(self.launch.folder());
        let mut known = self.known(&logs);
        let mut attribution = Attribution::of(&logs, &known);
        if !attribution.ambiguous.is_empty() {
            self.tell_apart(&logs, &attribution, &mut known);
            (account, logs) = account_file::read(self.launch.folder());
            attribution = Attribution::of(&logs, &known);
        }
        let of_command = |log: &&Log| !known.isolated.contains_key(&log.pid());
        let results = results::of_all(logs.iter().filter(of_command));
        leave_out(&mut account, &logs, &attribution, &known, &results);
        let groups = TestGroups::read(self.launch.folder(), logs.iter().map(Log::pid));
        let reading = reading::read(&logs, &attribution, &groups, run, ours);
        let mut lines = LineResolver::new(&logs, &self.dir);
        let working_dirs: HashMap<u32, PathBuf> = logs
            .iter()
            .filter_map(|log| {
                let start = log.records().find(|record| record.kind == Kind::Folder)?;
                Some((log.pid(), PathBuf::from(&*start.words())))
            })
            .collect();
        let suite: BTreeSet<&PathBuf> = attribution
            .tests
            .iter()
            .filter_map(|test| working_dirs.get(&test.pid))
            .collect();
        let suite: Vec<PathBuf> = suite.into_iter().cloned().chain([self.dir.clone()]).collect();
        let mut line_of = |number| lines.line(reading.place(number)?);
        let mut conflicts = reading.conflicts(run, &attribution, &groups, &suite, &mut line_of);
        let mut locked = reading.locked.conflicts();
        let mut watched = reading.evidence.watched();
        // The evidence holds what several tests use.
        watched.tests = reading.coverage.tests;
        watched.claims = reading.used_count() as u64;
        let static_uses = StaticUses::read(&logs, &attribution);
        let mut accesses = Vec::new();
        for one in reading.used().filter(|_| listed) {
            let test = &attribution.tests[one.test];
            let is_static = one.resource.kind() == ResourceKind::Static;
            accesses.push(ListedAccess {
                test: test.name.clone(),
                binary: test.binary.clone(),
                package: working_dirs.get(&test.pid).cloned().unwrap_or_default(),
                place: reading.place(one.place).and_then(|place| lines.line(place)),
                declared: is_static
                    .then(|| static_uses.declaration(test.pid, one.resource.as_str(), &self.dir))
                    .flatten(),
                access: one.access,
                window: one.window,
                resource: one.resource,
            });
        }
        let (starters, unseen_starts) = starts(&account, &logs, &attribution);
        let apart = attribution.tests.iter().filter(|test| !test.in_turn);
        let own_processes = apart
            .map(|test| (test.binary.clone(), test.name.clone()))
            .collect();
        let mut statics = self.statics(&logs, &attribution, &known);
        let observed_tests = ObservedTests::new(attribution.tests, working_dirs);
        let mut lines_of = |test: &Test, used: &Use| reading.lines_of(test, used, &mut lines);
        for conflict in conflicts.iter_mut().chain(&mut locked) {
            complete(conflict, &observed_tests, &mut lines_of);
        }
        locked.retain(|conflict| static_of(conflict).is_none());
        let mut static_conflicts = Vec::new();
        for mut conflict in conflicts.extract_if(.., |conflict| static_of(conflict).is_some()) {
            let name = static_of(&conflict).unwrap_or_default().to_owned();
            static_uses.add_lines(&mut conflict, &name, &observed_tests, &mut lines);
            if let Some(shared) = self.shared_static(&conflict, &static_uses) {
                conflict.static_facts = Some(StaticFacts {
                    declared: shared.declared.clone(),
                    ..StaticFacts::default()
                });
                statics.shared.push(shared);
                static_conflicts.push(conflict);
            }
        }
        let changed = static_conflicts.len();
        if self.launch.keeps_starts() {
            static_conflicts.extend(static_uses.unchanged(run, &observed_tests, &mut lines, &self.dir));
        }
        let captured = static_users::captured(&reading, &static_uses, &observed_tests, &mut lines);
        let static_candidates = self.candidates(static_conflicts, changed, &static_uses, &captured);
        ObservationResult {
            coverage: reading.coverage,
            watched,
            conflicts,
            locked,
            ran: ran(&observed_tests, &results),
            account,
            accesses,
            own_processes,
            starters,
            unseen_starts,
            results,
            statics,
            static_candidates,
        }
    }

    /// Returns these statics with the data that reruns need. A test changes each of the first `changed`.
    fn candidates(
        &self,
        conflicts: Vec<Conflict>,
        changed: usize,
        uses: &StaticUses,
        captured: &Captured,
    ) -> StaticCandidates {
        let mut types: HashMap<u32, HashMap<StaticId, ListedStatic>> = HashMap::new();
        let mut candidates = StaticCandidates {
            changed,
            ..StaticCandidates::default()
        };
        for mut conflict in conflicts {
            let pid = conflict.tests.first().map_or(0, |test| test.pid);
            let name = static_of(&conflict).unwrap_or_default().to_owned();
            let id = |name: &str| StaticId {
                name: name.to_owned(),
                line: uses.line(pid, name).unwrap_or_default().to_owned(),
            };
            let captured = captured.get(&(pid, name.clone())).into_iter().flatten();
            let captured_statics = captured
                .clone()
                .filter(|resource| resource.kind() == ResourceKind::Static)
                .map(|resource| id(resource.as_str()));
            let mut put_back: BTreeSet<StaticId> = captured_statics.collect();
            let id = id(&name);
            put_back.insert(id.clone());
            let listed = types.entry(pid).or_insert_with(|| {
                let listed = statics::listed(self.launch.folder(), pid);
                listed.into_iter().map(|one| (one.id.clone(), one)).collect()
            });
            let is_too_large = |id| listed.get(id).is_some_and(|one| !one.can_be_put_back());
            if put_back.iter().any(is_too_large) {
                put_back.clear();
            }
            if let (Some(facts), Some(one)) = (&mut conflict.static_facts, listed.get(&id)) {
                facts.type_name.clone_from(&one.type_name);
                facts.captured = captured.map(ToString::to_string).collect();
            }
            candidates.conflicts.push(conflict);
            candidates.ids.push((id, put_back));
        }
        candidates
    }

    /// Returns which programs' statics were observed.
    fn statics(&self, logs: &[Log], attribution: &Attribution, known: &KnownTests) -> Statics {
        let mut statics = Statics::default();
        if !self.launch.observes_statics() {
            return statics;
        }
        let mut account = Account::default();
        for (index, log) in logs.iter().enumerate() {
            let is_of_suite = log.is_test()
                && !attribution.is_replaced(index)
                && !known.isolated.contains_key(&log.pid())
                && !log.records().any(|record| record.kind == Kind::Named)
                && !is_doctest(Path::new(&name(log)));
            if !is_of_suite {
                continue;
            }
            let state = log.header(header::MEMORY);
            statics.programs += u64::from(matches!(state, format::MEMORY_SEEN | format::MEMORY_ENDED));
            let why = match state {
                format::MEMORY_SEEN => continue,
                format::MEMORY_ENDED => {
                    "its statics, from the moment on when it restricted its system calls or needed SIGTRAP blocked".to_owned()
                }
                format::MEMORY_REFUSED => {
                    "its statics: the system allows no breakpoints, or does not report system calls".to_owned()
                }
                format::MEMORY_TRACED => "its statics: a debugger or another tracer was attached".to_owned(),
                _ => statics::reason(self.launch.folder(), log.pid())
                    .unwrap_or_else(|| "its statics: they could not be listed".to_owned()),
            };
            account.leave_out(&name(log), &why, 1);
        }
        statics.unwatched = account.out_of_reach;
        statics.are_apart = statics.programs == 0 && statics.unwatched.is_empty();
        statics
    }

    /// Returns the static that tests share.
    fn shared_static(&self, conflict: &Conflict, static_uses: &StaticUses) -> Option<SharedStatic> {
        // All tests are of one process, as the static is.
        let (name, first) = (static_of(conflict)?, conflict.tests.first()?);
        let uses = |writes: bool| {
            let is_wanted = |one: &&Use| (one.access == Some(Access::Write)) == writes;
            let tests = conflict.tests.iter().filter(|test| test.writes() == writes);
            let uses = tests.filter_map(|test| Some((test, test.uses.iter().find(is_wanted)?)));
            uses.map(|(test, one)| StaticUse {
                test: test.name().to_owned(),
                place: one.place.clone(),
            })
            .collect()
        };
        Some(SharedStatic {
            name: name.to_owned(),
            declared: static_uses.declaration(first.pid, name, &self.dir),
            binary: first.binary.clone(),
            writers: uses(true),
            readers: uses(false),
        })
    }

    /// Returns the outcomes of the tests in the command's own run, under their names in the suite. If the command was stopped, the
    /// tests without an end failed that had begun before `hung_since`, in microseconds of real time.
    pub(crate) fn outcomes(
        &self,
        observed: &ObservationResult,
        suite: &SuitePrograms,
        hung_since: Option<u64>,
    ) -> SceneResult {
        let mut result = SceneResult::default();
        for reported in &observed.results {
            let Some(test) = self.test_id(reported, suite) else {
                continue;
            };
            let is_of_process = |other: &&TestResult| other.pid == reported.pid && other.is_unfinished();
            let outcome = match reported.outcome {
                _ if hung_since.is_some() && reported.is_without_end() => {
                    if hung_since.is_some_and(|since| reported.began <= since) {
                        Outcome::Failed
                    } else {
                        Outcome::Unknown
                    }
                }
                // It was the only one that ran when its program ended, so it ended it.
                _ if reported.is_unfinished()
                    && observed.results.iter().filter(is_of_process).count() == 1 =>
                {
                    Outcome::Failed
                }
                ReportedOutcome::Passed => Outcome::Passed,
                ReportedOutcome::Failed => Outcome::Failed,
                ReportedOutcome::Ignored | ReportedOutcome::Unknown => Outcome::Unknown,
            };
            if let Some(failure) = reported.failure.clone().filter(|_| outcome == Outcome::Failed) {
                result.failures.insert(test.clone(), failure);
            }
            // One of several attempts may have failed.
            let known = result.outcomes.entry(test).or_insert(outcome);
            if outcome == Outcome::Failed {
                *known = outcome;
            }
        }
        result
    }

    /// Returns the tests that have no end, under their names in the suite.
    pub(crate) fn without_end<'o>(
        &'o self,
        observed: &'o ObservationResult,
        suite: &'o SuitePrograms,
    ) -> impl Iterator<Item = TestId> + 'o {
        let results = observed.results.iter().filter(|result| result.is_without_end());
        results.filter_map(|result| self.test_id(result, suite))
    }

    /// Returns the name of a reported test in the suite.
    pub(crate) fn test_id(&self, reported: &TestResult, suite: &SuitePrograms) -> Option<TestId> {
        let started = || StartedProgram::read(self.launch.folder(), reported.pid);
        suite.test(&reported.binary, &reported.name, started)
    }

    /// Returns the directory in which a process was started.
    pub(crate) fn started_dir(&self, pid: u32) -> Option<PathBuf> {
        StartedProgram::read(self.launch.folder(), pid).map(|started| started.dir)
    }

    /// Returns the programs of these results, as the command started them. Under nextest, it needs a launch that keeps what
    /// reruns need.
    pub(crate) fn programs<'r>(&self, results: impl Iterator<Item = &'r TestResult>) -> SuitePrograms {
        let mut pids: Vec<u32> = results.map(|result| result.pid).collect();
        pids.dedup();
        let started = |pid: u32| StartedProgram::read(self.launch.folder(), pid);
        SuitePrograms::of(pids.into_iter().filter_map(started).collect())
    }

    /// Returns what runs scenes of the command's programs.
    pub(crate) fn scene_runner<'a>(
        &'a self,
        suite: &'a SuitePrograms,
        interruption: &'a Interruption,
    ) -> SceneRunner<'a> {
        SceneRunner::new(&self.launch, suite, interruption)
    }

    /// Runs the tests of these conflicts again, and grades the conflicts.
    pub(crate) fn confirm(
        &self,
        conflicts: &mut Vec<Conflict>,
        options: ConfirmOptions,
        interruption: &Interruption,
        see: &(dyn Fn(ConfirmEvent<'_>) + Sync),
    ) -> RerunReport {
        confirm(&self.launch, conflicts, None, options, interruption, see)
    }

    /// Runs the tests of all conflicts again, and grades the conflicts. A shared static becomes a conflict if a failure through
    /// it was reproduced.
    pub(crate) fn confirm_all(
        &self,
        observed: &mut ObservationResult,
        options: ConfirmOptions,
        interruption: &Interruption,
        see: &(dyn Fn(ConfirmEvent<'_>) + Sync),
    ) -> RerunReport {
        let mut statics = std::mem::take(&mut observed.static_candidates);
        let failed = observed
            .results
            .iter()
            .filter(|result| result.outcome == ReportedOutcome::Failed);
        statics
            .suspects
            .extend(failed.map(|result| (result.binary.clone(), result.name.clone())));
        let suite;
        let mut reruns = None;
        if !statics.conflicts.is_empty() {
            suite = self.programs(observed.results.iter());
            let longest = observed.results.iter().filter_map(TestResult::duration).max();
            statics.longest = Duration::from_micros(longest.unwrap_or_default());
            reruns = Some((statics, self.scene_runner(&suite, interruption)));
        }
        let report = confirm(
            &self.launch,
            &mut observed.conflicts,
            reruns,
            options,
            interruption,
            see,
        );
        // Several programs may have the static: what ends the conflict in one of them ends the sharing in all.
        let is_conflict = |one: &SharedStatic| {
            observed.conflicts.iter().any(|conflict| {
                let facts = conflict.static_facts.as_ref();
                static_of(conflict) == Some(&one.name)
                    && facts.is_some_and(|facts| facts.declared == one.declared)
            })
        };
        observed.statics.shared.retain(|one| !is_conflict(one));
        observed.statics.pairs = self.launch.observes_statics().then_some(report.static_pairs);
        report
    }

    /// Reruns, one by one, the tests that could not be distinguished.
    fn tell_apart(&self, logs: &[Log], attribution: &Attribution, known: &mut KnownTests) {
        let mut replaced = BTreeSet::new();
        for (index, names) in &attribution.ambiguous {
            let log = &logs[*index];
            let Some(started) = StartedProgram::read(self.launch.folder(), log.pid()) else {
                continue;
            };
            for test in names {
                if let Some(pid) = isolated_rerun::run(&self.launch, &started, test) {
                    replaced.insert(log.pid());
                    let isolated = IsolatedRerun {
                        test: test.clone(),
                        pid: log.pid(),
                        started: log.header(header::MONOTONIC),
                    };
                    known.isolated.insert(pid, isolated);
                }
            }
        }
        known.replaced = replaced;
    }

    /// Lists the tests of each libtest program.
    fn known(&self, logs: &[Log]) -> KnownTests {
        let mut known = KnownTests::default();
        for log in logs.iter().filter(|log| log.is_test()) {
            let Some(started) = StartedProgram::read(self.launch.folder(), log.pid()) else {
                continue;
            };
            let ProcessFacts {
                program, is_libtest, ..
            } = ProcessFacts::of(log);
            if known.lists.contains_key(&program) || !(is_libtest || has_libtest(&program)) {
                continue;
            }
            let list: Option<BTreeSet<String>> = started.list_tests();
            if let Some(list) = list {
                known.lists.insert(program, list);
            }
        }
        known
    }
}

/// The names of a test's program and of the test.
type TestName = (String, String);

/// Returns the tests that started processes, and the processes that were not recorded, each with the test that started it.
fn starts(
    account: &Account,
    logs: &[Log],
    attribution: &Attribution,
) -> (BTreeSet<TestName>, Vec<(Option<TestName>, UnseenProcess)>) {
    let mut starters: HashMap<u32, TestName> = HashMap::new();
    for (index, log) in logs.iter().enumerate() {
        for record in log.records().filter(|record| record.kind == Kind::Child) {
            if let Some(test) = attribution.test(index, &record) {
                let test = &attribution.tests[test];
                starters.insert(record.value, (test.binary.clone(), test.name.clone()));
            }
        }
    }
    let unseen = account.unseen.iter();
    let unseen = unseen
        .map(|process| (starters.get(&process.pid).cloned(), process.clone()))
        .collect();
    (starters.into_values().collect(), unseen)
}

/// Notes the parts of observed programs that were not recorded.
fn leave_out(
    account: &mut Account,
    logs: &[Log],
    attribution: &Attribution,
    known: &KnownTests,
    results: &[TestResult],
) {
    for (index, log) in logs.iter().enumerate() {
        let why = match log.header(header::RAW) {
            format::RAW_REFUSED => "its system calls past libc: the kernel or its libc cannot report them",
            format::RAW_ENDED => {
                "its system calls past libc, from the moment on when it took over their filter"
            }
            _ => continue,
        };
        if !attribution.is_replaced(index) {
            account.leave_out(&name(log), why, 1);
        }
    }
    for log in logs {
        if let Some(Err(why)) = test_order::kept(log) {
            account.leave_out(&name(log), &format!("the order of its tests: {why}"), 1);
        }
    }
    let has_tests: BTreeSet<u32> = attribution.tests.iter().map(|test| test.pid).collect();
    for (index, log) in logs.iter().enumerate() {
        let is_known = has_tests.contains(&log.pid()) || known.lists.contains_key(Path::new(&name(log)));
        if log.is_test() && !is_known && !attribution.is_replaced(index) {
            let why = "its tests are not known: it is a documentation test, or has a harness of its own that begins \
                       none with `cofferdam::Worker::begin`";
            account.leave_out(&name(log), why, 1);
        }
        let begun = attribution.begun_in(index);
        let has_run = |result: &&TestResult| {
            result.pid == log.pid()
                && matches!(result.outcome, ReportedOutcome::Passed | ReportedOutcome::Failed)
        };
        let others = results.iter().filter(has_run).count().saturating_sub(begun);
        if begun > 0 && others > 0 {
            let why = "tests that its harness did not begin with `cofferdam::Worker::begin`";
            account.leave_out(&name(log), why, others as u64);
        }
    }
    for (index, _) in &attribution.ambiguous {
        account.leave_out(&name(&logs[*index]), "its tests cannot be distinguished", 1);
    }
}

/// Returns the path of the program.
fn name(log: &Log) -> String {
    let program = log.records().find(|record| record.kind == Kind::Program);
    program.map_or_else(
        || format!("process {}", log.pid()),
        |record| record.words().into_owned(),
    )
}
