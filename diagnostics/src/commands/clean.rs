//! `clean`: removes the directories of finished runs.

use crate::cli::CleanArgs;
use crate::exit_code;
use cofferdam::diagnostics::{CleanOptions, Cleaned, Fate, clean as sweep};
use std::error::Error;
use std::path::PathBuf;

/// The outcome for each run.
#[derive(Debug)]
pub(crate) struct Swept {
    /// The directory that was searched.
    pub(crate) place: PathBuf,
    pub(crate) runs: Vec<Cleaned>,
    /// Whether nothing was removed.
    pub(crate) dry_run: bool,
}

impl Swept {
    pub(crate) fn exit_code(&self) -> u8 {
        if self.runs.iter().any(|run| matches!(run.fate, Fate::Failed(_))) {
            exit_code::UNKNOWN
        } else {
            exit_code::NONE
        }
    }
}

pub(crate) fn clean(args: &CleanArgs) -> Result<Swept, Box<dyn Error>> {
    let base = cofferdam::base_dir(Some(&super::here::working_dir()))?;
    let options = CleanOptions::default().dry_run(args.dry_run).all(args.all);
    Ok(Swept {
        runs: sweep(&base, options)?,
        place: base.join("runs"),
        dry_run: args.dry_run,
    })
}
