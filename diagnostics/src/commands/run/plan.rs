//! Plans a session from the command line and the settings file: its jobs and its limits.

use super::super::Refused;
use super::batch_summary::RoundsSummary;
use crate::cli::RunArgs;
use cofferdam_batch::executor::job::{Job, JobId};
use cofferdam_batch::executor::options::MemoryLimits;
use cofferdam_batch::executor::policy::{CriticalFailures, ErrorPolicy};
use cofferdam_batch::jobs::job_file;
use cofferdam_batch::jobs::rounds::Rounds;
use cofferdam_batch::jobs::settings::{RunLimits, Settings};
use cofferdam_batch::jobs::spec;
use cofferdam_batch::proc;
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::Path;
use std::time::Duration;

/// The jobs of a session.
#[derive(Debug)]
pub(super) enum Work {
    /// A single command that keeps the terminal.
    One(Job),
    Jobs(Vec<Job>),
    Rounds(Rounds),
}

/// The jobs and limits of a session.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) work: Work,
    pub(super) limits: RunLimits,
    pub(super) groups: BTreeMap<String, usize>,
    pub(super) policy: ErrorPolicy,
}

/// The default time between the request to stop and the kill.
const GRACE: Duration = Duration::from_secs(5);

/// The highest number of invalid lines that are listed.
const LISTED: usize = 10;

impl Plan {
    /// Plans the session. `file` is the settings file.
    pub(super) fn of(args: &RunArgs, file: Option<&Path>) -> Result<Self, Refused> {
        let settings = file.map(Settings::read).transpose();
        let settings = settings
            .map_err(|error| Refused::new(&error))?
            .unwrap_or_default();
        let limits = args.limits.clone();
        let mut groups: BTreeMap<String, usize> = settings
            .groups
            .iter()
            .map(|(name, limit)| (name.clone(), limit.get()))
            .collect();
        groups.extend(args.group_limit.iter().map(|one| (one.group.clone(), one.limit)));
        let policy = policy(args, &limits)?;
        let work = work(args, file.unwrap_or(Path::new("")), settings)?;
        Ok(Self {
            work,
            limits,
            groups,
            policy,
        })
    }

    /// Returns the number of jobs at once: by default the number of cores, but one for rounds, which would conflict with
    /// each other.
    pub(super) fn at_once(&self) -> NonZeroUsize {
        let default = || match self.work {
            Work::One(_) | Work::Rounds(_) => NonZeroUsize::MIN,
            Work::Jobs(_) => std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
        };
        self.limits.jobs.unwrap_or_else(default)
    }

    /// Returns the kind of work, for the ledger.
    pub(super) fn scope(&self) -> &'static str {
        match self.work {
            Work::One(_) => "command",
            Work::Jobs(_) => "batch",
            Work::Rounds(_) => "rounds",
        }
    }

    /// Returns an empty summary for each number of workers.
    pub(super) fn rounds(&self) -> Vec<RoundsSummary> {
        let Work::Rounds(rounds) = &self.work else {
            return Vec::new();
        };
        let workers = rounds.workers().iter();
        workers
            .map(|workers| RoundsSummary::new(*workers, Rounds::group(*workers)))
            .collect()
    }

    pub(super) fn grace(&self) -> Duration {
        self.limits.grace.map_or(GRACE, |grace| grace.0)
    }

    pub(super) fn memory(&self) -> MemoryLimits {
        const MOST: u64 = 512 << 20;
        let keep_free = self.limits.keep_free.map(|size| size.0);
        let default = || proc::machine_memory().map_or(0, |memory| (memory.total / 20).min(MOST));
        MemoryLimits {
            job: self.limits.job_memory.map(|size| size.0),
            total: self.limits.memory.map(|size| size.0),
            keep_free: keep_free.unwrap_or_else(default),
        }
    }
}

fn policy(args: &RunArgs, limits: &RunLimits) -> Result<ErrorPolicy, Refused> {
    let pattern = limits.critical_pattern.as_deref().map(regex::bytes::Regex::new);
    let pattern = pattern.transpose().map_err(|error| {
        // The message spans several lines; the last one is the reason.
        let message = error.to_string();
        let reason = message
            .lines()
            .last()
            .unwrap_or_default()
            .trim_start_matches("error: ");
        Refused::new(&format!(
            "--critical-pattern is not a regular expression: {reason}"
        ))
    })?;
    let max_fail = limits.max_fail.map(std::num::NonZeroU32::get);
    Ok(ErrorPolicy {
        on_error: limits.on_error.unwrap_or_default(),
        max_fail: if args.rounds.until_fail { Some(1) } else { max_fail },
        critical: CriticalFailures {
            codes: limits.critical_exit.clone(),
            pattern,
        },
    })
}

fn work(args: &RunArgs, file: &Path, settings: Settings) -> Result<Work, Refused> {
    if let Some(from) = args.source.from.as_deref()
        && args.source.settings_file().is_none()
    {
        return from_job_file(from);
    }
    let job = (!args.command.is_empty())
        .then(|| spec::from_words(JobId(1), args.command.clone()))
        .transpose()
        .map_err(|what| Refused::new(&what))?;
    let rounds = &args.rounds;
    let work = match job {
        Some(job) if rounds.any() => {
            let workers: Vec<u32> = rounds.workers.iter().map(|number| number.get()).collect();
            let each = match rounds.repeat {
                Some(repeat) => Some(repeat.get()),
                None if rounds.until_fail => None,
                None => Some(1),
            };
            Work::Rounds(Rounds::new(job, &workers, each, rounds.isolate))
        }
        Some(job) if args.json => Work::Jobs(vec![job]),
        Some(job) => Work::One(job),
        None if rounds.any() => return Err(Refused::new(&"rounds need a command: add `-- COMMAND`")),
        None if settings.has_jobs() => Work::Jobs(settings.jobs(file).map_err(|error| Refused::new(&error))?),
        None => {
            return Err(Refused::new(
                &"nothing to run: add `-- COMMAND`, `--from FILE`, or `[[job]]` tables in cofferdam.toml",
            ));
        }
    };
    Ok(work)
}

fn from_job_file(from: &Path) -> Result<Work, Refused> {
    let (name, text) = job_file::read(from)
        .map_err(|error| Refused::new(&format!("could not read jobs from {}: {error}", from.display())))?;
    let file = job_file::parse(&name, &text);
    if !file.invalid.is_empty() {
        let listed = file.invalid.iter().take(LISTED);
        let mut lines: Vec<String> = listed.map(ToString::to_string).collect();
        if file.invalid.len() > LISTED {
            lines.push(format!("and {} more", file.invalid.len() - LISTED));
        }
        lines.push("nothing was started: correct these lines, or comment them out with `#`".to_owned());
        return Err(Refused::lines(lines));
    }
    if file.jobs.is_empty() {
        return Err(Refused::new(&format!("there is no job in {name}")));
    }
    Ok(Work::Jobs(file.jobs))
}
