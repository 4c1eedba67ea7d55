//! `cofferdam.toml`: limits for every session, and jobs.

use super::spec::{Spec, without_values};
use super::values::{Rate, Size, Span, TimeLimit, at_least_one};
use crate::executor::job::{Job, JobId};
use crate::executor::policy::OnError;
use clap::Args;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::{Path, PathBuf};

/// The name of the file that is looked for.
const NAME: &str = "cofferdam.toml";

/// What a settings file says.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    #[serde(default)]
    pub run: Limits,
    /// So many jobs of a group at once.
    #[serde(default)]
    pub groups: BTreeMap<String, NonZeroUsize>,
    #[serde(default, rename = "job")]
    jobs: Vec<toml::Spanned<Spec>>,
    #[serde(skip)]
    starts: Vec<usize>,
}

/// Limits of a session, on the command line and in the settings file.
#[derive(Clone, Debug, Default, Args, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Limits {
    /// So many jobs at once. Without it, as many as there are cores; rounds of one command run one by one.
    #[arg(short, long, value_name = "NUMBER", help_heading = "Limits", value_parser = at_least_one::<NonZeroUsize>)]
    pub jobs: Option<NonZeroUsize>,
    /// So many starts: 50 (a second), 30/m, 100/h.
    #[arg(long, value_name = "RATE", help_heading = "Limits")]
    pub rate: Option<Rate>,
    /// Stop a job that takes longer: 90, 10m, 1h30m.
    #[arg(long, value_name = "SPAN", help_heading = "Limits")]
    pub timeout: Option<TimeLimit>,
    /// Run a job that failed again, so many times.
    #[arg(long, value_name = "NUMBER", help_heading = "Limits")]
    pub retries: Option<u32>,
    /// How long a job that was told to stop may take before it is killed [default: 5s].
    #[arg(long, value_name = "SPAN", help_heading = "Limits")]
    pub grace: Option<Span>,
    /// What is done when a job failed [default: continue].
    #[arg(long, value_name = "POLICY", help_heading = "Limits")]
    pub on_error: Option<OnError>,
    /// Exit codes that are critical, for `--on-error stop-critical`.
    #[arg(long, value_name = "CODE", value_delimiter = ',', help_heading = "Limits")]
    #[serde(default)]
    pub critical_exit: Vec<u8>,
    /// A regular expression: a job that failed and wrote what it matches failed critically.
    #[arg(long, value_name = "REGEX", help_heading = "Limits")]
    pub critical_pattern: Option<String>,
    /// Stop after so many jobs have failed.
    #[arg(long, value_name = "NUMBER", help_heading = "Limits", value_parser = at_least_one::<NonZeroU32>)]
    pub max_fail: Option<NonZeroU32>,
    /// Stop a job whose processes use more memory: 512M, 2G (Linux).
    #[arg(long, value_name = "SIZE", help_heading = "Limits")]
    pub job_memory: Option<Size>,
    /// So much for all jobs: near it nothing is started, above it the largest is stopped (Linux).
    #[arg(long, value_name = "SIZE", help_heading = "Limits")]
    pub memory: Option<Size>,
    /// Start nothing while the machine has less memory left [default: a twentieth of it, at most 512M; Linux].
    #[arg(long, value_name = "SIZE", help_heading = "Limits")]
    pub keep_free: Option<Size>,
    /// Stop a job that writes more to its log: 100M.
    #[arg(long, value_name = "SIZE", help_heading = "Limits")]
    pub max_output: Option<Size>,
}

impl Limits {
    /// These, and where they say nothing, those.
    pub fn or(self, those: Self) -> Self {
        Self {
            jobs: self.jobs.or(those.jobs),
            rate: self.rate.or(those.rate),
            timeout: self.timeout.or(those.timeout),
            retries: self.retries.or(those.retries),
            grace: self.grace.or(those.grace),
            on_error: self.on_error.or(those.on_error),
            critical_exit: match self.critical_exit {
                codes if codes.is_empty() => those.critical_exit,
                codes => codes,
            },
            critical_pattern: self.critical_pattern.or(those.critical_pattern),
            max_fail: self.max_fail.or(those.max_fail),
            job_memory: self.job_memory.or(those.job_memory),
            memory: self.memory.or(those.memory),
            keep_free: self.keep_free.or(those.keep_free),
            max_output: self.max_output.or(those.max_output),
        }
    }
}

/// A settings file that cannot be used.
#[derive(Debug)]
pub struct BadSettings {
    file: PathBuf,
    line: Option<usize>,
    what: String,
}

impl fmt::Display for BadSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, "{line}:")?;
        }
        write!(f, " {}", self.what)
    }
}

