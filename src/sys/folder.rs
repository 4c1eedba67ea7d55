//! Private directories below a directory of the user's choice, in which no other user can plant a link or a file.

use std::fs::{DirBuilder, Metadata};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// Creates the directory `below` in `root`, and `root` itself, accessible to their owner only, whatever the umask.
///
/// The root may be a symbolic link; below it, links are not followed. Each directory in the path must belong to this user, to
/// root, or to the owner of `root`, and must not be writable by others.
///
/// # Errors
/// When a directory cannot be created or is not safe. The message names it.
pub(crate) fn make(root: &Path, below: impl AsRef<Path>) -> io::Result<PathBuf> {
    // A sweep may remove a folder between its creation and its check.
    const TRIES: usize = 1000;
    let below = below.as_ref();
    let mut made = try_make(root, below);
    for _ in 1..TRIES {
        match &made {
            Err(error) if error.kind() == ErrorKind::NotFound => made = try_make(root, below),
            _ => break,
        }
    }
    made
}

fn try_make(root: &Path, below: &Path) -> io::Result<PathBuf> {
    let found = match std::fs::metadata(root) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            if let Some(parent) = root.parent() {
                std::fs::create_dir_all(parent)?;
            }
            make_one(root)?;
            std::fs::metadata(root)?
        }
        found => found?,
    };
    check(root, &found, None)?;
    let mut path = root.to_owned();
    for part in below.components() {
        path.push(part);
        let there = match std::fs::symlink_metadata(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                make_one(&path)?;
                std::fs::symlink_metadata(&path)?
            }
            there => there?,
        };
        check(&path, &there, Some(&found))?;
    }
    Ok(path)
}

/// Creates one directory, unless it exists.
fn make_one(path: &Path) -> io::Result<()> {
    match make_new(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

/// Creates one new directory, accessible to its owner only.
pub(crate) fn make_new(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    return std::os::unix::fs::DirBuilderExt::mode(&mut DirBuilder::new(), 0o700).create(path);
    #[cfg(not(unix))]
    return DirBuilder::new().create(path);
}

/// Returns whether this is a directory in which no other user can plant a file.
pub(crate) fn is_safe(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|found| check(path, &found, None).is_ok())
}

/// Returns an error for a directory in which another user could plant a file.
#[cfg(unix)]
fn check(path: &Path, found: &Metadata, root: Option<&Metadata>) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt as _;
    let us = super::process::user();
    let owner = found.uid();
    // Root may work on behalf of the owner of the folder, as in a container.
    let is_chosen = root.map_or(us == 0, |root| root.uid() == owner);
    let reason = if found.is_symlink() {
        "is a symbolic link, and links are not followed here: remove it"
    } else if !found.is_dir() {
        "is not a directory"
    } else if owner != us && owner != 0 && !is_chosen && !is_unmapped(owner) {
        "belongs to another user: remove it, or choose another directory with COFFERDAM_DIR"
    } else if found.mode() & 0o1000 == 0 && others_write(found) {
        "may be written to by other users: `chmod go-w` it, or choose another directory with COFFERDAM_DIR"
    } else {
        return Ok(());
    };
    Err(io::Error::new(
        ErrorKind::PermissionDenied,
        format!("{} {reason}", path.display()),
    ))
}

/// Returns whether other users may write to it. A group with the user's own number has no other members, and with such
/// groups the umask is often 002.
#[cfg(unix)]
pub(crate) fn others_write(found: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    found.mode() & 0o002 != 0 || found.mode() & 0o020 != 0 && found.gid() != found.uid()
}

#[cfg(not(unix))]
fn check(path: &Path, found: &Metadata, _root: Option<&Metadata>) -> io::Result<()> {
    if found.is_dir() {
        return Ok(());
    }
    let error = format!("{} is not a directory", path.display());
    Err(io::Error::new(ErrorKind::PermissionDenied, error))
}

