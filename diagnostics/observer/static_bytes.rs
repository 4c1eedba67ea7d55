//! The bytes of statics while tests run one after the other. At a test's end they are compared with those at its start, which
//! shows writes that no breakpoint reports. Before a test, the bytes from before the first test can be restored.
//!
//! The table lists these statics. Once two tests overlap, both stop for the rest of the process.

use crate::breakpoints::table;
use crate::log::Record;
use crate::log_format::Kind;
use crate::recording;
use crate::site_table::{ACCESS, CHANGED, COMPARED, COUNT, LAZY, PUT_BACK, READ, Static, WRITE};
use crate::sys::mapped_memory::Memory;
use core::sync::atomic::Ordering::Relaxed;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicUsize};

/// Cleared when a test begins while another one runs.
static IS_ON: AtomicBool = AtomicBool::new(false);
static RUNNING: AtomicUsize = AtomicUsize::new(0);
/// The number of tests that have begun.
static BEGUN: AtomicUsize = AtomicUsize::new(0);
/// One byte for each static with its uses by the current test, then the statics' bytes before the first test, then those at
/// the start of the current one.
static MEMORY: AtomicPtr<u8> = AtomicPtr::new(core::ptr::null_mut());

/// The current test has read the static ([`USED`]), or a breakpoint has reported a write ([`WRITTEN`]).
const USED: u8 = 1;
const WRITTEN: u8 = 2;

/// Allocates the memory if the table asks for comparing or putting back.
pub(crate) fn prepare() {
    let statics = table::statics();
    let is_wanted = statics.iter().any(|one| one.flags & (COMPARED | PUT_BACK) != 0);
    if is_wanted && let Some(memory) = Memory::allocate(statics.len() + 2 * total()) {
        MEMORY.store(memory.at, Relaxed);
        core::mem::forget(memory);
        IS_ON.store(true, Relaxed);
    }
}

/// Returns the total size of the statics whose bytes are kept.
fn total() -> usize {
    table::statics().iter().map(kept_size).sum()
}

fn kept_size(one: &Static) -> usize {
    if one.flags & (COMPARED | PUT_BACK) == 0 {
        0
    } else {
        one.size as usize
    }
}

/// Iterates over the statics with one of these flags: the index, the static, and the address of its kept bytes.
fn kept(flags: u16) -> impl Iterator<Item = (usize, &'static Static, *mut u8)> {
    let start = MEMORY.load(Relaxed).wrapping_add(table::statics().len());
    let mut offset = 0;
    let with_place = table::statics().iter().enumerate().map(move |(index, one)| {
        let place = start.wrapping_add(offset);
        offset += kept_size(one);
        (index, one, place)
    });
    with_place.filter(move |(_, one, _)| one.flags & flags != 0)
}

fn uses_of(index: usize) -> Option<&'static AtomicU8> {
    let memory = MEMORY.load(Relaxed);
    // SAFETY: the memory begins with a byte for each static, and is never freed.
    (!memory.is_null() && index < table::statics().len())
        .then(|| unsafe { AtomicU8::from_ptr(memory.add(index)) })
}

/// Called on the thread of a test that begins. One that begins within another test on its thread is a part of that one; `within`
/// is the number of that other test, or 0.
pub(crate) fn test_begins(within: u32) {
    if within != 0 || !IS_ON.load(Relaxed) {
        return;
    }
    let begun = BEGUN.fetch_add(1, Relaxed) + 1;
    if RUNNING.fetch_add(1, Relaxed) != 0 {
        IS_ON.store(false, Relaxed);
        return;
    }
    if begun == 1 {
        for (_, one, place) in kept(PUT_BACK) {
            // SAFETY: the program's own data, and memory of that size. No test has run yet.
            unsafe { core::ptr::copy_nonoverlapping(table::bytes_of(one), place, one.size as usize) };
        }
    } else if begun == table::put_back_before() {
        kept(PUT_BACK).for_each(|(index, one, place)| put_back(index, one, place));
    }
    let of_test = total();
    for (index, one, place) in kept(COMPARED) {
        if let Some(uses) = uses_of(index) {
            uses.store(0, Relaxed);
        }
        let start = place.wrapping_add(of_test);
        // SAFETY: as above, but a thread that an earlier test left may write meanwhile.
        unsafe { core::ptr::copy_nonoverlapping(table::bytes_of(one), start, one.size as usize) };
    }
}

fn put_back(index: usize, one: &Static, place: *const u8) {
    // SAFETY: the bytes that this static had before the first test. Only a thread that a test left may use it meanwhile.
    unsafe { core::ptr::copy_nonoverlapping(place, table::bytes_of(one), one.size as usize) };
    if let Some((name, line)) = table::texts_of(index) {
        let mut record = Record::new(Kind::PutBack, name);
        record.second = [&[], line];
        recording::append(&record, false);
    }
}

/// Notes a use by the current test. `how` is that of the site.
pub(crate) fn used(index: usize, how: u8) {
    if IS_ON.load(Relaxed)
        && let Some(uses) = uses_of(index)
    {
        let how = match how & ACCESS {
            WRITE => WRITTEN,
            // A counter changes with each use, which no test is taken to depend on.
            COUNT => 0,
            _ => USED,
        };
        uses.fetch_or(how, Relaxed);
    }
}

/// Called on the thread of a test that ends. Changed bytes count as a write by the test only if it has used the static:
/// otherwise a thread of an earlier test has written to it.
pub(crate) fn test_ends(within: u32) {
    if within != 0 || !IS_ON.load(Relaxed) {
        return;
    }
    RUNNING.fetch_sub(1, Relaxed);
    let of_test = total();
    for (index, one, place) in kept(COMPARED) {
        let is_read_only = uses_of(index).is_some_and(|uses| uses.load(Relaxed) == USED);
        if !is_read_only || is_same(one, place.wrapping_add(of_test)) {
            continue;
        }
        if let Some((name, line)) = table::texts_of(index) {
            let access = if one.flags & LAZY == 0 { WRITE } else { READ };
            let mut record = Record::new(Kind::UseStatic, name);
            record.second = [&[], line];
            record.value = u64::from(access | CHANGED);
            recording::append(&record, false);
        }
    }
}

fn is_same(one: &Static, before: *const u8) -> bool {
    let now = table::bytes_of(one);
    // SAFETY: the program's own data, and its copy of the same size. A thread that the test left may write to it meanwhile.
    (0..one.size as usize).all(|at| unsafe { now.add(at).read_volatile() == before.add(at).read() })
}
