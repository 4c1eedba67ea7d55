//! The slots of the observation's account, mapped into memory and shared by all observed processes.

use crate::account_layout::{self as layout, Reason, State, header};
use crate::site_table::ENDING;
use crate::sys::own_calls::{self, close_own};
use crate::sys::{self, c_char, c_int, c_void};
use crate::this_process;
use core::sync::atomic::Ordering::{Acquire, Relaxed, SeqCst};
use core::sync::atomic::{AtomicPtr, AtomicU64};

/// The account's header and slots; null if there is no account.
static TABLE: AtomicPtr<u8> = AtomicPtr::new(core::ptr::null_mut());
/// The slot of this process.
static OWN: AtomicU64 = AtomicU64::new(0);

/// The room for a path, in words.
const WORDS: usize = 264;
/// The paths of the files, each with a zero at its end.
static PATHS: [[AtomicU64; WORDS]; 2] = [const { [const { AtomicU64::new(0) }; WORDS] }; 2];

/// The files that hold the account, as positions in [`PATHS`].
#[derive(Clone, Copy)]
pub(crate) enum File {
    Account,
    /// The file on another file system, in which logs go on when the first is full.
    Spill,
}

/// Remembers the folder in which the account is. Returns `false` if its path is too long.
pub(crate) fn set_folder(folder: &[u8]) -> bool {
    for (path, name) in PATHS.iter().zip([layout::NAME, layout::SPILL]) {
        let parts = [folder, b"/", name.as_bytes()];
        if parts.iter().map(|part| part.len()).sum::<usize>() >= path.len() * 8 {
            return false;
        }
        for (at, byte) in parts.into_iter().flatten().enumerate() {
            path[at / 8].fetch_or(u64::from(*byte) << (at % 8 * 8), Relaxed);
        }
    }
    true
}

/// Opens a file for the time of `work`. Returns `None` if it cannot be opened.
///
/// No descriptor is kept: a program may close all of them.
pub(crate) fn with_file<T>(file: File, work: impl FnOnce(c_int) -> T) -> Option<T> {
    let path = (&raw const PATHS)
        .cast::<[AtomicU64; WORDS]>()
        .wrapping_add(file as usize);
    // SAFETY: a path with a zero at its end; the words are written once, before there are threads.
    let fd = unsafe { own_calls::open(path.cast::<c_char>(), sys::O_RDWR | sys::O_CLOEXEC, 0) };
    if fd < 0 {
        return None;
    }
    let result = work(fd);
    close_own(fd);
    Some(result)
}

/// Maps this process's table of statics. Returns its address and size, or `None` if it has none.
pub(crate) fn map_sites() -> Option<(*mut u8, usize)> {
    let mut path = [0_u8; WORDS * 8];
    for (place, word) in path.chunks_exact_mut(8).zip(&PATHS[File::Account as usize]) {
        place.copy_from_slice(&word.load(Relaxed).to_ne_bytes());
    }
    let folder = path.iter().position(|byte| *byte == 0)? - layout::NAME.len();
    let digits = sys::write_decimal(this_process::pid(), path.get_mut(folder..)?);
    let ending = path.get_mut(folder + digits..)?.get_mut(..=ENDING.len())?;
    ending.fill(0);
    ending.get_mut(..ENDING.len())?.copy_from_slice(ENDING.as_bytes());
    // SAFETY: a path with a zero at its end.
    let fd = unsafe { own_calls::open(path.as_ptr().cast(), sys::O_CLOEXEC, 0) };
    if fd < 0 {
        return None;
    }
    // SAFETY: our own descriptor, and fresh memory.
    let (size, map) = unsafe {
        let size = sys::lseek(fd, 0, sys::SEEK_END);
        let map = sys::mmap(
            core::ptr::null_mut(),
            size as usize,
            sys::PROT_READ,
            sys::MAP_PRIVATE,
            fd,
            0,
        );
        (size, map)
    };
    close_own(fd);
    (size > 0 && map != sys::MAP_FAILED).then_some((map.cast(), size as usize))
}

/// Allocates a part of a file: writing to a page that the file system cannot provide would end the program.
pub(crate) fn make_room(fd: c_int, from: u64, length: u64) -> bool {
    // A signal may interrupt it any number of times, but not forever.
    for _ in 0..1000 {
        // SAFETY: our own descriptor.
        match unsafe { sys::posix_fallocate(fd, from as i64, length as i64) } {
            sys::EINTR => {}
            answer => return answer == 0,
        }
    }
    false
}

