//! The log of this process: a part of the observation's account, mapped into memory and shared with forked children.
//!
//! Nothing is kept open, so a program may close all descriptors; and what a killed process did is in the file.

use crate::account_layout::{self, Reason, State};
use crate::format::{self, ABSENT, DONE, FAILED, Kind, MARK, RECORD, TAKEN, header};
use crate::hooks::{file_calls, process_calls};
use crate::stack::{trace, work_memory};
use crate::sys::{self, c_char, c_int, c_void};
use crate::{dedupe, hold, thread};
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64};

/// As much is mapped, if the program may have so much; the log's room grows into it.
const MOST: u64 = account_layout::LOG;
/// Of that, what is not for accesses.
const KEPT: u64 = 1 << 20;
static MAPPED: AtomicU64 = AtomicU64::new(0);
/// The log's first room, doubled as often as it has to be.
const FIRST: u64 = 16 << 10;
/// The greatest step by which it grows.
const STEP: u64 = 4 << 20;
const PAGE: u64 = 4096;

static MAP: AtomicPtr<u8> = AtomicPtr::new(core::ptr::null_mut());
/// Where the log begins in its file.
static BEGINNING: AtomicU64 = AtomicU64::new(0);
/// From here on this process has the other file mapped; 0 if it has not.
static SPILL_MAPPED: AtomicU64 = AtomicU64::new(0);
/// The account's header and slots.
static TABLE: AtomicPtr<u8> = AtomicPtr::new(core::ptr::null_mut());
/// The slot of this process.
static SLOT: AtomicU64 = AtomicU64::new(0);
/// The paths of the account and of the other file, with a zero at the end, for making room.
static PATHS: [[AtomicU64; 264]; 2] = [const { [const { AtomicU64::new(0) }; 264] }; 2];
const ACCOUNT: usize = 0;
const SPILL: usize = 1;
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

/// Begins the log in the account of that folder, in that slot unless another process has it. `false` if that cannot be:
/// nothing is noted then, and the slot says so.
pub(crate) fn begin(folder: &[u8], wanted: u64, is_test: bool) -> bool {
    for (path, name) in PATHS.iter().zip([account_layout::NAME, account_layout::SPILL]) {
        let parts = [folder, b"/", name.as_bytes()];
        if parts.iter().map(|part| part.len()).sum::<usize>() >= path.len() * 8 {
            return false;
        }
        for (at, byte) in parts.into_iter().flatten().enumerate() {
            path[at / 8].fetch_or(u64::from(*byte) << (at % 8 * 8), Relaxed);
        }
    }
    let Some(fd) = open(ACCOUNT) else {
        return false;
    };
    let begun = begin_in(fd, wanted);
    process_calls::close(fd);
    if begun {
        PID.store(process_calls::own_id(), Relaxed);
        set(header::CURSOR, format::HEADER as u64);
        set(header::LIMIT, FIRST);
        set(header::PID, u64::from(process_calls::own_id()));
        set(header::PARENT, u64::from(process_calls::parent_id()));
        set(header::IS_TEST, u64::from(is_test));
        set(header::SLOT, own_slot());
        set(header::REAL_TIME, sys::now(sys::CLOCK_REALTIME));
        set(header::MONOTONIC, sys::now(sys::CLOCK_MONOTONIC));
        set(header::VERSION, format::VERSION);
        set(header::MAGIC, format::MAGIC);
    }
    begun
}

