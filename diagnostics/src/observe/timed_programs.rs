//! Measures a suite's programs from before and after a change, in pairs of runs.

use super::interruption::Interruption;
use super::launch::StartedProgram;
use super::suite_programs::SuitePrograms;
use super::test_process::{TestProcess, wait_for_all};
use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Copies of a suite's programs from before a change, next to the originals. Dropping this removes the files.
#[derive(Debug)]
pub(crate) struct EarlierPrograms {
    programs: Vec<StartedProgram>,
}

impl EarlierPrograms {
    /// Copies the programs into their own directories: a test may look for other files there.
    ///
    /// # Errors
    ///
    /// A program could not be copied.
    pub(crate) fn copy(suite: &SuitePrograms) -> io::Result<Self> {
        let mut copies = Self { programs: Vec::new() };
        for started in suite.shared_starts() {
            let mut copy = started.clone();
            copy.program.push("-before");
            let to = PathBuf::from(&copy.program);
            // Known before it exists, so that a part of a copy is removed, too.
            copies.programs.push(copy);
            fs::copy(&started.program, to)?;
        }
        Ok(copies)
    }

    /// Runs the earlier programs and those of the suite, one program after the other as cargo does, and returns the durations
    /// of the two runs, the earlier programs' first; `None` if a program failed or was interrupted.
    pub(crate) fn measure_pair(
        &self,
        suite: &SuitePrograms,
        is_new_first: bool,
        interruption: &Interruption,
    ) -> Option<(Duration, Duration)> {
        let before = || run_all(self.programs.iter(), interruption);
        let after = || run_all(suite.shared_starts(), interruption);
        if is_new_first {
            let after = after()?;
            Some((before()?, after))
        } else {
            Some((before()?, after()?))
        }
    }
}

impl Drop for EarlierPrograms {
    fn drop(&mut self) {
        for one in &self.programs {
            let _ = fs::remove_file(PathBuf::from(&one.program));
        }
    }
}

fn run_all<'p>(
    programs: impl Iterator<Item = &'p StartedProgram>,
    interruption: &Interruption,
) -> Option<Duration> {
    let begun = now();
    for started in programs {
        let mut running = [TestProcess::begin(&mut started.plain_command()).ok()?];
        wait_for_all(&mut running, &|| interruption.is_requested());
        if !running[0].status.is_some_and(|status| status.success()) {
            return None;
        }
    }
    Some(begun.elapsed())
}

fn now() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "the runs are measured")]
    Instant::now()
}