/// Maps a part of a file, at `place` unless that is null.
pub(crate) fn map(fd: c_int, place: *mut c_void, size: u64, from: u64) -> *mut c_void {
    let fixed = if place.is_null() { 0 } else { sys::MAP_FIXED };
    // SAFETY: a mapping of our own file: at a place of the kernel's choice, or over a part of our own mapping in which
    // no record has been placed.
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

/// Maps the table and claims a slot for this process: the wanted one, or a new one if another process has it. Returns
/// its number.
pub(crate) fn claim(fd: c_int, wanted: u64) -> Option<u64> {
    let table = map(fd, core::ptr::null_mut(), layout::table(layout::MOST_SLOTS), 0);
    if table == sys::MAP_FAILED {
        return None;
    }
    TABLE.store(table.cast(), Relaxed);
    if count(header::MAGIC) != layout::MAGIC {
        TABLE.store(core::ptr::null_mut(), Relaxed);
        return None;
    }
    let recording = layout::word(State::Recording, Reason::None, this_process::pid());
    let is_wanted = slot(wanted).is_some_and(|slot| {
        let known = slot.load(Acquire);
        // A program may have survived the signal that was meant to end it.
        matches!(layout::state(known), State::Started | State::Ended)
            && slot.compare_exchange(known, recording, SeqCst, Relaxed).is_ok()
    });
    // A program that is not observed passes its parent's variables on to what it starts.
    let number = if is_wanted {
        wanted
    } else {
        take(State::Recording, Reason::None, &[])?
    };
    set(number, recording);
    OWN.store(number, Relaxed);
    Some(number)
}

/// Returns a word of the account's header.
fn header_word(place: usize) -> Option<&'static AtomicU64> {
    let table = TABLE.load(Relaxed).cast::<AtomicU64>();
    // SAFETY: the header lies at the mapping's beginning, aligned to a page, and is never unmapped.
    (!table.is_null() && place < layout::HEADER / 8).then(|| unsafe { &*table.add(place) })
}

/// Returns the number in a word of the account's header; 0 without an account.
fn count(place: usize) -> u64 {
    header_word(place).map_or(0, |word| word.load(Relaxed))
}

fn slot_word(number: u64, word: usize) -> Option<&'static AtomicU64> {
    let slots = header_word(header::SLOTS)?.load(Relaxed);
    let place = layout::table(number) as usize / 8 + word;
    // SAFETY: within the mapping, which holds all slots.
    (number < slots).then(|| unsafe { &*TABLE.load(Relaxed).cast::<AtomicU64>().add(place) })
}

/// Returns the first word of a slot: its state, and the process's number.
pub(crate) fn slot(number: u64) -> Option<&'static AtomicU64> {
    slot_word(number, 0)
}

/// Returns the second word of a slot: its flags.
pub(crate) fn flags(number: u64) -> Option<&'static AtomicU64> {
    slot_word(number, 1)
}

pub(crate) fn set(number: u64, word: u64) {
    if let Some(slot) = slot(number) {
        slot.store(word, SeqCst);
    }
}

/// Returns the number of this process's slot.
pub(crate) fn own() -> u64 {
    OWN.load(Relaxed)
}

/// Returns the position of a slot's log in its file.
pub(crate) fn log_position(number: u64) -> u64 {
    layout::log(count(header::SLOTS), number)
}

/// Returns the user who can open the account.
pub(crate) fn user() -> u32 {
    count(header::USER) as u32
}

/// Takes a slot for a program of that name. Returns `None` if all are taken, which the header's count shows.
pub(crate) fn take(state: State, reason: Reason, name: &[u8]) -> Option<u64> {
    const ROOM: usize = layout::SLOT - layout::TEXT;
    let number = match take_unused() {
        Some(number) => number,
        None => {
            let slots = header_word(header::SLOTS)?.load(Relaxed);
            let taken = header_word(header::CHILDREN)?.fetch_add(1, Relaxed);
            let number = slots.checked_sub(taken + 1)?;
            // A slot that cannot be allocated stays free, and the reader finds a start without a log.
            (taken < layout::READY || allocate(number)).then_some(number)?
        }
    };
    let name = name.get(name.len().saturating_sub(ROOM)..).unwrap_or_default();
    let (first, flags) = (slot(number)?, flags(number)?);
    let known = first.load(Relaxed);
    if !matches!(layout::state(known), State::Free | State::Void)
        || first
            .compare_exchange(known, layout::word(state, reason, 0), SeqCst, Relaxed)
            .is_err()
    {
        return None;
    }
    flags.store(0, Relaxed);
    let text = TABLE
        .load(Relaxed)
        .wrapping_add(layout::table(number) as usize + layout::TEXT);
    // SAFETY: the slot is ours, and the name is no longer than its place.
    unsafe {
        core::ptr::copy_nonoverlapping(name.as_ptr(), text, name.len());
        text.add(name.len()).write_bytes(0, ROOM - name.len());
    }
    Some(number)
}

/// Allocates a slot that was not allocated in advance.
fn allocate(number: u64) -> bool {
    let make_room = |fd| make_room(fd, layout::table(number), layout::SLOT as u64);
    this_process::may_call() && with_file(File::Account, make_room) == Some(true)
}

/// Returns the head of the list of unused slots with another first one.
fn head(known: u64, first: u64) -> u64 {
    (known >> 32).wrapping_add(1) << 32 | first
}

/// Takes a slot whose start failed. A search in `PATH` fails many times before it finds a program.
fn take_unused() -> Option<u64> {
    let list = header_word(header::UNUSED)?;
    loop {
        let known = list.load(Acquire);
        let number = (known & 0xffff_ffff).checked_sub(1)?;
        let next = flags(number)?.load(Relaxed);
        if list
            .compare_exchange(known, head(known, next), SeqCst, Relaxed)
            .is_ok()
        {
            return Some(number);
        }
    }
}

/// Gives back a slot whose start failed.
pub(crate) fn give_back(number: u64) {
    let (Some(list), Some(next)) = (header_word(header::UNUSED), flags(number)) else {
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

/// Returns the slots that observed processes took.
pub(crate) fn children() -> impl Iterator<Item = &'static AtomicU64> {
    let slots = count(header::SLOTS);
    let first = slots.saturating_sub(count(header::CHILDREN));
    (first..slots).filter_map(slot)
}
