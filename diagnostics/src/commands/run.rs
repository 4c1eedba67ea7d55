//! `run`: commands with recording on, then the conflicts between their tests.

use super::batch::{Batch, Row};
use super::plan::{Plan, Work};
use super::{Findings, Outcome, session};
use crate::cli::RunArgs;
use crate::executor;
use crate::executor::event::{Ending, Event, Tally};
use crate::executor::job::Job;
use crate::executor::options::{Folders, Options, Place};
use crate::exit_code::{self, Ended, NoRecords};
use crate::jobs::rounds::Rounds;
use cofferdam::diagnostics::{CleanOptions, clean};
use std::error::Error;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Who is told of a session while it goes on.
pub(crate) trait Watch {
    /// Before the first command begins.
    fn begin(&mut self, begun: &Begun<'_>);
    /// After each step.
    fn see(&mut self, event: &Event);
    /// What should be known, and ends nothing.
    fn warn(&mut self, text: &str);
    /// Before the report.
    fn end(&mut self);
}

/// What a session says before its commands begin.
#[derive(Debug)]
pub(crate) struct Begun<'a> {
    pub(crate) namespace: &'a str,
    pub(crate) output: &'a Path,
    /// What several jobs are; one command is not announced.
    pub(crate) batch: Option<BatchBegun<'a>>,
}

/// What is known of several jobs before they begin.
#[derive(Debug)]
pub(crate) struct BatchBegun<'a> {
    /// `None` where they go on until one fails.
    pub(crate) jobs: Option<u64>,
    pub(crate) at_once: usize,
    pub(crate) logs: &'a Path,
}

pub(crate) fn run(args: &RunArgs, watch: &mut dyn Watch) -> Result<Outcome, Box<dyn Error>> {
    let dir = working_dir();
    let plan = Plan::of(args, &dir)?;
    for bad in &plan.skipped {
        watch.warn(&format!("left out {bad}"));
    }
    let base = cofferdam::base_dir(Some(&dir))?;
    let session = session::new_name();
    let space = session::Space::new(args.run_namespace.as_deref(), &session, &base)?;
    let is_one = matches!(plan.work, Work::One(_));
    let folders = if is_one {
        None
    } else {
        Some(session::JobFolders::make(&base, &session, &space.output)?)
    };
    watch.begin(&Begun {
        namespace: space.namespace.as_str(),
        output: &space.output,
        batch: folders.as_ref().map(|folders| BatchBegun {
            jobs: plan.total(),
            at_once: plan.ceiling().get(),
            logs: &folders.logs,
        }),
    });
    let options = options(&plan, &base, &session, &space, folders.as_ref());
    let ran = execute(&options, plan.work, watch)?;
    watch.end();
    drop(folders);
    drop(space);
    let evidence = session::evidence(&base, &session)?;
    let findings = Findings::new(vec![base.join("runs")], &evidence);
    drop(evidence);
    let batch = ran.batch.map(|batch| count_conflicts(batch, &base, &options));
    session::forget_old(&base);
    // What no test had the time for. A folder that cannot be removed now is tried again by the next session.
    let _ = clean(&base, CleanOptions::default());
    let no_records = args.no_records.unwrap_or(if is_test_command(&args.command) {
        NoRecords::Fail
    } else {
        NoRecords::Pass
    });
    let mut outcome = Outcome::new(Some(ran.ended), findings, no_records);
    outcome.is_stopped = ran.is_stopped;
    outcome.batch = batch;
    Ok(outcome)
}

impl Plan {
    fn total(&self) -> Option<u64> {
        match &self.work {
            Work::One(_) => Some(1),
            Work::Jobs(jobs) => Some(jobs.len() as u64),
            Work::Rounds(rounds) => rounds.size_hint().1.map(|rounds| rounds as u64),
        }
    }
}