fn begin_in(fd: c_int, wanted: u64) -> bool {
    let table = map(
        fd,
        core::ptr::null_mut(),
        account_layout::table(account_layout::MOST_SLOTS),
        0,
    );
    if table == sys::MAP_FAILED {
        return false;
    }
    TABLE.store(table.cast(), Relaxed);
    let count = |place| entry(place).map_or(0, |word| word.load(Relaxed));
    if count(account_layout::header::MAGIC) != account_layout::MAGIC {
        TABLE.store(core::ptr::null_mut(), Relaxed);
        return false;
    }
    let own = process_calls::own_id();
    let recording = account_layout::word(State::Recording, Reason::None, own);
    let is_wanted = slot(wanted).is_some_and(|slot| {
        let known = slot.load(Acquire);
        // A program may have survived the signal that was to end it.
        matches!(account_layout::state(known), State::Started | State::Ended)
            && slot.compare_exchange(known, recording, SeqCst, Relaxed).is_ok()
    });
    // What a program that is not observed starts has the variables of its parent.
    let number = if is_wanted {
        wanted
    } else {
        let Some(number) = take(State::Recording, Reason::None, &[]) else {
            return false;
        };
        set_slot(number, recording);
        number
    };
    let beginning = account_layout::log(count(account_layout::header::SLOTS), number);
    SLOT.store(number, Relaxed);
    BEGINNING.store(beginning, Relaxed);
    let lost = |reason| set_slot(number, account_layout::word(State::Lost, reason, own));
    let spill = if make_room(fd, beginning, FIRST) {
        None
    } else {
        let spill = open(SPILL).filter(|fd| make_room(*fd, beginning, FIRST));
        if spill.is_none() {
            lost(Reason::NoRoom);
            return false;
        }
        if let Some(flags) = slot_word(number, 1) {
            flags.fetch_or(account_layout::SPILLED, Relaxed);
        }
        spill
    };
    // Less where the program may not have so much memory.
    for size in [MOST, MOST / 8, MOST / 64] {
        let found = map(spill.unwrap_or(fd), core::ptr::null_mut(), size, beginning);
        if found != sys::MAP_FAILED {
            MAPPED.store(size, Relaxed);
            MAP.store(found.cast(), Relaxed);
            break;
        }
    }
    if let Some(spill) = spill {
        process_calls::close(spill);
    }
    if !is_on() {
        lost(Reason::NoMemory);
    }
    is_on()
}

/// Maps a part of a file, at `place` unless that is null.
fn map(fd: c_int, place: *mut c_void, size: u64, from: u64) -> *mut c_void {
    let fixed = if place.is_null() { 0 } else { sys::MAP_FIXED };
    // SAFETY: a mapping of our own file: at a place of the kernel's choice, or over a part of our own mapping that
    // nobody has been given room in.
    unsafe {
        sys::mmap(
            place,
            size as usize,
            sys::PROT_READ | sys::PROT_WRITE,
            sys::MAP_SHARED | sys::MAP_NORESERVE | fixed,
            fd,
            from as i64,
        )
    }
}

fn mapped() -> u64 {
    MAPPED.load(Relaxed)
}

fn open(path: usize) -> Option<c_int> {
    let path = (&raw const PATHS).cast::<[AtomicU64; 264]>().wrapping_add(path);
    // SAFETY: a path with a zero at its end; the words are written once, before there are threads.
    let fd = unsafe { file_calls::real::open(path.cast::<c_char>(), sys::O_RDWR | sys::O_CLOEXEC, 0) };
    (fd >= 0).then_some(fd)
}

/// Ends the log: what is left of its room is given back.
pub(crate) fn close() {
    if !is_on() || !is_first() {
        return;
    }
    if is_free() {
        // A copy that was made past libc believes that the log is its own, and its end is not that of the program.
        if process_calls::own_id() != pid() {
            return;
        }
        cut();
    }
    set_slot(
        own_slot(),
        account_layout::word(State::Closed, Reason::None, pid()),
    );
}

/// Gives back the pages behind the last record. A copy of this process, or a thread that goes on, makes room again.
fn cut() {
    let (Some(cursor), Some(limit), Some(growing)) =
        (word(header::CURSOR), word(header::LIMIT), word(header::GROWING))
    else {
        return;
    };
    // The other file is on a disk, where room is not short.
    let is_spilled = word(header::SPILLED_AT).is_some_and(|at| at.load(Relaxed) != 0)
        || slot_word(own_slot(), 1).is_some_and(|flags| flags.load(Relaxed) & account_layout::SPILLED != 0);
    if is_spilled || growing.swap(1, Acquire) != 0 {
        return;
    }
    let now = limit.swap(0, SeqCst);
    // Whoever takes a place after this finds that there is no room left.
    let end = cursor.fetch_add(0, SeqCst).next_multiple_of(PAGE);
    let mut left = now;
    if end < now
        && let Some(fd) = open(ACCOUNT)
    {
        let from = BEGINNING.load(Relaxed) + end;
        // SAFETY: our own descriptor. Where it is not possible, the room stays taken.
        unsafe { sys::fallocate(fd, sys::FALLOC_FL_PUNCH_HOLE, from as i64, (now - end) as i64) };
        process_calls::close(fd);
        left = end;
    }
    limit.store(left, Release);
    growing.store(0, Release);
}

