//! Runs scenes: starts a suite's tests again, arranged and under conditions, and reads their outcomes.

use super::format::{self, Kind, Target, header};
use super::interruption::Interruption;
use super::launch::hold_request::HoldRequest;
use super::launch::order_request::{self, Begin};
use super::launch::{Launch, StartedProgram};
use super::log::results;
use super::log::{Log, Record, account_file, test_order};
use super::site_table::{ACCESS, CHANGED, READ};
use super::statics::{self, Wanted};
use super::suite_programs::{SuitePrograms, TestProgram};
use super::test_process::{TestProcess, wait_for_all};
use crate::findings::{ReportedOutcome, TestResult};
use crate::scene::{
    Arrangement, BY_SIGNAL, HUNG, Outcome, Scene, SceneResult, SeenStatics, StaticId, StaticPause,
    StaticsPlan, TestId,
};
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::ExitStatus;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// The time in which all tests of a program have to begin before the first of them runs.
const PATIENCE: Duration = Duration::from_secs(30);
/// The same for tests that are to begin at the same moment.
const SHORT_PATIENCE: Duration = Duration::from_secs(1);
/// The most tests that begin at the same moment.
const MOST_AT_ONCE: usize = 16;

/// The reason a program with [`TestProgram::takes_one_name`] cannot run some of its tests.
const ONE_OR_ALL: &str = "its harness runs one chosen test or all";

/// Runs scenes of a suite.
#[derive(Debug)]
pub(crate) struct SceneRunner<'a> {
    launch: &'a Launch,
    suite: &'a SuitePrograms,
    interruption: &'a Interruption,
    /// The longest time that one process may take.
    limit: Option<Duration>,
    /// When nothing runs any more.
    deadline: Option<Instant>,
    runs: AtomicU64,
    /// The number of times that each scene of tests beside each other ran.
    repeats: Mutex<HashMap<Scene, u32>>,
}

/// The way in which the tests of one process run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Threads {
    /// One test at a time, in this order.
    InOrder,
    /// As the command starts them.
    AsStarted,
    /// Each on a thread of its own; all begin at the same moment.
    AtOnce,
}

/// The way in which the tests of one process are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// With the arguments of the command, which name the test.
    AsStarted,
    /// By their names.
    ByName,
    /// All of the program, without names.
    All,
}

impl Way {
    /// Returns `None` if the program's harness cannot run these tests in this arrangement.
    fn of(program: &TestProgram, tests: &[TestId], threads: Threads) -> Option<Self> {
        if program.has_own_processes() {
            return Some(Self::AsStarted);
        }
        if !program.takes_one_name || tests.len() == 1 {
            return Some(Self::ByName);
        }
        let is_all = tests.len() == program.tests.len();
        let can_order = threads != Threads::InOrder || is_listed_order(tests, program);
        (is_all && can_order).then_some(Self::All)
    }
}

impl<'a> SceneRunner<'a> {
    pub(crate) fn new(launch: &'a Launch, suite: &'a SuitePrograms, interruption: &'a Interruption) -> Self {
        Self {
            launch,
            suite,
            interruption,
            limit: None,
            deadline: None,
            runs: AtomicU64::new(0),
            repeats: Mutex::default(),
        }
    }

    /// Stops a process that takes longer.
    pub(crate) fn limit(mut self, limit: Duration) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Stops everything at this moment.
    pub(crate) fn deadline(mut self, deadline: Instant) -> Self {
        self.deadline = Some(deadline);
        self
    }

