//! The paths of open files, as the kernel knows them.

use crate::sys::{self, AT_EMPTY_PATH, PATH_MAX, c_int, nr, own_calls};
use crate::this_process;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;

/// Returns the kernel's path of an open file; empty if the kernel cannot be asked.
pub(crate) fn path_of(fd: c_int, buffer: &mut [u8; PATH_MAX]) -> &[u8] {
    if fd < 0 || !this_process::may_call() {
        return &[];
    }
    let mut link = *b"/proc/self/fd/\0\0\0\0\0\0\0\0\0\0\0\0";
    sys::write_decimal(fd.unsigned_abs(), link.get_mut(14..).unwrap_or_default());
    // SAFETY: a path with a zero at its end, and a buffer of the length given.
    let length =
        unsafe { own_calls::readlink(link.as_ptr().cast(), buffer.as_mut_ptr().cast(), PATH_MAX - 1) };
    usize::try_from(length)
        .ok()
        .and_then(|length| buffer.get(..length))
        .unwrap_or_default()
}

/// Returns the path of an open directory, with a `/` at its end; empty if the kernel cannot be asked.
pub(crate) fn of_folder(fd: c_int, buffer: &mut [u8; PATH_MAX]) -> &[u8] {
    let length = path_of(fd, buffer).len();
    match buffer.get_mut(length) {
        Some(end) if length > 0 => {
            *end = b'/';
            buffer.get(..=length).unwrap_or_default()
        }
        _ => &[],
    }
}

/// The number of renames by this process. After each, an open directory may have another path.
static RENAMES: AtomicU64 = AtomicU64::new(0);

/// Makes later calls look up the paths of open directories again.
pub(crate) fn forget() {
    RENAMES.fetch_add(1, Relaxed);
}

/// The open directory whose path was last looked up. Removing a directory names it once for each entry, and the kernel takes
/// much longer to return its path than its inode.
pub(crate) struct KnownFolder {
    identity: Identity,
    length: usize,
    path: [u8; PATH_MAX],
    status: [u64; 32],
}

/// The descriptor, the directory's inode, its creation time (since inodes are reused), its device, and [`RENAMES`].
type Identity = [u64; 6];

impl KnownFolder {
    pub(crate) const NONE: Self = Self {
        identity: [0; 6],
        length: 0,
        path: [0; PATH_MAX],
        status: [0; 32],
    };

    /// Returns the path of an open directory, with a `/` at its end; empty if the kernel cannot be asked.
    pub(crate) fn path_of(&mut self, fd: c_int) -> &[u8] {
        let identity = self.identify(fd);
        if identity.is_none_or(|identity| identity != self.identity) {
            self.length = of_folder(fd, &mut self.path).len();
            self.identity = identity.unwrap_or_default();
        }
        self.path.get(..self.length).unwrap_or_default()
    }

    /// Returns the identity of an open directory; `None` if the kernel or the file system does not report all of it.
    fn identify(&mut self, fd: c_int) -> Option<Identity> {
        const INODE: u64 = 0x100;
        const BIRTH: u64 = 0x800;
        if fd < 0 || !this_process::may_call() {
            return None;
        }
        let (path, to) = (c"".as_ptr().addr(), self.status.as_mut_ptr().addr());
        let flags = AT_EMPTY_PATH as usize;
        // SAFETY: a path with a zero at its end, and a buffer of the structure's size.
        let failed = unsafe {
            own_calls::syscall(
                nr::STATX,
                [fd as usize, path, flags, (INODE | BIRTH) as usize, to],
            )
        };
        let [known, inode, seconds, nanos, device] = [0, 4, 10, 11, 17].map(|place| self.status[place]);
        let is_known = failed == 0 && known & (INODE | BIRTH) == INODE | BIRTH;
        is_known.then(|| [fd as u64, inode, seconds, nanos, device, RENAMES.load(Relaxed)])
    }
}