/// A word of the account's header.
fn entry(place: usize) -> Option<&'static AtomicU64> {
    let table = TABLE.load(Relaxed).cast::<AtomicU64>();
    // SAFETY: the header lies at the mapping's beginning, aligned to a page, and is never unmapped.
    (!table.is_null() && place < account_layout::HEADER / 8).then(|| unsafe { &*table.add(place) })
}

/// The word of a slot with that number.
fn slot_word(number: u64, word: usize) -> Option<&'static AtomicU64> {
    let slots = entry(account_layout::header::SLOTS)?.load(Relaxed);
    let place = account_layout::table(number) as usize / 8 + word;
    // SAFETY: within the mapping, which holds all slots.
    (number < slots).then(|| unsafe { &*TABLE.load(Relaxed).cast::<AtomicU64>().add(place) })
}

pub(crate) fn slot(number: u64) -> Option<&'static AtomicU64> {
    slot_word(number, 0)
}

pub(crate) fn set_slot(number: u64, word: u64) {
    if let Some(slot) = slot(number) {
        slot.store(word, SeqCst);
    }
}

pub(crate) fn own_slot() -> u64 {
    SLOT.load(Relaxed)
}

/// The user who can open the account.
pub(crate) fn user() -> u32 {
    entry(account_layout::header::USER).map_or(0, |user| user.load(Relaxed) as u32)
}

/// Takes a slot for a program of that name. `None` if all are taken, which the count shows.
pub(crate) fn take(state: State, reason: Reason, name: &[u8]) -> Option<u64> {
    const ROOM: usize = account_layout::SLOT - account_layout::TEXT;
    let number = match unused() {
        Some(number) => number,
        None => {
            let slots = entry(account_layout::header::SLOTS)?.load(Relaxed);
            let taken = entry(account_layout::header::CHILDREN)?.fetch_add(1, Relaxed);
            slots.checked_sub(taken + 1)?
        }
    };
    let name = name.get(name.len().saturating_sub(ROOM)..).unwrap_or_default();
    let (first, flags) = (slot(number)?, slot_word(number, 1)?);
    let known = first.load(Relaxed);
    if !matches!(account_layout::state(known), State::Free | State::Void)
        || first
            .compare_exchange(known, account_layout::word(state, reason, 0), SeqCst, Relaxed)
            .is_err()
    {
        return None;
    }
    flags.store(0, Relaxed);
    let text = TABLE
        .load(Relaxed)
        .wrapping_add(account_layout::table(number) as usize + account_layout::TEXT);
    // SAFETY: the slot is ours, and the name is no longer than its place.
    unsafe {
        core::ptr::copy_nonoverlapping(name.as_ptr(), text, name.len());
        text.add(name.len()).write_bytes(0, ROOM - name.len());
    }
    Some(number)
}

/// The head of the list of unused slots with another first one.
fn head(known: u64, first: u64) -> u64 {
    (known >> 32).wrapping_add(1) << 32 | first
}

/// Takes a slot whose start failed. A search in `PATH` fails many times before it finds a program.
fn unused() -> Option<u64> {
    let list = entry(account_layout::header::UNUSED)?;
    loop {
        let known = list.load(Acquire);
        let number = (known & 0xffff_ffff).checked_sub(1)?;
        let next = slot_word(number, 1)?.load(Relaxed);
        if list
            .compare_exchange(known, head(known, next), SeqCst, Relaxed)
            .is_ok()
        {
            return Some(number);
        }
    }
}

/// Gives a slot back whose start failed.
pub(crate) fn give_back(number: u64) {
    let (Some(list), Some(next)) = (entry(account_layout::header::UNUSED), slot_word(number, 1)) else {
        return;
    };
    loop {
        let known = list.load(Relaxed);
        next.store(known & 0xffff_ffff, Relaxed);
        if list
            .compare_exchange(known, head(known, number + 1), SeqCst, Relaxed)
            .is_ok()
        {
            return;
        }
    }
}

