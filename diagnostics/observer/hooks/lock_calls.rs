//! Locks: which ones a thread holds during an access, and which test each belongs to. They are on files, or those of the
//! library between threads.

use crate::log::{self, Record};
use crate::log_format::{BETWEEN_PROCESSES, BETWEEN_THREADS, Kind, SHARED, header};
use crate::open_paths::path_of;
use crate::recording::{self, ReentrancyGuard};
use crate::stack::work_memory;
use crate::sys::interpose::real_functions;
use crate::sys::{self, SEEK_CUR, SEEK_SET, c_int, c_uint, c_void};
use crate::{hash, this_process, thread};
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

/// The lock on a descriptor, which closing the descriptor releases.
struct LockedDescriptor {
    /// A hash of the file and of the way in which it is locked; 0 for none.
    file: AtomicU64,
    test: AtomicU32,
    pid: AtomicU32,
}

/// The locks by descriptor. Of its megabyte only the used pages are in memory.
static LOCKS: [LockedDescriptor; 1 << 16] = [const {
    LockedDescriptor {
        file: AtomicU64::new(0),
        test: AtomicU32::new(0),
        pid: AtomicU32::new(0),
    }
}; 1 << 16];
/// Set once there was a lock: most programs close a thousand files and lock none.
static ANY: AtomicBool = AtomicBool::new(false);

fn lock_of(fd: c_int) -> Option<&'static LockedDescriptor> {
    LOCKS.get(usize::try_from(fd).ok()?)
}

pub(crate) fn after_flock(fd: c_int, operation: c_int, failed: bool) {
    if failed {
        return;
    }
    if operation & LOCK_UN != 0 {
        record_released(fd);
    } else if operation & (LOCK_SH | LOCK_EX) != 0 {
        record_locked(fd, if operation & LOCK_SH != 0 { SHARED } else { 0 });
    }
}

/// Records a lock of `lockf` on `length` bytes from the file's position on.
pub(crate) fn after_lockf(fd: c_int, operation: c_int, length: i64, failed: bool) {
    if failed || operation == F_TEST || !is_whole(fd, SEEK_CUR, 0, length) {
        return;
    }
    match operation {
        F_ULOCK => record_released(fd),
        _ => record_locked(fd, BETWEEN_PROCESSES),
    }
}

/// Returns whether a lock covers the file in full. A lock on a part of a file protects its content, as SQLite's do, and
/// does not separate two users of the file.
fn is_whole(fd: c_int, whence: c_int, start: i64, length: i64) -> bool {
    let from = match whence {
        SEEK_SET => Some(start),
        SEEK_CUR => position(fd).and_then(|position| position.checked_add(start)),
        _ => None,
    };
    length == 0 && from == Some(0)
}

fn position(fd: c_int) -> Option<i64> {
    let _guard = ReentrancyGuard::enter().filter(|_| this_process::may_call())?;
    // SAFETY: asks for the position and does not change it.
    Some(unsafe { sys::lseek(fd, 0, SEEK_CUR) })
}

/// The beginning of `struct flock`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Flock {
    kind: i16,
    whence: i16,
    start: i64,
    length: i64,
}

/// Records a lock of `fcntl`, whose argument is a `struct flock`.
///
/// # Safety
/// The program passed the argument to libc.
pub(crate) unsafe fn after_fcntl(fd: c_int, command: c_int, argument: usize, failed: bool) {
    if failed || !matches!(command, F_SETLK | F_SETLKW | F_OFD_SETLK | F_OFD_SETLKW) {
        return;
    }
    // SAFETY: the kernel has just read it.
    let lock = unsafe { (argument as *const Flock).read_unaligned() };
    if !is_whole(fd, lock.whence.into(), lock.start, lock.length) {
        return;
    }
    let shared = if lock.kind == F_RDLCK { SHARED } else { 0 };
    match command {
        _ if lock.kind == F_UNLCK => record_released(fd),
        F_SETLK | F_SETLKW => record_locked(fd, shared | BETWEEN_PROCESSES),
        _ => record_locked(fd, shared),
    }
}

real_functions! {
    mod real;
    fclose(file: *mut c_void) -> c_int;
}

/// # Safety
/// The contract of libc's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fclose(file: *mut c_void) -> c_int {
    // SAFETY: the program's call, after which the stream has no descriptor any more.
    unsafe {
        let fd = if ANY.load(Relaxed) {
            descriptor_of(file)
        } else {
            -1
        };
        let done = real::fclose(file);
        after_close(fd);
        done
    }
}