    pub(super) fn suite(&self) -> &'a SuitePrograms {
        self.suite
    }

    fn is_over(&self) -> bool {
        self.interruption.is_requested() || self.deadline.is_some_and(|deadline| now() >= deadline)
    }

    /// Runs a scene. Returns `None` if it was interrupted, or the time was over before its end.
    pub(crate) fn run(&self, scene: &Scene) -> Option<SceneResult> {
        self.run_with_statics(scene, &StaticsPlan::default())
    }

    /// Runs a scene with a plan for the statics of its programs. Returns `None` as [`run`](Self::run) does.
    ///
    /// Tests with processes of their own share no statics: for them the plan has no effect, and the result says so.
    pub(crate) fn run_with_statics(&self, scene: &Scene, plan: &StaticsPlan) -> Option<SceneResult> {
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..scene.load {
                scope.spawn(|| {
                    while !over.load(Ordering::Relaxed) {
                        std::hint::spin_loop();
                    }
                });
            }
            let result = if scene.twice {
                let other = scope.spawn(|| self.run_once(scene, plan));
                let mut result = self.run_once(scene, plan);
                match other.join() {
                    Ok(other) => merge(&mut result, other),
                    Err(_) => result.void = Some("its second copy could not be run".to_owned()),
                }
                result
            } else {
                self.run_once(scene, plan)
            };
            over.store(true, Ordering::Relaxed);
            (!self.is_over()).then_some(result)
        })
    }

    /// Runs tests one after the other, and observes the statics of their programs.
    pub(crate) fn run_observed_in_order(&self, scene: &Scene) -> Option<SceneResult> {
        let plan = StaticsPlan {
            observes: true,
            ..StaticsPlan::default()
        };
        self.run_with_statics(scene, &plan)
    }

    fn run_once(&self, scene: &Scene, plan: &StaticsPlan) -> SceneResult {
        let mut result = SceneResult::default();
        let mut limited = None;
        // What one program's harness cannot do says nothing about the other programs.
        let mut add = |mut part: SceneResult| {
            if part.void.as_deref() == Some(ONE_OR_ALL) {
                limited = part.void.take();
            }
            merge(&mut result, part);
        };
        match scene.arrangement {
            Arrangement::InOrder => {
                for tests in chunks(&scene.tests, |test| self.has_own_process(test)) {
                    add(self.run_process(scene, plan, tests, Threads::InOrder));
                }
            }
            Arrangement::Alone => {
                for test in scene.tests.chunks(1) {
                    add(self.run_process(scene, plan, test, Threads::InOrder));
                }
            }
            Arrangement::Parallel => {
                let at_once = self.is_at_once(scene) || plan.pause.is_some();
                // cargo starts programs one after the other, nextest all of them together.
                let (own, shared): (Vec<TestId>, Vec<TestId>) = scene
                    .tests
                    .iter()
                    .cloned()
                    .partition(|test| self.has_own_process(test));
                for program in &self.suite.programs {
                    let tests: Vec<TestId> = shared
                        .iter()
                        .filter(|test| test.binary == program.binary)
                        .cloned()
                        .collect();
                    if !tests.is_empty() {
                        let can_begin_at_once =
                            at_once && can_begin_at_once(program, &tests, plan.pause.is_some());
                        let threads = if can_begin_at_once {
                            Threads::AtOnce
                        } else {
                            Threads::AsStarted
                        };
                        add(self.run_process(scene, plan, &tests, threads));
                    }
                }
                let queue = Mutex::new(self.in_turns(&own));
                let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                let parts = Mutex::new(Vec::new());
                thread::scope(|scope| {
                    for _ in 0..jobs().min(own.len()) {
                        scope.spawn(|| {
                            while let Some(tests) = next() {
                                for test in tests {
                                    let test = std::slice::from_ref(test);
                                    let part = self.run_process(scene, plan, test, Threads::InOrder);
                                    parts.lock().unwrap_or_else(PoisonError::into_inner).push(part);
                                }
                            }
                        });
                    }
                });
                parts
                    .into_inner()
                    .unwrap_or_else(PoisonError::into_inner)
                    .into_iter()
                    .for_each(add);
            }
        }
        if result.outcomes.is_empty() {
            result.void = result.void.or(limited);
        }
        result
    }

    /// Returns the tests that run concurrently, each with those that nextest runs only after it, of the same group.
    fn in_turns<'t>(&self, tests: &'t [TestId]) -> VecDeque<Vec<&'t TestId>> {
        let mut turns: VecDeque<Vec<&TestId>> = VecDeque::new();
        for test in tests {
            let group = self.suite.test_group(test);
            let mut of_group = turns
                .iter_mut()
                .filter(|tests| group.is_some() && self.suite.test_group(tests[0]) == group);
            match of_group.next() {
                Some(tests) => tests.push(test),
                None => turns.push_back(vec![test]),
            }
        }
        turns
    }

    /// Counts the runs of a scene, and returns whether its tests are to begin at the same moment. That is every second run;
    /// in the others, the machine decides which parts of the tests overlap.
    fn is_at_once(&self, scene: &Scene) -> bool {
        if scene.tests.len() > MOST_AT_ONCE {
            return false;
        }
        let mut repeats = self.repeats.lock().unwrap_or_else(PoisonError::into_inner);
        let runs = repeats.entry(scene.clone()).or_default();
        *runs += 1;
        (*runs).is_multiple_of(2)
    }

    fn has_own_process(&self, test: &TestId) -> bool {
        let program = self.suite.program(&test.binary);
        program.is_none_or(TestProgram::has_own_processes)
    }

    /// Runs these tests of one program in one process.
    fn run_process(
        &self,
        scene: &Scene,
        plan: &StaticsPlan,
        tests: &[TestId],
        threads: Threads,
    ) -> SceneResult {
        if self.is_over() {
            return SceneResult::default();
        }
        self.try_run_process(scene, plan, tests, threads)
            .unwrap_or_else(|error| SceneResult {
                void: Some(match error.kind() {
                    io::ErrorKind::Unsupported => error.to_string(),
                    _ => format!("its tests could not be started: {error}"),
                }),
                ..SceneResult::default()
            })
    }

    fn try_run_process(
        &self,
        scene: &Scene,
        plan: &StaticsPlan,
        tests: &[TestId],
        threads: Threads,
    ) -> io::Result<SceneResult> {
        let first = tests.first().ok_or(io::ErrorKind::InvalidInput)?;
        let program = self.suite.program(&first.binary).ok_or(io::ErrorKind::NotFound)?;
        let started = program.started(&first.name).ok_or(io::ErrorKind::NotFound)?;
        let path = Path::new(&started.program);
        if !path.exists() {
            let why = format!("its program is gone: {}", path.display());
            return Err(io::Error::new(io::ErrorKind::Unsupported, why));
        }
        let way = Way::of(program, tests, threads)
            .ok_or_else(|| io::Error::new(io::ErrorKind::Unsupported, ONE_OR_ALL))?;
        let run = self.runs.fetch_add(1, Ordering::Relaxed);
        let wanted = wanted(plan, tests, threads);
        let name = format!("scene-{run}");
        let (dir, instructions) = self.launch.create_rerun_dir(&name, false, wanted.as_ref())?;
        let mut command = started.command(&self.launch.runner(), &instructions);
        match way {
            Way::AsStarted => {
                command.args(&started.arguments);
            }
            Way::All => {
                command.args(started.selection());
            }
            Way::ByName => {
                command
                    .args(tests.iter().map(|test| &test.name))
                    .arg("--exact")
                    .args(started.ignored());
            }
        }
        match threads {
            _ if way == Way::AsStarted => {}
            Threads::AsStarted => {
                command.args(threads_argument(started));
            }
            Threads::AtOnce => {
                let names: Vec<&str> = tests.iter().map(|test| test.name.as_str()).collect();
                command.arg(format!("--test-threads={}", tests.len()));
                // Tests that cannot begin at one moment still run beside each other.
                let file = dir.join("order");
                command.envs(order_request::write(&file, &names, Begin::AtOnce, SHORT_PATIENCE).ok());
            }
            // The harness's own order needs no help.
            Threads::InOrder if is_listed_order(tests, program) => {
                command.arg("--test-threads=1");
            }
            Threads::InOrder => {
                let names: Vec<&str> = tests.iter().map(|test| test.name.as_str()).collect();
                let file = dir.join("order");
                let (name, order) = order_request::write(&file, &names, Begin::InOrder, PATIENCE)?;
                command
                    .arg(format!("--test-threads={}", tests.len()))
                    .env(name, order);
            }
        }
        let temp = scene.empty_temp.then(tempfile::tempdir).transpose()?;
        command.envs(temp.as_ref().map(|temp| ("TMPDIR", temp.path())));
        command.envs(plan.pause.as_ref().map(|pause| hold(pause).variable()));
        let begun = now();
        let mut running = [TestProcess::begin(&mut command)?];
        let until = self.limit.map(|limit| begun + limit);
        wait_for_all(&mut running, &|| {
            self.is_over() || until.is_some_and(|until| now() >= until)
        });
        let lasted = begun.elapsed();
        let mut result = self.read(&dir, &running[0], plan, tests, threads);
        result.lasted = lasted;
        if wanted.is_some() {
            read_statics(&dir, &running[0], plan, tests, &mut result);
        }
        let _ = fs::remove_dir_all(dir);
        Ok(result)
    }
}

