//! `fix --relax`: removes attributes that guard nothing, and proves that the tests pass without them.

use super::applying::{Applied, permissions};
use super::observed_uses::{self, Observed};
use super::{FixEvent, shown};
use crate::cli::FixArgs;
use crate::commands::suite::collect_and_end;
use crate::commands::test_command::{self, TestRunner};
use crate::commands::{Interrupted, Refused, here, observed_variables, recordings, run_in_foreground};
use crate::exit_code::{self, Ended};
use crate::findings::{Account, Entry};
use crate::fix::checkout::{self, ApplyError, Permissions};
use crate::fix::relaxation::{self, Fate, Relaxation, RelaxedKey};
use crate::fix::test_sources::Sources;
use crate::observe::confirm::PausedRuns;
use crate::observe::launch::{Launch, LaunchSettings};
use crate::observe::{EarlierPrograms, Interruption, ObservedCommand, SceneRunner, SuitePrograms};
use crate::scene::{Arrangement, Outcome, Scene, TestId};
use cofferdam::Resource;
use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::ffi::OsString;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The fewest and the most times that the tests of a key run at one moment. A failure in one of four runs shows in ten of them with
/// a probability of 94 %.
const RUNS: RangeInclusive<u32> = 10..=100;
/// The time after which no run is added to the fewest. Short tests get more runs, because they meet less often.
const RUN_FOR: Duration = Duration::from_secs(10);
/// The number of times that the suite runs with the changes.
const SUITE_RUNS: u32 = 2;
/// The number of attempts at a run that ends without a result.
const MOST_TRIES: u32 = 3;
/// The number of runs of the suite with and without the changes whose times are compared.
const PAIRS: usize = 3;
/// The number of attempts to repeat a failure with fewer tests, as a multiple of the runs in which it first occurred. At that rate,
/// one of them fails with a probability of 95 %.
const ATTEMPTS: u32 = 3;

/// The result of `fix --relax`.
#[derive(Debug)]
pub(crate) struct Relaxed {
    /// The directory that reported paths are relative to.
    pub(crate) root: PathBuf,
    pub(crate) relaxation: Relaxation,
    /// The observed tests, by number.
    pub(crate) tests: Vec<TestId>,
    pub(crate) written: bool,
    /// The times of the suite's programs, with the changes if they were written.
    pub(crate) measured: Option<Measured>,
    /// Programs whose statics were not observed.
    pub(crate) unwatched: Vec<Entry>,
    pub(crate) account: Account,
    /// Source files that could not be read.
    pub(crate) problems: Vec<String>,
    is_strict: bool,
}

/// The times of the suite, one for each run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Measured {
    pub(crate) before: Vec<Duration>,
    pub(crate) after: Vec<Duration>,
}

impl Measured {
    /// Returns the medians before and after.
    pub(crate) fn medians(&self) -> (Duration, Duration) {
        let median = |times: &[Duration]| {
            let mut times = times.to_vec();
            times.sort_unstable();
            times.get(times.len() / 2).copied().unwrap_or_default()
        };
        (median(&self.before), median(&self.after))
    }
}

impl Relaxed {
    pub(crate) fn exit_code(&self) -> u8 {
        let is_unknown = |key: &RelaxedKey| matches!(key.fate, Fate::Unknown { .. });
        if !self.written && !self.relaxation.changes.is_empty() {
            exit_code::CONFLICTS
        } else if !self.account.lost.is_empty()
            || self.is_strict && self.relaxation.keys.iter().any(is_unknown)
        {
            exit_code::UNKNOWN
        } else {
            exit_code::NONE
        }
    }

    pub(crate) fn shown(&self, path: &Path) -> String {
        shown(&self.root, path)
    }
}

