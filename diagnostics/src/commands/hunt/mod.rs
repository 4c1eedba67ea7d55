//! `hunt`: finds out why tests fail sometimes.

mod budgeted_scenes;
mod first_run;
mod grouped_causes;
mod hunt_record;
mod junit_failures;
mod leftovers_in_temp;
mod one_process;
mod own_uses;
mod paused_races;
mod repeated_command;
mod reproductions;
mod shown_statics;
mod static_conflicts;

use super::suite::{choose_all, collect};
use super::{Interrupted, Refused, end_fixtures, here, observe, processors, recordings};
use crate::cli::HuntArgs;
use crate::exit_code::{self, Ended};
use crate::findings::TestResult;
use crate::fix::named_statics;
use crate::fix::test_sources::Sources;
use crate::hunt::{HuntEvent, HuntOptions, HuntReport, Regime, RegimeReport, repeat_company};
use crate::observe::confirm::ConfirmOptions;
use crate::observe::launch::{Launch, LaunchSettings};
use crate::observe::{FileSnapshot, Interruption, ObservedCommand, SceneRunner};
use crate::rates::FailureRate;
use crate::scene::{Outcome, TestId};
use budgeted_scenes::BudgetedScenes;
use cofferdam_conflicts::{Conflict, Grade};
use first_run::FirstRun;
pub(crate) use first_run::StoppedCommand;
pub(crate) use grouped_causes::Cause;
use grouped_causes::causes;
use hunt_record::{HuntRecord, Origin};
use repeated_command::RepeatedCommand;
use std::collections::BTreeSet;
use std::error::Error;
use std::ffi::OsString;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Each test runs alone without a request if that takes at most this part of the time budget, even if each takes as long as
/// the command.
const ALONE_SHARE: u32 = 4;

/// The longest time in which tests that share something run together with pauses; proving that one fails may take as long
/// again.
const PAUSED_BUDGET: Duration = Duration::from_secs(30);
/// The part of the time budget that is left for that.
const PAUSED_SHARE: u32 = 4;

/// The outcome of a hunt.
#[derive(Debug)]
pub(crate) struct Hunted {
    /// The command, as it was given.
    pub(crate) command: Vec<OsString>,
    /// The directory that reported paths are relative to.
    pub(crate) dir: PathBuf,
    /// All tests of the command.
    pub(crate) tests: Vec<TestId>,
    /// The results of the tests in the first run of the command.
    pub(crate) results: Vec<TestResult>,
    /// The conflicts of that run.
    pub(crate) conflicts: Vec<Conflict>,
    /// Programs whose tests could not be run one by one, and why.
    pub(crate) left_out: Vec<(String, &'static str)>,
    /// How the command itself ended.
    pub(crate) ended: Ended,
    /// Set if it was stopped, because it took longer than the budget.
    pub(crate) stopped: Option<StoppedCommand>,
    /// Set if it was killed, so that none of its tests was started again.
    pub(crate) was_killed: bool,
    /// The tests that did not end in some run, and the time after which the processes of scenes were stopped.
    pub(crate) hung: BTreeSet<TestId>,
    pub(crate) limit: Duration,
    /// The runs of the command as it is.
    pub(crate) command_runs: FailureRate,
    /// The number of documentation tests that were examined, and are known by name.
    pub(crate) doc_tests: usize,
    pub(crate) report: HuntReport,
    /// The causes, each with the tests that it makes fail.
    pub(crate) causes: Vec<Cause>,
    pub(crate) seed: u64,
    /// The tests to start from, if some were named.
    pub(crate) given: Vec<TestId>,
    /// The number of resources that tests were seen to use at the same time, with pauses, without a failure.
    pub(crate) unguarded: usize,
    /// Files that the hunt left in the packages.
    pub(crate) left: Vec<PathBuf>,
    /// The commands that failed when the declared fixtures were torn down.
    pub(crate) failed_teardowns: Vec<Conflict>,
    pub(crate) is_interrupted: bool,
}

impl Hunted {
    /// Returns whether the command failed without a failed test that is known.
    pub(crate) fn is_unexplained(&self) -> bool {
        self.command_runs.failed > 0 && self.report.verdicts.is_empty()
    }

    /// Returns whether the command failed in some of its runs and passed in others.
    fn is_unstable(&self) -> bool {
        (1..self.command_runs.runs).contains(&self.command_runs.failed)
    }

    /// Returns whether tests after a failure may not have run in the first run.
    pub(crate) fn ended_early(&self) -> bool {
        self.ended != Ended::Passed && super::test_command::stops_at_failure(&self.command)
    }

    /// Returns whether each test had a process of its own.
    pub(crate) fn is_under_nextest(&self) -> bool {
        super::test_command::is_nextest(&self.command)
    }