impl SceneRunner<'_> {
    /// Reads the outcomes of a process from its log.
    fn read(
        &self,
        dir: &Path,
        process: &TestProcess,
        plan: &StaticsPlan,
        tests: &[TestId],
        threads: Threads,
    ) -> SceneResult {
        let (account, logs) = account_file::read(dir);
        let own = || logs.iter().filter(|log| log.pid() == process.id());
        // A lost child of a test says nothing about what the harness printed.
        let lost = account.lost.first().filter(|_| own().next().is_none());
        let mut result = SceneResult {
            void: lost.map(|lost| format!("{} was lost: {}", lost.name, lost.reason)),
            ..SceneResult::default()
        };
        if threads == Threads::InOrder
            && let Some(why) = own().find_map(|log| test_order::kept(log)?.err())
        {
            result.void = Some(format!("the order could not be enforced: {why}"));
        }
        let reported = results::of_all(own());
        for test in tests {
            let of_test = reported.iter().find(|one| one.name == test.name);
            let outcome = match of_test.map(|one| one.outcome) {
                Some(ReportedOutcome::Passed) => Outcome::Passed,
                Some(ReportedOutcome::Failed) => Outcome::Failed,
                Some(ReportedOutcome::Ignored | ReportedOutcome::Unknown) | None => Outcome::Unknown,
            };
            result.outcomes.insert(test.clone(), outcome);
            if let Some(failure) = of_test.and_then(|one| one.failure.clone()) {
                result.failures.insert(test.clone(), failure);
            }
        }
        if result.void.is_none()
            && !process.was_stopped
            && let Some(status) = process.status
            && let Some((test, why)) = ended_by(status, plan.pause.as_ref(), tests, &reported)
        {
            result.outcomes.insert(test.clone(), Outcome::Failed);
            result.failures.insert(test.clone(), why);
        }
        if let Some(limit) = self.limit.filter(|_| process.was_stopped) {
            let is_open = |test: &&TestId| {
                let mut of_test = reported.iter().filter(|one| one.name == test.name);
                let has_end = of_test.next().map(|one| !one.is_without_end());
                match threads {
                    // libtest does not say which one runs on the main thread.
                    Threads::InOrder => has_end == Some(false) || result.outcome(test) == Outcome::Unknown,
                    Threads::AsStarted | Threads::AtOnce => has_end == Some(false),
                }
            };
            let most = if threads == Threads::InOrder {
                1
            } else {
                tests.len()
            };
            let hung: Vec<TestId> = tests.iter().filter(is_open).take(most).cloned().collect();
            for test in &hung {
                result.enter_hung(test, limit);
            }
            if hung.is_empty() {
                result.void = Some(format!("its tests {HUNG} {}", humantime::format_duration(limit)));
            }
        }
        result
    }
}

