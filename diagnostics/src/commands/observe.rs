//! `observe`: a suite as it is, then the conflicts between its tests that could be seen from outside.

use super::Outcome;
use crate::cli::ObserveArgs;
use std::error::Error;

#[cfg(has_observer)]
pub(crate) fn observe(args: ObserveArgs) -> Result<Outcome, Box<dyn Error>> {
    use super::{Findings, foreground, run, session};
    use crate::observe::Session;
    use crate::observe::launch::Asked;
    use std::ffi::OsString;

    let dir = run::working_dir();
    let base = cofferdam::base_dir(Some(&dir))?;
    let asked = Asked {
        places: !args.no_backtrace,
        names: !args.no_names,
    };
    let observation = Session::begin(&dir, asked)?;
    let mut told: Vec<(OsString, OsString)> = observation
        .variables()
        .into_iter()
        .map(|(name, value)| (name.into(), value))
        .collect();
    // Where cofferdam keeps its own files, in case the suite uses it.
    told.push(("COFFERDAM_DIR".into(), base.clone().into()));
    let ended = foreground::run(&args.command, told)?;
    let observed = observation.end(&session::new_name(), &base, args.accesses.is_some());
    if let Some(file) = &args.accesses {
        std::fs::write(file, &observed.accesses)
            .map_err(|error| format!("could not write the accesses to {}: {error}", file.display()))?;
    }
    let watched = observed.watched;
    let findings = Findings {
        places: vec![dir],
        watched: observed.recorded,
        conflicts: observed.conflicts,
        problem_count: observed.problems.len() as u64,
        problems: observed.problems,
        observed: Some(super::Observed {
            tests: watched.tests,
            programs: watched.programs,
            accesses: watched.accesses,
            of_no_test: watched.of_no_test,
            dropped: watched.dropped,
            without_raw: watched.without_raw,
            missed: watched.missed,
        }),
    };
    Ok(Outcome::new(
        Some(ended),
        findings,
        args.no_records.unwrap_or(crate::exit_code::NoRecords::Fail),
    ))
}

/// Only Linux with glibc on x86_64 can be observed.
#[cfg(not(has_observer))]
pub(crate) fn observe(_args: ObserveArgs) -> Result<Outcome, Box<dyn Error>> {
    Err("only Linux on x86_64 with glibc can be observed, and this is another system; what a suite records itself is \
         told everywhere: `cargo cofferdam run -- COMMAND`"
        .into())
}
