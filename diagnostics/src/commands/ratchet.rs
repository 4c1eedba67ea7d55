//! `--baseline`: comparison of conflicts with those already known.

use super::Outcome;
use crate::baseline::{Baseline, Known, Roots, Standing};
use crate::cli::BaselineArgs;
use crate::exit_code::Ended;
use cofferdam_conflicts::{Conflict, Severity};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The result of the comparison with the baseline.
#[derive(Debug, Default)]
pub(crate) struct Compared {
    pub(crate) file: PathBuf,
    /// The number of entries, if the baseline was written.
    pub(crate) written: Option<usize>,
    /// The reason the baseline was not written although requested.
    pub(crate) not_written: Option<String>,
    /// Conflicts that are known or allowed and do not fail the command.
    pub(crate) settled: Vec<(Conflict, Standing)>,
    /// The baseline's notes on the remaining conflicts.
    pub(crate) notes: Vec<String>,
    /// Entries of the baseline that were not found.
    pub(crate) gone: Vec<String>,
}

/// The requested baseline, if any.
pub(super) struct Ratchet {
    file: Option<PathBuf>,
    is_updated: bool,
    there: Option<(String, Baseline)>,
}

impl Ratchet {
    /// Reads the baseline before the suite runs, so that errors show early.
    pub(super) fn read(args: &BaselineArgs) -> Result<Self, Box<dyn Error>> {
        Ok(Self {
            there: args
                .baseline
                .as_deref()
                .map(Baseline::read)
                .transpose()?
                .flatten(),
            file: args.baseline.clone(),
            is_updated: args.update_baseline,
        })
    }

    /// Compares the conflicts with the baseline and updates the file if requested.
    ///
    /// A failure to write is a problem of the outcome; the conflicts are reported anyway.
    pub(super) fn hold(self, outcome: Outcome) -> Outcome {
        match self.file {
            Some(file) => compare(&file, self.is_updated, self.there, outcome),
            None => outcome,
        }
    }
}

fn compare(
    file: &Path,
    is_updated: bool,
    there: Option<(String, Baseline)>,
    mut outcome: Outcome,
) -> Outcome {
    let dir = super::here::working_dir();
    let roots = Roots {
        workspace: workspace(&dir).to_owned(),
        temporary: std::env::temp_dir(),
    };
    let entry_of = |conflict: &Conflict| Known::of(conflict, &roots);
    let failing = outcome.findings.of_severity(Severity::Conflict);
    let mut all: Vec<Known> = failing.map(entry_of).collect();
    all.sort();
    // One entry per resource, whichever tests share it.
    all.dedup_by(|later, first| {
        let is_same = later.conflict == first.conflict;
        if is_same {
            first.tests.append(&mut later.tests);
        }
        is_same
    });
    let mut compared = Compared {
        file: file.to_owned(),
        ..Compared::default()
    };
    let (text, mut baseline) = there.map_or((None, Baseline::default()), |(text, baseline)| {
        (Some(text), baseline)
    });
    let today = today();
    if is_updated || text.is_none() {
        // What is allowed, or was, is not made known behind its reason's back.
        let is_new = |one: &&Known| {
            matches!(
                baseline.standing(one, &today),
                Standing::New | Standing::NewTests(_) | Standing::Known
            )
        };
        // Only an observation knows all users of a resource.
        let is_observed = outcome.findings.observed.is_some();
        let entry = |one: &Known| {
            if is_observed {
                one.clone()
            } else {
                baseline.widened(one)
            }
        };
        let known: Vec<Known> = all.iter().filter(is_new).map(entry).collect();
        match why_not(&outcome) {
            Some(why) => compared.not_written = Some(why),
            None => match update(file, text.as_deref(), &known) {
                Ok(new) => {
                    baseline = new;
                    compared.written = Some(known.len());
                }
                Err(error) => {
                    outcome.findings.problem(error.to_string());
                    compared.not_written = Some("its file cannot be written".to_owned());
                }
            },
        }
    }
    compared.gone = baseline.gone(&all);
    outcome.settle(compared, |conflict| {
        baseline.standing(&entry_of(conflict), &today)
    });
    outcome
}

/// Returns the reason the baseline must not be written: an interrupted run does not show all conflicts.
fn why_not(outcome: &Outcome) -> Option<String> {
    if let Some(Ended::Failed { .. }) = outcome.command {
        return Some("the command failed, and may not have done all it does".to_owned());
    }
    if outcome.findings.problem_count > 0 {
        return Some("not everything could be read".to_owned());
    }
    if !outcome.findings.account.lost.is_empty() {
        return Some("programs were lost, with the conflicts that they may have".to_owned());
    }
    (!outcome.findings.seen(false).anything).then(|| "nothing was seen".to_owned())
}

/// Writes what is known from now on.
fn update(file: &Path, text: Option<&str>, known: &[Known]) -> Result<Baseline, Box<dyn Error>> {
    let new = Baseline::updated(text, known, file)?;
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)
            .map_err(|error| format!("could not create {}: {error}", folder.display()))?;
    }
    cofferdam::write_atomic(file, new.as_bytes())?;
    Ok(Baseline::parse(&new, file)?)
}

/// Returns the nearest directory with a Cargo.lock, otherwise `dir`.
fn workspace(dir: &Path) -> &Path {
    dir.ancestors()
        .find(|folder| folder.join("Cargo.lock").is_file())
        .unwrap_or(dir)
}

/// Returns the date in UTC, like `2027-01-31`.
fn today() -> String {
    #[expect(clippy::disallowed_methods, reason = "what is allowed ends by the calendar")]
    let now = SystemTime::now();
    let mut day = humantime::format_rfc3339_seconds(now).to_string();
    day.truncate("2027-01-31".len());
    day
}

impl Outcome {
    /// Moves known and allowed conflicts out of the outcome.
    fn settle(&mut self, mut compared: Compared, standing: impl Fn(&Conflict) -> Standing) {
        let judged = self.findings.take_out(|conflict| {
            if conflict.severity() != Severity::Conflict {
                return None;
            }
            let standing = standing(conflict);
            let subject = conflict
                .resource
                .as_ref()
                .map_or_else(|| conflict.kind.to_string(), ToString::to_string);
            match &standing {
                Standing::Ended { until, reason } => {
                    compared.notes.push(format!(
                        "{subject} was allowed until {until} ({reason}), and that is over"
                    ));
                }
                Standing::NewTests(tests) => {
                    compared.notes.push(format!(
                        "{subject} is known, and these tests of it are not: {}",
                        tests.join(", ")
                    ));
                }
                _ => {}
            }
            (!standing.fails()).then_some(standing)
        });
        compared.settled = judged;
        self.findings.baseline = Some(compared);
        self.judge();
    }
}