/// Returns the request for the statics of a process that runs these tests; `None` if the plan needs nothing.
fn wanted(plan: &StaticsPlan, tests: &[TestId], threads: Threads) -> Option<Wanted> {
    let wanted = Wanted {
        uses: plan.observes || plan.pause.is_some(),
        compares: plan.observes && threads == Threads::InOrder,
        put_back_before: u32::try_from(tests.len()).unwrap_or(u32::MAX),
        put_back: plan.put_back.clone(),
        locks: true,
    };
    (wanted.uses || !wanted.put_back.is_empty()).then_some(wanted)
}

/// Returns the request to pause at a static.
fn hold(pause: &StaticPause) -> HoldRequest {
    let millis = u64::from(pause.most_millis);
    let of_late = if pause.late_skipped.is_some() { millis } else { 0 };
    let mut request = HoldRequest::new((of_late, of_late), (millis, millis));
    request.add(Target::Test, pause.held.name.as_ref());
    request.add(Target::Late, pause.late.name.as_ref());
    let mut skipped = pause.skipped.to_string();
    skipped.extend(pause.late_skipped.map(|number| format!(",{number}")));
    request.add(Target::Skipped, skipped.as_ref());
    // The observer also compares targets with the name followed by the line.
    let name = format!("{}{}", pause.at.name, pause.at.line);
    request.add(Target::Static, name.as_ref());
    request
}

