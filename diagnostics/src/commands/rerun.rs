//! `rerun`: runs some tests of a suite in a given order or company.

use super::suite::{choose_all, collect};
use super::{end_fixtures, here};
use crate::cli::RerunArgs;
use crate::exit_code;
use crate::observe::launch::{Launch, LaunchSettings};
use crate::observe::{Interruption, SceneRunner};
use crate::scene::{Arrangement, Outcome, Scene, SceneResult, TestId, split_names};
use cofferdam_conflicts::Conflict;
use std::error::Error;

/// The outcome of `rerun`.
#[derive(Debug)]
pub(crate) struct Reran {
    /// The tests whose result decides.
    pub(crate) tests: Vec<TestId>,
    /// The number of requested runs.
    pub(crate) times: u32,
    /// The runs, in their order.
    pub(crate) runs: Vec<SceneResult>,
    /// The commands that failed when the declared fixtures were torn down.
    pub(crate) failed_teardowns: Vec<Conflict>,
    pub(crate) is_interrupted: bool,
}

impl Reran {
    /// Returns the outcome of a run: failed if one of the deciding tests failed, passed if all of them passed.
    pub(crate) fn outcome(&self, run: &SceneResult) -> Outcome {
        let outcomes = || self.tests.iter().map(|test| run.outcome(test));
        if run.void.is_some() {
            Outcome::Unknown
        } else if outcomes().any(|outcome| outcome == Outcome::Failed) {
            Outcome::Failed
        } else if outcomes().all(|outcome| outcome == Outcome::Passed) {
            Outcome::Passed
        } else {
            Outcome::Unknown
        }
    }

    /// Returns the number of runs with this outcome.
    pub(crate) fn count(&self, outcome: Outcome) -> usize {
        self.runs
            .iter()
            .filter(|run| self.outcome(run) == outcome)
            .count()
    }

    pub(crate) fn exit_code(&self) -> u8 {
        if self.is_interrupted {
            exit_code::INTERRUPTED
        } else if self.count(Outcome::Failed) > 0 || !self.failed_teardowns.is_empty() {
            exit_code::CONFLICTS
        } else if self.count(Outcome::Unknown) > 0 {
            exit_code::UNKNOWN
        } else {
            exit_code::NONE
        }
    }
}

/// Runs the scene, and calls `see` after each run.
pub(crate) fn rerun(args: &RerunArgs, see: &mut dyn FnMut(&Reran)) -> Result<Reran, Box<dyn Error>> {
    let launch = Launch::new(&here::working_dir(), LaunchSettings::only_starts())?;
    let interruption = Interruption::begin();
    let suite = collect(&launch, &args.command, &interruption)?;
    let all = suite.tests();
    let tests = choose_all(&args.tests, &all)?;
    let order = args.order.as_deref().map(|list| split_names(list, &all));
    let mut in_scene = choose_all(&order.unwrap_or_default(), &all)?;
    for test in &tests {
        if !in_scene.contains(test) {
            in_scene.push(test.clone());
        }
    }
    let scene = Scene {
        tests: in_scene,
        arrangement: if args.parallel {
            Arrangement::Parallel
        } else if args.alone {
            Arrangement::Alone
        } else {
            Arrangement::InOrder
        },
        load: args.load,
        twice: args.twice,
        empty_temp: args.empty_temp,
    };
    let mut runner = SceneRunner::new(&launch, &suite, &interruption);
    if let Some(limit) = args.timeout {
        runner = runner.limit(limit);
    }
    let mut reran = Reran {
        tests,
        times: args.times.get(),
        runs: Vec::new(),
        failed_teardowns: Vec::new(),
        is_interrupted: false,
    };
    for _ in 0..args.times.get() {
        let Some(result) = runner.run(&scene) else {
            reran.is_interrupted = true;
            break;
        };
        reran.runs.push(result);
        see(&reran);
    }
    reran.failed_teardowns = end_fixtures();
    Ok(reran)
}
