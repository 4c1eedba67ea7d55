//! The log of this process: a part of the observation's account, mapped into memory and shared with forked children.
//!
//! No file is kept open, so a program may close all descriptors, and the records of a killed process are in the file.

pub(crate) mod account_slots;

use crate::account_layout::{self, Reason, State};
use crate::log_format::{self, DONE, Kind, MARK, RECORD, header};
use crate::sys::{self, c_int};
use crate::{this_process, thread};
use account_slots::{File, make_room, map, with_file};
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64};

/// The size of the mapping, if the program may have that much memory; the log's room grows into it.
const MOST: u64 = account_layout::LOG;
/// The part of it that accesses must leave free.
const KEPT: u64 = 1 << 20;
/// The log's first room, doubled as often as necessary.
const FIRST: u64 = 16 << 10;
/// The greatest step by which the room grows.
const STEP: u64 = 4 << 20;
const PAGE: u64 = 4096;

static MAP: AtomicPtr<u8> = AtomicPtr::new(core::ptr::null_mut());
/// The size of the mapping.
static MAPPED: AtomicU64 = AtomicU64::new(0);
/// The position of the log in its file.
static BEGINNING: AtomicU64 = AtomicU64::new(0);
/// The position in the log from which on this process has the spill file mapped; 0 if it has not.
static SPILL_MAPPED: AtomicU64 = AtomicU64::new(0);

/// A record to be written.
#[derive(Clone, Copy)]
pub(crate) struct Record<'a> {
    pub(crate) kind: Kind,
    pub(crate) flags: u8,
    /// A number that belongs to `kind`.
    pub(crate) value: u64,
    /// The working directory's number, where a text is a relative path.
    pub(crate) folder: u32,
    /// The first text, in two parts.
    pub(crate) first: [&'a [u8]; 2],
    /// The second text, in two parts.
    pub(crate) second: [&'a [u8]; 2],
}

impl<'a> Record<'a> {
    pub(crate) const fn new(kind: Kind, text: &'a [u8]) -> Self {
        Self {
            kind,
            flags: 0,
            value: 0,
            folder: 0,
            first: [&[], text],
            second: [&[], &[]],
        }
    }
}

/// Begins the log in the account of that folder, in that slot unless another process has it. Returns `false` if that is
/// impossible: nothing is recorded then, and the slot says why.
pub(crate) fn begin(folder: &[u8], wanted: u64, is_test: bool) -> bool {
    let begun = account_slots::set_folder(folder)
        && with_file(File::Account, |fd| begin_in(fd, wanted)) == Some(true);
    if begun {
        set(header::CURSOR, log_format::HEADER as u64);
        set(header::LIMIT, FIRST);
        set(header::PID, u64::from(this_process::pid()));
        set(header::PARENT, u64::from(this_process::parent_pid()));
        set(header::IS_TEST, u64::from(is_test));
        set(header::SLOT, account_slots::own());
        set(header::REAL_TIME, sys::now(sys::CLOCK_REALTIME));
        set(header::MONOTONIC, sys::now(sys::CLOCK_MONOTONIC));
        set(header::VERSION, log_format::VERSION);
        set(header::MAGIC, log_format::MAGIC);
    }
    begun
}

fn begin_in(fd: c_int, wanted: u64) -> bool {
    let Some(number) = account_slots::claim(fd, wanted) else {
        return false;
    };
    let beginning = account_slots::log_position(number);
    BEGINNING.store(beginning, Relaxed);
    let has_room = if make_room(fd, beginning, FIRST) {
        map_log(fd, beginning);
        true
    } else {
        with_file(File::Spill, |spill| {
            let has_room = make_room(spill, beginning, FIRST);
            if has_room {
                if let Some(flags) = account_slots::flags(number) {
                    flags.fetch_or(account_layout::SPILLED, Relaxed);
                }
                map_log(spill, beginning);
            }
            has_room
        }) == Some(true)
    };
    if !is_on() {
        let reason = if has_room {
            Reason::NoMemory
        } else {
            Reason::NoRoom
        };
        set_own_state(State::Lost, reason);
    }
    is_on()
}

/// Maps the log, or less of it where the program may not have so much memory.
fn map_log(fd: c_int, beginning: u64) {
    for size in [MOST, MOST / 8, MOST / 64] {
        let found = map(fd, core::ptr::null_mut(), size, beginning);
        if found != sys::MAP_FAILED {
            MAPPED.store(size, Relaxed);
            MAP.store(found.cast(), Relaxed);
            return;
        }
    }
}

fn mapped() -> u64 {
    MAPPED.load(Relaxed)
}

/// Returns the number of bytes that one kind of record may take of the log.
pub(crate) fn room_in_all() -> u64 {
    mapped() / 4
}

/// Sets the state in this process's slot of the account.
pub(crate) fn set_own_state(state: State, reason: Reason) {
    account_slots::set(
        account_slots::own(),
        account_layout::word(state, reason, this_process::pid()),
    );
}

/// Ends the log, and frees the rest of its room.
pub(crate) fn close() {
    if !is_on() || !this_process::is_original() {
        return;
    }
    if this_process::may_call() {
        // A copy made by a raw system call takes the log for its own, and its end is not that of the program.
        if this_process::kernel_pid() != this_process::pid() {
            return;
        }
        cut();
    }
    set_own_state(State::Closed, Reason::None);
}

/// Returns whether the log is in the spill file from its beginning or from some position on.
fn is_spilled() -> bool {
    word(header::SPILLED_AT).is_some_and(|at| at.load(Relaxed) != 0)
        || account_slots::flags(account_slots::own())
            .is_some_and(|flags| flags.load(Relaxed) & account_layout::SPILLED != 0)
}

/// Frees the pages behind the last record. A copy of this process, or a thread that goes on, makes room again.
fn cut() {
    let (Some(cursor), Some(limit), Some(growing)) =
        (word(header::CURSOR), word(header::LIMIT), word(header::GROWING))
    else {
        return;
    };
    // The spill file is on a disk, where room is not short.
    if is_spilled() || growing.swap(1, Acquire) != 0 {
        return;
    }
    let now = limit.swap(0, SeqCst);
    // A thread that takes a place after this finds that there is no room left.
    let end = cursor.fetch_add(0, SeqCst).next_multiple_of(PAGE);
    let from = BEGINNING.load(Relaxed) + end;
    let punch = |fd| {
        // SAFETY: our own descriptor. Where it is not possible, the room stays taken.
        unsafe { sys::fallocate(fd, sys::FALLOC_FL_PUNCH_HOLE, from as i64, (now - end) as i64) }
    };
    let is_cut = end < now && with_file(File::Account, punch).is_some();
    limit.store(if is_cut { end } else { now }, Release);
    growing.store(0, Release);
}

/// Returns whether anything is recorded at all.
pub(crate) fn is_on() -> bool {
    !MAP.load(Relaxed).is_null()
}

/// Returns a word of the log's header.
fn word(place: usize) -> Option<&'static AtomicU64> {
    let map = MAP.load(Relaxed).cast::<AtomicU64>();
    // SAFETY: the header lies at the mapping's beginning, aligned to a page, and is never unmapped.
    (!map.is_null() && place < log_format::HEADER / 8).then(|| unsafe { &*map.add(place) })
}

