//! Reruns single tests of a suite under the observer.

use super::env_lock::EnvLockWaits;
use super::pauses::Pauses;
use super::timelines::{Timeline, timelines};
use crate::findings::ReportedOutcome;
use crate::observe::causes::paused_path;
use crate::observe::format::{Kind, MOST_TARGETS, TARGET_NAMES, Target};
use crate::observe::interpret::accesses::WorkingDirs;
use crate::observe::interpret::ports::number_of;
use crate::observe::interpret::{Effect, FileAccess, effects};
use crate::observe::interruption::Interruption;
use crate::observe::launch::hold_request::HoldRequest;
use crate::observe::launch::{Launch, StartedProgram};
use crate::observe::log::results;
use crate::observe::log::{Log, account_file};
use crate::observe::statics::Wanted;
use crate::observe::test_process::{TestProcess, wait_for_all};
use crate::scene::TestId;
use cofferdam::Resource;
use cofferdam::format::ResourceKind;
use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The time limit of a run beyond twice the duration of its tests when they ran alone.
pub(super) const RUN_LIMIT: Duration = Duration::from_secs(30);
/// The time that running tests have after the end of the budget before they are stopped.
const OVERTIME: Duration = Duration::from_secs(5);

/// A test, with the command that started it.
#[derive(Clone, Debug)]
pub(super) struct Runnable {
    pub(super) name: String,
    pub(super) binary: String,
    pub(super) started: Arc<StartedProgram>,
    /// Set if the process runs only this test.
    pub(super) own_process: bool,
}

impl Runnable {
    pub(super) fn id(&self) -> TestId {
        TestId {
            binary: self.binary.clone(),
            name: self.name.clone(),
        }
    }
}

/// The outcome of a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TestOutcome {
    Passed,
    Failed,
    /// Ended by the time limit or an interrupt.
    Stopped,
}

/// The outcome of a run, by its tests.
#[derive(Clone, Debug)]
pub(super) struct RunResult {
    pub(super) outcomes: Vec<TestOutcome>,
    pub(super) timelines: Vec<Timeline>,
    pub(super) lasted: Duration,
}

/// A run that was stopped, because it took too long or the time was over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoppedRun {
    pub(crate) tests: Vec<String>,
    pub(crate) after: Duration,
    /// Files that the tests had created and not removed.
    pub(crate) left: Vec<PathBuf>,
}

pub(super) struct Rerunner<'a> {
    launch: &'a Launch,
    begun: Instant,
    /// The time after which no run starts, in milliseconds after `begun`.
    deadline: AtomicU64,
    interruption: &'a Interruption,
    runs: AtomicU64,
    waits: EnvLockWaits,
    stopped: Mutex<Vec<StoppedRun>>,
}

impl<'a> Rerunner<'a> {
    pub(super) fn new(launch: &'a Launch, interruption: &'a Interruption) -> Self {
        Self {
            launch,
            begun: now(),
            deadline: AtomicU64::new(0),
            interruption,
            runs: AtomicU64::new(0),
            waits: EnvLockWaits::default(),
            stopped: Mutex::default(),
        }
    }

    /// Lets runs start until this time after the beginning.
    pub(super) fn allow(&self, until: Duration) {
        // A longer time might overflow the clock.
        let longest = Duration::from_secs(31_536_000);
        let millis = u64::try_from(until.min(longest).as_millis()).unwrap_or(u64::MAX);
        self.deadline.store(millis, Ordering::Relaxed);
    }