/// Observes the command's tests, and proposes to remove the attributes that guard nothing. With `--apply`, writes the changes and
/// proves that the tests pass with them.
///
/// # Errors
///
/// The command cannot be observed or fails, or the changes could not be written.
pub(crate) fn relax(args: &FixArgs, see: &mut dyn FnMut(FixEvent<'_>)) -> Result<Relaxed, Box<dyn Error>> {
    if let Some((TestRunner::Nextest, _)) = test_command::runner(&args.command) {
        return Err(Refused::new(
            &"nextest gives each test a process of its own, which shows nothing about tests that are threads of one process: \
              use `cargo test`",
        )
        .into());
    }
    let root = here::working_dir();
    if args.apply {
        // Checked before the suite runs, because its tests may leave files in the checkout.
        checkout::may_change(&root, permissions(args))?;
    }
    let interruption = Interruption::begin();
    let mut observed = observe(&args.command, &root)?;
    if interruption.is_requested() {
        return Err(Interrupted.into());
    }
    let folders: BTreeSet<&Path> = observed
        .uses
        .programs
        .iter()
        .map(|one| one.package.as_path())
        .collect();
    let sources = Sources::read(folders.into_iter().filter(|folder| folder.is_dir()))?;
    let mut relaxed = Relaxed {
        relaxation: relaxation::relax(&sources, &observed.uses),
        written: false,
        measured: None,
        problems: sources.problems().into_iter().map(str::to_owned).collect(),
        is_strict: args.strict,
        tests: Vec::new(),
        unwatched: std::mem::take(&mut observed.unwatched),
        account: std::mem::take(&mut observed.account),
        root,
    };
    if args.apply && !relaxed.relaxation.changes.is_empty() {
        apply(args, &mut relaxed, &mut observed, &sources, &interruption, see)?;
    }
    relaxed.tests = observed.ids;
    Ok(relaxed)
}

/// Runs the command under observation, one test at a time: a breakpoint that has nothing new to report is removed until the
/// next test begins, and would miss a use by another running test.
fn observe(command: &[OsString], dir: &Path) -> Result<Observed, Box<dyn Error>> {
    let base = cofferdam::diagnostics::base_dir(Some(dir))?;
    let settings = LaunchSettings {
        call_stacks: true,
        thread_names: true,
        reruns: false,
        statics: true,
        only_starts: false,
    };
    let observation = ObservedCommand::begin(dir, settings)?;
    let one_at_a_time = [("RUST_TEST_THREADS".into(), "1".into())];
    let variables = observed_variables(&observation, &base).chain(one_at_a_time);
    let ended = run_in_foreground(command, variables.collect())?;
    let result = observation.end(&recordings::new_name(), &base, true);
    if result.coverage.tests == 0 {
        return Err(format!("no test was observed (exit code {} of the command)", ended.code()).into());
    }
    Ok(observed_uses::read(result, dir))
}

/// Writes the changes, and takes back those with which a test fails.
fn apply(
    args: &FixArgs,
    relaxed: &mut Relaxed,
    observed: &mut Observed,
    sources: &Sources,
    interruption: &Interruption,
    see: &mut dyn FnMut(FixEvent<'_>),
) -> Result<(), Box<dyn Error>> {
    let launch = Launch::new(&relaxed.root, LaunchSettings::only_starts())?;
    let earlier = EarlierPrograms::copy(&collect_and_end(&launch, &args.command)?.0)?;
    let until = now() + args.time_budget;
    let permissions = Permissions {
        dirty: true,
        ..permissions(args)
    };
    let mut passed = Vec::new();
    while !relaxed.relaxation.changes.is_empty() {
        let changes = relaxed.relaxation.changes.clone();
        let applied = Applied::write(permissions, &changes, &BTreeMap::new(), sources)?;
        let proof = prove(
            args,
            relaxed,
            observed,
            &earlier,
            &mut passed,
            (interruption, until),
            see,
        );
        let failures = match proof {
            Ok(Proof::Passed(measured)) => {
                relaxed.measured = Some(measured);
                relaxed.written = true;
                return Ok(());
            }
            Ok(Proof::Failed(failures)) => Ok(failures),
            Err(error) => Err(error.to_string()),
        };
        let left = applied.revert();
        let failures = match failures {
            Ok(failures) if left.is_empty() => failures,
            failures => {
                return Err(ApplyError::Reverted {
                    check: "with them,".to_owned(),
                    error: Some(failures.err().unwrap_or_else(|| "a test failed".to_owned())),
                    fails_without: false,
                    left,
                }
                .into());
            }
        };
        for failure in failures {
            observed.uses.add_failure(failure.tests.into_iter(), failure.text);
        }
        relaxed.relaxation = relaxation::relax(sources, &observed.uses);
    }
    Ok(())
}

/// Tests that need a common key, because one of them failed in runs without it.
struct Failure {
    tests: BTreeSet<usize>,
    text: String,
}

enum Proof {
    Passed(Measured),
    Failed(Vec<Failure>),
}

/// Builds the tests with the changes, and runs the tests of each changed key at one moment, except those that have passed in an
/// earlier round, then the suite.
fn prove(
    args: &FixArgs,
    relaxed: &Relaxed,
    observed: &Observed,
    earlier: &EarlierPrograms,
    passed: &mut Vec<Group>,
    (interruption, until): (&Interruption, Instant),
    see: &mut dyn FnMut(FixEvent<'_>),
) -> Result<Proof, Box<dyn Error>> {
    let launch = Launch::new(&relaxed.root, LaunchSettings::only_starts())?;
    let (suite, ended) = collect_and_end(&launch, &args.command)?;
    if interruption.is_requested() {
        return Err("the runs were interrupted".into());
    }
    if let Ended::Failed { code, .. } = ended {
        return Err(format!("the command failed (exit code {code})").into());
    }
    let prover = Prover {
        runs: PausedRuns::new(&launch, &suite, interruption, NO_LIMIT),
        scenes: SceneRunner::new(&launch, &suite, interruption),
        suite: &suite,
        observed,
        until,
    };
    let mut failures = Vec::new();
    for group in groups(&relaxed.relaxation, observed) {
        // A group that passed is not run again: changes of other keys have no effect on its runs.
        if !passed.contains(&group) {
            let found = prover.run_group(&group.tests, see)?;
            if found.is_empty() {
                passed.push(group);
            }
            failures.extend(found);
        }
    }
    if failures.is_empty() {
        failures.extend(prover.run_suite(&relaxed.relaxation, see)?);
    }
    if !failures.is_empty() {
        return Ok(Proof::Failed(failures));
    }
    let mut measured = Measured::default();
    for pair in 0..PAIRS {
        see(FixEvent::Measuring {
            run: pair + 1,
            needed: PAIRS,
        });
        let Some((before, after)) = earlier.measure_pair(&suite, pair % 2 == 1, interruption) else {
            return Err("a run of the suite failed while its time was measured".into());
        };
        measured.before.push(before);
        measured.after.push(after);
    }
    Ok(Proof::Passed(measured))
}

/// A time budget that does not run out: a year.
const NO_LIMIT: Duration = Duration::from_secs(31_536_000);

/// Tests that run together: those of one program that take a key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Group {
    tests: BTreeSet<usize>,
    /// The outcome for the key at each attribute.
    fates: Vec<Fate>,
}

/// Returns the tests of each key and program, where at least one attribute loses the key or gets another.
fn groups(relaxation: &Relaxation, observed: &Observed) -> Vec<Group> {
    let mut locks: BTreeMap<(usize, usize), Group> = BTreeMap::new();
    for key in &relaxation.keys {
        let programs: BTreeSet<usize> = key
            .tests
            .iter()
            .map(|test| observed.uses.tests[*test].program)
            .collect();
        for program in programs {
            let group = locks.entry((key.lock, program)).or_default();
            let of_program = key
                .tests
                .iter()
                .filter(|test| observed.uses.tests[**test].program == program);
            group.tests.extend(of_program);
            group.fates.push(key.fate.clone());
        }
    }
    let is_change = |fate: &Fate| matches!(fate, Fate::Removed | Fate::Split { .. });
    locks
        .into_values()
        .filter(|group| group.tests.len() > 1 && group.fates.iter().any(is_change))
        .collect()
}

/// Runs tests without the removed attributes.
struct Prover<'a> {
    runs: PausedRuns<'a>,
    scenes: SceneRunner<'a>,
    suite: &'a SuitePrograms,
    observed: &'a Observed,
    /// The end of the search for the causes of failures.
    until: Instant,
}

impl Prover<'_> {
    /// Runs the tests at one moment, in every second run with pauses at what they change. Returns the tests that failed, each
    /// with those that may be the cause.
    fn run_group(
        &self,
        group: &BTreeSet<usize>,
        see: &mut dyn FnMut(FixEvent<'_>),
    ) -> Result<Vec<Failure>, Box<dyn Error>> {
        let resources = self.observed.pauses(group);
        let begun = now();
        for run in 0..*RUNS.end() {
            if run >= *RUNS.start() && begun.elapsed() >= RUN_FOR {
                break;
            }
            see(FixEvent::RunningTogether {
                tests: group.len(),
                run: run + 1,
                needed: (run + 1).max(*RUNS.start()),
            });
            let failed = self.failing(group, if run % 2 == 0 { &[] } else { &resources })?;
            if !failed.is_empty() {
                see(FixEvent::LookingForCause);
                return Ok(self.causes(group, &failed, run + 1, &resources)?);
            }
        }
        Ok(Vec::new())
    }

    /// Returns the tests that did not pass when these ran at one moment.
    fn failing(&self, group: &BTreeSet<usize>, resources: &[&Resource]) -> Result<BTreeSet<usize>, String> {
        let ids: Option<Vec<TestId>> = group
            .iter()
            .map(|test| self.suite.find(&self.observed.ids[*test]))
            .collect();
        let ids = ids.ok_or("the command runs other tests with the changes")?;
        let alone = group.iter().map(|test| self.observed.durations[*test]).sum();
        let mut tries = 0;
        let outcomes = loop {
            tries += 1;
            let run = self.runs.run_together(&ids, resources, alone);
            match run.ok_or("the runs were interrupted")? {
                Ok(outcomes) => break outcomes,
                Err(error) if tries == MOST_TRIES => {
                    return Err(format!("the tests could not be run together: {error}"));
                }
                Err(_) => {}
            }
        };
        // A run with pauses that did not end in time shows nothing.
        let failed = group.iter().zip(outcomes).filter(|(_, outcome)| match outcome {
            Outcome::Passed => false,
            Outcome::Failed => true,
            Outcome::Unknown => resources.is_empty(),
        });
        Ok(failed.map(|(test, _)| *test).collect())
    }

    /// Finds the tests beside which each failed test fails, by halving the group. If no half repeats the failure, or the time is
    /// up, all tests that are left count as its cause.
    fn causes(
        &self,
        group: &BTreeSet<usize>,
        failed: &BTreeSet<usize>,
        runs: u32,
        resources: &[&Resource],
    ) -> Result<Vec<Failure>, String> {
        let mut failures: Vec<Failure> = Vec::new();
        for test in failed {
            if failures.iter().any(|known| known.tests.contains(test)) {
                continue;
            }
            let mut others: Vec<usize> = group.iter().copied().filter(|other| other != test).collect();
            while others.len() > 1 && now() < self.until {
                let other = others.split_off(others.len() / 2);
                if self.fails_beside(*test, &others, resources, runs)? {
                    continue;
                }
                if !self.fails_beside(*test, &other, resources, runs)? {
                    others.extend(other);
                    break;
                }
                others = other;
            }
            let name = |test: &usize| self.observed.uses.tests[*test].name.clone();
            let beside = match others.as_slice() {
                [other] => name(other),
                _ => format!("{} others of its key", others.len()),
            };
            failures.push(Failure {
                text: format!(
                    "{} failed in one of {runs} runs without it, beside {beside}",
                    name(test)
                ),
                tests: others.into_iter().chain([*test]).collect(),
            });
        }
        Ok(failures)
    }

    /// Returns whether one of these tests fails when only they run together. `runs` is the number of runs in which the failure
    /// first occurred.
    fn fails_beside(
        &self,
        test: usize,
        others: &[usize],
        resources: &[&Resource],
        runs: u32,
    ) -> Result<bool, String> {
        let group: BTreeSet<usize> = others.iter().copied().chain([test]).collect();
        for attempt in 0..ATTEMPTS * runs {
            let resources = if attempt % 2 == 0 { resources } else { &[] };
            if now() >= self.until {
                break;
            }
            // Of two tests that meet, either may fail.
            if !self.failing(&group, resources)?.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Runs all tests as the command does. Returns those that failed and have a changed key, with all tests of that key.
    fn run_suite(
        &self,
        relaxation: &Relaxation,
        see: &mut dyn FnMut(FixEvent<'_>),
    ) -> Result<Vec<Failure>, Box<dyn Error>> {
        let scene = Scene::of(self.suite.tests(), Arrangement::Parallel);
        for run in 0..SUITE_RUNS {
            see(FixEvent::RunningTogether {
                tests: scene.tests.len(),
                run: run + 1,
                needed: SUITE_RUNS,
            });
            let result = self.scenes.run(&scene).ok_or("the runs were interrupted")?;
            let failed: Vec<&TestId> = scene
                .tests
                .iter()
                .filter(|test| result.outcome(test) == Outcome::Failed)
                .collect();
            let Some(first) = failed.first() else { continue };
            let has_failed = |test: &usize| {
                failed.iter().any(|one| {
                    let id = &self.observed.ids[*test];
                    one.is_named(&id.binary, &id.name)
                })
            };
            let of_failed = groups(relaxation, self.observed)
                .into_iter()
                .filter(|group| group.tests.iter().any(has_failed));
            let failures: Vec<Failure> = of_failed
                .map(|group| Failure {
                    tests: group.tests,
                    text: format!("{first} failed in a run of the suite without it"),
                })
                .collect();
            if failures.is_empty() {
                return Err(format!("{first} failed, which has no attribute").into());
            }
            return Ok(failures);
        }
        Ok(Vec::new())
    }
}

fn now() -> Instant {
    #[expect(
        clippy::disallowed_methods,
        reason = "the search for causes has a budget of time"
    )]
    Instant::now()
}