/// Returns whether the owner is not mapped in this process's user namespace. In a container without privileges, the machine's
/// root owns the temporary directory and has no number.
#[cfg(unix)]
pub(crate) fn is_unmapped(owner: u32) -> bool {
    let number = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let is_whole = number("/proc/self/uid_map")
        .split_ascii_whitespace()
        .eq(["0", "0", "4294967295"]);
    !is_whole && number("/proc/sys/kernel/overflowuid").trim() == owner.to_string()
}

/// Returns the directories in `above` that belong to this user.
pub(crate) fn folders_in(above: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(above)? {
        let entry = entry?;
        // A planted link or another user's folder is not ours to remove.
        if is_safe(&entry.path()) {
            found.push(entry.path());
        }
    }
    Ok(found)
}

#[cfg(all(unix, not(miri)))]
#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt as _, chown, symlink};

    fn mode_of(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    fn set_mode(path: &Path, mode: u32) {
        std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_new_folder_is_accessible_to_its_owner_only_and_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("target/cofferdam");
        for _ in 0..2 {
            let made = make(&root, "runs/one").unwrap();
            assert_eq!(made, root.join("runs/one"));
            for path in [&root, &root.join("runs"), &made] {
                assert_eq!(mode_of(path), 0o700, "{}", path.display());
            }
        }
    }

    #[test]
    fn the_root_may_be_a_link_and_nothing_below_it() {
        let dir = tempfile::tempdir().unwrap();
        let (root, elsewhere) = (dir.path().join("root"), dir.path().join("elsewhere"));
        std::fs::create_dir(&elsewhere).unwrap();
        symlink(&elsewhere, &root).unwrap();
        make(&root, "runs").unwrap();
        symlink(dir.path(), elsewhere.join("locks")).unwrap();
        for below in ["locks", "locks/elsewhere"] {
            let error = make(&root, below).unwrap_err().to_string();
            assert!(error.contains("locks is a symbolic link"), "{error}");
        }
    }

    #[test]
    fn a_folder_that_every_user_may_write_to_is_refused_unless_it_is_sticky() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        make(&root, "runs").unwrap();
        for (path, below) in [(root.clone(), "runs"), (root.join("runs"), "runs/one")] {
            set_mode(&path, 0o777);
            let error = make(&root, below).unwrap_err().to_string();
            assert!(error.contains("may be written to by other users"), "{error}");
            set_mode(&path, 0o1777);
            make(&root, below).unwrap();
        }
    }

    #[test]
    fn a_folder_that_a_group_may_write_to_is_refused_unless_the_group_is_its_owners_own() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        make(&root, "runs").unwrap();
        let user = crate::sys::process::user();
        for path in [root.clone(), root.join("runs")] {
            if chown(&path, None, Some(user)).is_ok() {
                set_mode(&path, 0o775);
                make(&root, "runs/one").unwrap();
            }
            if chown(&path, None, Some(user + 4711)).is_err() {
                // Only root may change the owner of a folder.
                return;
            }
            set_mode(&path, 0o775);
            let error = make(&root, "runs/one").unwrap_err().to_string();
            assert!(error.contains("may be written to by other users"), "{error}");
            set_mode(&path, 0o1775);
            make(&root, "runs/one").unwrap();
            set_mode(&path, 0o755);
            make(&root, "runs/one").unwrap();
        }
    }

    #[test]
    fn a_folder_of_another_user_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        let planted = make(&root, "locks").unwrap();
        if chown(&planted, Some(4711), None).is_err() {
            // Only root may change the owner of a folder.
            return;
        }
        let error = make(&root, "locks").unwrap_err().to_string();
        assert!(error.contains("belongs to another user"), "{error}");
        assert!(!is_safe(&planted) || crate::sys::process::user() == 0);
        // Root works on behalf of the owner of the folder.
        chown(&root, Some(4711), None).unwrap();
        make(&root, "locks").unwrap();
    }
}