fn options(
    plan: &Plan,
    base: &Path,
    session: &str,
    space: &session::Space,
    folders: Option<&session::JobFolders>,
) -> Options {
    let mut variables: Vec<(OsString, OsString)> = vec![
        ("COFFERDAM_DIR".into(), base.into()),
        ("COFFERDAM_RUN_NAMESPACE".into(), space.namespace.as_str().into()),
        ("COFFERDAM_RUN_DIR".into(), space.output.clone().into()),
    ];
    variables.extend(folders.and_then(session::JobFolders::host_dir));
    Options {
        ceiling: plan.ceiling(),
        groups: plan.groups.clone(),
        interval: plan.limits.rate.map(|rate| rate.0),
        timeout: plan.limits.timeout.map(|timeout| timeout.0),
        retries: plan.limits.retries.unwrap_or(0),
        grace: plan.grace(),
        policy: plan.policy.clone(),
        memory: plan.memory(executor::memory_in_all()),
        output: plan.limits.max_output.map(|size| size.0),
        session: session.to_owned(),
        variables,
        place: folders.map_or(Place::Foreground, |folders| {
            Place::Folders(Folders {
                logs: folders.logs.clone(),
                temp: folders.temp.path().to_owned(),
                output: space.output.clone(),
                prefix: session::job_prefix(),
            })
        }),
    }
}

const JOB_FAILED: Ended = Ended::Failed {
    code: exit_code::JOB_FAILED,
    signal: None,
};

/// What came of the jobs.
struct Ran {
    ended: Ended,
    /// It is the one command, and went over a limit.
    is_stopped: bool,
    batch: Option<Batch>,
}

fn execute(options: &Options, work: Work, watch: &mut dyn Watch) -> Result<Ran, Box<dyn Error>> {
    match work {
        Work::One(job) => one(options, job, watch),
        Work::Jobs(jobs) => many(options, Vec::new(), &mut jobs.into_iter(), watch),
        Work::Rounds(mut rounds) => {
            let rows = rounds.workers().iter();
            let rows = rows.map(|workers| Row::new(*workers, Rounds::group(*workers))).collect();
            many(options, rows, &mut rounds, watch)
        }
    }
}

/// It keeps its exit code, whatever that is.
fn one(options: &Options, job: Job, watch: &mut dyn Watch) -> Result<Ran, Box<dyn Error>> {
    let mut ending = None;
    executor::run(options, &mut std::iter::once(job), &mut |event| {
        watch.see(event);
        if let Event::Ended { ending: how, .. } = event {
            ending = Some(how.clone());
        }
    })?;
    let ended = match ending {
        Some(Ending::Passed) => Ended::Passed,
        Some(Ending::Failed { code, signal, .. }) => Ended::Failed { code, signal },
        Some(Ending::NotStarted { error }) => return Err(error.into()),
        Some(_) | None => {
            return Ok(Ran {
                ended: JOB_FAILED,
                is_stopped: true,
                batch: None,
            });
        }
    };
    Ok(Ran {
        ended,
        is_stopped: false,
        batch: None,
    })
}

fn many(
    options: &Options,
    rows: Vec<Row>,
    source: &mut dyn Iterator<Item = Job>,
    watch: &mut dyn Watch,
) -> Result<Ran, Box<dyn Error>> {
    #[expect(clippy::disallowed_methods, reason = "how long a session takes is told")]
    let begun = std::time::Instant::now();
    let mut batch = Batch {
        rows,
        logs: match &options.place {
            Place::Foreground => PathBuf::new(),
            Place::Folders(folders) => folders.logs.clone(),
        },
        ..Batch::default()
    };
    let tally = executor::run(options, source, &mut |event| {
        batch.see(event);
        watch.see(event);
    })?;
    batch.tally = tally;
    batch.took = begun.elapsed();
    Ok(Ran {
        ended: of_tally(&tally),
        is_stopped: false,
        batch: Some(batch),
    })
}

