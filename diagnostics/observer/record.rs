//! What a hook does after libc's function: note it, and leave no trace of having done so.

use crate::format::{Kind, header};
use crate::hooks::file_calls;
use crate::log::{self, Entry};
use crate::stack::work_memory;
use crate::sys::{self, AT_FDCWD, c_char, c_int};
use crate::{dispatch, thread};
use core::sync::atomic::Ordering::Relaxed;

/// While it lives, what this thread calls is the observer's own doing. In the end `errno` is as it was.
pub(crate) struct Noting {
    errno: c_int,
}

impl Noting {
    /// `None` if nothing is noted: the observer is not wanted here, or it is its own call.
    pub(crate) fn begin() -> Option<Self> {
        if !log::is_on() {
            return None;
        }
        let thread = thread::current();
        if thread.busy.load(Relaxed) != 0 {
            return None;
        }
        thread.busy.store(1, Relaxed);
        dispatch::again();
        Some(Self { errno: sys::errno() })
    }

    /// What `errno` says about the call.
    pub(crate) fn errno(&self) -> c_int {
        self.errno
    }
}

impl Drop for Noting {
    fn drop(&mut self) {
        thread::current().busy.store(0, Relaxed);
        sys::set_errno(self.errno);
    }
}

/// A path as the program gave it.
#[derive(Clone, Copy)]
pub(crate) struct Path {
    pub(crate) folder: c_int,
    pub(crate) text: *const c_char,
}

impl Path {
    pub(crate) fn at(folder: c_int, text: *const c_char) -> Self {
        Self { folder, text }
    }

    pub(crate) fn new(text: *const c_char) -> Self {
        Self::at(AT_FDCWD, text)
    }
}

/// Notes what was done to a file by its path.
///
/// # Safety
/// The program handed the path to libc.
pub(crate) unsafe fn path(kind: Kind, failed: bool, value: u64, path: Path) {
    // SAFETY: the caller's promise.
    unsafe { paths(kind, failed, value, path, Path::new(core::ptr::null())) }
}

/// The same with two paths.
///
/// # Safety
/// The program handed both to libc.
pub(crate) unsafe fn paths(kind: Kind, failed: bool, value: u64, first: Path, second: Path) {
    let Some(noting) = Noting::begin() else { return };
    // What the kernel could not read, we cannot either.
    if failed && noting.errno() == sys::EFAULT {
        return;
    }
    // SAFETY: the caller's promise.
    let texts = unsafe { (sys::text(first.text), sys::text(second.text)) };
    if texts.0.is_empty() || is_of_no_interest(texts.0) {
        return;
    }
    let is_in_folder =
        |path: Path, text: &[u8]| path.folder != AT_FDCWD && !text.is_empty() && !text.starts_with(b"/");
    let is_known = !is_in_folder(first, texts.0) && !is_in_folder(second, texts.1);
    let mut scratch = if is_known { None } else { work_memory::take() };
    let folders = match &mut scratch {
        Some(scratch) => {
            let [one, two] = &mut scratch.paths;
            let one = folder_of(first.folder, texts.0, one);
            (one, folder_of(second.folder, texts.1, two))
        }
        None if is_known => (&[][..], &[][..]),
        None => {
            log::count(header::DROPPED);
            return;
        }
    };
    let mut entry = Entry::new(kind, texts.0);
    entry.flags = log::flags(failed);
    entry.value = value;
    entry.text[0] = folders.0;
    entry.second = [folders.1, texts.1];
    if folders.0.is_empty() && !texts.0.starts_with(b"/")
        || folders.1.is_empty() && !texts.1.is_empty() && !texts.1.starts_with(b"/")
    {
        entry.folder = log::folder();
    }
    log::access(&entry);
}

/// Notes something that has no path.
pub(crate) fn thing(kind: Kind, failed: bool, value: u64, name: &[u8]) {
    let Some(_noting) = Noting::begin() else { return };
    let mut entry = Entry::new(kind, name);
    entry.flags = log::flags(failed);
    entry.value = value;
    log::access(&entry);
}

/// Notes what was done to an open file.
pub(crate) fn open_file(kind: Kind, failed: bool, value: u64, fd: c_int) {
    let Some(_noting) = Noting::begin() else { return };
    let Some(mut scratch) = work_memory::take() else {
        log::count(header::DROPPED);
        return;
    };
    let path = path_of(fd, &mut scratch.paths[0]);
    if path.starts_with(b"/") && !is_of_no_interest(path) {
        let mut entry = Entry::new(kind, path);
        entry.flags = log::flags(failed);
        entry.value = value;
        log::access(&entry);
    }
}

pub(crate) const PATH_MAX: usize = 4096;

/// The kernel's own, of which each process sees another or nobody keeps anything.
fn is_of_no_interest(path: &[u8]) -> bool {
    path.starts_with(b"/proc/")
        || path.starts_with(b"/sys/")
        || path.starts_with(b"/dev/") && !path.starts_with(b"/dev/shm/")
}

/// What stands before `path`, with a `/` at its end: nothing for the working directory or an absolute path.
fn folder_of<'a>(folder: c_int, path: &[u8], buffer: &'a mut [u8; PATH_MAX]) -> &'a [u8] {
    if folder == AT_FDCWD || path.is_empty() || path.starts_with(b"/") {
        return &[];
    }
    let length = path_of(folder, buffer).len();
    match buffer.get_mut(length) {
        Some(end) if length > 0 => {
            *end = b'/';
            buffer.get(..=length).unwrap_or_default()
        }
        _ => &[],
    }
}

/// What the kernel calls an open file; nothing if it cannot be asked.
pub(crate) fn path_of(fd: c_int, buffer: &mut [u8; PATH_MAX]) -> &[u8] {
    if fd < 0 || !log::is_free() {
        return &[];
    }
    let mut link = *b"/proc/self/fd/\0\0\0\0\0\0\0\0\0\0\0\0";
    let (mut digits, mut left) = (1, fd / 10);
    while left > 0 {
        (digits, left) = (digits + 1, left / 10);
    }
    let mut left = fd;
    for place in link.iter_mut().skip(14).take(digits).rev() {
        *place = b'0' + (left % 10) as u8;
        left /= 10;
    }
    // SAFETY: a path with a zero at its end, and a buffer of the length given.
    let length =
        unsafe { file_calls::real::readlink(link.as_ptr().cast(), buffer.as_mut_ptr().cast(), PATH_MAX - 1) };
    usize::try_from(length)
        .ok()
        .and_then(|length| buffer.get(..length))
        .unwrap_or_default()
}