impl std::error::Error for BadSettings {}

/// The nearest settings file at or above a folder, if there is one.
pub fn find(dir: &Path) -> Option<PathBuf> {
    dir.ancestors()
        .map(|above| above.join(NAME))
        .find(|file| file.is_file())
}

impl Settings {
    pub fn read(file: &Path) -> Result<Self, BadSettings> {
        let text = std::fs::read_to_string(file).map_err(|error| BadSettings {
            file: file.to_owned(),
            line: None,
            what: error.to_string(),
        })?;
        Self::parse(file, &text)
    }

    fn parse(file: &Path, text: &str) -> Result<Self, BadSettings> {
        if text.is_empty() {
            return Err(BadSettings {
                file: file.to_owned(),
                line: None,
                what: "the file is empty, as after it was cut off: write it again, or remove it".to_owned(),
            });
        }
        let mut settings: Self = toml::from_str(text).map_err(|error| BadSettings {
            file: file.to_owned(),
            line: error.span().map(|span| line_of(text, span.start)),
            what: without_values(error.message()),
        })?;
        settings.starts = settings
            .jobs
            .iter()
            .map(|job| line_of(text, job.span().start))
            .collect();
        Ok(settings)
    }

    pub fn has_jobs(&self) -> bool {
        !self.jobs.is_empty()
    }

    /// Its jobs, or the first that is none. `file` is where they were read from.
    pub fn jobs(self, file: &Path) -> Result<Vec<Job>, BadSettings> {
        let numbered = (1..).map(JobId).zip(self.jobs).zip(self.starts);
        numbered
            .map(|((id, spec), line)| {
                spec.into_inner().job(id).map_err(|what| BadSettings {
                    file: file.to_owned(),
                    line: Some(line),
                    what,
                })
            })
            .collect()
    }
}

fn line_of(text: &str, at: usize) -> usize {
    text.as_bytes()
        .iter()
        .take(at)
        .filter(|byte| **byte == b'\n')
        .count()
        + 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const WHOLE: &str = r#"
[run]
jobs = 3
rate = "50/s"
timeout = 90
on-error = "stop-critical"
critical-exit = [2, 137]
memory = "2G"

[groups]
database = 1

[[job]]
command = "cargo test --lib"

[[job]]
name = "schema"
command = ["psql", "-f", "schema.sql"]
env = { PGDATABASE = "x" }
group = "database"
"#;

    fn file() -> &'static Path {
        Path::new(NAME)
    }

    #[test]
    fn a_file_says_limits_groups_and_jobs() {
        let settings = Settings::parse(file(), WHOLE).unwrap();
        assert_eq!(settings.run.jobs, NonZeroUsize::new(3));
        assert_eq!(settings.run.timeout, Some(TimeLimit(Duration::from_secs(90))));
        assert_eq!(settings.run.on_error, Some(OnError::StopCritical));
        assert_eq!(settings.run.memory, Some(Size(2 << 30)));
        assert_eq!(settings.groups["database"].get(), 1);
        let jobs = settings.jobs(file()).unwrap();
        let told: Vec<_> = jobs.iter().map(|job| (job.id.0, job.name.as_str())).collect();
        assert_eq!(told, [(1, "cargo test --lib"), (2, "schema")]);
    }

    #[test]
    fn the_command_line_comes_first() {
        let line = Limits {
            jobs: NonZeroUsize::new(9),
            ..Limits::default()
        };
        let both = line.or(Settings::parse(file(), WHOLE).unwrap().run);
        assert_eq!(both.jobs, NonZeroUsize::new(9));
        assert_eq!(both.critical_exit, [2, 137]);
    }

    #[test]
    fn what_is_wrong_has_a_line_and_no_value() {
        for (text, told) in [
            (
                "[run]\njobs = \"hunter2\"",
                "cofferdam.toml:2: invalid type, expected ",
            ),
            ("[run]\nspeed = 1", "cofferdam.toml:2: unknown field `speed`"),
            ("[run\n", "cofferdam.toml:1: "),
            ("", "cofferdam.toml: the file is empty"),
            (
                "[groups]\na = 0",
                "cofferdam.toml:2: invalid value, expected a nonzero",
            ),
        ] {
            let error = Settings::parse(file(), text).unwrap_err().to_string();
            assert!(error.contains(told) && !error.contains("hunter2"), "{error}");
        }
        let bad = Settings::parse(file(), "\n[[job]]\ncommand = \"a | b\"").unwrap();
        let error = bad.jobs(file()).unwrap_err().to_string();
        assert!(error.contains("cofferdam.toml:2: `|` is a shell's"), "{error}");
    }
}