fn of_tally(tally: &Tally) -> Ended {
    if tally.failed + tally.cancelled == 0 && tally.stopped.is_none() {
        return Ended::Passed;
    }
    JOB_FAILED
}

/// Conflicts within the rounds of each number of workers.
fn count_conflicts(mut batch: Batch, base: &Path, options: &Options) -> Batch {
    let Place::Folders(folders) = &options.place else { return batch };
    for row in &mut batch.rows {
        // What cannot be read is told with the findings of all.
        if let Ok(evidence) = session::evidence_of(base, &options.session, &folders.prefix, &row.jobs) {
            let conflicts = evidence.conflicts();
            let is_one = |told: &&cofferdam::diagnostics::Conflict| {
                told.severity() == cofferdam::diagnostics::Severity::Conflict
            };
            row.conflicts = conflicts.iter().filter(is_one).count() as u64;
        }
    }
    batch
}

pub(super) fn working_dir() -> PathBuf {
    #[expect(
        clippy::disallowed_methods,
        reason = "the workspace is looked for from here upward"
    )]
    std::env::current_dir().unwrap_or_else(|_| PathBuf::from("."))
}

/// Whether this is `cargo test`, `cargo nextest run` or one of their short names, and one that runs tests.
fn is_test_command(command: &[OsString]) -> bool {
    let words: Vec<&str> = command
        .iter()
        .map(|word| word.to_str().unwrap_or_default())
        .collect();
    let Some((program, mut rest)) = words.split_first() else {
        return false;
    };
    let program = Path::new(program).file_stem().and_then(|stem| stem.to_str());
    if program == Some("cargo-nextest") {
        rest = rest.strip_prefix(&["nextest"]).unwrap_or(rest);
    } else if program == Some("cargo") {
        let Some(words) = after_options(rest) else {
            return false;
        };
        rest = match words {
            ["test" | "t", rest @ ..] => {
                let ours = rest.split(|word| *word == "--").next().unwrap_or_default();
                return !ours.contains(&"--no-run") && !tells_only(rest);
            }
            ["nextest", rest @ ..] => rest,
            _ => return false,
        };
    } else {
        return false;
    }
    matches!(after_options(rest), Some(["run" | "r", rest @ ..]) if !rest.contains(&"--no-run") && !tells_only(rest))
}

fn tells_only(words: &[&str]) -> bool {
    words
        .iter()
        .any(|word| matches!(*word, "--help" | "-h" | "--list" | "--version" | "-V"))
}

/// What stands behind a program's own options (`+nightly`, `--locked`, `-C DIR`).
fn after_options<'a>(mut words: &'a [&'a str]) -> Option<&'a [&'a str]> {
    while let [word, rest @ ..] = words {
        if !word.starts_with(['-', '+']) {
            return Some(words);
        }
        let takes_value = matches!(*word, "-C" | "-Z" | "--color" | "--config" | "--manifest-path");
        words = if takes_value { rest.get(1..)? } else { rest };
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_runs_tests_is_known_by_its_words() {
        let is_test = |line: &str| is_test_command(&line.split(' ').map(OsString::from).collect::<Vec<_>>());
        for line in [
            "cargo test",
            "cargo t",
            "/usr/bin/cargo +nightly -C dir test --release",
            "cargo --config x=1 nextest run",
            "cargo nextest r --archive-file a.tar.zst",
            "cargo-nextest nextest run",
            "cargo nextest --manifest-path x/Cargo.toml run",
            "cargo test -- --test-threads=4",
        ] {
            assert!(is_test(line), "{line}");
        }
        for line in [
            "cargo build",
            "cargo",
            "cargo -C",
            "cargo test --no-run",
            "cargo test --help",
            "cargo test -- --list",
            "cargo nextest list",
            "cargo nextest run --no-run",
            "cargo run test",
            "make test",
            "sh -c test",
            "cargo-cofferdam test",
        ] {
            assert!(!is_test(line), "{line}");
        }
    }
}