/// Sets a word of the log's header.
pub(crate) fn set(place: usize, value: u64) {
    if let Some(word) = word(place) {
        word.store(value, Release);
    }
}

/// Adds 1 to a word of the log's header.
pub(crate) fn count(place: usize) {
    if let Some(word) = word(place) {
        word.fetch_add(1, Relaxed);
    }
}

/// Writes a record with additional flags and the number of the calls that led to it, or counts it as dropped.
#[inline(never)]
pub(crate) fn write(record: &Record<'_>, flags: u8, stack: u32) {
    let room = |text: &[&[u8]; 2]| (text[0].len() + text[1].len()).min(log_format::LONGEST);
    let (first, second) = (room(&record.first), room(&record.second));
    let length = (RECORD + first + second).next_multiple_of(8);
    let Some(at) = reserve(length as u64, record.kind.is_access()) else {
        count(header::DROPPED);
        return;
    };
    let start = MAP.load(Relaxed).wrapping_add(at as usize);
    let mut out = Writer {
        at: start,
        left: length,
    };
    let helper = u64::from(thread::current().helper.load(Relaxed));
    let state = |done: u16| {
        (length as u64)
            | helper << 16
            | u64::from(record.kind as u8) << 32
            | u64::from(record.flags | flags) << 40
            | u64::from(MARK | done) << 48
    };
    // SAFETY: `reserve` gave these bytes to this call alone, within the mapping and aligned to 8.
    let mark = unsafe { &*start.cast::<AtomicU64>() };
    mark.store(state(0), Relaxed);
    out.skip(8);
    out.word(sys::now(sys::CLOCK_MONOTONIC));
    out.word(u64::from(thread::current().test.load(Relaxed)) | u64::from(this_process::pid()) << 32);
    out.word(first as u64 | (second as u64) << 16 | u64::from(stack) << 32);
    out.word(record.value & 0xffff_ffff | u64::from(record.folder) << 32);
    for (text, room) in [(&record.first, first), (&record.second, second)] {
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
            // SAFETY: the `left` bytes from `at` on are the record's own.
            unsafe { core::ptr::copy_nonoverlapping(bytes.as_ptr(), self.at, bytes.len()) };
            self.skip(bytes.len());
        }
    }
}

