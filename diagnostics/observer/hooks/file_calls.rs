//! Files and folders.

use crate::format::{ITSELF, Kind, SHARED_MEMORY};
use crate::hooks::lock_calls;
use crate::record::{self, Path, open_file, path, paths};
use crate::sys::interpose::hooks;
use crate::sys::{
    self, AT_REMOVEDIR, O_CREAT, O_DIRECTORY, O_EXCL, O_PATH, O_RDWR, O_TMPFILE, O_TRUNC, c_char, c_int,
    c_long, c_uint, c_void,
};

type Text = *const c_char;

/// Notes that a file was opened.
///
/// # Safety
/// The program handed the path to libc.
pub(crate) unsafe fn opened(folder: c_int, text: Text, flags: c_int, failed: bool) {
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
    // What does not change the meaning would only make it look new.
    let flags = flags & (sys::O_ACCMODE | O_CREAT | O_EXCL | O_TRUNC | sys::O_NOFOLLOW);
    // SAFETY: the caller's promise.
    unsafe { path(kind, failed, flags as u64, Path::at(folder, text)) }
}

/// What the flags of a call whose name ends with `at` say about links.
pub(crate) fn itself(flags: c_int) -> u64 {
    if flags & sys::AT_SYMLINK_NOFOLLOW != 0 {
        ITSELF
    } else {
        0
    }
}

/// What `fopen` makes of its mode.
///
/// # Safety
/// A text that libc has read.
unsafe fn flags_of(mode: Text) -> c_int {
    // SAFETY: the caller's promise.
    let mode = unsafe { sys::text(mode) };
    let both = mode.contains(&b'+');
    // GNU's: it has to be new.
    let new = if mode.contains(&b'x') { O_EXCL } else { 0 };
    match mode.first() {
        Some(b'w') => new | O_CREAT | O_TRUNC | if both { O_RDWR } else { 1 },
        Some(b'a') => new | O_CREAT | if both { O_RDWR } else { 1 },
        _ if both => O_RDWR,
        _ => 0,
    }
}

const MADE: c_int = O_CREAT | O_EXCL | O_RDWR;
const CREAT: c_int = O_CREAT | O_TRUNC | 1;

/// Removing by `unlinkat` and its flags.
///
/// # Safety
/// The program handed the path to libc.
pub(crate) unsafe fn unlinked(folder: c_int, text: Text, flags: c_int, failed: bool) {
    let kind = if flags & AT_REMOVEDIR != 0 {
        Kind::RemoveFolder
    } else {
        Kind::Remove
    };
    // SAFETY: the caller's promise.
    unsafe { path(kind, failed, 0, Path::at(folder, text)) }
}

/// Renaming with `renameat2` and its flags: 2 exchanges the two.
///
/// # Safety
/// The program handed the paths to libc.
pub(crate) unsafe fn renamed(from: Path, to: Path, failed: bool) {
    // SAFETY: the caller's promise.
    unsafe { paths(Kind::Rename, failed, 0, from, to) }
}

