//! `--baseline`: comparison of conflicts with those already known.

use super::Outcome;
use crate::baseline::{Baseline, BaselineError, Known, Roots, Standing, is_on_static};
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
    pub(crate) accepted: Vec<(Conflict, Standing)>,
    /// The baseline's notes on the remaining conflicts.
    pub(crate) notes: Vec<String>,
    /// Entries of the baseline that were not found.
    pub(crate) missing: Vec<String>,
}

/// The requested baseline, if any.
pub(super) struct BaselineCheck {
    file: Option<PathBuf>,
    is_updated: bool,
    existing: Option<(String, Baseline)>,
}

impl BaselineCheck {
    /// Reads the baseline before the suite runs, so that errors show early.
    pub(super) fn read(args: &BaselineArgs) -> Result<Self, Box<dyn Error>> {
        let existing = args
            .baseline
            .as_deref()
            .map(Baseline::read)
            .transpose()?
            .flatten();
        match &args.baseline {
            // Otherwise a wrong name, or a file that was not checked in, would let every conflict pass.
            Some(file) if existing.is_none() && !args.update_baseline => {
                Err(BaselineError::Missing(file.clone()).into())
            }
            file => Ok(Self {
                existing,
                file: file.clone(),
                is_updated: args.update_baseline,
            }),
        }
    }

    /// Compares the conflicts with the baseline and updates the file if requested.
    ///
    /// A failure to write is a problem of the outcome; the conflicts are reported anyway.
    pub(super) fn apply(self, outcome: Outcome) -> Outcome {
        match self.file {
            Some(file) => compare(&file, self.is_updated, self.existing, outcome),
            None => outcome,
        }
    }
}

fn compare(
    file: &Path,
    is_updated: bool,
    existing: Option<(String, Baseline)>,
    mut outcome: Outcome,
) -> Outcome {
    let roots = Roots::of(&outcome.dir);
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
    let (text, mut baseline) = existing.map_or((None, Baseline::default()), |(text, baseline)| {
        (Some(text), baseline)
    });
    let today = today();
    let observed = outcome.findings.observed.as_ref();
    let statics = observed.and_then(|observed| observed.statics.as_ref());
    let tries_statics = statics.is_some_and(|statics| statics.pairs.is_some());
    let is_unseen = |entry: &str| !tries_statics && is_on_static(entry);
    if is_updated {
        // An entry with a reason is never replaced by one without.
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
        let mut known: Vec<Known> = all.iter().filter(is_new).map(entry).collect();
        let unseen = baseline.known.iter().filter(|one| is_unseen(&one.conflict));
        known.extend(unseen.cloned());
        match reason_not_to_write(&outcome) {
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
    compared.missing = baseline.missing(&all);
    compared.missing.retain(|entry| !is_unseen(entry));
    outcome.accept(compared, |conflict| {
        baseline.standing(&entry_of(conflict), &today)
    });
    outcome
}

/// Returns the reason the baseline must not be written: an interrupted run does not show all conflicts.
fn reason_not_to_write(outcome: &Outcome) -> Option<String> {
    if let Some(Ended::Failed { .. }) = outcome.command {
        return Some("the command failed, so the run may be incomplete".to_owned());
    }
    if outcome.findings.problem_count > 0 {
        return Some("not everything could be read".to_owned());
    }
    if !outcome.findings.account.lost.is_empty() {
        return Some("programs were lost, and their conflicts with them".to_owned());
    }
    (!outcome.findings.seen(false).anything).then(|| "no test was recorded".to_owned())
}

/// Writes the updated baseline.
fn update(file: &Path, text: Option<&str>, known: &[Known]) -> Result<Baseline, Box<dyn Error>> {
    let new = Baseline::updated(text, known, file)?;
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)
            .map_err(|error| format!("could not create {}: {error}", folder.display()))?;
    }
    cofferdam::file::write_atomic(file, new.as_bytes())?;
    Ok(Baseline::parse(&new, file)?)
}

/// Returns the date in UTC, like `2027-01-31`.
fn today() -> String {
    #[expect(clippy::disallowed_methods, reason = "an allowance ends on a calendar day")]
    let now = SystemTime::now();
    let mut day = humantime::format_rfc3339_seconds(now).to_string();
    day.truncate("2027-01-31".len());
    day
}

impl Outcome {
    /// Moves known and allowed conflicts out of the outcome.
    fn accept(&mut self, mut compared: Compared, standing: impl Fn(&Conflict) -> Standing) {
        let accepted = self.findings.remove_conflicts(|conflict| {
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
                        "{subject} was allowed until {until} ({reason}); the allowance has ended"
                    ));
                }
                Standing::NewTests(tests) => {
                    compared.notes.push(format!(
                        "{subject} is known, but these of its tests are not: {}",
                        tests.join(", ")
                    ));
                }
                _ => {}
            }
            (!standing.fails()).then_some(standing)
        });
        compared.accepted = accepted;
        self.findings.baseline = Some(compared);
        self.judge();
    }
}