/// Adds the observed uses of statics in a process. The scene is void if a static was not put back as planned.
fn read_statics(
    dir: &Path,
    process: &TestProcess,
    plan: &StaticsPlan,
    tests: &[TestId],
    result: &mut SceneResult,
) {
    let (_, logs) = account_file::read(dir);
    let Some(log) = logs.iter().find(|log| log.pid() == process.id()) else {
        return;
    };
    let listed = statics::listed(dir, log.pid());
    let mut seen = statics_of(log, tests, plan.pause.as_ref());
    for one in &listed {
        seen.types.insert(one.id.clone(), one.type_name.clone());
        if !one.can_be_put_back() {
            seen.too_large.insert(one.id.clone());
        }
    }
    let is_seen = log.header(header::MEMORY) == format::MEMORY_SEEN;
    seen.unobserved = (!is_seen).then(|| {
        statics::reason(dir, log.pid())
            .unwrap_or_else(|| "its statics: they could not be observed".to_owned())
    });
    let records = log.records().filter(|record| record.kind == Kind::PutBack);
    let put_back: HashSet<StaticId> = records.map(|record| static_id(&record)).collect();
    if let Some(id) = plan.put_back.iter().find(|id| !put_back.contains(id)) {
        let why = match listed.iter().find(|one| one.id == *id) {
            _ if seen.unobserved.is_some() => "no table of statics could be used",
            None => "this program has no such static",
            Some(one) if !one.can_be_put_back() => "it is larger than 64 KiB",
            Some(_) => "the last test did not begin after all others",
        };
        let why = format!("{} could not be put back: {why}", id.name);
        result.void = result.void.take().or(Some(why));
    }
    result.statics.merge(seen);
}

/// Returns the statics that each of these tests used.
fn statics_of(log: &Log, tests: &[TestId], pause: Option<&StaticPause>) -> SeenStatics {
    let mut seen = SeenStatics::default();
    let mut pausing: HashSet<&TestId> = HashSet::new();
    let mut numbers: BTreeMap<u32, &TestId> = BTreeMap::new();
    for record in log.records() {
        if record.kind == Kind::Test {
            let name = record.words();
            let test = tests.iter().find(|test| test.name == name);
            numbers.extend(test.map(|test| (record.value, test)));
        }
        seen.has_overlapped |= record.kind == Kind::Waits;
        if record.kind == Kind::UseStatic
            && let Some(test) = numbers.get(&record.test)
        {
            pausing.extend(record.pause().map(|_| *test));
            let how = record.value as u8;
            let uses = seen.uses.entry((*test).clone()).or_default();
            uses.entry(static_id(&record)).or_default().changed |= how & CHANGED != 0 || how & ACCESS != READ;
        }
    }
    seen.paused = pause.is_some_and(|pause| {
        pausing.contains(&pause.held) && (pause.late_skipped.is_none() || pausing.contains(&pause.late))
    });
    seen
}

/// Returns the static of a record.
fn static_id(record: &Record<'_>) -> StaticId {
    StaticId {
        name: record.words().into_owned(),
        line: String::from_utf8_lossy(record.second).into_owned(),
    }
}

