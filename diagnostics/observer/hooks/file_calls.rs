//! Files, folders, and objects that are named like files.

use crate::hooks::{descriptor_calls, lock_calls};
use crate::log_format::{ITSELF, Kind, SHARED_MEMORY};
use crate::recording::{self, Path, ReentrancyGuard, by_descriptor, by_path, by_paths};
use crate::sys::interpose::hooks;
use crate::sys::{
    self, AT_REMOVEDIR, O_CREAT, O_DIRECTORY, O_EXCL, O_PATH, O_RDWR, O_TMPFILE, O_TRUNC, c_char, c_int,
    c_uint, c_void,
};

type Text = *const c_char;

/// Records that a file was opened.
///
/// # Safety
/// The program passed the path to libc.
pub(crate) unsafe fn after_open(folder: c_int, text: Text, flags: c_int, failed: bool) {
    if flags & O_TMPFILE == O_TMPFILE {
        return;
    }
    let kind = if flags & O_PATH != 0 {
        Kind::Look
    } else if flags & O_DIRECTORY != 0 {
        Kind::List
    } else {
        Kind::Open
    };
    let of_link = if flags & sys::O_NOFOLLOW != 0 { ITSELF } else { 0 };
    // With other flags the same access would be recorded again.
    let flags = flags & (sys::O_ACCMODE | O_CREAT | O_EXCL | O_TRUNC);
    // SAFETY: the caller's promise.
    unsafe { by_path(kind, failed, flags as u64 | of_link, Path::at(folder, text)) }
}

/// Returns [`ITSELF`] if a call with these `AT_` flags is about a link itself and not its target, otherwise 0.
pub(crate) fn itself(flags: c_int) -> u64 {
    if flags & sys::AT_SYMLINK_NOFOLLOW != 0 {
        ITSELF
    } else {
        0
    }
}

/// Returns the flags of `open` that a mode of `fopen` stands for.
///
/// # Safety
/// A text that libc has read.
unsafe fn flags_of(mode: Text) -> c_int {
    // SAFETY: the caller's promise.
    let mode = unsafe { sys::text(mode) };
    let both = mode.contains(&b'+');
    // An extension of GNU: the file must be new.
    let new = if mode.contains(&b'x') { O_EXCL } else { 0 };
    match mode.first() {
        Some(b'w') => new | O_CREAT | O_TRUNC | if both { O_RDWR } else { 1 },
        Some(b'a') => new | O_CREAT | if both { O_RDWR } else { 1 },
        _ if both => O_RDWR,
        _ => 0,
    }
}

/// The flags of `open` that stand for making a new file.
pub(crate) const MADE: c_int = O_CREAT | O_EXCL | O_RDWR;
/// The flags of `open` that `creat` stands for.
pub(crate) const CREAT_FLAGS: c_int = O_CREAT | O_TRUNC | 1;

/// Records that a file or folder was removed, with the flags of `unlinkat`.
///
/// # Safety
/// The program passed the path to libc.
pub(crate) unsafe fn after_unlinkat(folder: c_int, text: Text, flags: c_int, failed: bool) {
    let kind = if flags & AT_REMOVEDIR != 0 {
        Kind::RemoveFolder
    } else {
        Kind::Remove
    };
    // SAFETY: the caller's promise.
    unsafe { by_path(kind, failed, 0, Path::at(folder, text)) }
}

