//! The times that earlier commands recorded: `observe` and `hunt` in their observations, `run` in journals.

use crate::findings::Observation;
use crate::shards::TestTimes;
use cofferdam_conflicts::Evidence;
use std::path::Path;

/// Adds the times recorded below `base`, the most precise and newest first. The journal of a test begins with its first use
/// of cofferdam, so observed times precede those.
pub(super) fn add(times: &mut TestTimes, base: &Path) -> Result<(), cofferdam::Error> {
    for program in Observation::programs_of_all(base).iter().flatten() {
        for (test, micros) in &program.micros {
            times.add(&program.binary, &program.package, test, *micros);
        }
    }
    for run in cofferdam::diagnostics::runs(base)? {
        let mut evidence = Evidence::new();
        evidence.read(&run.path);
        for test in evidence.executions().filter(|test| test.end > test.begin) {
            times.add(test.binary, "", test.test, test.end - test.begin);
        }
    }
    Ok(())
}
