//! Reads `cofferdam.toml` for sessions: jobs and the limits of groups. The limits of sessions are options.

use super::spec::{JobSpec, without_values};
use super::values::{ByteSize, Rate, TimeLimit, TimeSpan, at_least_one};
use crate::executor::job::{Job, JobId};
use crate::executor::policy::OnError;
use clap::Args;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::{Path, PathBuf};

/// The name of the settings file.
const NAME: &str = "cofferdam.toml";

/// The part of a settings file about jobs.
#[derive(Debug, Default, Deserialize)]
pub struct Settings {
    /// For single groups, the highest number of jobs at the same time.
    #[serde(default)]
    pub groups: BTreeMap<String, NonZeroUsize>,
    #[serde(default, rename = "job")]
    jobs: Vec<toml::Spanned<JobSpec>>,
    #[serde(skip)]
    job_lines: Vec<usize>,
}

/// The limits of a session.
#[derive(Clone, Debug, Default, Args)]
pub struct RunLimits {
    /// Run at most N jobs at once [default: cores; rounds: 1]
    #[arg(short, long, value_name = "N", help_heading = "Limits", value_parser = at_least_one::<NonZeroUsize>)]
    pub jobs: Option<NonZeroUsize>,
    /// Limit the start rate: 50 (per second), 30/m, 100/h
    #[arg(long, value_name = "RATE", help_heading = "Limits")]
    pub rate: Option<Rate>,
    /// Stop a job that runs longer: 90, 10m, 1h30m
    #[arg(long, value_name = "TIME", help_heading = "Limits")]
    pub timeout: Option<TimeLimit>,
    /// Retry a failed job up to N times
    #[arg(long, value_name = "N", help_heading = "Limits")]
    pub retries: Option<u32>,
    /// Kill a stopping job after this time [default: 5s]
    #[arg(long, value_name = "TIME", help_heading = "Limits")]
    pub grace: Option<TimeSpan>,
    /// Set the reaction to a failed job [default: continue]
    #[arg(long, value_name = "POLICY", help_heading = "Limits")]
    pub on_error: Option<OnError>,
    /// Treat these exit codes as critical (see `--on-error stop-critical`)
    #[arg(long, value_name = "CODE", value_delimiter = ',', help_heading = "Limits")]
    pub critical_exit: Vec<u8>,
    /// Treat a failure as critical if the output matches
    #[arg(long, value_name = "REGEX", help_heading = "Limits")]
    pub critical_pattern: Option<String>,
    /// Stop after N jobs have failed
    #[arg(long, value_name = "N", help_heading = "Limits", value_parser = at_least_one::<NonZeroU32>)]
    pub max_fail: Option<NonZeroU32>,
    /// Stop a job that uses more memory: 512M, 2G (Linux)
    #[arg(long, value_name = "SIZE", help_heading = "Limits")]
    pub job_memory: Option<ByteSize>,
    /// Limit the memory of all jobs together (Linux)
    ///
    /// At nine tenths of it no further job starts; beyond it, the largest job is stopped.
    #[arg(long, value_name = "SIZE", help_heading = "Limits")]
    pub memory: Option<ByteSize>,
    /// Start no job while less memory is available (Linux)
    ///
    /// The default is a twentieth of the machine's memory, at most 512M.
    #[arg(long, value_name = "SIZE", help_heading = "Limits")]
    pub keep_free: Option<ByteSize>,
}

/// An unusable settings file.
#[derive(Debug)]
pub struct SettingsError {
    file: PathBuf,
    line: Option<usize>,
    reason: String,
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, "{line}:")?;
        }
        write!(f, " {}", self.reason)
    }
}

impl std::error::Error for SettingsError {}

/// Returns the nearest settings file in a folder or above it.
pub fn find(dir: &Path) -> Option<PathBuf> {
    dir.ancestors()
        .map(|above| above.join(NAME))
        .find(|file| file.is_file())
}

impl Settings {
    pub fn read(file: &Path) -> Result<Self, SettingsError> {
        let text = std::fs::read_to_string(file).map_err(|error| SettingsError {
            file: file.to_owned(),
            line: None,
            reason: error.to_string(),
        })?;
        Self::parse(file, &text)
    }

    fn parse(file: &Path, text: &str) -> Result<Self, SettingsError> {
        if text.is_empty() {
            return Err(SettingsError {
                file: file.to_owned(),
                line: None,
                reason: "the file is empty, as if its writing was interrupted: write it again, or remove it"
                    .to_owned(),
            });
        }
        let mut settings: Self = toml::from_str(text).map_err(|error| SettingsError {
            file: file.to_owned(),
            line: error.span().map(|span| line_of(text, span.start)),
            reason: without_values(error.message()),
        })?;
        settings.job_lines = settings
            .jobs
            .iter()
            .map(|job| line_of(text, job.span().start))
            .collect();
        Ok(settings)
    }

    pub fn has_jobs(&self) -> bool {
        !self.jobs.is_empty()
    }

    /// Returns the jobs. `file` names the settings file in the error.
    pub fn jobs(self, file: &Path) -> Result<Vec<Job>, SettingsError> {
        let numbered = (1..).map(JobId).zip(self.jobs).zip(self.job_lines);
        numbered
            .map(|((id, spec), line)| {
                spec.into_inner().job(id).map_err(|reason| SettingsError {
                    file: file.to_owned(),
                    line: Some(line),
                    reason,
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

    const COMPLETE: &str = r#"
[run]
jobs = 3

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
    fn a_file_has_groups_and_jobs() {
        let settings = Settings::parse(file(), COMPLETE).unwrap();
        assert_eq!(settings.groups["database"].get(), 1);
        let jobs = settings.jobs(file()).unwrap();
        let names: Vec<_> = jobs.iter().map(|job| (job.id.0, job.name.as_str())).collect();
        assert_eq!(names, [(1, "cargo test --lib"), (2, "schema")]);
    }

    #[test]
    fn errors_have_a_line_and_contain_no_value() {
        for (text, expected) in [
            (
                "[groups]\njobs = \"hunter2\"",
                "cofferdam.toml:2: invalid type, expected ",
            ),
            ("[run\n", "cofferdam.toml:1: "),
            ("", "cofferdam.toml: the file is empty"),
            (
                "[groups]\na = 0",
                "cofferdam.toml:2: invalid value, expected a nonzero",
            ),
        ] {
            let error = Settings::parse(file(), text).unwrap_err().to_string();
            assert!(error.contains(expected) && !error.contains("hunter2"), "{error}");
        }
        let bad = Settings::parse(file(), "\n[[job]]\ncommand = \"a | b\"").unwrap();
        let error = bad.jobs(file()).unwrap_err().to_string();
        assert!(error.contains("cofferdam.toml:2: `|` is shell syntax"), "{error}");
    }
}
