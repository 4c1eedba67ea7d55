//! Copies of the instructions at the sites, each with a jump to the instruction after the original. So a site keeps its
//! breakpoint while threads execute its instruction.

use crate::breakpoints::table;
use crate::site_table::Site;
use crate::sys;
use core::sync::atomic::AtomicUsize;
use core::sync::atomic::Ordering::{Relaxed, Release};

/// An instruction of at most 15 bytes, and a jump of 5.
const SIZE: usize = 24;
const JUMP: u8 = 0xe9;

/// The address of the first copy; 0 if there are none.
static START: AtomicUsize = AtomicUsize::new(0);

/// Makes the copies, near enough to the program that it can be reached from them. Returns `false` if there is no room.
pub(crate) fn make() -> bool {
    let sites = table::sites();
    let size = (sites.len() * SIZE).next_multiple_of(4096);
    let Some(memory) = allocate(size) else {
        return false;
    };
    let is_made = sites.iter().enumerate().all(|(index, site)| {
        // SAFETY: the copy's bytes in our own memory, which is writable.
        unsafe { make_copy(site, memory.wrapping_add(index * SIZE)) }.is_some()
    });
    // SAFETY: our own memory.
    let is_done =
        is_made && unsafe { sys::mprotect(memory.cast(), size, sys::PROT_READ | sys::PROT_EXEC) == 0 };
    if is_done {
        START.store(memory.addr(), Release);
    }
    is_done
}

/// Returns memory below the program, or above it where there is none.
fn allocate(size: usize) -> Option<*mut u8> {
    const STEP: usize = 16 << 20;
    const MOST: usize = 1 << 30;
    let program = table::program() + table::sites().first().map_or(0, |site| site.address as usize);
    let program = program & !4095;
    let below = (1..).map(|step| program.checked_sub(size + step * STEP));
    let above = (8..).map(|step| program.checked_add(step * STEP));
    let near =
        |place: &Option<usize>| place.is_some_and(|place| place.abs_diff(program) < MOST && place > 1 << 16);
    let places = below.take_while(near).chain(above.take_while(near)).flatten();
    let (protection, flags) = (
        sys::PROT_READ | sys::PROT_WRITE,
        sys::MAP_PRIVATE | sys::MAP_ANONYMOUS | sys::MAP_FIXED_NOREPLACE,
    );
    places.into_iter().find_map(|place| {
        // SAFETY: fresh memory that replaces none.
        let found = unsafe { sys::mmap(place as *mut _, size, protection, flags, -1, 0) };
        if found != sys::MAP_FAILED && found.addr() != place {
            // A kernel before 4.17 takes the place for a hint.
            // SAFETY: the memory that was just made.
            unsafe { sys::munmap(found, size) };
            return None;
        }
        (found != sys::MAP_FAILED).then_some(found.cast())
    })
}

/// # Safety
/// `copy` has [`SIZE`] bytes that can be written.
unsafe fn make_copy(site: &Site, copy: *mut u8) -> Option<()> {
    let (original, length) = (table::place_of(site), usize::from(site.length));
    let next = original.addr().checked_add(length)?;
    let distance = |to: usize, from: usize| i32::try_from(to as i64 - from as i64).ok();
    let displaced = if site.displacement == 0 {
        0
    } else {
        usize::from(site.displacement) + size_of::<i32>()
    };
    if length == 0 || length > 15 || displaced > length {
        return None;
    }
    // SAFETY: the instruction, which `table::fits` has compared, and the caller's promise.
    unsafe {
        core::ptr::copy_nonoverlapping(original, copy, length);
        if site.displacement != 0 {
            let place = copy.add(site.displacement.into()).cast::<i32>();
            let target = next.wrapping_add_signed(place.read_unaligned() as isize);
            place.write_unaligned(distance(target, copy.addr() + length)?);
        }
        copy.add(length).write(JUMP);
        let after = copy.add(length + 1).cast::<i32>();
        after.write_unaligned(distance(next, copy.addr() + length + 5)?);
    }
    Some(())
}

/// Returns the address of the copy of a site's instruction.
pub(crate) fn of(site: usize) -> usize {
    START.load(Relaxed) + site * SIZE
}

/// Returns the address in the program that an address in a copy stands for: that of the instruction, or that of the next
/// one if the instruction has been executed. Returns other addresses unchanged.
pub(crate) fn original(address: usize) -> usize {
    let start = START.load(Relaxed);
    let offset = address.wrapping_sub(start);
    match table::sites().get(offset / SIZE) {
        Some(site) if start != 0 => {
            let place = table::place_of(site).addr();
            if offset.is_multiple_of(SIZE) {
                place
            } else {
                place + usize::from(site.length)
            }
        }
        _ => address,
    }
}