/// Returns the test that ended its process, by an abort or an exit of its own, and how: it is the only one that was running, or
/// the one that ran in the pause of the other.
fn ended_by<'t>(
    status: ExitStatus,
    pause: Option<&StaticPause>,
    tests: &'t [TestId],
    reported: &[TestResult],
) -> Option<(&'t TestId, String)> {
    let mut unfinished = reported.iter().filter(|result| result.is_unfinished());
    let test = match (unfinished.next(), unfinished.next(), tests) {
        (Some(result), None, _) => tests.iter().find(|test| test.name == result.name)?,
        // A harness that reports nothing.
        (None, None, [test]) if reported.is_empty() && !status.success() => test,
        (Some(_), Some(_), _) => {
            let late = &pause.filter(|pause| pause.late_skipped.is_none())?.late;
            tests.iter().find(|test| *test == late)?
        }
        _ => return None,
    };
    let how = match (status.signal(), status.code()) {
        (Some(signal), _) => format!("{BY_SIGNAL}{signal} ended its process"),
        (None, code) => format!(
            "its process exited with status {} while it ran",
            code.unwrap_or(0)
        ),
    };
    Some((test, how))
}

/// Splits the tests of a scene into those that run in one process.
fn chunks(tests: &[TestId], has_own_process: impl Fn(&TestId) -> bool) -> impl Iterator<Item = &[TestId]> {
    tests.chunk_by(move |a, b| a.binary == b.binary && !has_own_process(a))
}

fn is_listed_order(tests: &[TestId], program: &TestProgram) -> bool {
    let mut listed = program.tests.iter();
    tests.iter().all(|test| listed.any(|name| *name == test.name))
}

/// Returns the arguments that set the number of threads, if the program was started with one.
fn threads_argument(started: &StartedProgram) -> Vec<OsString> {
    let mut arguments = started.arguments.iter();
    while let Some(argument) = arguments.next() {
        if argument == "--test-threads" {
            return arguments
                .next()
                .map_or_else(Vec::new, |number| vec![argument.clone(), number.clone()]);
        }
        if argument.to_string_lossy().starts_with("--test-threads=") {
            return vec![argument.clone()];
        }
    }
    Vec::new()
}

/// Returns whether each of these tests may have a thread of its own: one of them pauses, or the command sets no other number of
/// threads.
fn can_begin_at_once(program: &TestProgram, tests: &[TestId], pauses: bool) -> bool {
    let started = tests.first().and_then(|test| program.started(&test.name));
    let sets_threads =
        || started.is_none_or(|started| !threads_argument(started).is_empty()) || environment_sets_threads();
    tests.len() > 1 && !program.takes_one_name && (pauses || !sets_threads())
}

fn environment_sets_threads() -> bool {
    #[expect(clippy::disallowed_methods, reason = "the test programs inherit it")]
    std::env::var_os("RUST_TEST_THREADS").is_some()
}

/// Adds the outcomes of a part of the scene, or of its second copy: a test failed if it failed in either.
fn merge(result: &mut SceneResult, part: SceneResult) {
    for (test, outcome) in part.outcomes {
        let known = result.outcomes.entry(test).or_insert(outcome);
        if outcome == Outcome::Failed || *known == Outcome::Passed {
            *known = outcome;
        }
    }
    result.failures.extend(part.failures);
    result.void = result.void.take().or(part.void);
    result.statics.merge(part.statics);
    result.lasted += part.lasted;
}

/// Returns the maximum number of concurrent processes, where each test has its own: nextest's default.
fn jobs() -> usize {
    thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get)
}

