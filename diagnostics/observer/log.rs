//! The log of this process: one file, mapped into memory and shared with forked children.
//!
//! Nothing is kept open, so a program may close all descriptors; and what a killed process did is in the file.

use crate::format::{self, ABSENT, DONE, FAILED, Kind, MARK, RECORD, TAKEN, header};
use crate::sys::{self, c_char, c_int, c_void};
use crate::{files, hold, processes, seen, thread, trace};
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64};

/// As much is mapped, if the program may have so much; the file grows into it.
const MOST: u64 = 256 << 20;
/// Of that, what is not for accesses.
const KEPT: u64 = 1 << 20;
static MAPPED: AtomicU64 = AtomicU64::new(0);
/// The file's first size, doubled as often as it has to be.
const FIRST: u64 = 64 << 10;
/// The greatest step by which it grows.
const STEP: u64 = 4 << 20;

static MAP: AtomicPtr<u8> = AtomicPtr::new(core::ptr::null_mut());
/// The file's path, with a zero at its end, for making room.
static PATH: [AtomicU64; 512] = [const { AtomicU64::new(0) }; 512];
/// This process, which is another after a fork.
static PID: AtomicU32 = AtomicU32::new(0);
/// Whether this is the process that began the log, and not its copy.
static IS_FIRST: AtomicBool = AtomicBool::new(true);
/// Whether the observer may make system calls of its own; not below a filter that might kill for them.
static IS_FREE: AtomicBool = AtomicBool::new(true);

/// What a record is made of.
#[derive(Clone, Copy)]
pub(crate) struct Entry<'a> {
    pub(crate) kind: Kind,
    pub(crate) flags: u8,
    /// A number that belongs to `kind`.
    pub(crate) value: u64,
    /// The working directory's number, where a text is a relative path.
    pub(crate) folder: u32,
    pub(crate) text: [&'a [u8]; 2],
    pub(crate) second: [&'a [u8]; 2],
}

impl<'a> Entry<'a> {
    pub(crate) const fn new(kind: Kind, text: &'a [u8]) -> Self {
        Self {
            kind,
            flags: 0,
            value: 0,
            folder: 0,
            text: [&[], text],
            second: [&[], &[]],
        }
    }
}

/// Begins the log at that path, with a zero at its end. `false` if it cannot be: nothing is noted then.
pub(crate) fn begin(path: &[u8], is_test: bool) -> bool {
    if path.len() > PATH.len() * 8 {
        return false;
    }
    for (word, bytes) in PATH.iter().zip(path.chunks(8)) {
        let mut all = [0; 8];
        all[..bytes.len()].copy_from_slice(bytes);
        word.store(u64::from_ne_bytes(all), Relaxed);
    }
    let Some(fd) = open(sys::O_CREAT | sys::O_EXCL) else {
        return false;
    };
    // SAFETY: our own descriptor.
    let roomy = may_write(FIRST) && unsafe { sys::posix_fallocate(fd, 0, FIRST as i64) == 0 };
    let map = if roomy { map(fd) } else { sys::MAP_FAILED };
    processes::close(fd);
    if map == sys::MAP_FAILED {
        return false;
    }
    MAP.store(map.cast(), Relaxed);
    PID.store(processes::own_id(), Relaxed);
    set(header::CURSOR, format::HEADER as u64);
    set(header::LIMIT, FIRST);
    set(header::PID, u64::from(processes::own_id()));
    set(header::PARENT, u64::from(processes::parent_id()));
    set(header::IS_TEST, u64::from(is_test));
    set(header::REAL_TIME, sys::now(sys::CLOCK_REALTIME));
    set(header::MONOTONIC, sys::now(sys::CLOCK_MONOTONIC));
    set(header::VERSION, format::VERSION);
    set(header::MAGIC, format::MAGIC);
    true
}

/// Maps as much as the program may have.
fn map(fd: c_int) -> *mut c_void {
    for size in [MOST, MOST / 8, MOST / 64] {
        // SAFETY: a mapping of our own file, at a place of the kernel's choice.
        let map = unsafe {
            sys::mmap(
                core::ptr::null_mut(),
                size as usize,
                sys::PROT_READ | sys::PROT_WRITE,
                sys::MAP_SHARED | sys::MAP_NORESERVE,
                fd,
                0,
            )
        };
        if map != sys::MAP_FAILED {
            MAPPED.store(size, Relaxed);
            return map;
        }
    }
    sys::MAP_FAILED
}

fn mapped() -> u64 {
    MAPPED.load(Relaxed)
}

fn open(flags: c_int) -> Option<c_int> {
    let path = (&raw const PATH).cast::<c_char>();
    // SAFETY: a path with a zero at its end; the words are written once, before there are threads.
    let fd = unsafe { files::real::open(path, flags | sys::O_RDWR | sys::O_CLOEXEC, 0o600) };
    (fd >= 0).then_some(fd)
}

/// Whether anything is noted at all.
pub(crate) fn is_on() -> bool {
    !MAP.load(Relaxed).is_null()
}

/// A word of the header.
fn word(place: usize) -> Option<&'static AtomicU64> {
    let map = MAP.load(Relaxed).cast::<AtomicU64>();
    // SAFETY: the header lies at the mapping's beginning, aligned to a page, and is never unmapped.
    (!map.is_null() && place < format::HEADER / 8).then(|| unsafe { &*map.add(place) })
}

