//! `fix --migrate`: rewrites the use of another crate to cofferdam's.

use super::applying::{Applied, permissions};
use super::shown;
use crate::cli::{FixArgs, OtherCrate};
use crate::exit_code;
use crate::fix::migration::{self, Migration};
use crate::fix::test_sources::Sources;
use std::error::Error;
use std::path::{Path, PathBuf};

/// The result of `fix --migrate`.
#[derive(Debug)]
pub(crate) struct Migrated {
    /// The directory that reported paths are relative to.
    pub(crate) root: PathBuf,
    pub(crate) from: OtherCrate,
    pub(crate) migration: Migration,
    /// Source files that could not be read.
    pub(crate) problems: Vec<String>,
    pub(crate) written: bool,
}

impl Migrated {
    pub(crate) fn exit_code(&self) -> u8 {
        let migration = &self.migration;
        let is_proposed = !self.written && !migration.changes.is_empty();
        let is_for_people = !migration.left.is_empty() || !migration.to_check.is_empty();
        match is_proposed || is_for_people || !migration.missing_crates.is_empty() {
            true => exit_code::CONFLICTS,
            false => exit_code::NONE,
        }
    }

    pub(crate) fn shown(&self, path: &Path) -> String {
        shown(&self.root, path)
    }
}

/// Translates the workspace of the working directory.
///
/// # Errors
///
/// The workspace could not be read, or the changes could not be written or do not compile.
pub(crate) fn migrate(args: &FixArgs, from: OtherCrate) -> Result<Migrated, Box<dyn Error>> {
    let root = crate::commands::here::working_dir();
    let library = args.cofferdam.as_deref().map(std::path::absolute).transpose()?;
    let sources = Sources::read(std::iter::once(root.as_path()))?;
    let migration = migration::migrate(&sources, from, library.as_deref())?;
    let written = args.apply && !migration.changes.is_empty();
    if written {
        let applied = Applied::write(
            permissions(args),
            &migration.changes,
            &migration.missing_crates,
            &sources,
        )?;
        if !args.no_check {
            applied.check()?;
        }
    }
    Ok(Migrated {
        problems: sources.problems().into_iter().map(str::to_owned).collect(),
        root,
        from,
        migration,
        written,
    })
}