    /// Lets runs start for this time from now on.
    pub(super) fn allow_more(&self, budget: Duration) {
        self.allow(self.elapsed().saturating_add(budget));
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Returns whether no run may start any more.
    pub(super) fn is_over(&self) -> bool {
        self.interruption.is_requested() || now() >= self.deadline()
    }

    pub(super) fn stopped(self) -> Vec<StoppedRun> {
        self.stopped.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    fn deadline(&self) -> Instant {
        self.begun + Duration::from_millis(self.deadline.load(Ordering::Relaxed))
    }

    /// Returns the moment at which running tests are stopped.
    pub(super) fn end(&self) -> Instant {
        self.deadline() + OVERTIME
    }

    /// Runs these tests at the same time, with pauses at the resources if `pauses` is given. The tests belong to one program, or
    /// each has its own process. `alone` is the sum of their durations when they ran alone.
    pub(super) fn run(
        &self,
        runnables: &[&Runnable],
        resources: &[Resource],
        pauses: Option<Pauses>,
        alone: Duration,
    ) -> io::Result<RunResult> {
        // Call stacks show waits for std's lock around the variables, and what std accesses to print a panic.
        let with_calls = resources
            .iter()
            .any(|one| matches!(one.kind(), ResourceKind::Env | ResourceKind::Cwd));
        let statics = resources
            .iter()
            .any(|one| one.kind() == ResourceKind::Static)
            .then(Wanted::uses);
        let run = self.runs.fetch_add(1, Ordering::Relaxed);
        let (folder, instructions) =
            self.launch
                .create_rerun_dir(&format!("again-{run}"), with_calls, statics.as_ref())?;
        let begun = now();
        let mut running = Vec::new();
        let processes: Vec<&[&Runnable]> = match runnables {
            [first, ..] if !first.own_process => vec![runnables],
            _ => runnables.chunks(1).collect(),
        };
        let mut failed = None;
        for (first, process) in processes.into_iter().enumerate() {
            let hold = pauses.map(|pauses| hold(resources, pauses, process, first).variable());
            match begin(self.launch, process, &instructions, hold) {
                Ok(one) => running.push(one),
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            }
        }
        let until = match failed {
            Some(_) => begun,
            None => self.limit(begun, alone),
        };
        let is_over = || self.interruption.is_requested() || now() >= until;
        wait_for_all(&mut running, &is_over);
        if let Some(error) = failed {
            let _ = fs::remove_dir_all(folder);
            return Err(error);
        }
        let lasted = begun.elapsed();
        let names: Vec<_> = runnables
            .iter()
            .map(|runnable| (runnable.binary.as_str(), runnable.name.as_str()))
            .collect();
        let (account, logs) = account_file::read(&folder);
        let is_one = running.len() == 1;
        let outcomes: Vec<TestOutcome> = runnables
            .iter()
            .enumerate()
            .map(|(position, runnable)| {
                outcome_of(&running[if is_one { 0 } else { position }], runnable, &logs)
            })
            .collect();
        if let Some(lost) = account
            .lost
            .first()
            .filter(|_| !outcomes.contains(&TestOutcome::Stopped))
        {
            // Without the records of a test, "did not overlap" would be unfounded.
            let _ = fs::remove_dir_all(folder);
            return Err(io::Error::other(format!(
                "{} was lost: {}",
                lost.name, lost.reason
            )));
        }
        let env_access = |log: &Log, stack: u32| self.waits.access(log, stack);
        let timelines = timelines(
            &logs,
            &names,
            resources,
            pauses.unwrap_or(Pauses::USUAL),
            &env_access,
        );
        let tests = runnables.iter().zip(&outcomes);
        let was_stopped = tests.filter(|(_, outcome)| **outcome == TestOutcome::Stopped);
        let stopped: Vec<String> = was_stopped.map(|(runnable, _)| runnable.name.clone()).collect();
        if !stopped.is_empty() {
            self.note_stopped(stopped, lasted, created(&logs));
        }
        let _ = fs::remove_dir_all(folder);
        Ok(RunResult {
            outcomes,
            timelines,
            lasted,
        })
    }

    /// Returns the moment at which a run is stopped.
    fn limit(&self, begun: Instant, alone: Duration) -> Instant {
        (begun + RUN_LIMIT + 2 * alone).min(self.end())
    }

    pub(super) fn note_stopped(&self, tests: Vec<String>, after: Duration, left: Vec<PathBuf>) {
        let mut all = self.stopped.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(StoppedRun { tests, after, left });
    }
}

/// Returns the files that these processes created and that still exist: only those that certainly did not exist before, such
/// as the lock of a Git index.
fn created(logs: &[Log]) -> Vec<PathBuf> {
    let mut created = BTreeSet::new();
    for log in logs {
        let working_dirs = WorkingDirs::of(log);
        for record in log.records().filter(|record| record.kind.is_access()) {
            for effect in effects(&record, working_dirs.get(log, &record), false) {
                if let Effect::File(path, FileAccess::AddOrRemove) = effect
                    && record.kind != Kind::Remove
                    && !record.failed()
                    && path.symlink_metadata().is_ok()
                {
                    created.insert(path);
                }
            }
        }
    }
    created.into_iter().collect()
}

/// Returns the number of these resources, from the first one on, that fit into one request to pause.
pub(super) fn held_at_once(resources: &[&Resource]) -> usize {
    let sizes = resources.iter().scan(0, |size, resource| {
        *size += name(resource, Pauses::USUAL).len() + 1;
        Some(*size)
    });
    sizes
        .take(MOST_TARGETS)
        .take_while(|size| *size <= TARGET_NAMES)
        .count()
}

/// Returns the request to pause for a process that runs these tests. `first` is the position of the first one in the run.
fn hold(resources: &[Resource], pauses: Pauses, tests: &[&Runnable], first: usize) -> HoldRequest {
    let usual = match tests {
        [_] => pauses.of(first),
        _ => (pauses.first, pauses.others),
    };
    let of_held = pauses.held.map_or(usual, |held| (held.first, held.others));
    let mut request = HoldRequest::new(usual, of_held);
    if let (Some(held), [_, _, ..]) = (pauses.held, tests)
        && let Some(runnable) = tests.get(held.test)
    {
        request.add(Target::Test, runnable.name.as_ref());
    }
    for resource in resources {
        request.add(target(resource), &name(resource, pauses));
    }
    if let (Some(late), [_, _, ..]) = (pauses.late.and_then(|late| tests.get(late)), tests)
        && resources.iter().any(|one| one.kind() == ResourceKind::Env)
    {
        request.add(Target::Late, late.name.as_ref());
    }
    request
}

/// Returns the name of the resource in a request to pause.
fn name(resource: &Resource, pauses: Pauses) -> OsString {
    match target(resource) {
        // An empty name stands for all variables.
        Target::Env if pauses.everywhere => OsString::new(),
        Target::File => paused_path(resource).unwrap_or_default().into(),
        Target::Port => number_of(resource).unwrap_or_default().to_string().into(),
        _ => resource.as_str().into(),
    }
}

fn target(resource: &Resource) -> Target {
    match resource.kind() {
        ResourceKind::UnixSocket if paused_path(resource).is_none() => Target::Name,
        ResourceKind::File
        | ResourceKind::Directory
        | ResourceKind::GitRepository
        | ResourceKind::Database
        | ResourceKind::TempName
        | ResourceKind::UnixSocket
        | ResourceKind::SharedMemory => Target::File,
        ResourceKind::Name => Target::Name,
        ResourceKind::Port | ResourceKind::UdpPort => Target::Port,
        ResourceKind::Env => Target::Env,
        ResourceKind::Cwd => Target::Cwd,
        ResourceKind::Umask => Target::Umask,
        ResourceKind::Locale => Target::Locale,
        ResourceKind::Signal => Target::Signal,
        ResourceKind::Executable => Target::Executable,
        ResourceKind::Children => Target::Children,
        ResourceKind::Descriptors => Target::Descriptors,
        ResourceKind::Static => Target::Static,
    }
}

pub(super) fn now() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "people ask for a budget of time")]
    Instant::now()
}

