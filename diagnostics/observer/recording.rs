//! Recording: a hook reports an access here after libc's function has returned, and the program notices nothing of it.

use crate::log::{self, Record};
use crate::log_format::{ABSENT, FAILED, Kind, SAME, TAKEN, header};
use crate::open_paths::{self, path_of};
use crate::stack::{trace, work_memory};
use crate::sys::{self, AT_FDCWD, c_char, c_int, own_calls};
use crate::{dedupe, hold, lock_state, selector, thread};
use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering::Relaxed;

/// While it exists, this thread's calls are the observer's own and not recorded. Restores `errno` in the end.
pub(crate) struct ReentrancyGuard {
    errno: c_int,
}

impl ReentrancyGuard {
    /// Returns `None` if nothing is to be recorded: there is no log, or the observer itself made the call.
    pub(crate) fn enter() -> Option<Self> {
        if !log::is_on() {
            return None;
        }
        let thread = thread::current();
        if thread.in_observer.load(Relaxed) != 0 {
            return None;
        }
        thread.in_observer.store(1, Relaxed);
        selector::rearm();
        Some(Self { errno: sys::errno() })
    }
}

impl Drop for ReentrancyGuard {
    fn drop(&mut self) {
        thread::current().in_observer.store(0, Relaxed);
        sys::set_errno(self.errno);
    }
}

/// Records an access unless the test has made it before, and pauses where that is requested. Returns whether it was new.
pub(crate) fn access(record: &Record<'_>) -> bool {
    // A hold needs the last access as well as the first.
    let is_holding = hold::is_requested();
    if !is_holding && dedupe::is_enough(record) {
        return false;
    }
    let traced = (may_be_for_backtrace(record) && work_memory::has_stack()).then(|| trace::number(true));
    let key = (!is_holding).then(|| dedupe::key_of(record, traced.unwrap_or(0)));
    if key.is_some_and(dedupe::has) {
        return false;
    }
    if !work_memory::has_stack() {
        log::count(header::DROPPED);
        return false;
    }
    let pause = hold::due(record);
    let is_new = key.is_none_or(dedupe::insert);
    if is_new {
        dedupe::count(record);
        if record.kind != Kind::UseStatic
            && !is_holding
            && let Some(mask) = lock_state::accessed()
        {
            let mask = mask.to_ne_bytes();
            let mut locks = Record::new(Kind::LocksInUse, &[]);
            locks.second = [&[], &mask];
            append(&locks, false);
        }
        // Before the record is written, so that not both are on the stack at a time.
        let stack = traced.unwrap_or_else(|| trace::number(false));
        log::write(record, pause.map_or(0, |pause| pause.flag), stack);
    }
    if let Some(pause) = pause
        && !hold::pause(pause, record.kind)
    {
        append(&Record::new(Kind::Waits, &[]), false);
    }
    is_new
}

/// Returns whether std makes the same access to print where a panic comes from. The reader tells those by their stack.
fn may_be_for_backtrace(record: &Record<'_>) -> bool {
    record.kind == Kind::GetFolder
        || record.kind == Kind::GetVariable && record.first[1].ends_with(b"_BACKTRACE")
}

/// Writes a record that is no access, with its stack if that is `traced`.
pub(crate) fn append(record: &Record<'_>, traced: bool) {
    let stack = if traced { trace::number(false) } else { 0 };
    log::write(record, 0, stack);
}

/// Returns the flags of a call with that outcome; `errno` has the reason of a failure.
pub(crate) fn outcome(failed: bool) -> u8 {
    let why = match sys::errno() {
        _ if !failed => return 0,
        sys::EEXIST | sys::EADDRINUSE | sys::ENOTEMPTY | sys::EBUSY => TAKEN,
        sys::ENOENT => ABSENT,
        _ => 0,
    };
    FAILED | why
}

/// The working directory's number, which refers to the record with its path.
static FOLDER: AtomicU32 = AtomicU32::new(0);
/// The last number. Numbers are never reused, not even by a forked copy of the process.
static LAST_FOLDER: AtomicU32 = AtomicU32::new(0);

/// Records the working directory under a new number.
pub(crate) fn working_directory() {
    let number = LAST_FOLDER.fetch_add(1, Relaxed) + 1;
    let Some(mut memory) = work_memory::take() else {
        return;
    };
    let path = &mut memory.paths[0];
    // SAFETY: a buffer of that length.
    let got = unsafe { own_calls::getcwd(path.as_mut_ptr().cast(), path.len()) };
    if got.is_null() {
        return;
    }
    let length = path.iter().position(|byte| *byte == 0).unwrap_or(0);
    let mut record = Record::new(Kind::Folder, path.get(..length).unwrap_or_default());
    record.value = u64::from(number);
    append(&record, false);
    FOLDER.store(number, Relaxed);
}

