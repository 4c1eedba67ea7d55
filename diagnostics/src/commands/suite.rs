//! The suite behind a command: built by the command itself, its tests started by ours.

use super::{Interrupted, Refused, run_in_foreground};
use crate::exit_code::Ended;
use crate::observe::launch::Launch;
use crate::observe::{Interruption, SuitePrograms};
use crate::scene::{NotOne, TestId, choose};
use std::error::Error;
use std::ffi::OsString;

/// The variables that make nextest report no test.
const QUIET_NEXTEST: [(&str, &str); 2] = [
    ("NEXTEST_STATUS_LEVEL", "none"),
    ("NEXTEST_FINAL_STATUS_LEVEL", "none"),
];
/// The number of tests that a message lists.
const LISTED: usize = 8;

/// The share of two names that must agree for one to be suggested.
const ALIKE: f32 = 0.7;

/// Runs the command without its tests, and returns the programs that it would have started. There may be none whose tests
/// are known, if others were left out.
pub(super) fn collect(
    launch: &Launch,
    command: &[OsString],
    interruption: &Interruption,
) -> Result<SuitePrograms, Box<dyn Error>> {
    let collected = collect_and_end(launch, command);
    if interruption.is_requested() {
        return Err(Interrupted.into());
    }
    Ok(collected?.0)
}

/// As [`collect`], and returns how the command ended: it may have failed after it started some of the programs.
pub(super) fn collect_and_end(
    launch: &Launch,
    command: &[OsString],
) -> Result<(SuitePrograms, Ended), Box<dyn Error>> {
    let variables = launch
        .variables()
        .into_iter()
        .map(|(name, value)| (name.into(), value))
        // nextest would report tests as passed that did not run.
        .chain(QUIET_NEXTEST.map(|(name, value)| (name.into(), value.into())));
    let ended = run_in_foreground(command, variables.collect())?;
    let suite = SuitePrograms::read(launch)?;
    match ended {
        Ended::Failed { code, .. } if suite.programs.is_empty() && suite.left_out.is_empty() => {
            Err(format!("the command failed (exit code {code}) before it started a test program").into())
        }
        _ if suite.programs.is_empty() && suite.left_out.is_empty() => {
            Err("the command started no test program whose tests are known".into())
        }
        _ => Ok((suite, ended)),
    }
}

/// Returns the tests with these names, or the reason a name does not choose one.
pub(super) fn choose_all(names: &[String], all: &[TestId]) -> Result<Vec<TestId>, Refused> {
    let mut chosen = Vec::new();
    let mut wrong = Vec::new();
    for name in names {
        match choose(name, all) {
            Ok(test) => chosen.push(test.clone()),
            Err(NotOne::None) => wrong.push(format!("no test is named `{name}`{}", similar(name, all))),
            Err(NotOne::Several(tests)) => {
                wrong.push(format!("`{name}` fits several tests: {}", list(&tests)));
            }
        }
    }
    if wrong.is_empty() {
        Ok(chosen)
    } else {
        Err(Refused::lines(wrong))
    }
}

/// Returns a hint at tests with a similar name.
fn similar(name: &str, all: &[TestId]) -> String {
    let last = name.rsplit("::").next().unwrap_or(name);
    let mut similar: Vec<TestId> = all
        .iter()
        .filter(|test| !last.is_empty() && test.name.contains(last))
        .cloned()
        .collect();
    if similar.is_empty() {
        let names: Vec<&str> = all.iter().map(|test| test.name.as_str()).collect();
        let close = similar::get_close_matches(name, &names, LISTED, ALIKE);
        let is_close = |test: &&TestId| close.contains(&test.name.as_str());
        similar.extend(all.iter().filter(is_close).cloned());
    }
    match similar.as_slice() {
        [] if all.is_empty() => "; the command runs no test that is known by its name".to_owned(),
        [] => format!("; the command runs {} tests", all.len()),
        tests => format!("; similar: {}", list(tests)),
    }
}

fn list(tests: &[TestId]) -> String {
    let mut names: Vec<String> = tests.iter().take(LISTED).map(ToString::to_string).collect();
    if tests.len() > LISTED {
        names.push(format!("and {} more", tests.len() - LISTED));
    }
    names.join(", ")
}