/// Starts these tests in one process.
fn begin(
    launch: &Launch,
    runnables: &[&Runnable],
    instructions: &OsStr,
    request: Option<(&str, OsString)>,
) -> io::Result<TestProcess> {
    let Some(runnable) = runnables.first() else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let started = &runnable.started;
    let mut command = started.command(&launch.runner(), instructions);
    if runnable.own_process {
        command.args(&started.arguments);
    } else {
        command
            .args(runnables.iter().map(|runnable| &runnable.name))
            .arg("--exact")
            .arg(format!("--test-threads={}", runnables.len()))
            .args(started.ignored());
    }
    TestProcess::begin(command.envs(request))
}

fn outcome_of(process: &TestProcess, runnable: &Runnable, logs: &[Log]) -> TestOutcome {
    if process.was_stopped {
        return TestOutcome::Stopped;
    }
    let reported = results::of_all(logs.iter().filter(|log| log.pid() == process.id()));
    let reported = reported.iter().find(|one| one.name == runnable.name);
    let has_passed = match reported.map(|one| one.outcome) {
        Some(ReportedOutcome::Passed | ReportedOutcome::Ignored) => true,
        Some(ReportedOutcome::Failed) => false,
        // The program broke off, which is a failure of each of its tests.
        Some(ReportedOutcome::Unknown) | None => process.status.is_some_and(|status| status.success()),
    };
    if has_passed {
        TestOutcome::Passed
    } else {
        TestOutcome::Failed
    }
}

