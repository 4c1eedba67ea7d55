//! The file of a lock, kept open between two times that the lock is taken: to open it is half of what that costs.
//!
//! Who is killed holds nothing any more, and that has to stay so. A copy of this process that `fork` made has every file
//! that was open then, and would keep what is locked later on; so a file is used again only if there was no fork since
//! it was opened. And somebody may have closed the file's number, or removed the file, meanwhile: so it is looked at
//! first.

use super::process;
use std::fs::File;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Nobody has it locked by this handle.
#[derive(Debug)]
pub(crate) struct Spare {
    file: File,
    origin: Origin,
    _place: Place,
}

/// What is known of a file that may stay open.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin {
    /// As many forks there had been when it was opened.
    forks: u64,
    /// What the kernel knows it by, once that was asked for.
    id: Option<Id>,
}

/// Its device and its number there.
type Id = (u64, u64);

impl Origin {
    /// Of a file that is opened afterwards; `None` where forks are not counted.
    pub(super) fn now() -> Option<Self> {
        process::forks().map(|forks| Self { forks, id: None })
    }

    fn is_copied(self) -> bool {
        process::forks() != Some(self.forks)
    }
}

impl Spare {
    /// `None` if the file is not to stay open.
    pub(super) fn new(file: File, mut origin: Origin) -> Option<Self> {
        if origin.is_copied() {
            return None;
        }
        let _place = Place::take()?;
        if origin.id.is_none() {
            origin.id = Some(look(&file)?.0);
        }
        Some(Self { file, origin, _place })
    }

    /// The file, if it still has a name and no copy of this process has it.
    pub(super) fn open(self) -> Option<(File, Origin)> {
        let Self { file, origin, .. } = self;
        let found = look(&file);
        if found.map(|(id, _)| id) != origin.id {
            // The handle is another file's by now, or nobody's: it is not ours to close.
            std::mem::forget(file);
            return None;
        }
        let is_named = found.is_some_and(|(_, names)| names > 0);
        (is_named && !origin.is_copied()).then_some((file, origin))
    }
}

/// What file the handle is of, and how many names that has.
///
/// Nothing else is asked for: where times are kept by their finest, whoever asks for a file's makes the next write to it
/// take twice as long.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(super) fn look(file: &File) -> Option<(Id, u64)> {
    use std::os::fd::AsRawFd as _;
    let mut found = std::mem::MaybeUninit::<libc::statx>::zeroed();
    #[expect(unsafe_code, reason = "std asks for everything")]
    // SAFETY: the path is empty and ends with a zero, there is room for the answer, and all of it may be zeros.
    let (done, found) = unsafe {
        let wanted = libc::STATX_INO | libc::STATX_NLINK;
        let file = file.as_raw_fd();
        let done = libc::statx(
            file,
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            wanted,
            found.as_mut_ptr(),
        );
        (done, found.assume_init())
    };
    if done != 0 {
        // Some sandboxes refuse the call, and std knows what to do then.
        return look_by_std(file);
    }
    let device = u64::from(found.stx_dev_major) << 32 | u64::from(found.stx_dev_minor);
    Some(((device, found.stx_ino), found.stx_nlink.into()))
}

/// See the version for Linux.
#[cfg(all(unix, not(all(target_os = "linux", target_env = "gnu"))))]
pub(super) fn look(file: &File) -> Option<(Id, u64)> {
    look_by_std(file)
}

#[cfg(unix)]
fn look_by_std(file: &File) -> Option<(Id, u64)> {
    use std::os::unix::fs::MetadataExt as _;
    let found = file.metadata().ok()?;
    Some(((found.dev(), found.ino()), found.nlink()))
}

/// There, no file stays open.
#[cfg(not(unix))]
pub(super) fn look(_file: &File) -> Option<(Id, u64)> {
    None
}

/// As many files stay open, whatever the number of locks: a process may not have many.
const MOST: usize = 16;

/// One of those.
#[derive(Debug)]
struct Place(());

static TAKEN: AtomicUsize = AtomicUsize::new(0);

impl Place {
    fn take() -> Option<Self> {
        let more = |taken: usize| (taken < MOST).then_some(taken + 1);
        let taken = TAKEN.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        taken.ok().map(|_| Self(()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        TAKEN.fetch_sub(1, Ordering::Relaxed);
    }
}
