//! The command without a subcommand: reads the project and its recordings, and proposes next steps. Starts no process.

use super::{here, recordings, test_command};
use crate::findings::{Observation, name_among};
use cofferdam_batch::ledger::now;
use std::error::Error;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The maximum number of failed tests that a command names.
const NAMED: usize = 5;

/// The time of all tests, in microseconds, from which on shards are proposed.
const WORTH_SHARDS: u64 = 60_000_000;

/// A project as it is on disk, and the next steps in it.
#[derive(Debug)]
pub(crate) struct NextSteps {
    /// `None` outside of a Cargo project.
    pub(crate) project: Option<Project>,
    /// The newest observation, if one is kept.
    pub(crate) observed: Option<LastObservation>,
    /// Whether `run` has kept a recording.
    pub(crate) has_recording: bool,
    pub(crate) steps: Vec<Step>,
}

/// The test tools of a project.
#[derive(Debug)]
pub(crate) struct Project {
    pub(crate) root: PathBuf,
    pub(crate) has_nextest: bool,
    /// Whether the workspace configures nextest.
    pub(crate) configures_nextest: bool,
    /// Whether packages of these names are locked; `None` without a lock file.
    pub(crate) has_serial_test: Option<bool>,
    pub(crate) has_library: Option<bool>,
}

/// The newest observation in short.
#[derive(Debug)]
pub(crate) struct LastObservation {
    /// The time since its end, in microseconds.
    pub(crate) age: u64,
    pub(crate) tests: u64,
    pub(crate) conflicts: usize,
    /// The tests that failed.
    pub(crate) failed: Vec<String>,
}

/// A command to run next.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) command: Vec<OsString>,
    /// The purpose, as an imperative.
    pub(crate) purpose: &'static str,
}

pub(crate) fn next_steps() -> Result<NextSteps, Box<dyn Error>> {
    let dir = here::working_dir();
    let Some(project) = project(&dir) else {
        return Ok(NextSteps {
            project: None,
            observed: None,
            has_recording: false,
            steps: Vec::new(),
        });
    };
    let base = cofferdam::diagnostics::base_dir(Some(&dir))?;
    // Without an observation that this build can read, the first step is to observe.
    let observation = Observation::read(&Observation::last(&base)).ok();
    let has_recording = recordings::newest(&base)?.is_some();
    let steps = steps(&project, observation.as_ref());
    let observed = observation.map(|observation| {
        let micros = observation
            .session
            .split('-')
            .next()
            .and_then(|at| at.parse().ok());
        LastObservation {
            age: now().saturating_sub(micros.unwrap_or(0)),
            tests: observation.tests,
            conflicts: observation.conflicts.len(),
            failed: observation.failed.iter().map(ToString::to_string).collect(),
        }
    });
    Ok(NextSteps {
        project: Some(project),
        observed,
        has_recording,
        steps,
    })
}

/// Returns the project at or above `dir`.
fn project(dir: &Path) -> Option<Project> {
    let above = |file: &str| dir.ancestors().find(|above| above.join(file).is_file());
    let manifest = above("Cargo.toml")?;
    let root = above("Cargo.lock").unwrap_or(manifest);
    Some(Project {
        root: root.to_owned(),
        has_nextest: test_command::has_nextest(),
        configures_nextest: root.join(".config/nextest.toml").is_file(),
        has_serial_test: test_command::depends_on(dir, "serial_test"),
        has_library: test_command::depends_on(dir, "cofferdam"),
    })
}

fn steps(project: &Project, observed: Option<&Observation>) -> Vec<Step> {
    // Under nextest no tests share statics, so it is proposed only where the project uses it.
    let tests: &[&str] = if project.has_nextest && project.configures_nextest {
        &["--", "cargo", "nextest", "run", "--no-fail-fast"]
    } else {
        &["--", "cargo", "test", "--no-fail-fast"]
    };
    let mut steps = Vec::new();
    let mut add = |words: &[&str], command: &[&str], purpose| {
        let words = ["cargo", "cofferdam"].iter().chain(words).chain(command);
        steps.push(Step {
            command: words.map(OsString::from).collect(),
            purpose,
        });
    };
    let is_observable = cfg!(has_observer);
    match observed {
        Some(observed) if !observed.failed.is_empty() => {
            let names = observed.failed.iter().map(|test| name_among(test, &observed.ran));
            let names: Vec<String> = names.collect();
            let mut words = vec!["hunt"];
            if names.len() <= NAMED {
                words.extend(names.iter().map(String::as_str));
            }
            add(&words, tests, "find out why it failed");
        }
        None if is_observable => {
            add(&["observe", "--confirm"], tests, "find the tests that interfere");
            add(&["hunt"], tests, "find out why tests fail sometimes");
        }
        _ => {}
    }
    match observed {
        Some(observed) if !observed.conflicts.is_empty() => {
            add(&["fix"], &[], "propose changes that end the conflicts");
        }
        Some(_) => add(
            &["observe", "--baseline", "conflicts.toml", "--update-baseline"],
            tests,
            "fail in CI when tests begin to interfere",
        ),
        None => {}
    }
    if project.has_library == Some(true) {
        add(&["run"], tests, "record what the tests declare, too");
    } else if project.has_serial_test == Some(true) && project.has_nextest {
        let migrate = ["fix", "--migrate", "serial_test"];
        add(&migrate, &[], "let serial tests exclude each other under nextest");
    }
    let times = observed.iter().flat_map(|observed| &observed.ran);
    if times.flat_map(|program| program.micros.values()).sum::<u64>() >= WORTH_SHARDS {
        add(&["shards", "4"], &[], "split the suite for CI");
    }
    steps
}
