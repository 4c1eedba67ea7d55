//! Where in the program a call comes from: return addresses, which the binary turns into source lines later.

use crate::dedupe::hash_of;
use crate::format::Kind;
use crate::log::{self, Entry};
use crate::stack::{modules, work_memory};
use core::sync::atomic::Ordering::Relaxed;
use core::sync::atomic::{AtomicU64, AtomicUsize};

/// Frames that are taken at most, without those of the observer.
pub(crate) const MOST: usize = 32;

static WANTED: AtomicUsize = AtomicUsize::new(0);

pub(crate) fn prepare(frames: usize) {
    WANTED.store(frames.min(MOST), Relaxed);
}

/// Stacks that were noted, by the place that their hash has found; a place and one is a stack's number.
static KNOWN: [AtomicU64; 1 << 14] = [const { AtomicU64::new(0) }; 1 << 14];

/// Returns the number of the calls that led here, which are noted when they are new; 0 if they are not. `always` is for
/// a record that is understood by its calls, whatever the user wants to see.
#[inline(never)]
pub(crate) fn number(always: bool) -> u32 {
    let wanted = if always { MOST } else { WANTED.load(Relaxed) };
    // A copy's stacks would get the numbers of others: it has a table of its own in the same log.
    if wanted == 0 || !log::is_first() || !log::is_free() {
        return 0;
    }
    let Some(mut scratch) = work_memory::take() else {
        return 0;
    };
    let scratch = &mut *scratch;
    let mut taken = 0;
    scratch.walk.run(|address| {
        if modules::is_own(address) {
            return true;
        }
        if let Some(place) = scratch.frames.get_mut(taken) {
            *place = address;
            taken += 1;
        }
        taken < wanted
    });
    match scratch.frames.get(..taken) {
        Some(frames) if taken > 0 => number_of(frames),
        _ => 0,
    }
}

fn number_of(frames: &[usize]) -> u32 {
    // SAFETY: numbers are bytes as well.
    let bytes = unsafe { core::slice::from_raw_parts(frames.as_ptr().cast::<u8>(), size_of_val(frames)) };
    let hash = hash_of(bytes);
    for probe in 0..PROBES {
        let place = hash.wrapping_add(probe) % KNOWN.len() as u64;
        let Some(known) = KNOWN.get(place as usize) else {
            return 0;
        };
        let number = place as u32 + 1;
        match known.compare_exchange(0, hash, Relaxed, Relaxed) {
            Ok(_) => {
                let mut entry = Entry::new(Kind::Stack, bytes);
                entry.value = u64::from(number);
                log::append(&entry, false);
                return number;
            }
            Err(there) if there == hash => return number,
            Err(_) => {}
        }
    }
    0
}

const PROBES: u64 = 32;