pub(crate) fn set(place: usize, value: u64) {
    if let Some(word) = word(place) {
        word.store(value, Release);
    }
}

pub(crate) fn count(place: usize) {
    if let Some(word) = word(place) {
        word.fetch_add(1, Relaxed);
    }
}

pub(crate) fn pid() -> u32 {
    PID.load(Relaxed)
}

pub(crate) fn is_first() -> bool {
    IS_FIRST.load(Relaxed)
}

/// The process is a copy of the one that began the log, and goes on in it under its own number.
pub(crate) fn forked() {
    IS_FIRST.store(false, Relaxed);
    PID.store(processes::own_id(), Relaxed);
}

/// From now on a system call of ours might be the last.
pub(crate) fn confine() {
    IS_FREE.store(false, Relaxed);
}

pub(crate) fn is_free() -> bool {
    IS_FREE.load(Relaxed)
}

/// Notes what a test did, the first time that it did this, and pauses where that was asked for.
pub(crate) fn access(entry: &Entry<'_>) {
    let pause = hold::due(entry);
    if seen::is_new(entry) {
        let flags = entry.flags | pause.map_or(0, |pause| pause.flag);
        append(&Entry { flags, ..*entry }, true);
    }
    if let Some(pause) = pause {
        hold::pause(pause);
    }
}

/// Writes a record.
pub(crate) fn append(entry: &Entry<'_>, traced: bool) {
    let stack = if traced { trace::number() } else { 0 };
    let room = |text: &[&[u8]; 2]| (text[0].len() + text[1].len()).min(format::LONGEST);
    let (first, second) = (room(&entry.text), room(&entry.second));
    let length = (RECORD + first + second).next_multiple_of(8);
    let Some(at) = reserve(length as u64, entry.kind.is_access()) else {
        count(header::DROPPED);
        return;
    };
    let start = MAP.load(Relaxed).wrapping_add(at as usize);
    let mut out = Writer {
        at: start,
        left: length,
    };
    let state = |done: u16| {
        (length as u64)
            | u64::from(entry.kind as u8) << 32
            | u64::from(entry.flags) << 40
            | u64::from(MARK | done) << 48
    };
    // SAFETY: `reserve` gave us these bytes, within the mapping and aligned to 8, and nobody else.
    let mark = unsafe { &*start.cast::<AtomicU64>() };
    mark.store(state(0), Relaxed);
    out.skip(8);
    out.word(sys::now(sys::CLOCK_MONOTONIC));
    out.word(u64::from(thread::current().test.load(Relaxed)) | u64::from(pid()) << 32);
    out.word(first as u64 | (second as u64) << 16 | u64::from(stack) << 32);
    out.word(entry.value & 0xffff_ffff | u64::from(entry.folder) << 32);
    for (text, room) in [(&entry.text, first), (&entry.second, second)] {
        let mut room = room;
        for part in text {
            let part = part.get(..room.min(part.len())).unwrap_or_default();
            out.bytes(part);
            room -= part.len();
        }
    }
    mark.store(state(DONE), Release);
}

