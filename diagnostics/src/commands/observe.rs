//! `observe`: runs an unmodified suite and reports conflicts between its tests.

use super::Outcome;
use crate::cli::ObserveArgs;
#[cfg(has_observer)]
use crate::fix::own_statics::OwnStatics;
use crate::fix::{conflict_help, proposal};
use std::error::Error;

#[cfg(has_observer)]
pub(crate) fn observe(
    args: ObserveArgs,
    see: &(dyn Fn(crate::observe::confirm::ConfirmEvent<'_>) + Sync),
) -> Result<Outcome, Box<dyn Error>> {
    use super::baseline_check::BaselineCheck;
    use super::{Findings, failed_tests, here, processors, recordings, test_command};
    use crate::cli::Memory;
    use crate::observe::confirm::ConfirmOptions;
    use crate::observe::launch::LaunchSettings;
    use crate::observe::{Interruption, ObservedCommand};
    use cofferdam_conflicts::{Conflict, Grade};
    use std::num::NonZeroUsize;

    let dir = here::working_dir();
    let base = cofferdam::diagnostics::base_dir(Some(&dir))?;
    let settings = LaunchSettings {
        call_stacks: !args.no_backtrace,
        thread_names: !args.no_names,
        reruns: args.confirm || !args.no_explain,
        statics: args.memory != Memory::Off,
        only_starts: false,
    };
    let baseline = BaselineCheck::read(&args.baseline)?;
    if let Some(file) = &args.accesses {
        // An unwritable file must be reported before the suite runs.
        write_accesses(file, &[])?;
    }
    let observation = ObservedCommand::begin(&dir, settings)?;
    // A person who interrupts the suite or its reruns gets the report of what was run by then, and nothing runs any more.
    let interruption = Interruption::begin();
    let ended = super::run_observed(&observation, &args.command, &base)?;
    let session = recordings::new_name();
    let mut observed = observation.end(&session, &base, args.accesses.is_some());
    if args.memory == Memory::Require {
        let out_of_reach = std::mem::take(&mut observed.account.tests_out_of_reach);
        observed
            .account
            .out_of_reach
            .retain(|entry| !out_of_reach.contains(entry));
        for entry in observed.statics.unwatched.iter().chain(&out_of_reach) {
            observed.account.lose(&entry.name, &entry.reason, entry.count);
        }
    }
    let mut failed = failed_tests::failed(&observed);
    let mut unfinished = failed_tests::unfinished(&observed);
    if !args.no_explain {
        let tests = failed.iter_mut().chain(&mut unfinished).collect();
        failed_tests::examine(&observation, &observed, &interruption, tests);
    }
    let hunt = failed_tests::hunt_words(&observed, &failed, &unfinished);
    let has_failed = matches!(ended, crate::exit_code::Ended::Failed { .. });
    let is_hunted = !failed.is_empty()
        || !unfinished.is_empty()
        || has_failed && test_command::is_test_command(&args.command);
    let mut rerun = args.confirm.then(|| {
        let options = ConfirmOptions {
            budget: args.time_budget,
            jobs: args.jobs.map_or_else(processors, NonZeroUsize::get),
        };
        observation.confirm_all(&mut observed, options, &interruption, see)
    });
    // The most certain grade first, in a stable order.
    observed.conflicts.sort_by(|a, b| {
        let name = |conflict: &Conflict| {
            let resource = conflict.resource.as_ref();
            resource.map(|resource| (resource.kind().key(), resource.as_str().to_owned()))
        };
        b.grade.cmp(&a.grade).then_with(|| name(a).cmp(&name(b)))
    });
    let (mut kept, proposal) = kept(
        &mut observed,
        &session,
        &dir,
        args.confirm,
        (&args.command, ended),
    );
    if kept.statics.is_none() {
        kept.statics = crate::findings::Observation::newest_statics(&base);
        if observed.statics.are_apart {
            observed.statics.kept_apart = kept.statics.clone().unwrap_or_default();
        }
    }
    if let Some(rerun) = &mut rerun {
        kept.reproductions = std::mem::take(&mut rerun.reproductions);
    }
    let ended_early = kept.ended_early;
    let written = kept.write(&base).map_err(|error| error.to_string());
    let accesses = args
        .accesses
        .as_deref()
        .map_or(Ok(()), |file| write_accesses(file, &observed.accesses));
    let not_kept = written.err().into_iter().chain(accesses.err()).collect();
    let is_guarded = |conflict: &Conflict| conflict.grade == Some(Grade::Guarded);
    let (guarded, mut conflicts): (Vec<_>, Vec<_>) = kept.conflicts.into_iter().partition(is_guarded);
    conflicts.extend(super::end_fixtures());
    let findings = Findings {
        executions: Vec::new(),
        places: vec![dir],
        proposal,
        watched: observed.watched,
        account: observed.account,
        conflicts,
        problem_count: 0,
        problems: Vec::new(),
        observed: Some(super::Observed {
            coverage: observed.coverage,
            results: observed.results,
            failed,
            unfinished,
            confirmed: rerun.map(|rerun| super::Confirmed {
                guarded,
                stopped: rerun.stopped.into_iter().map(stopped).collect(),
                left: rerun.left,
            }),
            ended_early,
            not_kept,
            statics: (args.memory != Memory::Off).then_some(observed.statics),
            lists_statics: args.list_statics,
        }),
        baseline: None,
    };
    let no_records = args.no_records.unwrap_or(crate::exit_code::NoRecords::Fail);
    let mut outcome = Outcome::new(Some(ended), findings, no_records, args.strict);
    if is_hunted {
        outcome.hunt_with(hunt, &args.command);
    }
    Ok(baseline.apply(outcome))
}

/// Returns the observation as other commands read it, with the help for each conflict, and the changes that end them. Its parts
/// are taken out of `observed`.
#[cfg(has_observer)]
pub(super) fn kept(
    observed: &mut crate::observe::ObservationResult,
    session: &str,
    dir: &std::path::Path,
    confirmed: bool,
    (command, ended): (&[std::ffi::OsString], crate::exit_code::Ended),
) -> (crate::findings::Observation, Option<proposal::Proposal>) {
    use std::mem::take;

    let mut kept = crate::findings::Observation {
        version: crate::findings::VERSION,
        session: session.to_owned(),
        dir: dir.to_string_lossy().into_owned(),
        confirmed,
        tests: observed.coverage.tests,
        command: ended.code(),
        ended_early: ended != crate::exit_code::Ended::Passed
            && super::test_command::stops_at_failure(command),
        account: observed.account.clone(),
        failed: super::failed_tests::named(observed),
        conflicts: Vec::new(),
        locked: take(&mut observed.locked),
        reproductions: Vec::new(),
        ran: take(&mut observed.ran),
        statics: (observed.statics.programs > 0).then(|| shared_statics(observed)),
    };
    kept.conflicts = take(&mut observed.conflicts);
    let mut planned = None;
    if !kept.conflicts.is_empty() {
        // Without a cargo workspace, only the standard library is known to be available.
        let sources = super::fix::sources(&kept, dir).unwrap_or_default();
        let own = OwnStatics::of(&kept, &sources, false);
        planned = proposal::propose(&kept, &sources, proposal::Mechanism::OfSuite, None, &own).ok();
        let keys = planned.as_ref().map_or(&[][..], |planned| &planned.keys);
        conflict_help::write_help(&mut kept, &sources, keys, &own);
    }
    (kept, planned)
}

/// Returns the names of the statics that tests of one process share, also of those that are conflicts.
#[cfg(has_observer)]
fn shared_statics(observed: &crate::observe::ObservationResult) -> Vec<String> {
    let resources = observed
        .conflicts
        .iter()
        .filter_map(|conflict| conflict.resource.as_ref());
    let statics = resources.filter(|resource| resource.kind() == cofferdam::format::ResourceKind::Static);
    let statics = statics.map(|resource| resource.as_str().to_owned());
    let shared = observed.statics.shared.iter().map(|one| one.name.clone());
    let names: std::collections::BTreeSet<String> = statics.chain(shared).collect();
    names.into_iter().collect()
}

#[cfg(has_observer)]
fn write_accesses(file: &std::path::Path, accesses: &[crate::observe::ListedAccess]) -> Result<(), String> {
    let mut lines = String::new();
    for one in accesses {
        let line = serde_json::json!({
            "test": one.test, "binary": one.binary, "access": one.access.to_string(), "place": one.place,
            "kind": one.resource.kind().key(), "name": one.resource.as_str(),
            "from": one.window.0, "to": one.window.1,
        });
        lines.push_str(&line.to_string());
        lines.push('\n');
    }
    std::fs::write(file, lines)
        .map_err(|error| format!("could not write the accesses to {}: {error}", file.display()))
}

#[cfg(has_observer)]
fn stopped(stopped: crate::observe::confirm::StoppedRun) -> super::Stopped {
    super::Stopped {
        tests: stopped.tests,
        after: stopped.after,
    }
}

/// Fails: only Linux with glibc can be observed.
#[cfg(not(has_observer))]
pub(crate) fn observe(_args: ObserveArgs) -> Result<Outcome, Box<dyn Error>> {
    Err(super::unobservable())
}
