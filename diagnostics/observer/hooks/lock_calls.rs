//! File locks: what a thread holds while it does something else, and whose lock that is.

use crate::dedupe::hash_of;
use crate::format::{BETWEEN_PROCESSES, Kind, SHARED, header};
use crate::log::{self, Entry};
use crate::record::{Noting, path_of};
use crate::stack::work_memory;
use crate::sys::interpose::reals;
use crate::sys::{self, SEEK_CUR, SEEK_SET, c_int, c_uint, c_void};
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
const CLOSE_RANGE_CLOEXEC: c_int = 4;

/// A descriptor with a lock on it: so that closing it is known to give the lock back.
struct Held {
    /// What stands for the file and for how it is locked; 0 for none.
    file: AtomicU64,
    test: AtomicU32,
    pid: AtomicU32,
}

/// By descriptor; of a megabyte only what is used is in memory.
static HELD: [Held; 1 << 16] = [const {
    Held {
        file: AtomicU64::new(0),
        test: AtomicU32::new(0),
        pid: AtomicU32::new(0),
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
        taken(fd, if how & LOCK_SH != 0 { SHARED } else { 0 });
    }
}

/// From where the file is on, `length` bytes.
pub(crate) fn lockfed(fd: c_int, how: c_int, length: i64, failed: bool) {
    if failed || how == F_TEST || !is_whole(fd, SEEK_CUR, 0, length) {
        return;
    }
    match how {
        F_ULOCK => released(fd),
        _ => taken(fd, BETWEEN_PROCESSES),
    }
}

/// A part of a file is locked to keep its content in order (SQLite does), not to keep two users of it apart.
fn is_whole(fd: c_int, whence: c_int, start: i64, length: i64) -> bool {
    let from = match whence {
        SEEK_SET => Some(start),
        SEEK_CUR => position(fd).and_then(|position| position.checked_add(start)),
        _ => None,
    };
    length == 0 && from == Some(0)
}

fn position(fd: c_int) -> Option<i64> {
    let _noting = Noting::begin().filter(|_| log::is_free())?;
    // SAFETY: asks, and moves nothing.
    Some(unsafe { sys::lseek(fd, 0, SEEK_CUR) })
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
    if !is_whole(fd, lock.whence.into(), lock.start, lock.length) {
        return;
    }
    let shared = if lock.kind == F_RDLCK { SHARED } else { 0 };
    match what {
        _ if lock.kind == F_UNLCK => released(fd),
        F_SETLK | F_SETLKW => taken(fd, shared | BETWEEN_PROCESSES),
        _ => taken(fd, shared),
    }
}

pub(crate) mod real {
    use super::*;
    reals! {
        fclose(file: *mut c_void) -> c_int;
    }
}

/// # Safety
/// That of libc's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fclose(file: *mut c_void) -> c_int {
    // SAFETY: the program's call. Afterwards the file has no number to be asked for.
    unsafe {
        let fd = if ANY.load(Relaxed) { number_of(file) } else { -1 };
        let done = real::fclose(file);
        closed(fd);
        done
    }
}

/// # Safety
/// The program handed the file to libc.
unsafe fn number_of(file: *mut c_void) -> c_int {
    let errno = sys::errno();
    // SAFETY: the caller's promise.
    let fd = unsafe { sys::fileno(file) };
    sys::set_errno(errno);
    fd
}

/// A copy of the process may close what it has from the other, which keeps its lock.
pub(crate) fn closed(fd: c_int) {
    if ANY.load(Relaxed) && held(fd).is_some_and(|held| held.pid.load(Relaxed) == log::pid()) {
        released(fd);
    }
}

/// `dup2`: what `fd` was is closed.
pub(crate) fn replaced(from: c_int, fd: c_int, failed: bool) {
    if !failed && from != fd {
        closed(fd);
    }
}

pub(crate) fn closed_all(first: c_uint, last: c_uint, flags: c_int, failed: bool) {
    if ANY.load(Relaxed) && !failed && flags & CLOSE_RANGE_CLOEXEC == 0 {
        let all = c_int::try_from(first)
            .into_iter()
            .flat_map(|first| first..HELD.len() as c_int);
        all.take_while(|fd| fd.unsigned_abs() <= last).for_each(closed);
    }
}

fn taken(fd: c_int, way: u64) {
    let Some(_noting) = Noting::begin() else { return };
    let Some(mut scratch) = work_memory::take().filter(|_| work_memory::is_roomy()) else {
        log::count(header::DROPPED);
        return;
    };
    let path = path_of(fd, &mut scratch.paths[0]);
    // Its end would not be seen for a descriptor that is not counted, and then everything would look guarded.
    let (true, Some(held)) = (path.starts_with(b"/"), held(fd)) else {
        return;
    };
    let thread = thread::current();
    let file = hash_of(path) ^ way << 1;
    ANY.store(true, Relaxed);
    if held.file.load(Relaxed) != file {
        // Held in the other way until now, or its end was not seen.
        give_back(held);
        thread.held.fetch_xor(file, Relaxed);
    }
    held.test.store(thread.test.load(Relaxed), Relaxed);
    held.pid.store(log::pid(), Relaxed);
    held.file.store(file, Relaxed);
    let mut entry = Entry::new(Kind::Locked, path);
    let number = file.to_ne_bytes();
    entry.second = [&[], &number];
    entry.value = way;
    log::append(&entry, false);
}

fn released(fd: c_int) {
    let Some(held) = held(fd).filter(|held| held.file.load(Relaxed) != 0) else {
        return;
    };
    if let Some(_noting) = Noting::begin() {
        give_back(held);
    }
}

fn give_back(held: &Held) {
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