hooks! {
    mod real;
    open(name: Text, flags: c_int, mode: c_uint) -> c_int, |fd| after_open(sys::AT_FDCWD, name, flags, fd < 0);
    open64(name: Text, flags: c_int, mode: c_uint) -> c_int, |fd| after_open(sys::AT_FDCWD, name, flags, fd < 0);
    openat(folder: c_int, name: Text, flags: c_int, mode: c_uint) -> c_int, |fd| after_open(folder, name, flags, fd < 0);
    openat64(folder: c_int, name: Text, flags: c_int, mode: c_uint) -> c_int, |fd| after_open(folder, name, flags, fd < 0);
    __open_2(name: Text, flags: c_int) -> c_int, |fd| after_open(sys::AT_FDCWD, name, flags, fd < 0);
    __open64_2(name: Text, flags: c_int) -> c_int, |fd| after_open(sys::AT_FDCWD, name, flags, fd < 0);
    __openat_2(folder: c_int, name: Text, flags: c_int) -> c_int, |fd| after_open(folder, name, flags, fd < 0);
    __openat64_2(folder: c_int, name: Text, flags: c_int) -> c_int, |fd| after_open(folder, name, flags, fd < 0);
    creat(name: Text, mode: c_uint) -> c_int, |fd| after_open(sys::AT_FDCWD, name, CREAT_FLAGS, fd < 0);
    creat64(name: Text, mode: c_uint) -> c_int, |fd| after_open(sys::AT_FDCWD, name, CREAT_FLAGS, fd < 0);
    fopen(name: Text, mode: Text) -> *mut c_void, |file| after_open(sys::AT_FDCWD, name, flags_of(mode), file.is_null());
    fopen64(name: Text, mode: Text) -> *mut c_void, |file| after_open(sys::AT_FDCWD, name, flags_of(mode), file.is_null());
    freopen(name: Text, mode: Text, old: *mut c_void) -> *mut c_void, |file| after_open(sys::AT_FDCWD, name, flags_of(mode), file.is_null());
    freopen64(name: Text, mode: Text, old: *mut c_void) -> *mut c_void, |file| after_open(sys::AT_FDCWD, name, flags_of(mode), file.is_null());
    mkstemp(name: *mut c_char) -> c_int, |fd| after_open(sys::AT_FDCWD, name, MADE, fd < 0);
    mkstemp64(name: *mut c_char) -> c_int, |fd| after_open(sys::AT_FDCWD, name, MADE, fd < 0);
    mkostemp(name: *mut c_char, flags: c_int) -> c_int, |fd| after_open(sys::AT_FDCWD, name, MADE, fd < 0);
    mkostemp64(name: *mut c_char, flags: c_int) -> c_int, |fd| after_open(sys::AT_FDCWD, name, MADE, fd < 0);
    mkstemps(name: *mut c_char, suffix: c_int) -> c_int, |fd| after_open(sys::AT_FDCWD, name, MADE, fd < 0);
    mkostemps(name: *mut c_char, suffix: c_int, flags: c_int) -> c_int, |fd| after_open(sys::AT_FDCWD, name, MADE, fd < 0);
    mkdtemp(name: *mut c_char) -> *mut c_char, |made| by_path(Kind::MakeFolder, made.is_null(), 0, Path::new(name));

    opendir(name: Text) -> *mut c_void, |folder| by_path(Kind::List, folder.is_null(), 0, Path::new(name));
    scandir(name: Text, list: *mut c_void, filter: *mut c_void, order: *mut c_void) -> c_int, |count| by_path(Kind::List, count < 0, 0, Path::new(name));
    scandir64(name: Text, list: *mut c_void, filter: *mut c_void, order: *mut c_void) -> c_int, |count| by_path(Kind::List, count < 0, 0, Path::new(name));

    stat(name: Text, to: *mut c_void) -> c_int, |done| by_path(Kind::Look, done < 0, 0, Path::new(name));
    stat64(name: Text, to: *mut c_void) -> c_int, |done| by_path(Kind::Look, done < 0, 0, Path::new(name));
    lstat(name: Text, to: *mut c_void) -> c_int, |done| by_path(Kind::Look, done < 0, ITSELF, Path::new(name));
    lstat64(name: Text, to: *mut c_void) -> c_int, |done| by_path(Kind::Look, done < 0, ITSELF, Path::new(name));
    fstatat(folder: c_int, name: Text, to: *mut c_void, flags: c_int) -> c_int, |done| by_path(Kind::Look, done < 0, itself(flags), Path::at(folder, name));
    fstatat64(folder: c_int, name: Text, to: *mut c_void, flags: c_int) -> c_int, |done| by_path(Kind::Look, done < 0, itself(flags), Path::at(folder, name));
    statx(folder: c_int, name: Text, flags: c_int, mask: c_uint, to: *mut c_void) -> c_int, |done| by_path(Kind::Look, done < 0, itself(flags), Path::at(folder, name));
    __xstat(version: c_int, name: Text, to: *mut c_void) -> c_int, |done| by_path(Kind::Look, done < 0, 0, Path::new(name));
    __xstat64(version: c_int, name: Text, to: *mut c_void) -> c_int, |done| by_path(Kind::Look, done < 0, 0, Path::new(name));
    __lxstat(version: c_int, name: Text, to: *mut c_void) -> c_int, |done| by_path(Kind::Look, done < 0, ITSELF, Path::new(name));
    __lxstat64(version: c_int, name: Text, to: *mut c_void) -> c_int, |done| by_path(Kind::Look, done < 0, ITSELF, Path::new(name));
    access(name: Text, mode: c_int) -> c_int, |done| by_path(Kind::Look, done < 0, 0, Path::new(name));
    eaccess(name: Text, mode: c_int) -> c_int, |done| by_path(Kind::Look, done < 0, 0, Path::new(name));
    euidaccess(name: Text, mode: c_int) -> c_int, |done| by_path(Kind::Look, done < 0, 0, Path::new(name));
    faccessat(folder: c_int, name: Text, mode: c_int, flags: c_int) -> c_int, |done| by_path(Kind::Look, done < 0, itself(flags), Path::at(folder, name));
    readlink(name: Text, to: *mut c_char, length: usize) -> isize, |done| by_path(Kind::Look, done < 0, ITSELF, Path::new(name));
    readlinkat(folder: c_int, name: Text, to: *mut c_char, length: usize) -> isize, |done| by_path(Kind::Look, done < 0, ITSELF, Path::at(folder, name));
    realpath(name: Text, to: *mut c_char) -> *mut c_char, |found| by_path(Kind::Look, found.is_null(), 0, Path::new(name));
    __realpath_chk(name: Text, to: *mut c_char, length: usize) -> *mut c_char, |found| by_path(Kind::Look, found.is_null(), 0, Path::new(name));
    canonicalize_file_name(name: Text) -> *mut c_char, |found| by_path(Kind::Look, found.is_null(), 0, Path::new(name));
    statfs(name: Text, to: *mut c_void) -> c_int, |done| by_path(Kind::Look, done < 0, 0, Path::new(name));
    statvfs(name: Text, to: *mut c_void) -> c_int, |done| by_path(Kind::Look, done < 0, 0, Path::new(name));

    mkdir(name: Text, mode: c_uint) -> c_int, |done| by_path(Kind::MakeFolder, done < 0, 0, Path::new(name));
    mkdirat(folder: c_int, name: Text, mode: c_uint) -> c_int, |done| by_path(Kind::MakeFolder, done < 0, 0, Path::at(folder, name));
    rmdir(name: Text) -> c_int, |done| by_path(Kind::RemoveFolder, done < 0, 0, Path::new(name));
    unlink(name: Text) -> c_int, |done| by_path(Kind::Remove, done < 0, 0, Path::new(name));
    unlinkat(folder: c_int, name: Text, flags: c_int) -> c_int, |done| after_unlinkat(folder, name, flags, done < 0);
    remove(name: Text) -> c_int, |done| by_path(Kind::Remove, done < 0, 0, Path::new(name));
    rename(from: Text, to: Text) -> c_int, |done| by_paths(Kind::Rename, done < 0, 0, Path::new(from), Path::new(to));
    renameat(from_at: c_int, from: Text, to_at: c_int, to: Text) -> c_int, |done| by_paths(Kind::Rename, done < 0, 0, Path::at(from_at, from), Path::at(to_at, to));
    renameat2(from_at: c_int, from: Text, to_at: c_int, to: Text, flags: c_uint) -> c_int, |done| by_paths(Kind::Rename, done < 0, 0, Path::at(from_at, from), Path::at(to_at, to));
    link(from: Text, to: Text) -> c_int, |done| by_paths(Kind::Link, done < 0, 0, Path::new(from), Path::new(to));
    linkat(from_at: c_int, from: Text, to_at: c_int, to: Text, flags: c_int) -> c_int, |done| by_paths(Kind::Link, done < 0, 0, Path::at(from_at, from), Path::at(to_at, to));
    symlink(target: Text, name: Text) -> c_int, |done| by_path(Kind::Symlink, done < 0, 0, Path::new(name));
    symlinkat(target: Text, at: c_int, name: Text) -> c_int, |done| by_path(Kind::Symlink, done < 0, 0, Path::at(at, name));
    mkfifo(name: Text, mode: c_uint) -> c_int, |done| after_open(sys::AT_FDCWD, name, MADE, done < 0);
    mkfifoat(folder: c_int, name: Text, mode: c_uint) -> c_int, |done| after_open(folder, name, MADE, done < 0);
    mknod(name: Text, mode: c_uint, device: u64) -> c_int, |done| after_open(sys::AT_FDCWD, name, MADE, done < 0);
    mknodat(folder: c_int, name: Text, mode: c_uint, device: u64) -> c_int, |done| after_open(folder, name, MADE, done < 0);

    truncate(name: Text, length: i64) -> c_int, |done| by_path(Kind::Change, done < 0, 0, Path::new(name));
    truncate64(name: Text, length: i64) -> c_int, |done| by_path(Kind::Change, done < 0, 0, Path::new(name));
    ftruncate(fd: c_int, length: i64) -> c_int, |done| by_descriptor(Kind::Change, done < 0, 0, fd);
    ftruncate64(fd: c_int, length: i64) -> c_int, |done| by_descriptor(Kind::Change, done < 0, 0, fd);
    chmod(name: Text, mode: c_uint) -> c_int, |done| by_path(Kind::Change, done < 0, 0, Path::new(name));
    fchmod(fd: c_int, mode: c_uint) -> c_int, |done| by_descriptor(Kind::Change, done < 0, 0, fd);
    fchmodat(folder: c_int, name: Text, mode: c_uint, flags: c_int) -> c_int, |done| by_path(Kind::Change, done < 0, itself(flags), Path::at(folder, name));
    chown(name: Text, user: c_uint, group: c_uint) -> c_int, |done| by_path(Kind::Change, done < 0, 0, Path::new(name));
    lchown(name: Text, user: c_uint, group: c_uint) -> c_int, |done| by_path(Kind::Change, done < 0, ITSELF, Path::new(name));
    fchown(fd: c_int, user: c_uint, group: c_uint) -> c_int, |done| by_descriptor(Kind::Change, done < 0, 0, fd);
    fchownat(folder: c_int, name: Text, user: c_uint, group: c_uint, flags: c_int) -> c_int, |done| by_path(Kind::Change, done < 0, itself(flags), Path::at(folder, name));
    utime(name: Text, times: *const c_void) -> c_int, |done| by_path(Kind::Change, done < 0, 0, Path::new(name));
    utimes(name: Text, times: *const c_void) -> c_int, |done| by_path(Kind::Change, done < 0, 0, Path::new(name));
    lutimes(name: Text, times: *const c_void) -> c_int, |done| by_path(Kind::Change, done < 0, ITSELF, Path::new(name));
    futimes(fd: c_int, times: *const c_void) -> c_int, |done| by_descriptor(Kind::Change, done < 0, 0, fd);
    futimens(fd: c_int, times: *const c_void) -> c_int, |done| by_descriptor(Kind::Change, done < 0, 0, fd);
    utimensat(folder: c_int, name: Text, times: *const c_void, flags: c_int) -> c_int, |done| after_utimensat(folder, name, flags, done < 0);
    setxattr(name: Text, key: Text, value: *const c_void, size: usize, flags: c_int) -> c_int, |done| by_path(Kind::Change, done < 0, 0, Path::new(name));
    fsetxattr(fd: c_int, key: Text, value: *const c_void, size: usize, flags: c_int) -> c_int, |done| by_descriptor(Kind::Change, done < 0, 0, fd);
    removexattr(name: Text, key: Text) -> c_int, |done| by_path(Kind::Change, done < 0, 0, Path::new(name));

    chdir(name: Text) -> c_int, |done| after_chdir(name, done < 0);
    fchdir(fd: c_int) -> c_int, |done| after_chdir(c".".as_ptr(), done < 0);
    getcwd(to: *mut c_char, length: usize) -> *mut c_char, |_found| recording::by_name(Kind::GetFolder, false, 0, b"");
    __getcwd_chk(to: *mut c_char, length: usize, size: usize) -> *mut c_char, |_found| recording::by_name(Kind::GetFolder, false, 0, b"");
    get_current_dir_name() -> *mut c_char, |_found| recording::by_name(Kind::GetFolder, false, 0, b"");
    umask(mask: c_uint) -> c_uint, |before| after_umask(mask, before);

    shm_open(name: Text, flags: c_int, mode: c_uint) -> c_int, |fd| after_named(MEMORY, name, Kind::Open, flags, fd < 0);
    shm_unlink(name: Text) -> c_int, |done| after_named(MEMORY, name, Kind::Remove, 0, done < 0);
    sem_open(name: Text, flags: c_int, mode: c_uint, value: c_uint) -> *mut c_void, |found| after_named(SEMAPHORES, name, Kind::Open, flags | O_RDWR, found.is_null());
    sem_unlink(name: Text) -> c_int, |done| after_named(SEMAPHORES, name, Kind::Remove, 0, done < 0);
    mq_open(name: Text, flags: c_int, mode: c_uint, attributes: *mut c_void) -> c_int, |fd| after_named(QUEUES, name, Kind::Open, flags, fd < 0);
    mq_unlink(name: Text) -> c_int, |done| after_named(QUEUES, name, Kind::Remove, 0, done < 0);
    shmget(key: c_int, size: usize, flags: c_int) -> c_int, |found| after_system_v(b"shared memory", key, found < 0);
    semget(key: c_int, count: c_int, flags: c_int) -> c_int, |found| after_system_v(b"semaphores", key, found < 0);
    msgget(key: c_int, flags: c_int) -> c_int, |found| after_system_v(b"message queue", key, found < 0);

    flock(fd: c_int, operation: c_int) -> c_int, |done| lock_calls::after_flock(fd, operation, done < 0);
    lockf(fd: c_int, operation: c_int, length: i64) -> c_int, |done| lock_calls::after_lockf(fd, operation, length, done < 0);
    lockf64(fd: c_int, operation: c_int, length: i64) -> c_int, |done| lock_calls::after_lockf(fd, operation, length, done < 0);
    fcntl(fd: c_int, command: c_int, argument: usize) -> c_int, |done| lock_calls::after_fcntl(fd, command, argument, done < 0);
    fcntl64(fd: c_int, command: c_int, argument: usize) -> c_int, |done| lock_calls::after_fcntl(fd, command, argument, done < 0);
    close(fd: c_int) -> c_int, |done| descriptor_calls::after_close(fd, done < 0);
    close_range(first: c_uint, last: c_uint, flags: c_int) -> c_int, |done| lock_calls::after_close_range(first, last, flags, done < 0);
    dup2(from: c_int, fd: c_int) -> c_int, |done| lock_calls::after_dup2(from, fd, done < 0);
    dup3(from: c_int, fd: c_int, flags: c_int) -> c_int, |done| lock_calls::after_dup2(from, fd, done < 0);
}

