//! Applies a proposal and repeats what had failed; keeps what is proven to end that.

use super::applying::{Applied, permissions};
use super::change_proof::{Proof, ProofOutcome};
use super::{FixEvent, Fixed, mechanism, order_dependence};
use crate::cli::FixArgs;
use crate::commands::suite::collect_and_end;
use crate::exit_code::Ended;
use crate::findings::{Observation, Reproduction};
use crate::fix::checkout::ApplyError;
use crate::fix::own_statics::OwnStatics;
use crate::fix::proposal::{self, Proposal};
use crate::fix::test_sources::Sources;
use crate::observe::confirm::PausedRuns;
use crate::observe::launch::{Launch, LaunchSettings};
use crate::observe::{Interruption, SceneRunner, SuitePrograms};
use crate::rates::FailureRate;
use crate::scene::{Outcome, Scene, StaticPause, StaticsPlan, TestId, rerun_words};
use cofferdam::Resource;
use cofferdam_conflicts::Conflict;
use std::error::Error;
use std::time::Instant;

/// The reason a change is not proven where nothing can be repeated.
const NO_FAILURE: &str =
    "no failure was reproduced that could be repeated: `observe --confirm` and `hunt` look for one";

/// Writes the changes that are proven to end the failures of their conflicts. Each round takes back the changes that do not help,
/// until all remaining ones do.
pub(super) fn apply(
    args: &FixArgs,
    fixed: &mut Fixed,
    observation: &Observation,
    sources: &Sources,
    mut own: OwnStatics,
    see: &mut dyn FnMut(FixEvent<'_>),
) -> Result<(), Box<dyn Error>> {
    // A signal must not leave changes behind.
    let interruption = Interruption::begin();
    let mut observation = observation.clone();
    let unknown: Vec<Proof> = unproven(&observation, &own)
        .map(|proof| proof.decided(args.keep_unproven))
        .collect();
    let mut reverted = retain(&mut observation, unknown, &own).1;
    loop {
        fixed.proposal = Proposal {
            // Manual steps of a reverted change still lead to a fix.
            manual_steps: std::mem::take(&mut fixed.proposal.manual_steps),
            ..proposal::propose(
                &observation,
                sources,
                mechanism(args.with),
                fixed.library.as_deref(),
                &own,
            )?
        };
        if fixed.proposal.changes.is_empty() {
            break;
        }
        let applied = Applied::write(
            permissions(args),
            &fixed.proposal.changes,
            &fixed.proposal.missing_crates,
            sources,
        )?;
        let proofs = match repeat(args, fixed, &observation, &own, &interruption, see) {
            Ok(proofs) => proofs,
            Err(failure) if !fixed.proposal.own_statics.is_empty() && !interruption.is_requested() => {
                // The statics may be used in a way that only the compiler sees. Attributes may still help.
                let left = applied.revert();
                if !left.is_empty() {
                    return Err(left_behind(Some(failure.to_string()), left).into());
                }
                let why = format!("with its new declaration, {failure}");
                let refused = std::mem::take(&mut own).into_all();
                reverted.extend(refused.iter().map(|one| Proof::without(&one.resource, &why)));
                fixed.order_dependent = order_dependence::of(&observation, sources, &own);
                continue;
            }
            Err(failure) => return Err(reverted_for(args, fixed, &applied, failure, &interruption).into()),
        };
        let proofs = proofs.into_iter().chain(unproven(&observation, &own));
        let proofs = proofs.map(|proof| proof.decided(args.keep_unproven)).collect();
        let (kept, dropped) = retain(&mut observation, proofs, &own);
        if dropped.is_empty() {
            fixed.written = true;
            fixed.proofs = kept;
            break;
        }
        let left = applied.revert();
        if !left.is_empty() {
            let why = "what had failed was not shown to pass".to_owned();
            return Err(left_behind(Some(why), left).into());
        }
        reverted.extend(dropped);
    }
    // Attributes may have ended a conflict whose static could not get a new declaration.
    let is_ended = |proof: &Proof| {
        proof
            .resources
            .iter()
            .any(|one| fixed.proofs.iter().any(|kept| kept.resources.contains(one)))
    };
    reverted.retain(|proof| !is_ended(proof));
    fixed.proofs.extend(reverted);
    Ok(())
}

/// Returns the error of a file that could not be restored.
fn left_behind(error: Option<String>, left: Vec<String>) -> ApplyError {
    ApplyError::Reverted {
        check: "with them,".to_owned(),
        error,
        fails_without: false,
        left,
    }
}

/// Returns the conflicts with changes and without a known failure.
fn unproven(observation: &Observation, own: &OwnStatics) -> impl Iterator<Item = Proof> {
    let fixable = observation
        .conflicts
        .iter()
        .filter(|one| proposal::is_fixable(one, own));
    let resources = fixable.filter_map(|conflict| conflict.resource.as_ref());
    let is_known = |resource: &&Resource| {
        let mut all = observation.reproductions.iter();
        all.any(|one| is_proof(one, resource, own))
    };
    resources
        .filter(move |resource| !is_known(resource))
        .map(|resource| Proof::without(resource, NO_FAILURE))
}

/// Returns whether a failure passes only if the conflict on the resource is ended: locks end races, and a static of a test's own
/// also a failure after another test.
fn is_proof(failure: &Reproduction, resource: &Resource, own: &OwnStatics) -> bool {
    failure.is_race_on(resource) || own.get(resource).is_some() && failure.may_come_from(resource)
}

/// Removes the conflicts whose changes are not kept. Returns the proofs of those that are, and of those that are not.
fn retain(observation: &mut Observation, proofs: Vec<Proof>, own: &OwnStatics) -> (Vec<Proof>, Vec<Proof>) {
    let (kept, dropped): (Vec<Proof>, Vec<Proof>) = proofs.into_iter().partition(|proof| proof.is_kept);
    observation.conflicts.retain(|conflict| {
        let is_its = |proof: &Proof| {
            conflict
                .resource
                .as_ref()
                .is_some_and(|one| proof.resources.contains(one))
        };
        !proposal::is_fixable(conflict, own) || !dropped.iter().any(is_its)
    });
    (kept, dropped)
}

/// Builds the tests and repeats the failures that the conflicts explain. Returns an error if the tests could not be built.
fn repeat(
    args: &FixArgs,
    fixed: &Fixed,
    observation: &Observation,
    own: &OwnStatics,
    interruption: &Interruption,
    see: &mut dyn FnMut(FixEvent<'_>),
) -> Result<Vec<Proof>, Box<dyn Error>> {
    let launch = Launch::new(&fixed.root, LaunchSettings::only_starts())?;
    let collected = collect_and_end(&launch, &args.command);
    if interruption.is_requested() {
        return Err("the runs were interrupted".into());
    }
    let (suite, ended) = collected?;
    if let (Ended::Failed { code, .. }, false) = (ended, args.no_check) {
        return Err(format!("the command failed (exit code {code})").into());
    }
    let is_concerned = |reproduction: &&Reproduction| {
        let mut conflicts = observation
            .conflicts
            .iter()
            .filter(|one| proposal::is_fixable(one, own));
        let has = |conflict: &Conflict| {
            let resource = conflict.resource.as_ref();
            resource.is_some_and(|resource| is_proof(reproduction, resource, own))
        };
        conflicts.any(has)
    };
    let mut failures: Vec<&Reproduction> = observation.reproductions.iter().filter(is_concerned).collect();
    // Failures that need few runs come first, because the time budget may not suffice for the others.
    failures.sort_by_key(|failure| failure.with.runs_to_refute());
    let repeater = Repeater {
        runner: SceneRunner::new(&launch, &suite, interruption).deadline(now() + args.time_budget),
        paused: PausedRuns::new(&launch, &suite, interruption, args.time_budget),
        suite: &suite,
    };
    let mut proofs = Vec::new();
    for failure in failures {
        let (after, outcome) = repeater.repeat(failure, see);
        let mut proof = Proof::of(failure, after, outcome);
        proof.rerun = repeater.words(failure);
        if interruption.is_requested() {
            return Err("the runs were interrupted".into());
        }
        proofs.push(proof);
    }
    Ok(proofs)
}

/// Takes the changes back because the command failed with them.
fn reverted_for(
    args: &FixArgs,
    fixed: &Fixed,
    applied: &Applied<'_>,
    failure: Box<dyn Error>,
    interruption: &Interruption,
) -> ApplyError {
    let left = applied.revert();
    let fails_without = left.is_empty() && !interruption.is_requested() && {
        let launch = Launch::new(&fixed.root, LaunchSettings::only_starts());
        let ended = launch.map(|launch| collect_and_end(&launch, &args.command));
        applied.restore_locks();
        !matches!(ended, Ok(Ok((_, Ended::Passed))))
    };
    ApplyError::Reverted {
        check: "with them,".to_owned(),
        error: Some(failure.to_string()),
        fails_without,
        left,
    }
}

/// Repeats failures within the time budget.
struct Repeater<'a> {
    runner: SceneRunner<'a>,
    paused: PausedRuns<'a>,
    suite: &'a SuitePrograms,
}

impl Repeater<'_> {
    /// Repeats a scene until its failure would have shown.
    fn repeat(
        &self,
        failure: &Reproduction,
        see: &mut dyn FnMut(FixEvent<'_>),
    ) -> (FailureRate, ProofOutcome) {
        let mut rate = FailureRate::default();
        let outcome = match self.try_repeat(failure, &mut rate, see) {
            _ if rate.failed > 0 => ProofOutcome::StillFails,
            Ok(()) => ProofOutcome::Fixed,
            Err(why) => ProofOutcome::NotProven { why },
        };
        see(FixEvent::Repeated {
            test: &failure.test,
            rate,
        });
        (rate, outcome)
    }

    fn find(&self, test: &TestId) -> Result<TestId, String> {
        let found = self.suite.find(test);
        found.ok_or_else(|| format!("the command does not run {test}"))
    }

    /// Returns the scene of a failure with the tests of this suite, and the test that failed.
    fn scene(&self, failure: &Reproduction) -> Result<(Scene, TestId), String> {
        let tests = failure.scene.tests.iter().map(|test| self.find(test));
        let scene = Scene {
            tests: tests.collect::<Result<_, _>>()?,
            ..failure.scene.clone()
        };
        Ok((scene, self.find(&failure.test)?))
    }

    /// Returns the plan with the pause at a use of a static that brought out a failure; an empty one if none did.
    fn plan(&self, failure: &Reproduction) -> Result<StaticsPlan, String> {
        let within = failure.paused.as_ref().and_then(|paused| paused.within.clone());
        let with_tests = |mut pause: StaticPause| {
            pause.held = self.find(&pause.held)?;
            pause.late = self.find(&pause.late)?;
            // A change may have moved the declaration.
            pause.at.line.clear();
            Ok::<_, String>(pause)
        };
        Ok(StaticsPlan {
            pause: within.map(with_tests).transpose()?,
            ..StaticsPlan::default()
        })
    }

    /// Returns the words of `rerun` for the scene of a failure; none if it needs pauses.
    fn words(&self, failure: &Reproduction) -> Vec<String> {
        match self.scene(failure) {
            Ok((scene, judged)) if failure.paused.is_none() => {
                rerun_words(&scene, &judged, &self.suite.tests())
            }
            _ => Vec::new(),
        }
    }

    fn try_repeat(
        &self,
        failure: &Reproduction,
        rate: &mut FailureRate,
        see: &mut dyn FnMut(FixEvent<'_>),
    ) -> Result<(), String> {
        let (scene, judged) = self.scene(failure)?;
        let plan = self.plan(failure)?;
        let needed = failure
            .with
            .runs_to_refute()
            .ok_or("its failure was never measured")?;
        while rate.runs < needed {
            see(FixEvent::Repeating {
                test: &judged,
                run: rate.runs + 1,
                needed,
            });
            let (outcome, why) = match &failure.paused {
                Some(paused) if plan.pause.is_none() => {
                    (self.paused.run(&scene.tests, &judged, paused), None)
                }
                _ => {
                    let result = self.runner.run_with_statics(&scene, &plan);
                    let outcome = result.as_ref().map(|result| match result.void {
                        Some(_) => Outcome::Unknown,
                        None => result.outcome(&judged),
                    });
                    (outcome, result.and_then(|result| result.void))
                }
            };
            match outcome {
                Some(Outcome::Passed) => rate.add(false),
                Some(Outcome::Failed) => rate.add(true),
                Some(Outcome::Unknown) => {
                    return Err(why.unwrap_or_else(|| "a run came to no result".to_owned()));
                }
                None => {
                    return Err(format!("{} of {needed} runs fit into the time budget", rate.runs));
                }
            }
        }
        Ok(())
    }
}

fn now() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "the proof has a budget of time")]
    Instant::now()
}
