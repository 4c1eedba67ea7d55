//! The directory for locks of the whole machine, in which no other user can plant links or take names.

use crate::error::Error;
use crate::sys::{env, folder};
use std::path::{Path, PathBuf};

/// The parent of the directory, for jobs that have temporary directories of their own but share the machine's locks.
const VARIABLE: &str = "COFFERDAM_MACHINE_DIR";

/// Returns the directory, creating it at the first call. It is in the temporary directory, which all checkouts of a user share.
pub(crate) fn folder() -> Result<PathBuf, Error> {
    #[cfg(unix)]
    let user = crate::sys::process::user();
    #[cfg(not(unix))]
    // The temporary folder is the user's own there.
    let user = 0;
    folder_in(&env::path(VARIABLE).unwrap_or_else(env::temp_dir), user)
}

/// Returns a directory with the same properties as [`folder`] and a path of at most `longest` bytes.
#[cfg(unix)]
pub(crate) fn short_folder(longest: usize) -> Result<PathBuf, Error> {
    use std::os::unix::ffi::OsStrExt as _;
    let user = crate::sys::process::user();
    let parents = [
        env::path(VARIABLE),
        Some(env::temp_dir()),
        env::path("XDG_RUNTIME_DIR"),
        Some("/tmp".into()),
    ];
    let is_short = |parent: &PathBuf| own(parent, user).as_os_str().as_bytes().len() <= longest;
    let mut refused = None;
    for parent in parents.into_iter().flatten().filter(is_short) {
        match folder_in(&parent, user) {
            Ok(folder) => return Ok(folder),
            Err(error) => refused = Some(error),
        }
    }
    let too_long = || {
        Error::not_safe(
            &env::temp_dir(),
            "its path is too long for a socket: set TMPDIR to a shorter one",
        )
    };
    Err(refused.unwrap_or_else(too_long))
}

fn own(parent: &Path, user: u32) -> PathBuf {
    parent.join(format!("cofferdam-{user}"))
}

fn folder_in(parent: &Path, user: u32) -> Result<PathBuf, Error> {
    let own = own(parent, user);
    if let Err(error) = folder::make_new(&own)
        && error.kind() != std::io::ErrorKind::AlreadyExists
    {
        return Err(Error::io("create", &own, error));
    }
    check(parent, &own, user)?;
    Ok(own)
}

/// Checks that it is a real directory that only this user can access, and that no other user can replace it.
#[cfg(unix)]
fn check(parent: &Path, folder: &Path, user: u32) -> Result<(), Error> {
    use std::os::unix::fs::MetadataExt as _;
    // Without following a link.
    let found = std::fs::symlink_metadata(folder).map_err(|source| Error::io("look at", folder, source))?;
    let above = std::fs::metadata(parent).map_err(|source| Error::io("look at", parent, source))?;
    let reason = if !found.is_dir() {
        "it is not a directory"
    } else if found.uid() != user {
        "it belongs to another user"
    } else if found.mode() & 0o077 != 0 {
        "others may read or write it"
    } else if above.uid() != user && above.uid() != 0 && !folder::is_unmapped(above.uid()) {
        "another user may replace it, because they own the directory above it"
    } else if above.mode() & 0o1000 == 0 && folder::others_write(&above) {
        "others may replace it, because they may write to the directory above it, which is not sticky"
    } else {
        return Ok(());
    };
    Err(Error::not_safe(folder, reason))
}

#[cfg(not(unix))]
fn check(_parent: &Path, folder: &Path, _user: u32) -> Result<(), Error> {
    if folder.is_dir() {
        return Ok(());
    }
    Err(Error::not_safe(folder, "it is not a directory"))
}

#[cfg(all(unix, not(miri)))]
#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::process::user;
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    fn mode(path: &Path, mode: u32) {
        std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn it_is_accessible_to_its_user_only_and_found_again() {
        let parent = tempfile::tempdir().unwrap();
        mode(parent.path(), 0o1777);
        let folder = folder_in(parent.path(), user()).unwrap();
        let found = std::fs::metadata(&folder).unwrap().permissions().mode();
        assert_eq!(found & 0o777, 0o700);
        assert_eq!(folder_in(parent.path(), user()).unwrap(), folder);
    }

    #[test]
    fn a_planted_folder_or_link_is_refused() {
        type Plant = (&'static str, fn(&Path));
        let plant: [Plant; 4] = [
            ("it is not a directory", |planted| {
                let own = planted.with_file_name("own");
                folder::make_new(&own).unwrap();
                std::os::unix::fs::symlink(own, planted).unwrap();
            }),
            ("it is not a directory", |folder| {
                std::fs::write(folder, "").unwrap()
            }),
            ("others may read or write it", |planted| {
                folder::make_new(planted).unwrap();
                mode(planted, 0o770);
            }),
            ("others may replace it", |planted| {
                folder::make_new(planted).unwrap();
                mode(planted.parent().unwrap(), 0o777);
            }),
        ];
        for (reason, plant) in plant {
            let parent = tempfile::tempdir().unwrap();
            plant(&parent.path().join(format!("cofferdam-{}", user())));
            let error = folder_in(parent.path(), user()).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn a_folder_in_another_user_s_folder_is_refused() {
        let parent = tempfile::tempdir().unwrap();
        // Only root may change the owner of a folder.
        if std::os::unix::fs::chown(parent.path(), Some(4711), None).is_ok() {
            let error = folder_in(parent.path(), user()).unwrap_err().to_string();
            assert!(error.contains("they own the directory above it"), "{error}");
        }
    }

    #[test]
    fn another_user_s_folder_is_refused() {
        let parent = tempfile::tempdir().unwrap();
        let other = user().wrapping_add(1);
        let error = folder_in(parent.path(), other).unwrap_err().to_string();
        assert!(error.contains("another user"), "{error}");
    }
}
