//! `observe`: runs an unmodified suite and reports conflicts between its tests.

use super::Outcome;
use crate::cli::ObserveArgs;
use crate::fix::{help, mending};
use std::error::Error;

#[cfg(has_observer)]
pub(crate) fn observe(
    args: ObserveArgs,
    see: &(dyn Fn(crate::observe::confirm::Event<'_>) + Sync),
) -> Result<Outcome, Box<dyn Error>> {
    use super::ratchet::Ratchet;
    use super::{Findings, foreground, here, session};
    use crate::findings;
    use crate::observe::Session;
    use crate::observe::confirm::Options;
    use crate::observe::launch::LaunchSettings;
    use std::ffi::OsString;
    use std::num::NonZeroUsize;

    let dir = here::working_dir();
    let base = cofferdam::base_dir(Some(&dir))?;
    let settings = LaunchSettings {
        call_stacks: !args.no_backtrace,
        thread_names: !args.no_names,
        reruns: args.confirm,
    };
    let ratchet = Ratchet::read(&args.baseline)?;
    if let Some(file) = &args.accesses {
        // An unwritable file must be reported before the suite runs.
        write_accesses(file, "")?;
    }
    let observation = Session::begin(&dir, settings)?;
    let mut told: Vec<(OsString, OsString)> = observation
        .variables()
        .into_iter()
        .map(|(name, value)| (name.into(), value))
        .collect();
    // The directory of cofferdam's own files, in case the suite uses the library.
    told.push(("COFFERDAM_DIR".into(), base.clone().into()));
    let ended = foreground::run(&args.command, told)?;
    let session = session::new_name();
    let mut observed = observation.end(&session, &base, args.accesses.is_some());
    let rerun = args.confirm.then(|| {
        let options = Options {
            budget: args.time_budget,
            jobs: args.jobs.map_or_else(processors, NonZeroUsize::get),
        };
        observation.confirm(&mut observed, options, see)
    });
    let watched = observed.watched;
    let mut graded: Vec<_> = observed.conflicts.into_iter().zip(observed.found).collect();
    // The most certain grade first, in a stable order.
    graded.sort_by(|(_, a), (_, b)| {
        let (a, b) = (&a.finding, &b.finding);
        let name = |resource: &cofferdam::Resource| (resource.kind().key(), resource.as_str().to_owned());
        b.grade
            .cmp(&a.grade)
            .then_with(|| name(&a.resource).cmp(&name(&b.resource)))
    });
    let mut kept = findings::Findings {
        version: findings::VERSION,
        session,
        dir: dir.to_string_lossy().into_owned(),
        confirmed: args.confirm,
        tests: watched.tests,
        command: ended.code(),
        account: observed.account.clone(),
        findings: graded.iter().map(|(_, found)| found.finding.clone()).collect(),
        locked: observed.locked,
        ran: observed.ran,
    };
    if !kept.findings.is_empty() {
        // Without a cargo workspace only the standard library is known to be available.
        let sources = super::fix::sources(&kept, &dir).unwrap_or_default();
        let planned = mending::mend(&kept, &sources, mending::Means::Attributes, None);
        let keys = planned.map(|planned| planned.keys).unwrap_or_default();
        help::word(&mut kept, &sources, &keys);
        for ((told, found), finding) in graded.iter_mut().zip(&kept.findings) {
            told.help.clone_from(&finding.help);
            found.finding.help.clone_from(&finding.help);
        }
    }
    let written = kept.write(&base).map_err(|error| error.to_string());
    let accesses = args
        .accesses
        .as_deref()
        .map_or(Ok(()), |file| write_accesses(file, &observed.accesses));
    let not_kept = written.err().into_iter().chain(accesses.err()).collect();
    let (guarded, told): (Vec<_>, Vec<_>) = graded
        .into_iter()
        .partition(|(_, found)| found.finding.grade == findings::Grade::Guarded);
    let (conflicts, found): (Vec<_>, Vec<_>) = told
        .into_iter()
        .map(|(told, found)| (told, found.finding))
        .unzip();
    let findings = Findings {
        places: vec![dir],
        watched: observed.recorded,
        account: observed.account,
        conflicts,
        problem_count: 0,
        problems: Vec::new(),
        observed: Some(super::Observed {
            watched,
            found,
            confirmed: rerun.map(|rerun| super::Confirmed {
                guarded: guarded.into_iter().map(|(_, found)| found.finding).collect(),
                stopped: rerun.stopped.into_iter().map(stopped).collect(),
                left: rerun.left,
            }),
            not_kept,
        }),
        baseline: None,
    };
    let no_records = args.no_records.unwrap_or(crate::exit_code::NoRecords::Fail);
    Ok(ratchet.hold(Outcome::new(Some(ended), findings, no_records, args.strict)))
}

#[cfg(has_observer)]
fn write_accesses(file: &std::path::Path, lines: &str) -> Result<(), String> {
    std::fs::write(file, lines)
        .map_err(|error| format!("could not write the accesses to {}: {error}", file.display()))
}

#[cfg(has_observer)]
fn stopped(stopped: crate::observe::confirm::Stopped) -> super::Stopped {
    super::Stopped {
        tests: stopped.tests,
        after: stopped.after,
    }
}

#[cfg(has_observer)]
fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get)
}

/// Fails: only Linux on x86_64 with glibc can be observed.
#[cfg(not(has_observer))]
pub(crate) fn observe(_args: ObserveArgs) -> Result<Outcome, Box<dyn Error>> {
    Err("only Linux on x86_64 with glibc can be observed, and this is another system; what a suite records itself is \
         told everywhere: `cargo cofferdam run -- COMMAND`"
        .into())
}
