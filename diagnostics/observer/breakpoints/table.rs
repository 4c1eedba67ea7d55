//! The table of sites and statics in memory.

use crate::log;
use crate::site_table::{COUNTED, HEADER, MAGIC, Site, Static};
use crate::sys::{self, own_calls};
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicPtr, AtomicUsize};

/// The address at which the program is loaded.
static PROGRAM: AtomicUsize = AtomicUsize::new(0);
static TABLE: AtomicPtr<u8> = AtomicPtr::new(core::ptr::null_mut());
static SITES: AtomicUsize = AtomicUsize::new(0);
static STATICS: AtomicUsize = AtomicUsize::new(0);
static POINTING: AtomicUsize = AtomicUsize::new(0);
static TEXTS: AtomicUsize = AtomicUsize::new(0);
static PUT_BACK_BEFORE: AtomicUsize = AtomicUsize::new(0);

/// Returns the address at which the program is loaded.
pub(crate) fn program() -> usize {
    PROGRAM.load(Relaxed)
}

/// Maps the table of this process, whose program is loaded at that address. Returns `false` if there is none, or it is
/// damaged.
pub(crate) fn read(program: usize) -> bool {
    PROGRAM.store(program, Relaxed);
    let Some((map, size)) = log::account_slots::map_sites() else {
        return false;
    };
    let word = |place: usize| {
        // SAFETY: the header lies in the mapping, which is aligned to a page.
        unsafe { map.cast::<u64>().add(place).read() }
    };
    if size < HEADER || word(0) != MAGIC {
        return false;
    }
    let [sites, statics, pointing, texts] = [1, 2, 3, 4].map(|place| word(place) as usize);
    let entries = || sites * size_of::<Site>() + statics * size_of::<Static>() + pointing * size_of::<u32>();
    let is_complete =
        sites.max(statics).max(pointing).max(texts) <= size && HEADER + entries() + texts == size;
    if is_complete {
        SITES.store(sites, Relaxed);
        STATICS.store(statics, Relaxed);
        POINTING.store(pointing, Relaxed);
        TEXTS.store(texts, Relaxed);
        PUT_BACK_BEFORE.store(word(5) as usize, Relaxed);
        TABLE.store(map, Release);
    }
    is_complete
}

fn part<T>(offset: usize, count: usize) -> &'static [T] {
    let table = TABLE.load(Acquire);
    if table.is_null() {
        return &[];
    }
    // SAFETY: `read` has checked the lengths, the parts are aligned to 4, any bytes are valid, and the mapping stays.
    unsafe { core::slice::from_raw_parts(table.add(offset).cast(), count) }
}

pub(crate) fn sites() -> &'static [Site] {
    part(HEADER, SITES.load(Relaxed))
}

/// Returns the number of the test before which statics are put back.
pub(crate) fn put_back_before() -> usize {
    PUT_BACK_BEFORE.load(Relaxed)
}

pub(crate) fn statics() -> &'static [Static] {
    part(
        HEADER + SITES.load(Relaxed) * size_of::<Site>(),
        STATICS.load(Relaxed),
    )
}

/// Returns the indices of the statics with a pointer to a lock or an atomic number.
fn pointing() -> &'static [u32] {
    part(
        HEADER + size_of_val(sites()) + size_of_val(statics()),
        POINTING.load(Relaxed),
    )
}

/// Returns the index of the site at an address in memory.
pub(crate) fn site_at(address: usize) -> Option<usize> {
    let address = u32::try_from(address.checked_sub(program())?).ok()?;
    sites().binary_search_by_key(&address, |site| site.address).ok()
}

/// Returns the index of the static that contains an address in memory.
pub(crate) fn static_at(address: usize) -> Option<usize> {
    let address = u32::try_from(address.checked_sub(program())?).ok()?;
    let after = statics().partition_point(|one| one.address <= address);
    let index = after.checked_sub(1)?;
    let one = statics().get(index)?;
    (address - one.address < one.size).then_some(index)
}

/// Returns the index of the static with a pointer to the value that contains an address in memory.
pub(crate) fn static_pointing_to(address: usize) -> Option<usize> {
    let points_there = |one: &Static| {
        let place = bytes_of(one).wrapping_add(one.pointer.into());
        if !place.addr().is_multiple_of(align_of::<usize>()) {
            return false;
        }
        // SAFETY: the program's own data, aligned. Another thread may write to it meanwhile.
        let pointer = unsafe { place.cast::<usize>().read_volatile() };
        let counts = if one.flags & COUNTED == 0 { 0 } else { COUNTS };
        pointer != 0 && (counts..usize::from(one.behind)).contains(&address.wrapping_sub(pointer))
    };
    let mut indices = pointing().iter().map(|index| *index as usize);
    indices.find(|index| statics().get(*index).is_some_and(points_there))
}

/// The size of an `Arc`'s two numbers.
const COUNTS: usize = 2 * size_of::<usize>();

/// Returns whether a static has a flag.
pub(crate) fn has(index: usize, flag: u16) -> bool {
    statics().get(index).is_some_and(|one| one.flags & flag != 0)
}

/// Returns the name of a static, and the source line of its declaration.
pub(crate) fn texts_of(index: usize) -> Option<(&'static [u8], &'static [u8])> {
    let one = statics().get(index)?;
    let from = HEADER + size_of_val(sites()) + size_of_val(statics()) + size_of_val(pointing());
    let texts: &[u8] = part(from, TEXTS.load(Relaxed));
    let text = texts.get(one.text as usize..)?;
    let name = usize::from(one.name_length);
    Some((
        text.get(..name)?,
        text.get(name..name + usize::from(one.line_length))?,
    ))
}

/// Returns a pointer to the first byte of a static.
pub(crate) fn bytes_of(one: &Static) -> *mut u8 {
    program().wrapping_add(one.address as usize) as *mut u8
}

/// Returns a pointer to the first byte of a site.
pub(crate) fn place_of(site: &Site) -> *mut u8 {
    program().wrapping_add(site.address as usize) as *mut u8
}

/// Makes the pages with sites writable as well. Returns `false` if the system refuses that.
pub(crate) fn make_writable() -> bool {
    const PAGE: usize = 4096;
    let mut next = 0;
    sites().iter().all(|site| {
        let page = place_of(site).addr() & !(PAGE - 1);
        if page < next {
            return true;
        }
        next = page + PAGE;
        let protection = sys::PROT_READ | sys::PROT_WRITE | sys::PROT_EXEC;
        // SAFETY: a page of the program's code, which stays readable and executable.
        unsafe { sys::mprotect(page as *mut _, PAGE, protection) == 0 }
    })
}

/// Returns whether each site has the byte that the table says.
pub(crate) fn fits() -> bool {
    sites().iter().all(|site| {
        // SAFETY: an address in the program's code, if the table is that of this program; otherwise not readable or
        // another byte.
        own_calls::is_readable(place_of(site).addr()) && unsafe { *place_of(site) == site.first }
    })
}