hooks! {
    open(name: Text, flags: c_int, mode: c_uint) -> c_int, |fd| opened(sys::AT_FDCWD, name, flags, fd < 0);
    open64(name: Text, flags: c_int, mode: c_uint) -> c_int, |fd| opened(sys::AT_FDCWD, name, flags, fd < 0);
    openat(folder: c_int, name: Text, flags: c_int, mode: c_uint) -> c_int, |fd| opened(folder, name, flags, fd < 0);
    openat64(folder: c_int, name: Text, flags: c_int, mode: c_uint) -> c_int, |fd| opened(folder, name, flags, fd < 0);
    __open_2(name: Text, flags: c_int) -> c_int, |fd| opened(sys::AT_FDCWD, name, flags, fd < 0);
    __open64_2(name: Text, flags: c_int) -> c_int, |fd| opened(sys::AT_FDCWD, name, flags, fd < 0);
    __openat_2(folder: c_int, name: Text, flags: c_int) -> c_int, |fd| opened(folder, name, flags, fd < 0);
    __openat64_2(folder: c_int, name: Text, flags: c_int) -> c_int, |fd| opened(folder, name, flags, fd < 0);
    creat(name: Text, mode: c_uint) -> c_int, |fd| opened(sys::AT_FDCWD, name, CREAT, fd < 0);
    creat64(name: Text, mode: c_uint) -> c_int, |fd| opened(sys::AT_FDCWD, name, CREAT, fd < 0);
    fopen(name: Text, mode: Text) -> *mut c_void, |file| opened(sys::AT_FDCWD, name, flags_of(mode), file.is_null());
    fopen64(name: Text, mode: Text) -> *mut c_void, |file| opened(sys::AT_FDCWD, name, flags_of(mode), file.is_null());
    freopen(name: Text, mode: Text, old: *mut c_void) -> *mut c_void, |file| opened(sys::AT_FDCWD, name, flags_of(mode), file.is_null());
    freopen64(name: Text, mode: Text, old: *mut c_void) -> *mut c_void, |file| opened(sys::AT_FDCWD, name, flags_of(mode), file.is_null());
    mkstemp(name: *mut c_char) -> c_int, |fd| opened(sys::AT_FDCWD, name, MADE, fd < 0);
    mkstemp64(name: *mut c_char) -> c_int, |fd| opened(sys::AT_FDCWD, name, MADE, fd < 0);
    mkostemp(name: *mut c_char, flags: c_int) -> c_int, |fd| opened(sys::AT_FDCWD, name, MADE, fd < 0);
    mkostemp64(name: *mut c_char, flags: c_int) -> c_int, |fd| opened(sys::AT_FDCWD, name, MADE, fd < 0);
    mkstemps(name: *mut c_char, suffix: c_int) -> c_int, |fd| opened(sys::AT_FDCWD, name, MADE, fd < 0);
    mkostemps(name: *mut c_char, suffix: c_int, flags: c_int) -> c_int, |fd| opened(sys::AT_FDCWD, name, MADE, fd < 0);
    mkdtemp(name: *mut c_char) -> *mut c_char, |made| path(Kind::MakeFolder, made.is_null(), 0, Path::new(name));

    opendir(name: Text) -> *mut c_void, |folder| path(Kind::List, folder.is_null(), 0, Path::new(name));
    scandir(name: Text, list: *mut c_void, filter: *mut c_void, order: *mut c_void) -> c_int, |count| path(Kind::List, count < 0, 0, Path::new(name));
    scandir64(name: Text, list: *mut c_void, filter: *mut c_void, order: *mut c_void) -> c_int, |count| path(Kind::List, count < 0, 0, Path::new(name));

    stat(name: Text, to: *mut c_void) -> c_int, |done| path(Kind::Look, done < 0, 0, Path::new(name));
    stat64(name: Text, to: *mut c_void) -> c_int, |done| path(Kind::Look, done < 0, 0, Path::new(name));
    lstat(name: Text, to: *mut c_void) -> c_int, |done| path(Kind::Look, done < 0, ITSELF, Path::new(name));
    lstat64(name: Text, to: *mut c_void) -> c_int, |done| path(Kind::Look, done < 0, ITSELF, Path::new(name));
    fstatat(folder: c_int, name: Text, to: *mut c_void, flags: c_int) -> c_int, |done| path(Kind::Look, done < 0, itself(flags), Path::at(folder, name));
    fstatat64(folder: c_int, name: Text, to: *mut c_void, flags: c_int) -> c_int, |done| path(Kind::Look, done < 0, itself(flags), Path::at(folder, name));
    statx(folder: c_int, name: Text, flags: c_int, mask: c_uint, to: *mut c_void) -> c_int, |done| path(Kind::Look, done < 0, itself(flags), Path::at(folder, name));
    __xstat(version: c_int, name: Text, to: *mut c_void) -> c_int, |done| path(Kind::Look, done < 0, 0, Path::new(name));
    __xstat64(version: c_int, name: Text, to: *mut c_void) -> c_int, |done| path(Kind::Look, done < 0, 0, Path::new(name));
    __lxstat(version: c_int, name: Text, to: *mut c_void) -> c_int, |done| path(Kind::Look, done < 0, ITSELF, Path::new(name));
    __lxstat64(version: c_int, name: Text, to: *mut c_void) -> c_int, |done| path(Kind::Look, done < 0, ITSELF, Path::new(name));
    access(name: Text, mode: c_int) -> c_int, |done| path(Kind::Look, done < 0, 0, Path::new(name));
    eaccess(name: Text, mode: c_int) -> c_int, |done| path(Kind::Look, done < 0, 0, Path::new(name));
    euidaccess(name: Text, mode: c_int) -> c_int, |done| path(Kind::Look, done < 0, 0, Path::new(name));
    faccessat(folder: c_int, name: Text, mode: c_int, flags: c_int) -> c_int, |done| path(Kind::Look, done < 0, itself(flags), Path::at(folder, name));
    readlink(name: Text, to: *mut c_char, length: usize) -> isize, |done| path(Kind::Look, done < 0, ITSELF, Path::new(name));
    readlinkat(folder: c_int, name: Text, to: *mut c_char, length: usize) -> isize, |done| path(Kind::Look, done < 0, ITSELF, Path::at(folder, name));
    realpath(name: Text, to: *mut c_char) -> *mut c_char, |found| path(Kind::Look, found.is_null(), 0, Path::new(name));
    __realpath_chk(name: Text, to: *mut c_char, length: usize) -> *mut c_char, |found| path(Kind::Look, found.is_null(), 0, Path::new(name));
    canonicalize_file_name(name: Text) -> *mut c_char, |found| path(Kind::Look, found.is_null(), 0, Path::new(name));
    statfs(name: Text, to: *mut c_void) -> c_int, |done| path(Kind::Look, done < 0, 0, Path::new(name));
    statvfs(name: Text, to: *mut c_void) -> c_int, |done| path(Kind::Look, done < 0, 0, Path::new(name));

    mkdir(name: Text, mode: c_uint) -> c_int, |done| path(Kind::MakeFolder, done < 0, 0, Path::new(name));
    mkdirat(folder: c_int, name: Text, mode: c_uint) -> c_int, |done| path(Kind::MakeFolder, done < 0, 0, Path::at(folder, name));
    rmdir(name: Text) -> c_int, |done| path(Kind::RemoveFolder, done < 0, 0, Path::new(name));
    unlink(name: Text) -> c_int, |done| path(Kind::Remove, done < 0, 0, Path::new(name));
    unlinkat(folder: c_int, name: Text, flags: c_int) -> c_int, |done| unlinked(folder, name, flags, done < 0);
    remove(name: Text) -> c_int, |done| path(Kind::Remove, done < 0, 0, Path::new(name));
    rename(from: Text, to: Text) -> c_int, |done| renamed(Path::new(from), Path::new(to), done < 0);
    renameat(of: c_int, from: Text, at: c_int, to: Text) -> c_int, |done| renamed(Path::at(of, from), Path::at(at, to), done < 0);
    renameat2(of: c_int, from: Text, at: c_int, to: Text, flags: c_uint) -> c_int, |done| renamed(Path::at(of, from), Path::at(at, to), done < 0);
    link(from: Text, to: Text) -> c_int, |done| paths(Kind::Link, done < 0, 0, Path::new(from), Path::new(to));
    linkat(of: c_int, from: Text, at: c_int, to: Text, flags: c_int) -> c_int, |done| paths(Kind::Link, done < 0, 0, Path::at(of, from), Path::at(at, to));
    symlink(says: Text, name: Text) -> c_int, |done| path(Kind::Symlink, done < 0, 0, Path::new(name));
    symlinkat(says: Text, at: c_int, name: Text) -> c_int, |done| path(Kind::Symlink, done < 0, 0, Path::at(at, name));
    mkfifo(name: Text, mode: c_uint) -> c_int, |done| opened(sys::AT_FDCWD, name, MADE, done < 0);
    mkfifoat(folder: c_int, name: Text, mode: c_uint) -> c_int, |done| opened(folder, name, MADE, done < 0);
    mknod(name: Text, mode: c_uint, device: u64) -> c_int, |done| opened(sys::AT_FDCWD, name, MADE, done < 0);
    mknodat(folder: c_int, name: Text, mode: c_uint, device: u64) -> c_int, |done| opened(folder, name, MADE, done < 0);

    truncate(name: Text, length: i64) -> c_int, |done| path(Kind::Change, done < 0, 0, Path::new(name));
    truncate64(name: Text, length: i64) -> c_int, |done| path(Kind::Change, done < 0, 0, Path::new(name));
    ftruncate(fd: c_int, length: i64) -> c_int, |done| open_file(Kind::Change, done < 0, 0, fd);
    ftruncate64(fd: c_int, length: i64) -> c_int, |done| open_file(Kind::Change, done < 0, 0, fd);
    chmod(name: Text, mode: c_uint) -> c_int, |done| path(Kind::Change, done < 0, 0, Path::new(name));
    fchmod(fd: c_int, mode: c_uint) -> c_int, |done| open_file(Kind::Change, done < 0, 0, fd);
    fchmodat(folder: c_int, name: Text, mode: c_uint, flags: c_int) -> c_int, |done| path(Kind::Change, done < 0, itself(flags), Path::at(folder, name));
    chown(name: Text, user: c_uint, group: c_uint) -> c_int, |done| path(Kind::Change, done < 0, 0, Path::new(name));
    lchown(name: Text, user: c_uint, group: c_uint) -> c_int, |done| path(Kind::Change, done < 0, ITSELF, Path::new(name));
    fchown(fd: c_int, user: c_uint, group: c_uint) -> c_int, |done| open_file(Kind::Change, done < 0, 0, fd);
    fchownat(folder: c_int, name: Text, user: c_uint, group: c_uint, flags: c_int) -> c_int, |done| path(Kind::Change, done < 0, itself(flags), Path::at(folder, name));
    utime(name: Text, times: *const c_void) -> c_int, |done| path(Kind::Change, done < 0, 0, Path::new(name));
    utimes(name: Text, times: *const c_void) -> c_int, |done| path(Kind::Change, done < 0, 0, Path::new(name));
    lutimes(name: Text, times: *const c_void) -> c_int, |done| path(Kind::Change, done < 0, ITSELF, Path::new(name));
    futimes(fd: c_int, times: *const c_void) -> c_int, |done| open_file(Kind::Change, done < 0, 0, fd);
    futimens(fd: c_int, times: *const c_void) -> c_int, |done| open_file(Kind::Change, done < 0, 0, fd);
    utimensat(folder: c_int, name: Text, times: *const c_void, flags: c_int) -> c_int, |done| changed_at(folder, name, flags, done < 0);
    setxattr(name: Text, key: Text, value: *const c_void, size: usize, flags: c_int) -> c_int, |done| path(Kind::Change, done < 0, 0, Path::new(name));
    fsetxattr(fd: c_int, key: Text, value: *const c_void, size: usize, flags: c_int) -> c_int, |done| open_file(Kind::Change, done < 0, 0, fd);
    removexattr(name: Text, key: Text) -> c_int, |done| path(Kind::Change, done < 0, 0, Path::new(name));

    chdir(name: Text) -> c_int, |done| moved(name, done < 0);
    fchdir(fd: c_int) -> c_int, |done| moved(c".".as_ptr(), done < 0);
    getcwd(to: *mut c_char, length: usize) -> *mut c_char, |_found| record::thing(Kind::GetFolder, false, 0, b"");
    __getcwd_chk(to: *mut c_char, length: usize, size: usize) -> *mut c_char, |_found| record::thing(Kind::GetFolder, false, 0, b"");
    get_current_dir_name() -> *mut c_char, |_found| record::thing(Kind::GetFolder, false, 0, b"");
    umask(mask: c_uint) -> c_uint, |before| record::thing(Kind::Mask, before == mask & 0o777, 0, b"");

    shm_open(name: Text, flags: c_int, mode: c_uint) -> c_int, |fd| named(MEMORY, name, Kind::Open, flags, fd < 0);
    shm_unlink(name: Text) -> c_int, |done| named(MEMORY, name, Kind::Remove, 0, done < 0);
    sem_open(name: Text, flags: c_int, mode: c_uint, value: c_uint) -> *mut c_void, |found| named(SEMAPHORES, name, Kind::Open, flags | O_RDWR, found.is_null());
    sem_unlink(name: Text) -> c_int, |done| named(SEMAPHORES, name, Kind::Remove, 0, done < 0);
    mq_open(name: Text, flags: c_int, mode: c_uint, attributes: *mut c_void) -> c_int, |fd| named(QUEUES, name, Kind::Open, flags, fd < 0);
    mq_unlink(name: Text) -> c_int, |done| named(QUEUES, name, Kind::Remove, 0, done < 0);
    shmget(key: c_int, size: usize, flags: c_int) -> c_int, |found| system_v(b"shared memory", key, found < 0);
    semget(key: c_int, count: c_int, flags: c_int) -> c_int, |found| system_v(b"semaphores", key, found < 0);
    msgget(key: c_int, flags: c_int) -> c_int, |found| system_v(b"message queue", key, found < 0);

    flock(fd: c_int, how: c_int) -> c_int, |done| lock_calls::flocked(fd, how, done < 0);
    lockf(fd: c_int, how: c_int, length: i64) -> c_int, |done| lock_calls::lockfed(fd, how, length, done < 0);
    lockf64(fd: c_int, how: c_int, length: i64) -> c_int, |done| lock_calls::lockfed(fd, how, length, done < 0);
    fcntl(fd: c_int, what: c_int, argument: usize) -> c_int, |done| lock_calls::controlled(fd, what, argument, done < 0);
    fcntl64(fd: c_int, what: c_int, argument: usize) -> c_int, |done| lock_calls::controlled(fd, what, argument, done < 0);
    close(fd: c_int) -> c_int, |_done| lock_calls::closed(fd);
    close_range(first: c_uint, last: c_uint, flags: c_int) -> c_int, |done| lock_calls::closed_all(first, last, flags, done < 0);
    dup2(from: c_int, fd: c_int) -> c_int, |done| lock_calls::replaced(from, fd, done < 0);
    dup3(from: c_int, fd: c_int, flags: c_int) -> c_int, |done| lock_calls::replaced(from, fd, done < 0);
}