/// Records that a test begins to wait for another thread, if this futex operation does.
///
/// std holds a lock of its own while a test pauses in a call about a variable. A test that waits for that lock has
/// reached the variable.
pub(crate) fn futex_wait(operation: usize) {
    const WAIT: usize = 0;
    const WAIT_BITSET: usize = 9;
    if !matches!(operation & 0x7f, WAIT | WAIT_BITSET) || thread::current().test.load(Relaxed) == 0 {
        return;
    }
    if let Some(_guard) = ReentrancyGuard::enter() {
        append(&Record::new(Kind::Waits, &[]), true);
    }
}

/// A path as the program passed it.
#[derive(Clone, Copy)]
pub(crate) struct Path {
    folder: c_int,
    text: *const c_char,
}

impl Path {
    pub(crate) fn at(folder: c_int, text: *const c_char) -> Self {
        Self { folder, text }
    }

    pub(crate) fn new(text: *const c_char) -> Self {
        Self::at(AT_FDCWD, text)
    }

    /// Returns whether the path begins at an open directory.
    fn is_in_open_folder(self, text: &[u8]) -> bool {
        self.folder != AT_FDCWD && !text.is_empty() && !text.starts_with(b"/")
    }
}

/// Records an access to a file by its path.
///
/// # Safety
/// The program passed the path to libc.
pub(crate) unsafe fn by_path(kind: Kind, failed: bool, value: u64, path: Path) {
    // SAFETY: the caller's promise.
    unsafe { by_paths(kind, failed, value, path, Path::new(core::ptr::null())) }
}

/// Records an access to two files by their paths.
///
/// # Safety
/// The program passed both to libc.
pub(crate) unsafe fn by_paths(kind: Kind, failed: bool, value: u64, first: Path, second: Path) {
    let Some(guard) = ReentrancyGuard::enter() else {
        return;
    };
    if kind == Kind::Rename {
        open_paths::forget();
    }
    // The kernel could not read the path, nor could we.
    if failed && guard.errno == sys::EFAULT {
        return;
    }
    // SAFETY: the caller's promise.
    let texts = unsafe { (sys::text(first.text), sys::text(second.text)) };
    if texts.0.is_empty() || is_of_kernel(texts.0) {
        return;
    }
    let is_known = !first.is_in_open_folder(texts.0) && !second.is_in_open_folder(texts.1);
    let mut memory = if is_known { None } else { work_memory::take() };
    let folders = match &mut memory {
        Some(memory) => {
            let memory = &mut **memory;
            let one = if first.is_in_open_folder(texts.0) {
                memory.folder.path_of(first.folder)
            } else {
                &[]
            };
            let two = if second.is_in_open_folder(texts.1) {
                open_paths::of_folder(second.folder, &mut memory.paths[0])
            } else {
                &[]
            };
            (one, two)
        }
        None if is_known => (&[][..], &[][..]),
        None => {
            log::count(header::DROPPED);
            return;
        }
    };
    let mut record = Record::new(kind, texts.0);
    record.flags = outcome(failed);
    record.value = value;
    record.first[0] = folders.0;
    record.second = [folders.1, texts.1];
    if folders.0.is_empty() && !texts.0.starts_with(b"/")
        || folders.1.is_empty() && !texts.1.is_empty() && !texts.1.starts_with(b"/")
    {
        record.folder = FOLDER.load(Relaxed);
    }
    access(&record);
}

/// Records an access to something by its name, which is no path.
pub(crate) fn by_name(kind: Kind, failed: bool, value: u64, name: &[u8]) {
    in_parts(kind, failed, value, &[], name);
}

/// Records that a nameless state of the process was set, with a mark of its value, and whether it had that value before.
pub(crate) fn state(kind: Kind, same: bool, mark: u64) {
    let Some(_guard) = ReentrancyGuard::enter() else {
        return;
    };
    let mut record = Record::new(kind, b"");
    record.flags = if same { SAME } else { 0 };
    record.value = mark;
    access(&record);
}

/// Records an access to a resource whose name is given in two parts.
pub(crate) fn in_parts(kind: Kind, failed: bool, value: u64, prefix: &[u8], name: &[u8]) {
    let Some(_guard) = ReentrancyGuard::enter() else {
        return;
    };
    let mut record = Record::new(kind, name);
    record.first[0] = prefix;
    record.flags = outcome(failed);
    record.value = value;
    access(&record);
}

/// Records an access to an open file.
pub(crate) fn by_descriptor(kind: Kind, failed: bool, value: u64, fd: c_int) {
    let Some(_guard) = ReentrancyGuard::enter() else {
        return;
    };
    let Some(mut memory) = work_memory::take() else {
        log::count(header::DROPPED);
        return;
    };
    let path = path_of(fd, &mut memory.paths[0]);
    if path.starts_with(b"/") && !is_of_kernel(path) {
        let mut record = Record::new(kind, path);
        record.flags = outcome(failed);
        record.value = value;
        access(&record);
    }
}

/// Returns whether the path is in a file system of the kernel's, where processes see different files or nothing is
/// kept.
fn is_of_kernel(path: &[u8]) -> bool {
    path.starts_with(b"/proc/")
        || path.starts_with(b"/sys/")
        || path.starts_with(b"/dev/") && !path.starts_with(b"/dev/shm/")
}