struct Writer {
    at: *mut u8,
    left: usize,
}

impl Writer {
    fn skip(&mut self, length: usize) {
        self.at = self.at.wrapping_add(length);
        self.left = self.left.saturating_sub(length);
    }

    fn word(&mut self, word: u64) {
        self.bytes(&word.to_ne_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        if bytes.len() <= self.left {
            // SAFETY: `left` bytes from `at` on are the record's own.
            unsafe { core::ptr::copy_nonoverlapping(bytes.as_ptr(), self.at, bytes.len()) };
            self.skip(bytes.len());
        }
    }
}

/// A place for so many bytes, if there is one.
///
/// The last of the room is kept for what the rest is understood by: tests, children, stacks.
fn reserve(length: u64, is_access: bool) -> Option<u64> {
    let (cursor, limit) = (word(header::CURSOR)?, word(header::LIMIT)?);
    let kept = if is_access { KEPT } else { 0 };
    if cursor.load(Relaxed).checked_add(length)? > mapped() - kept {
        return None;
    }
    let at = cursor.fetch_add(length, Relaxed);
    let end = at.checked_add(length)?;
    if end > mapped() {
        return None;
    }
    let mut tries = 0;
    while end > limit.load(Acquire) {
        if !IS_FREE.load(Relaxed) || tries > 1000 || !grow(end, limit) {
            return None;
        }
        tries += 1;
    }
    Some(at)
}

/// Makes room up to `end`, or lets another do it. `false` if there is none to be had.
fn grow(end: u64, limit: &AtomicU64) -> bool {
    let Some(growing) = word(header::GROWING) else {
        return false;
    };
    if growing.swap(1, Acquire) != 0 {
        // SAFETY: only gives up the rest of this turn.
        unsafe { sys::sched_yield() };
        return true;
    }
    let now = limit.load(Acquire);
    let wanted = (now + now.min(STEP)).max(end).min(mapped());
    let roomy = now >= end || may_write(wanted) && allocate(wanted);
    if roomy && wanted > now {
        limit.store(wanted, Release);
    }
    growing.store(0, Release);
    roomy
}

/// Whether the program did not forbid itself files of that size: the attempt would end it.
fn may_write(size: u64) -> bool {
    let mut limit = sys::Rlimit {
        soft: sys::RLIM_INFINITY,
        hard: 0,
    };
    // SAFETY: a valid place for the answer.
    unsafe { sys::getrlimit(sys::RLIMIT_FSIZE, &raw mut limit) };
    size <= limit.soft
}

/// Memory that is not there would end the program when it is touched, so it is asked for beforehand.
fn allocate(size: u64) -> bool {
    let Some(fd) = open(0) else { return false };
    // SAFETY: our own descriptor.
    let done = unsafe { sys::posix_fallocate(fd, 0, size as i64) == 0 };
    processes::close(fd);
    done
}

/// The working directory's number, and the record that says which it is.
static FOLDER: AtomicU32 = AtomicU32::new(0);
/// Keeps numbers apart that a process and its copy give.
static GENERATION: AtomicU32 = AtomicU32::new(0);

pub(crate) fn folder() -> u32 {
    FOLDER.load(Relaxed)
}

/// The working directory is another one now.
pub(crate) fn note_folder() {
    let number = GENERATION.fetch_add(1, Relaxed) + 1;
    let mut path = [0_u8; 4096];
    // SAFETY: a buffer of that length.
    let got = unsafe { files::real::getcwd(path.as_mut_ptr().cast(), path.len()) };
    if got.is_null() {
        return;
    }
    let length = path.iter().position(|byte| *byte == 0).unwrap_or(0);
    let mut entry = Entry::new(Kind::Folder, path.get(..length).unwrap_or_default());
    entry.value = u64::from(number);
    append(&entry, false);
    FOLDER.store(number, Relaxed);
}

/// The flags of a call with that outcome; `errno` says why it failed.
pub(crate) fn flags(failed: bool) -> u8 {
    let why = match sys::errno() {
        _ if !failed => return 0,
        sys::EEXIST | sys::EADDRINUSE | sys::ENOTEMPTY | sys::EBUSY => TAKEN,
        sys::ENOENT => ABSENT,
        _ => 0,
    };
    FAILED | why
}