/// Returns the program that was started for this test, if it can be started again.
pub(super) fn started(launch: &Launch, pid: u32, name: &str, own_process: bool) -> Option<StartedProgram> {
    let started = StartedProgram::read(launch.folder(), pid)?;
    // Process IDs are reused.
    let is_it = !own_process || started.arguments.iter().any(|argument| argument == name);
    // The program of a doctest is removed after the test.
    (is_it && Path::new(&started.program).exists() && started.dir.exists()).then_some(started)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::confirm::pauses::HeldTest;

    #[test]
    fn the_observer_is_asked_for_resources_as_it_sees_them() {
        for (resource, text) in [
            (Resource::file("/d/f"), "1,4;/d/f"),
            (Resource::port(80), "2,2;80"),
            (Resource::udp_port(53), "2,2;53"),
            (Resource::env("HOME"), "3,4;HOME"),
            (Resource::cwd(), "4,0;"),
            (Resource::new(ResourceKind::Signal, "SIGUSR1"), "9,7;SIGUSR1"),
            (Resource::new(ResourceKind::Port, "[::1]:80"), "2,2;80"),
            (Resource::new(ResourceKind::UnixSocket, "@bus"), "6,4;@bus"),
            (Resource::new(ResourceKind::UnixSocket, "/d/s"), "1,4;/d/s"),
            (Resource::new(ResourceKind::SharedMemory, "/m"), "1,10;/dev/shm/m"),
            (Resource::new(ResourceKind::GitRepository, "/d"), "1,7;/d/.git"),
            (Resource::new(ResourceKind::GitRepository, "/d.git"), "1,6;/d.git"),
            (Resource::new(ResourceKind::TempName, "/tmp/shop-*"), "1,4;/tmp"),
        ] {
            assert_eq!(
                asked(&[resource], Pauses::USUAL, 2),
                OsString::from(format!("80,80,80,80;{text}"))
            );
        }
        let everywhere = Pauses {
            everywhere: true,
            ..Pauses::USUAL
        };
        assert_eq!(
            asked(&[Resource::env("HOME")], everywhere, 2),
            OsString::from("80,80,80,80;3,0;")
        );
        assert_eq!(
            asked(&[Resource::file("/a;b"), Resource::cwd()], Pauses::USUAL, 2),
            OsString::from("80,80,80,80;1,4;/a;b4,0;")
        );
    }

    /// Returns the request for a process with the tests `t0`, `t1`, …
    fn asked(resources: &[Resource], pauses: Pauses, tests: usize) -> OsString {
        let runnable = |number: usize| Runnable {
            name: format!("t{number}"),
            binary: "shop".to_owned(),
            started: Arc::default(),
            own_process: tests == 1,
        };
        let runnables: Vec<Runnable> = (0..tests).map(runnable).collect();
        hold(resources, pauses, &runnables.iter().collect::<Vec<_>>(), 0).text()
    }

    #[test]
    fn one_test_of_a_run_has_pauses_of_its_own_as_a_thread_and_as_a_process() {
        let held = |test| Pauses {
            first: 0,
            others: 0,
            held: Some(HeldTest {
                test,
                first: 300,
                others: 80,
            }),
            ..Pauses::USUAL
        };
        for (pauses, tests, text) in [
            (held(1), 2, "0,0,300,80;7,2;t14,0;"),
            (held(0), 1, "300,80,300,80;4,0;"),
            (held(1), 1, "0,0,300,80;4,0;"),
        ] {
            assert_eq!(asked(&[Resource::cwd()], pauses, tests), OsString::from(text));
        }
    }

    #[test]
    fn a_test_begins_late_if_another_of_its_process_may_set_the_variable() {
        let late = Pauses {
            late: Some(1),
            ..Pauses::USUAL
        };
        for (resource, tests, text) in [
            (Resource::env("A"), 2, "80,80,80,80;3,1;A13,2;t1"),
            (Resource::env("A"), 1, "80,80,80,80;3,1;A"),
            (Resource::cwd(), 2, "80,80,80,80;4,0;"),
        ] {
            assert_eq!(asked(&[resource], late, tests), OsString::from(text));
        }
    }

    #[test]
    fn a_request_holds_as_many_resources_as_the_observer_has_room_for() {
        let long = Resource::file(format!("/{}", "x".repeat(2046)));
        let short = Resource::env("A");
        for (resources, fit) in [
            (vec![], 0),
            (vec![&long, &short, &long], 2),
            (vec![&short; 40], MOST_TARGETS),
        ] {
            assert_eq!(held_at_once(&resources), fit);
        }
    }
}