    pub(crate) fn exit_code(&self) -> u8 {
        let is_void = |regime: &RegimeReport| regime.void.is_some();
        let is_as_is = |regime: &&RegimeReport| regime.regime == Regime::AsIs;
        let others: Vec<&RegimeReport> = self
            .report
            .regimes
            .iter()
            .filter(|regime| !is_as_is(regime))
            .collect();
        let shows_nothing = !others.is_empty() && others.into_iter().all(is_void);
        if self.is_interrupted {
            exit_code::INTERRUPTED
        } else if !self.report.verdicts.is_empty() || self.is_unstable() || !self.failed_teardowns.is_empty()
        {
            exit_code::CONFLICTS
        } else if self.is_unexplained() || shows_nothing {
            exit_code::UNKNOWN
        } else {
            exit_code::NONE
        }
    }
}

/// The progress of a hunt.
#[derive(Debug)]
pub(crate) enum HuntProgress<'a> {
    Engine(HuntEvent<'a>),
    /// This number of tests runs in one process for each program, because some of them always fail in processes of their own.
    InOneProcess {
        tests: usize,
    },
    /// The tests that share this number of resources run together, with pauses.
    Pausing {
        resources: usize,
    },
}

pub(crate) fn hunt(args: &HuntArgs, see: &mut dyn FnMut(HuntProgress<'_>)) -> Result<Hunted, Box<dyn Error>> {
    let dir = here::working_dir();
    let base = cofferdam::diagnostics::base_dir(Some(&dir))?;
    let mut names = args.tests.clone();
    if let Some(report) = &args.failed_in {
        let failed = junit_failures::read(report).map_err(|error| Refused::new(&error))?;
        if failed.is_empty() {
            return Err(Refused::new(&format!("no test failed in {}", report.display())).into());
        }
        names.extend(failed);
    }
    let launch = Launch::new(&dir, LaunchSettings::only_starts())?;
    let interruption = Interruption::begin();
    let suite = collect(&launch, &args.command, &interruption)?;
    let tests = suite.tests();
    let mut given = choose_all(&names, &tests)?;
    let seed = args.seed.unwrap_or_else(random_seed);
    let origin = Origin::new(
        digest(&args.command),
        tests.clone(),
        given.clone(),
        seed,
        args.alone,
    );
    let (record, origin) = if args.resume {
        HuntRecord::resume(&base, &origin, args.seed.is_none())?
    } else {
        (HuntRecord::begin(&base, &origin), origin)
    };
    let snapshot = FileSnapshot::take(suite.dirs());

    let settings = LaunchSettings {
        call_stacks: true,
        thread_names: true,
        reruns: true,
        statics: false,
        only_starts: false,
    };
    let observed_command = ObservedCommand::begin(&dir, settings)?;
    let begun = now();
    let session = recordings::new_name();
    let budget = args.time_budget;
    let first = FirstRun::run(&observed_command, &args.command, &base, &session, &suite, budget)?;
    if interruption.is_requested() {
        // The signal may have reached the tests, too.
        return Err(Interrupted.into());
    }
    let limit = first.limit_of_scenes(budget);
    let mut deadline = begun + first.lasted;
    let was_killed = first.was_killed();
    // A suite that takes longer than the budget, without a test that hangs, would not end in any regime either.
    if !was_killed && (first.stopped.is_none() || !first.hung().is_empty()) {
        deadline += budget;
    }
    for test in first.hung() {
        if !given.contains(test) {
            given.push(test.clone());
        }
    }
    let FirstRun {
        ended,
        mut observed,
        outcomes: as_is,
        lasted,
        stopped,
        ..
    } = first;
    let (mut kept, _) = observe::kept(&mut observed, &session, &dir, false, (&args.command, ended));
    let mut named = kept.conflicts.clone();
    repeated_command::name_doc_tests(&mut named);
    let mut repeated = RepeatedCommand::default();
    repeated.add(ended, &observed_command, &observed);
    let knows_failure = as_is.outcomes.values().any(|outcome| *outcome == Outcome::Failed);
    if stopped.is_none() && repeated.is_needed(&suite, knows_failure) {
        let time_left = || {
            let left = deadline.saturating_duration_since(now());
            (left >= lasted).then_some(left)
        };
        repeated.run(&args.command, &dir, &base, &named, &time_left)?;
    }
    // `fix` reads it. Without it, the report is the same.
    let _ = kept.write(&base);

    let left_for_pauses = match kept.conflicts.as_slice() {
        [] => Duration::ZERO,
        _ => PAUSED_BUDGET.min(args.time_budget / PAUSED_SHARE),
    };
    let together = suite.in_one_process();
    let runner = |suite, deadline| {
        SceneRunner::new(&launch, suite, &interruption)
            .limit(limit)
            .deadline(deadline)
    };
    let before_pauses = deadline - left_for_pauses;
    let mut scenes = BudgetedScenes::new(runner(&suite, before_pauses), record, &kept.conflicts);
    // A test may need what another does, which comes before it in each order that was tried.
    let is_quick = lasted.saturating_mul(tests.len() as u32) <= args.time_budget / ALONE_SHARE;
    let options = HuntOptions {
        alone_for_all: args.alone || given.is_empty() && is_quick,
        given: given.clone(),
        seed: origin.seed,
        rarity: 1,
        cores: u32::try_from(processors()).unwrap_or(u32::MAX),
    };
    let mut report = crate::hunt::hunt(&tests, &as_is, &options, &mut scenes, &mut |event| {
        see(HuntProgress::Engine(event));
    });
    leftovers_in_temp::enter(&mut report, &mut scenes);
    one_process::enter(
        &mut report,
        &together.tests(),
        runner(&together, before_pauses),
        &mut scenes,
        &options,
        see,
    );
    report.verdicts.extend(repeated.verdicts(&named));
    // Grading and proving may each take this long.
    let budget = (deadline.saturating_duration_since(now()) / 2).min(PAUSED_BUDGET);
    let mut conflicts = paused_races::to_try(&report, &kept.conflicts);
    let mut reproductions = Vec::new();
    let mut unguarded = Vec::new();
    if !conflicts.is_empty() && !budget.is_zero() && !interruption.is_requested() {
        see(HuntProgress::Pausing {
            resources: conflicts.len(),
        });
        let limits = ConfirmOptions {
            budget,
            jobs: processors(),
        };
        let rerun = observed_command.confirm(&mut conflicts, limits, &interruption, &|_| {});
        paused_races::enter(&conflicts, &tests, &mut report);
        conflicts.retain(|conflict| conflict.grade == Some(Grade::Unguarded));
        if interruption.is_requested() {
            let what = "tests together, with pauses at what they share";
            report.untried.push(what.to_owned());
        } else {
            unguarded.extend(conflicts.iter().filter_map(|one| one.resource.clone()));
            scenes.set_runner(runner(&suite, deadline));
            let groups = conflicts.iter().map(|conflict| {
                let shares_it =
                    |test: &&TestId| conflict.tests.iter().any(|one| budgeted_scenes::is(one, test));
                tests.iter().filter(shares_it).cloned().collect()
            });
            repeat_company(&mut report, groups, &mut scenes, &options, &mut |event| {
                see(HuntProgress::Engine(event));
            });
        }
        reproductions.extend(reproductions::paused(rerun.reproductions, &report));
    }
    if was_killed {
        // The report says so once.
        report.untried.clear();
    }
    let mut causes = causes(&report.verdicts, &named, &tests);
    if !was_killed && !interruption.is_requested() {
        for programs in [&suite, &together] {
            scenes.set_runner(runner(programs, deadline));
            let untried = shown_statics::enter(&mut causes, programs, &mut scenes, see);
            report.untried.extend(untried);
        }
    }
    let mut hung = scenes.into_hung();
    hung.extend(stopped.iter().flat_map(|stopped| &stopped.hung).cloned());
    for cause in &mut causes {
        let first = &cause.verdicts[0];
        if cause.static_cause.is_some() {
            continue;
        }
        cause
            .uses
            .extend(own_uses::of(&first.test, &first.class, &observed.accesses));
        let program = suite.program(&first.test.binary);
        cause.is_unobserved = program.is_some_and(|program| !program.has_known_tests());
    }
    name_statics(&mut causes, &dir);
    unguarded.retain(|resource| {
        let mut uses = causes.iter().flat_map(|cause| &cause.uses);
        !uses.any(|used| used.resource == *resource)
    });
    let conflicts = kept.conflicts.clone();
    static_conflicts::enter(&mut causes, &mut kept);
    reproductions.extend(causes.iter().flat_map(reproductions::of));
    kept.reproductions = reproductions;
    let _ = kept.write(&base);
    Ok(Hunted {
        command: args.command.clone(),
        dir,
        tests,
        results: observed.results,
        conflicts,
        left_out: suite.left_out,
        ended,
        stopped,
        was_killed,
        hung,
        limit,
        command_runs: repeated.rate,
        doc_tests: repeated.doc_tests(),
        causes,
        report,
        seed: origin.seed,
        unguarded: unguarded.len(),
        given,
        left: snapshot.new_files(),
        failed_teardowns: end_fixtures(),
        is_interrupted: interruption.is_requested(),
    })
}

/// Enters the values, one for each process, that a cause's tests may share, where nothing was observed.
fn name_statics(causes: &mut [Cause], dir: &Path) {
    let may_share = |cause: &&mut Cause| {
        cause.static_cause.is_none() && cause.uses.is_empty() && !cause.verdicts[0].culprits.is_empty()
    };
    let mut causes = causes.iter_mut().filter(may_share).peekable();
    // Without the sources, the report names no static.
    let Some(Ok(sources)) = causes.peek().map(|_| Sources::read(std::iter::once(dir))) else {
        return;
    };
    for cause in causes {
        let first = &cause.verdicts[0];
        cause.statics = named_statics::of_tests(&sources, &first.test, &first.culprits);
    }
}

fn digest(command: &[OsString]) -> u64 {
    let mut hasher = DefaultHasher::new();
    command.hash(&mut hasher);
    hasher.finish()
}

fn random_seed() -> u64 {
    use std::hash::BuildHasher as _;
    // Few digits, since people type it.
    std::hash::RandomState::new().hash_one(0) % 1_000_000
}

fn now() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "a hunt has a budget of time")]
    Instant::now()
}