/// The slots that observed processes took.
pub(crate) fn children() -> impl Iterator<Item = &'static AtomicU64> {
    let count = |place| entry(place).map_or(0, |word| word.load(Relaxed));
    let slots = count(account_layout::header::SLOTS);
    let first = slots.saturating_sub(count(account_layout::header::CHILDREN));
    (first..slots).filter_map(slot)
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
    PID.store(process_calls::own_id(), Relaxed);
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
    if !hold::is_asked_for() && dedupe::is_enough(entry) {
        return;
    }
    let asked = (may_be_std_s(entry) && work_memory::is_roomy()).then(|| trace::number(true));
    let key = dedupe::key_of(entry, asked.unwrap_or(0));
    if key.is_some_and(dedupe::has) {
        return;
    }
    if !work_memory::is_roomy() {
        count(header::DROPPED);
        return;
    }
    let pause = hold::due(entry);
    if key.is_none_or(dedupe::insert) {
        dedupe::count(entry);
        // Not both at a time on the stack.
        let stack = asked.unwrap_or_else(|| trace::number(false));
        write(entry, pause.map_or(0, |pause| pause.flag), stack);
    }
    if let Some(pause) = pause {
        hold::pause(pause);
    }
}

/// Whether std does the same to print where a panic comes from: the reader tells those by their calls.
fn may_be_std_s(entry: &Entry<'_>) -> bool {
    entry.kind == Kind::GetFolder || entry.kind == Kind::GetVariable && entry.text[1].ends_with(b"_BACKTRACE")
}

/// Writes a record, and from where it comes.
pub(crate) fn append(entry: &Entry<'_>, traced: bool) {
    let stack = if traced { trace::number(false) } else { 0 };
    write(entry, 0, stack);
}

#[inline(never)]
fn write(entry: &Entry<'_>, flags: u8, stack: u32) {
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
            | u64::from(entry.flags | flags) << 40
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
    let at = cursor.fetch_add(length, SeqCst);
    let end = at.checked_add(length)?;
    if end > mapped() {
        return None;
    }
    let mut tries = 0;
    while end > limit.load(SeqCst) {
        if !IS_FREE.load(Relaxed) || tries > patience() || !grow(end, limit, tries) {
            return None;
        }
        tries += 1;
    }
    let spilled_at = word(header::SPILLED_AT)?.load(Acquire);
    // A copy that was made before has the first file mapped there, which ends.
    (spilled_at == 0 || end <= spilled_at || SPILL_MAPPED.load(Relaxed) != 0 || map_spill(spilled_at))
        .then_some(at)
}

/// Turns given up before a thread sleeps while another one makes room in the log.
const YIELDS: u32 = 100;
/// Sleeps of 100 microseconds after that. The other thread may itself wait for a busy disk; only a process that was
/// killed while it made room, in a copy that shares this log, never finishes.
const SLEEPS: u32 = 20_000;
/// Set when one thread has waited that long in vain, so that no later record waits as long again.
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
        let time = sys::Timespec {
            seconds: 0,
            nanos: 100_000,
        };
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
    let is_spilled = spilled_at.load(Relaxed) != 0
        || slot_word(own_slot(), 1).is_some_and(|flags| flags.load(Relaxed) & account_layout::SPILLED != 0);
    let room_in = |path: usize| {
        open(path).is_some_and(|fd| {
            let done = make_room(fd, from, length);
            process_calls::close(fd);
            done
        })
    };
    let roomy = now >= end
        || room_in(if is_spilled { SPILL } else { ACCOUNT })
        || !is_spilled && room_in(SPILL) && {
            spilled_at.store(now, Release);
            map_spill(now)
        };
    if roomy && wanted > now {
        limit.store(wanted, Release);
    }
    growing.store(0, Release);
    roomy
}

/// Maps the other file over the log's rest.
fn map_spill(from: u64) -> bool {
    let Some(fd) = open(SPILL) else { return false };
    let place = MAP.load(Relaxed).wrapping_add(from as usize);
    let found = map(fd, place.cast(), mapped() - from, BEGINNING.load(Relaxed) + from);
    process_calls::close(fd);
    let done = found != sys::MAP_FAILED;
    if done {
        SPILL_MAPPED.store(from, Relaxed);
    }
    done
}

/// Memory that is not there would end the program when it is touched, so it is asked for beforehand.
fn make_room(fd: c_int, from: u64, length: u64) -> bool {
    // A signal may interrupt it as often as it likes, but not for ever.
    for _ in 0..1000 {
        // SAFETY: our own descriptor.
        match unsafe { sys::posix_fallocate(fd, from as i64, length as i64) } {
            sys::EINTR => {}
            answer => return answer == 0,
        }
    }
    false
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
    let Some(mut scratch) = work_memory::take() else {
        return;
    };
    let path = &mut scratch.paths[0];
    // SAFETY: a buffer of that length.
    let got = unsafe { file_calls::real::getcwd(path.as_mut_ptr().cast(), path.len()) };
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
