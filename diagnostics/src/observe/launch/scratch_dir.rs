//! Scratch directories of an observation in shared directories, and the removal of those that killed sessions left.

use rustix::fs::{Mode, OFlags, StatVfsMountFlags, statvfs};
use rustix::process::geteuid;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::{fs, io};
use tempfile::TempDir;

pub(crate) const PREFIX: &str = "cofferdam-observe-";
const ALIVE: &str = "alive";

/// A directory of this session, removed on drop.
#[derive(Debug)]
pub(crate) struct ScratchDir {
    folder: TempDir,
    /// Locked while the directory is in use.
    _alive: fs::File,
}

impl ScratchDir {
    pub(crate) fn new(place: &Path) -> io::Result<Self> {
        // A process that a test starts as another user must reach the library, but need not list the directory.
        let mode = fs::Permissions::from_mode(0o711);
        let folder = tempfile::Builder::new()
            .prefix(PREFIX)
            .permissions(mode)
            .tempdir_in(place)?;
        let alive = alive(folder.path())?;
        Ok(Self {
            folder,
            _alive: alive,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// Creates a file that is locked before it gets its name.
fn alive(folder: &Path) -> io::Result<fs::File> {
    let new = folder.join("alive.new");
    let file = fs::File::create_new(&new)?;
    #[expect(
        clippy::disallowed_methods,
        reason = "tells a session that was killed from one that runs"
    )]
    file.lock()?;
    fs::rename(new, folder.join(ALIVE))?;
    Ok(file)
}

/// Removes the directories that killed sessions of this user left in `place`: they may hold values of variables. Other users
/// may have put anything there.
pub(crate) fn sweep(place: &Path) {
    let user = geteuid().as_raw();
    for entry in fs::read_dir(place).into_iter().flatten().flatten() {
        let is_ours = entry.file_name().to_string_lossy().starts_with(PREFIX)
            && entry
                .metadata()
                .is_ok_and(|found| found.is_dir() && found.uid() == user);
        // Opening a pipe would block without NONBLOCK.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        if is_ours && let Ok(file) = rustix::fs::open(entry.path().join(ALIVE), flags, Mode::empty()) {
            let file = fs::File::from(file);
            #[expect(clippy::disallowed_methods, reason = "as above")]
            let is_dead = file.try_lock().is_ok();
            if is_dead {
                // Another session may be removing it.
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }
}

/// Returns whether a path can be part of variables that are separated by spaces and colons.
pub(crate) fn is_plain(path: &Path) -> bool {
    let text = path.as_os_str().as_encoded_bytes();
    path.is_absolute()
        && !text
            .iter()
            .any(|byte| matches!(byte, b' ' | b':' | b';' | b'\t' | b'\n'))
}

/// Returns whether the file system of `place` lets programs and libraries be loaded.
pub(crate) fn allows_execution(place: &Path) -> bool {
    statvfs(place).is_ok_and(|place| !place.f_flag.contains(StatVfsMountFlags::NOEXEC))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_with_a_space_cannot_stand_in_a_list_of_libraries() {
        for (path, plain) in [("/dev/shm", true), ("/a b", false), ("/a:b", false), ("a", false)] {
            assert_eq!(is_plain(Path::new(path)), plain, "{path}");
        }
    }

    #[test]
    fn what_a_killed_session_left_is_removed() {
        let place = tempfile::tempdir().unwrap();
        let (dead, other) = (
            place.path().join("cofferdam-observe-x"),
            place.path().join("other"),
        );
        for folder in [&dead, &other] {
            fs::create_dir(folder).unwrap();
            drop(alive(folder).unwrap());
        }
        sweep(place.path());
        assert!(!dead.exists() && other.exists());
    }

    #[test]
    fn a_pipe_where_a_session_should_be_is_not_waited_for() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("cofferdam-observe-x");
        fs::create_dir(&folder).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, folder.join(ALIVE), Mode::RWXU).unwrap();
        let path = place.path().to_owned();
        let (tell, over) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            sweep(&path);
            let _ = tell.send(());
        });
        over.recv_timeout(std::time::Duration::from_secs(60)).unwrap();
    }
}