/// # Safety
/// The program passed the stream to libc.
unsafe fn descriptor_of(file: *mut c_void) -> c_int {
    let errno = sys::errno();
    // SAFETY: the caller's promise.
    let fd = unsafe { sys::fileno(file) };
    sys::set_errno(errno);
    fd
}

/// Records that a lock was released by closing its descriptor. A forked copy that closes an inherited one does not
/// release the lock.
pub(crate) fn after_close(fd: c_int) {
    if ANY.load(Relaxed) && lock_of(fd).is_some_and(|lock| lock.pid.load(Relaxed) == this_process::pid()) {
        record_released(fd);
    }
}

/// Records that `dup2` closed `fd` to replace it.
pub(crate) fn after_dup2(from: c_int, fd: c_int, failed: bool) {
    if !failed && from != fd {
        after_close(fd);
    }
}

pub(crate) fn after_close_range(first: c_uint, last: c_uint, flags: c_int, failed: bool) {
    if ANY.load(Relaxed) && !failed && flags & CLOSE_RANGE_CLOEXEC == 0 {
        let all = c_int::try_from(first)
            .into_iter()
            .flat_map(|first| first..LOCKS.len() as c_int);
        all.take_while(|fd| fd.unsigned_abs() <= last)
            .for_each(after_close);
    }
}

fn record_locked(fd: c_int, way: u64) {
    let Some(_guard) = ReentrancyGuard::enter() else {
        return;
    };
    let Some(mut memory) = work_memory::take().filter(|_| work_memory::has_stack()) else {
        log::count(header::DROPPED);
        return;
    };
    let path = path_of(fd, &mut memory.paths[0]);
    // The release of an untracked descriptor would be missed, and all later accesses would look guarded.
    let (true, Some(lock)) = (path.starts_with(b"/"), lock_of(fd)) else {
        return;
    };
    let thread = thread::current();
    let file = hash::of(path) ^ way << 1;
    ANY.store(true, Relaxed);
    if lock.file.load(Relaxed) != file {
        // Locked in the other way until now, or its release was missed.
        give_back(lock);
        thread.locks.fetch_xor(file, Relaxed);
    }
    lock.test.store(thread.test.load(Relaxed), Relaxed);
    lock.pid.store(this_process::pid(), Relaxed);
    lock.file.store(file, Relaxed);
    append_locked(path, file, way);
}

fn append_locked(name: &[u8], lock: u64, way: u64) {
    let mut record = Record::new(Kind::Locked, name);
    let number = lock.to_ne_bytes();
    record.second = [&[], &number];
    record.value = way;
    recording::append(&record, false);
}

fn record_released(fd: c_int) {
    let Some(lock) = lock_of(fd).filter(|lock| lock.file.load(Relaxed) != 0) else {
        return;
    };
    if let Some(_guard) = ReentrancyGuard::enter() {
        give_back(lock);
    }
}

fn give_back(lock: &LockedDescriptor) {
    let test = lock.test.load(Relaxed);
    let file = lock.file.swap(0, Relaxed);
    if file != 0 {
        append_unlocked(file, test);
    }
}

fn append_unlocked(lock: u64, test: u32) {
    // Another thread of the test may release it. Then this thread's hash is a new one, which does no harm.
    thread::current().locks.fetch_xor(lock, Relaxed);
    let mut record = Record::new(Kind::Unlocked, b"");
    // The hash and no path: the file may be gone by now.
    let number = lock.to_ne_bytes();
    record.second = [&[], &number];
    record.value = u64::from(test);
    recording::append(&record, false);
}

/// The lock of the library's guards of variables and the working directory.
const ENVIRONMENT: &[u8] = b"cofferdam::environment";

/// Called by the library when the calling thread's test begins to exclude the others that use guards of the environment.
/// Returns the test's number. The argument has no meaning: the library calls all these functions with a number.
#[unsafe(no_mangle)]
pub extern "C" fn cofferdam_observer_guards(_: u32) -> u32 {
    let own = thread::current();
    if let Some(_guard) = ReentrancyGuard::enter() {
        let lock = hash::of(ENVIRONMENT);
        own.locks.fetch_xor(lock, Relaxed);
        append_locked(ENVIRONMENT, lock, BETWEEN_THREADS);
    }
    own.test.load(Relaxed)
}

/// Called by the library when the test of this number no longer excludes the others. Returns the number.
#[unsafe(no_mangle)]
pub extern "C" fn cofferdam_observer_guarded(test: u32) -> u32 {
    if let Some(_guard) = ReentrancyGuard::enter() {
        append_unlocked(hash::of(ENVIRONMENT), test);
    }
    test
}