fn now() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "a process that hangs is stopped")]
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::log::test_log::LogBuilder;
    use crate::observe::site_table::{COUNT, WRITE};

    fn test(name: &str) -> TestId {
        TestId {
            binary: "shop".to_owned(),
            name: name.to_owned(),
        }
    }

    fn id(name: &str) -> StaticId {
        StaticId {
            name: format!("shop::{name}"),
            line: "/w/src/lib.rs:3".to_owned(),
        }
    }

    #[test]
    fn a_test_changes_a_static_by_a_write_by_a_sum_or_by_its_bytes() {
        let mut log = LogBuilder::new(7, 1, true);
        log.record(1, 0, Kind::Test, 1, "fills", b"");
        log.record(1, 0, Kind::Test, 2, "reads", b"");
        log.record(1, 0, Kind::Test, 3, "other", b"");
        for (test, how, name) in [
            (1, WRITE, "SET"),
            (1, COUNT, "COUNTED"),
            (1, READ, "LAZY"),
            (1, READ | CHANGED, "LAZY"),
            (1, READ, "READ"),
            (2, READ, "SET"),
            (3, WRITE, "OTHER"),
            (0, WRITE, "OF_NO_TEST"),
        ] {
            let name = format!("shop::{name}");
            log.record(2, test, Kind::UseStatic, how.into(), &name, b"/w/src/lib.rs:3");
        }
        let seen = statics_of(&log.log(), &[test("fills"), test("reads")], None);
        let changes = |name: &str| -> Vec<(StaticId, bool)> {
            let uses = seen.uses[&test(name)].iter();
            uses.map(|(id, one)| (id.clone(), one.changed)).collect()
        };
        let wanted = [("COUNTED", true), ("LAZY", true), ("READ", false), ("SET", true)];
        assert_eq!(
            changes("fills"),
            wanted.map(|(name, changed)| (id(name), changed))
        );
        assert_eq!(changes("reads"), [(id("SET"), false)]);
        assert_eq!(seen.uses.len(), 2);
        assert!(!seen.paused && !seen.has_overlapped);
        log.record(3, 1, Kind::Waits, 0, "", b"");
        assert!(statics_of(&log.log(), &[], None).has_overlapped);
    }

    #[test]
    fn bytes_are_compared_only_if_tests_run_one_after_the_other() {
        let tests = [test("a"), test("b")];
        let observes = StaticsPlan {
            observes: true,
            ..StaticsPlan::default()
        };
        for (threads, compares) in [
            (Threads::InOrder, true),
            (Threads::AsStarted, false),
            (Threads::AtOnce, false),
        ] {
            let wanted = wanted(&observes, &tests, threads).unwrap();
            assert_eq!((wanted.uses, wanted.compares), (true, compares));
        }
        let put_back = StaticsPlan {
            put_back: [id("SET")].into(),
            ..StaticsPlan::default()
        };
        let wanted = |plan| wanted(plan, &tests, Threads::InOrder);
        let of_put_back = wanted(&put_back).unwrap();
        assert_eq!((of_put_back.uses, of_put_back.put_back_before), (false, 2));
        assert_eq!(wanted(&StaticsPlan::default()), None);
    }

    #[test]
    fn of_two_unfinished_tests_the_one_that_ran_in_the_pause_of_the_other_ended_the_process() {
        let tests = [test("a"), test("b")];
        let unfinished = |test: &TestId| TestResult {
            binary: test.binary.clone(),
            name: test.name.clone(),
            outcome: ReportedOutcome::Unknown,
            failure: Some(results::RUNNING_AT_END.to_owned()),
            pid: 7,
            began: 1,
            ended: None,
        };
        let reported = tests.each_ref().map(unfinished);
        let status = ExitStatus::from_raw(11);
        let pause = StaticPause {
            at: id("SET"),
            held: test("a"),
            skipped: 1,
            late: test("b"),
            late_skipped: None,
            most_millis: 300,
        };
        assert_eq!(ended_by(status, None, &tests, &reported), None);
        let (by, why) = ended_by(status, Some(&pause), &tests, &reported).unwrap();
        assert_eq!((by, why.as_str()), (&tests[1], "signal 11 ended its process"));
    }

    #[test]
    fn a_pause_at_a_static_is_requested_of_one_test_and_begins_the_other() {
        let pause = StaticPause {
            at: id("SET"),
            held: test("a"),
            skipped: 3,
            late: test("bb"),
            late_skipped: None,
            most_millis: 250,
        };
        let text = "0,0,250,250;7,1;a13,2;bb15,1;314,24;shop::SET/w/src/lib.rs:3";
        assert_eq!(hold(&pause).text(), OsString::from(text));
        let both = StaticPause {
            late_skipped: Some(2),
            ..pause
        };
        let text = "250,250,250,250;7,1;a13,2;bb15,3;3,214,24;shop::SET/w/src/lib.rs:3";
        assert_eq!(hold(&both).text(), OsString::from(text));
    }
}
