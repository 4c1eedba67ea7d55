//! Writes changes into the checkout, checks that it compiles, and takes them back.

use super::shown;
use crate::cli::FixArgs;
use crate::fix::checkout::{self, ApplyError, LockFile, Permissions};
use crate::fix::draft::Change;
use crate::fix::proposal::MissingCrate;
use crate::fix::test_sources::{Package, Sources};
use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::path::{Path, PathBuf};

/// Returns what the arguments permit.
pub(super) fn permissions(args: &FixArgs) -> Permissions {
    Permissions {
        dirty: args.allow_dirty,
        no_vcs: args.allow_no_vcs,
    }
}

/// Changes that were written and can be taken back.
pub(super) struct Applied<'a> {
    changes: &'a [Change],
    /// The directories of the changed packages.
    packages: Vec<&'a Path>,
    locks: Vec<LockFile>,
}

impl<'a> Applied<'a> {
    /// Writes the changes.
    ///
    /// # Errors
    ///
    /// The checkout has other changes, a crate is missing, or a file could not be written.
    pub(super) fn write(
        permissions: Permissions,
        changes: &'a [Change],
        missing_crates: &BTreeMap<PathBuf, MissingCrate>,
        sources: &'a Sources,
    ) -> Result<Self, Box<dyn Error>> {
        if let Some((manifest, missing)) = missing_crates.first_key_value() {
            let missing = missing.sentence(&shown(&super::super::here::working_dir(), manifest));
            return Err(format!("nothing was written: {missing}").into());
        }
        let mut roots: Vec<&Path> = changes
            .iter()
            .filter_map(|change| existing_folder(&change.path))
            .collect();
        // Each tree once: a nested directory is part of its ancestor.
        roots.sort_unstable();
        roots.dedup_by(|later, first| later.starts_with(*first));
        for root in roots {
            checkout::may_change(root, permissions)?;
        }
        let packages: BTreeSet<&Path> = changes
            .iter()
            .filter_map(|change| sources.package_containing(&change.path))
            .map(Package::dir)
            .collect();
        // A command may build all workspaces, and write all their lock files.
        let workspaces = sources.roots().map(LockFile::read).collect();
        checkout::write(changes)?;
        Ok(Self {
            changes,
            packages: packages.into_iter().collect(),
            locks: workspaces,
        })
    }

    /// Runs `cargo check --tests` in the changed packages, and takes the changes back if it fails.
    pub(super) fn check(&self) -> Result<(), ApplyError> {
        checkout::check(&self.packages, self.changes, &self.locks)
    }

    /// Takes the changes back. Returns the files that could not be restored or changed in the meantime.
    pub(super) fn revert(&self) -> Vec<String> {
        checkout::revert(self.changes, &self.locks)
    }

    /// Restores the lock files that a build without the changes may have written.
    pub(super) fn restore_locks(&self) {
        self.locks.iter().for_each(LockFile::restore);
    }
}

fn existing_folder(path: &Path) -> Option<&Path> {
    path.ancestors().skip(1).find(|folder| folder.is_dir())
}