/// Returns a place for that many bytes, if there is one.
///
/// The last of the room is kept for the records that explain the rest: tests, children, stacks.
fn reserve(length: u64, is_access: bool) -> Option<u64> {
    let (cursor, limit) = (word(header::CURSOR)?, word(header::LIMIT)?);
    let kept = if is_access { KEPT } else { 0 };
    if cursor.load(Relaxed).checked_add(length)? > mapped() - kept {
        return None;
    }
    let at = cursor.fetch_add(length, SeqCst);
    let end = at.checked_add(length)?;
    if end > mapped() {
        return None;
    }
    let mut tries = 0;
    while end > limit.load(SeqCst) {
        if !this_process::may_call() || tries > patience() || !grow(end, limit, tries) {
            return None;
        }
        tries += 1;
    }
    let spilled_at = word(header::SPILLED_AT)?.load(Acquire);
    // A copy made before the spill still has the first file mapped there, which has no room.
    (spilled_at == 0 || end <= spilled_at || SPILL_MAPPED.load(Relaxed) != 0 || map_spill(spilled_at))
        .then_some(at)
}

/// Turns given up before a thread sleeps while another one makes room in the log.
const YIELDS: u32 = 100;
/// Sleeps of 100 microseconds after that. The other thread may itself wait for a busy disk; only a process that was
/// killed while it made room, in a copy that shares this log, never finishes.
const SLEEPS: u32 = 20_000;
/// Set when one thread's wait has timed out, so that no later record waits as long again.
static IS_STUCK: AtomicBool = AtomicBool::new(false);

/// Returns how often a thread tries for room before its record is dropped.
fn patience() -> u32 {
    if IS_STUCK.load(Relaxed) {
        YIELDS
    } else {
        YIELDS + SLEEPS
    }
}

/// Waits a moment for the thread that is making room.
fn wait(tries: u32) {
    if tries >= YIELDS + SLEEPS {
        IS_STUCK.store(true, Relaxed);
    }
    if tries < YIELDS {
        // SAFETY: only gives up the rest of this turn.
        unsafe { sys::sched_yield() };
    } else {
        let time = sys::Timespec::of(100_000);
        // SAFETY: reads one structure of ours and writes nothing; a signal that ends it early costs one more try.
        unsafe { sys::nanosleep(&raw const time, core::ptr::null_mut()) };
    }
}

/// Makes room up to `end`, or waits for another thread that is doing so. Returns `false` if there is no room left.
fn grow(end: u64, limit: &AtomicU64, tries: u32) -> bool {
    let (Some(growing), Some(spilled_at)) = (word(header::GROWING), word(header::SPILLED_AT)) else {
        return false;
    };
    if growing.swap(1, Acquire) != 0 {
        wait(tries);
        return true;
    }
    let now = limit.load(Acquire);
    let wanted = (now + now.min(STEP))
        .max(end.next_multiple_of(PAGE))
        .min(mapped());
    let (from, length) = (BEGINNING.load(Relaxed) + now, wanted.saturating_sub(now));
    let is_spilled = is_spilled();
    let make_room_in = |file| with_file(file, |fd| make_room(fd, from, length)) == Some(true);
    let has_room = now >= end
        || make_room_in(if is_spilled { File::Spill } else { File::Account })
        || !is_spilled && make_room_in(File::Spill) && {
            spilled_at.store(now, Release);
            map_spill(now)
        };
    if has_room && wanted > now {
        limit.store(wanted, Release);
    }
    growing.store(0, Release);
    has_room
}

/// Maps the spill file over the log's rest.
fn map_spill(from: u64) -> bool {
    let place = MAP.load(Relaxed).wrapping_add(from as usize);
    let position = BEGINNING.load(Relaxed) + from;
    let found = with_file(File::Spill, |fd| map(fd, place.cast(), mapped() - from, position));
    let is_mapped = found.is_some_and(|found| found != sys::MAP_FAILED);
    if is_mapped {
        SPILL_MAPPED.store(from, Relaxed);
    }
    is_mapped
}
