//! What a session is to run, and within which limits: from the command line and the settings file.

use super::super::Refused;
use crate::cli::RunArgs;
use cofferdam_batch::executor::job::{Job, JobId};
use cofferdam_batch::executor::options::MemoryLimits;
use cofferdam_batch::executor::policy::{Critical, Policy};
use cofferdam_batch::jobs::job_file::{self, BadLine};
use cofferdam_batch::jobs::rounds::Rounds;
use cofferdam_batch::jobs::settings::{self, Limits, Settings};
use cofferdam_batch::jobs::spec;
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What is run.
#[derive(Debug)]
pub(super) enum Work {
    /// One command, as if it had been started by hand.
    One(Job),
    Jobs(Vec<Job>),
    Rounds(Rounds),
}

/// What a session is to do.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) work: Work,
    pub(super) limits: Limits,
    pub(super) groups: BTreeMap<String, usize>,
    pub(super) policy: Policy,
    /// Lines that were left out.
    pub(super) skipped: Vec<BadLine>,
}

/// From being told to stop to being killed.
const GRACE: Duration = Duration::from_secs(5);

/// So many bad lines are told one by one.
const TOLD: usize = 10;

impl Plan {
    pub(super) fn of(args: &RunArgs, dir: &Path) -> Result<Self, Refused> {
        let from = args.source.from.as_deref();
        // Named by `--from`, a settings file is read once, and its limits count.
        let named = from.filter(|from| is_settings(from));
        let file = named
            .or(args.source.config.as_deref())
            .map(Path::to_owned)
            .or_else(|| settings::find(dir).filter(|_| !args.source.no_config));
        let (file, settings) = match file {
            Some(file) => {
                let settings = Settings::read(&file).map_err(|error| Refused::new(&error))?;
                (file, settings)
            }
            None => (PathBuf::new(), Settings::default()),
        };
        let limits = args.limits.clone().or(settings.run.clone());
        let mut groups: BTreeMap<String, usize> = settings
            .groups
            .iter()
            .map(|(name, limit)| (name.clone(), limit.get()))
            .collect();
        groups.extend(args.group_limit.iter().map(|one| (one.group.clone(), one.limit)));
        let policy = policy(args, &limits)?;
        let (work, skipped) = work(args, &file, settings)?;
        Ok(Self {
            work,
            limits,
            groups,
            policy,
            skipped,
        })
    }

    /// As many jobs at once as there are cores; rounds of one command one by one, for they would meet themselves.
    pub(super) fn ceiling(&self) -> NonZeroUsize {
        let usual = || match self.work {
            Work::One(_) | Work::Rounds(_) => NonZeroUsize::MIN,
            Work::Jobs(_) => std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
        };
        self.limits.jobs.unwrap_or_else(usual)
    }

    pub(super) fn grace(&self) -> Duration {
        self.limits.grace.map_or(GRACE, |grace| grace.0)
    }

    pub(super) fn memory(&self, total: Option<u64>) -> MemoryLimits {
        const MOST: u64 = 512 << 20;
        let keep_free = self.limits.keep_free.map(|size| size.0);
        MemoryLimits {
            job: self.limits.job_memory.map(|size| size.0),
            in_all: self.limits.memory.map(|size| size.0),
            keep_free: keep_free.unwrap_or_else(|| (total.unwrap_or(0) / 20).min(MOST)),
        }
    }
}

fn is_settings(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "toml")
}

fn policy(args: &RunArgs, limits: &Limits) -> Result<Policy, Refused> {
    let pattern = limits.critical_pattern.as_deref().map(regex::bytes::Regex::new);
    let pattern = pattern.transpose().map_err(|error| {
        // It points at the place over several lines; what is wrong is the last.
        let told = error.to_string();
        let what = told
            .lines()
            .last()
            .unwrap_or_default()
            .trim_start_matches("error: ");
        Refused::new(&format!("--critical-pattern is no regular expression: {what}"))
    })?;
    let max_fail = limits.max_fail.map(std::num::NonZeroU32::get);
    Ok(Policy {
        on_error: limits.on_error.unwrap_or_default(),
        max_fail: if args.rounds.until_fail { Some(1) } else { max_fail },
        critical: Critical {
            codes: limits.critical_exit.clone(),
            pattern,
        },
    })
}

fn work(args: &RunArgs, file: &Path, settings: Settings) -> Result<(Work, Vec<BadLine>), Refused> {
    if let Some(from) = args.source.from.as_deref().filter(|from| !is_settings(from)) {
        return lines(from, args.source.skip_invalid);
    }
    let job = (!args.command.is_empty())
        .then(|| spec::of_words(JobId(1), args.command.clone()))
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
        None if rounds.any() => return Err(Refused::new(&"rounds are of a command: add `-- COMMAND`")),
        None if settings.has_jobs() => Work::Jobs(settings.jobs(file).map_err(|error| Refused::new(&error))?),
        None => {
            return Err(Refused::new(
                &"nothing to run: add `-- COMMAND`, `--from FILE`, or `[[job]]` tables in cofferdam.toml",
            ));
        }
    };
    Ok((work, Vec::new()))
}

fn lines(from: &Path, skip_invalid: bool) -> Result<(Work, Vec<BadLine>), Refused> {
    let (name, text) = job_file::read(from)
        .map_err(|error| Refused::new(&format!("could not read jobs from {}: {error}", from.display())))?;
    let lines = job_file::parse(&name, &text);
    if !lines.bad.is_empty() && !skip_invalid {
        let mut told: Vec<String> = lines.bad.iter().take(TOLD).map(ToString::to_string).collect();
        if lines.bad.len() > TOLD {
            told.push(format!("and {} more", lines.bad.len() - TOLD));
        }
        told.push("nothing was started; --skip-invalid leaves out such lines".to_owned());
        return Err(Refused::lines(told));
    }
    if lines.jobs.is_empty() {
        return Err(Refused::new(&format!("there is no job in {name}")));
    }
    Ok((Work::Jobs(lines.jobs), lines.bad))
}
