//! The return addresses of the calls that led to a hook. The binary turns them into source lines later.

use crate::breakpoints::table;
use crate::log::{self, Record};
use crate::log_format::Kind;
use crate::stack::modules;
use crate::stack::work_memory::{self, MOST_FRAMES};
use crate::{hash, this_process};
use core::sync::atomic::Ordering::Relaxed;
use core::sync::atomic::{AtomicU64, AtomicUsize};

/// The number of frames to report.
static WANTED: AtomicUsize = AtomicUsize::new(0);

pub(crate) fn set_wanted(frames: usize) {
    WANTED.store(frames.min(MOST_FRAMES), Relaxed);
}

/// Hashes of the recorded stacks. A stack's number is its position and one.
static KNOWN: [AtomicU64; 1 << 14] = [const { AtomicU64::new(0) }; 1 << 14];
/// The number of positions to try.
const PROBES: u64 = 32;

/// Returns the number of the current stack, and records the stack if it is new; 0 if it is not recorded. `always` is for
/// a record whose meaning depends on its stack, whatever the user wants to see.
#[inline(never)]
pub(crate) fn number(always: bool) -> u32 {
    let wanted = if always { MOST_FRAMES } else { WANTED.load(Relaxed) };
    // A forked copy has a table of its own for the same log: its stacks would get the numbers of others.
    if wanted == 0 || !this_process::is_original() || !this_process::may_call() {
        return 0;
    }
    let Some(mut memory) = work_memory::take() else {
        return 0;
    };
    let memory = &mut *memory;
    let mut taken = 0;
    memory.walk.run(|address, is_return| {
        if modules::is_own(address) {
            return true;
        }
        if let Some(place) = memory.frames.get_mut(taken) {
            // The reader goes back from a return address; the address of an access is exact.
            *place = address + usize::from(!is_return && table::site_at(address).is_some());
            taken += 1;
        }
        taken < wanted
    });
    match memory.frames.get(..taken) {
        Some(frames) if taken > 0 => number_of(frames),
        _ => 0,
    }
}

fn number_of(frames: &[usize]) -> u32 {
    // SAFETY: numbers are bytes as well.
    let bytes = unsafe { core::slice::from_raw_parts(frames.as_ptr().cast::<u8>(), size_of_val(frames)) };
    let hash = hash::of(bytes);
    for probe in 0..PROBES {
        let place = hash.wrapping_add(probe) % KNOWN.len() as u64;
        let Some(known) = KNOWN.get(place as usize) else {
            return 0;
        };
        let number = place as u32 + 1;
        match known.compare_exchange(0, hash, Relaxed, Relaxed) {
            Ok(_) => {
                let mut record = Record::new(Kind::Stack, bytes);
                record.value = u64::from(number);
                log::write(&record, 0, 0);
                return number;
            }
            Err(there) if there == hash => return number,
            Err(_) => {}
        }
    }
    0
}
