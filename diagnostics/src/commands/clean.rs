//! `clean`: ends fixtures that were kept warm, and removes the directories of finished runs.

use crate::cli::CleanArgs;
use crate::exit_code;
#[cfg(has_observer)]
use crate::fixtures;
use crate::fixtures::{WarmFate, WarmFixture};
use cofferdam::diagnostics::{CleanOptions, Cleaned, Fate, clean as sweep};
use std::error::Error;
use std::path::PathBuf;

/// The outcome of `clean`, with the fate of each run.
#[derive(Debug)]
pub(crate) struct Swept {
    /// The directory that was searched.
    pub(crate) place: PathBuf,
    pub(crate) runs: Vec<Cleaned>,
    /// The fixtures that were kept warm.
    pub(crate) warm: Vec<WarmFixture>,
    /// Set if nothing was removed.
    pub(crate) dry_run: bool,
}

impl Swept {
    pub(crate) fn exit_code(&self) -> u8 {
        let is_failed = |one: &WarmFixture| matches!(one.fate, WarmFate::Failed(_));
        if self.runs.iter().any(|run| matches!(run.fate, Fate::Failed(_))) || self.warm.iter().any(is_failed)
        {
            exit_code::UNKNOWN
        } else {
            exit_code::NONE
        }
    }
}

pub(crate) fn clean(args: &CleanArgs) -> Result<Swept, Box<dyn Error>> {
    let base = cofferdam::diagnostics::base_dir(Some(&super::here::working_dir()))?;
    let options = CleanOptions::default().dry_run(args.dry_run).all(args.all);
    // First, because the directories of their runs are no longer used then.
    #[cfg(has_observer)]
    let warm = fixtures::warm::stop_all(&base, args.dry_run);
    #[cfg(not(has_observer))]
    let warm = Vec::new();
    Ok(Swept {
        warm,
        runs: sweep(&base, options)?,
        place: base.join("runs"),
        dry_run: args.dry_run,
    })
}