/// Records that the times of a file were set, or of an open file if there is no name.
///
/// # Safety
/// The program passed the path to libc.
pub(crate) unsafe fn after_utimensat(folder: c_int, name: Text, flags: c_int, failed: bool) {
    if name.is_null() {
        by_descriptor(Kind::Change, failed, 0, folder);
    } else {
        // SAFETY: the caller's promise.
        unsafe { by_path(Kind::Change, failed, itself(flags), Path::at(folder, name)) }
    }
}

/// Records that the working directory was changed, and the new one.
///
/// # Safety
/// The program passed the path to libc.
pub(crate) unsafe fn after_chdir(name: Text, failed: bool) {
    // SAFETY: the caller's promise.
    unsafe { by_path(Kind::ChangeFolder, failed, 0, Path::new(name)) }
    if !failed && let Some(_guard) = ReentrancyGuard::enter() {
        recording::working_directory();
    }
}

/// Records that the file mode mask was set, and to which.
pub(crate) fn after_umask(mask: c_uint, before: c_uint) {
    let mask = mask & 0o777;
    recording::state(Kind::Mask, before == mask, u64::from(mask));
}

/// The path prefix of objects that have a name and no path, and a mark to add to the value of their records.
type Namespace = (&'static [u8], u64);
const MEMORY: Namespace = (b"/dev/shm/", SHARED_MEMORY);
const SEMAPHORES: Namespace = (b"/dev/shm/sem.", SHARED_MEMORY);
const QUEUES: Namespace = (b"/dev/mqueue/", 0);

/// Records an access to an object that libc keeps in a folder of its own, by a name with or without a slash.
///
/// # Safety
/// The program passed the name to libc.
unsafe fn after_named((prefix, mark): Namespace, name: Text, kind: Kind, flags: c_int, failed: bool) {
    // SAFETY: the caller's promise.
    let name = unsafe { sys::text(name) };
    let value = mark | (flags & (sys::O_ACCMODE | O_CREAT | O_EXCL | O_TRUNC)) as u64;
    recording::in_parts(
        kind,
        failed,
        value,
        prefix,
        name.strip_prefix(b"/").unwrap_or(name),
    );
}

/// Records an access to a System V object. A private one, with the key 0, is not recorded.
fn after_system_v(sort: &[u8], key: c_int, failed: bool) {
    if key == 0 {
        return;
    }
    let mut digits = [0; 12];
    let mut left = key.unsigned_abs();
    let mut first = digits.len();
    while let Some(place) = first.checked_sub(1).and_then(|place| digits.get_mut(place)) {
        *place = b"0123456789abcdef"[(left % 16) as usize];
        (first, left) = (first - 1, left / 16);
        if left == 0 {
            break;
        }
    }
    if let Some(place) = first.checked_sub(1).and_then(|place| digits.get_mut(place)) {
        (*place, first) = (b' ', first - 1);
    }
    recording::in_parts(
        Kind::Other,
        failed,
        1,
        sort,
        digits.get(first..).unwrap_or_default(),
    );
}
