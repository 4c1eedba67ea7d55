//! File locks: what a thread holds while it does something else, and whose lock that is.

use crate::format::Kind;
use crate::log::{self, Entry};
use crate::note::{Noting, PATH_MAX, path_of};
use crate::seen::hash_of;
use crate::sys::c_int;
use crate::thread;
use core::sync::atomic::Ordering::Relaxed;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};

const LOCK_SH: c_int = 1;
const LOCK_EX: c_int = 2;
const LOCK_UN: c_int = 8;
const F_ULOCK: c_int = 0;
const F_TEST: c_int = 3;
const F_SETLK: c_int = 6;
const F_SETLKW: c_int = 7;
const F_OFD_SETLK: c_int = 37;
const F_OFD_SETLKW: c_int = 38;
const F_RDLCK: i16 = 0;
const F_UNLCK: i16 = 2;

/// A descriptor with a lock on it: so that closing it is known to give the lock back.
struct Held {
    /// 0 for none.
    file: AtomicU64,
    test: AtomicU32,
}

/// By descriptor; of a megabyte only what is used is in memory.
static HELD: [Held; 1 << 16] = [const {
    Held {
        file: AtomicU64::new(0),
        test: AtomicU32::new(0),
    }
}; 1 << 16];
/// Whether there was ever a lock: most programs close a thousand files and lock none.
static ANY: AtomicBool = AtomicBool::new(false);

fn held(fd: c_int) -> Option<&'static Held> {
    HELD.get(usize::try_from(fd).ok()?)
}

pub(crate) fn flocked(fd: c_int, how: c_int, failed: bool) {
    if failed {
        return;
    }
    if how & LOCK_UN != 0 {
        released(fd);
    } else if how & (LOCK_SH | LOCK_EX) != 0 {
        taken(fd, how & LOCK_SH != 0);
    }
}

pub(crate) fn lockfed(fd: c_int, how: c_int, failed: bool) {
    match how {
        _ if failed => {}
        F_ULOCK => released(fd),
        F_TEST => {}
        _ => taken(fd, false),
    }
}

/// `struct flock`, as far as it is read.
#[repr(C)]
#[derive(Clone, Copy)]
struct Flock {
    kind: i16,
    whence: i16,
    start: i64,
    length: i64,
}

/// `fcntl`: `argument` is a `struct flock`.
///
/// # Safety
/// The program handed the argument to libc.
pub(crate) unsafe fn controlled(fd: c_int, what: c_int, argument: usize, failed: bool) {
    if failed || !matches!(what, F_SETLK | F_SETLKW | F_OFD_SETLK | F_OFD_SETLKW) {
        return;
    }
    // SAFETY: the kernel has just read it.
    let lock = unsafe { (argument as *const Flock).read_unaligned() };
    // A part of a file is locked to keep its content in order (SQLite does), not to keep two users of it apart.
    if lock.start != 0 || lock.length != 0 {
        return;
    }
    match lock.kind {
        F_UNLCK => released(fd),
        kind => taken(fd, kind == F_RDLCK),
    }
}

pub(crate) fn closed(fd: c_int) {
    if ANY.load(Relaxed) {
        released(fd);
    }
}

fn taken(fd: c_int, shared: bool) {
    let Some(_noting) = Noting::begin() else { return };
    let mut buffer = [0; PATH_MAX];
    let path = path_of(fd, &mut buffer);
    // Its end would not be seen for a descriptor that is not counted, and then everything would look guarded.
    let (true, Some(held)) = (path.starts_with(b"/"), held(fd)) else {
        return;
    };
    let thread = thread::current();
    let file = hash_of(path);
    ANY.store(true, Relaxed);
    held.test.store(thread.test.load(Relaxed), Relaxed);
    // From shared to exclusive it is the same lock.
    let before = held.file.swap(file, Relaxed);
    if before != file {
        thread.held.fetch_xor(before ^ file, Relaxed);
    }
    let mut entry = Entry::new(Kind::Locked, path);
    let number = file.to_ne_bytes();
    entry.second = [&[], &number];
    entry.value = u64::from(shared);
    log::append(&entry, false);
}

fn released(fd: c_int) {
    let Some(held) = held(fd).filter(|held| held.file.load(Relaxed) != 0) else {
        return;
    };
    let Some(_noting) = Noting::begin() else { return };
    let test = held.test.load(Relaxed);
    let file = held.file.swap(0, Relaxed);
    if file == 0 {
        return;
    }
    // Another thread of the test may give it back: then this one goes on under a name of its own, which is no harm.
    thread::current().held.fetch_xor(file, Relaxed);
    let mut entry = Entry::new(Kind::Unlocked, b"");
    // By number: the file may be gone by now.
    let number = file.to_ne_bytes();
    entry.second = [&[], &number];
    entry.value = u64::from(test);
    log::append(&entry, false);
}