/// A file's times, or an open file's where there is no name.
///
/// # Safety
/// The program handed the path to libc.
pub(crate) unsafe fn changed_at(folder: c_int, name: Text, flags: c_int, failed: bool) {
    if name.is_null() {
        open_file(Kind::Change, failed, 0, folder);
    } else {
        // SAFETY: the caller's promise.
        unsafe { path(Kind::Change, failed, itself(flags), Path::at(folder, name)) }
    }
}

/// The working directory is another one.
///
/// # Safety
/// The program handed the path to libc.
pub(crate) unsafe fn moved(name: Text, failed: bool) {
    // SAFETY: the caller's promise.
    unsafe { path(Kind::ChangeFolder, failed, 0, Path::new(name)) }
    if !failed && let Some(_noting) = record::Noting::begin() {
        crate::log::note_folder();
    }
}

/// The folder of objects that have a name and no path, and what is added to the value of their records.
type Named = (&'static [u8], u64);
const MEMORY: Named = (b"/dev/shm/", SHARED_MEMORY);
const SEMAPHORES: Named = (b"/dev/shm/sem.", SHARED_MEMORY);
const QUEUES: Named = (b"/dev/mqueue/", 0);

/// Notes what was done to something that libc keeps in a folder of its own, by a name with or without a slash.
///
/// # Safety
/// The program handed the name to libc.
unsafe fn named((folder, mark): Named, name: Text, kind: Kind, flags: c_int, failed: bool) {
    let Some(_noting) = record::Noting::begin() else {
        return;
    };
    // SAFETY: the caller's promise.
    let name = unsafe { sys::text(name) };
    let mut entry = crate::log::Entry::new(kind, name.strip_prefix(b"/").unwrap_or(name));
    entry.text[0] = folder;
    entry.flags = crate::log::flags(failed);
    entry.value = mark | (flags & (sys::O_ACCMODE | O_CREAT | O_EXCL | O_TRUNC)) as u64;
    crate::log::access(&entry);
}

/// Private ones are nobody else's.
fn system_v(what: &[u8], key: c_int, failed: bool) {
    let Some(_noting) = record::Noting::begin() else {
        return;
    };
    if key == 0 {
        return;
    }
    let mut digits = [0; 12];
    let mut left = c_long::from(key).unsigned_abs();
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
    let mut entry = crate::log::Entry::new(Kind::Other, digits.get(first..).unwrap_or_default());
    entry.text[0] = what;
    entry.flags = crate::log::flags(failed);
    entry.value = 1;
    crate::log::access(&entry);
}
