//! Accesses to static variables: a breakpoint at each instruction that uses one. SIGTRAP reports the access, and the
//! instruction is executed from a copy, so that the breakpoint stays for the other tests that run.
//!
//! Breakpoints are set when a test begins, and removed one by one when they have nothing new to report.

mod copies;
pub(crate) mod table;

use crate::hooks::{signal_masks, signal_stacks};
use crate::log::{self, Record};
use crate::log_format::{self, Kind, RUN, header};
use crate::recording::{self, ReentrancyGuard};
use crate::site_table::{ACCESS, BEHIND_ARGUMENT, IN_ARGUMENT, Site};
use crate::sys::own_calls::is_readable;
use crate::sys::{self, c_int};
use crate::{selector, this_process, thread};
use core::sync::atomic::Ordering::{Acquire, Relaxed, SeqCst};
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU32};

const BREAKPOINT: u8 = 0xcc;
/// The code of a SIGTRAP from a breakpoint instruction.
const SI_KERNEL: c_int = 0x80;
/// Registers in a `ucontext_t`, by their places in words.
const RDI: usize = 13;
const RIP: usize = 21;

/// The reports of a site that bring nothing new before its breakpoint is removed.
const MOST_REPEATS: u8 = 16;
/// How often that number is halved for a site that never brings anything new.
const MOST_HALVINGS: u8 = 4;

/// Set while breakpoints may be set.
static IS_ON: AtomicBool = AtomicBool::new(false);
/// The number of tests that run.
static RUNNING: AtomicU32 = AtomicU32::new(0);
/// The state of each site.
static STATES: AtomicPtr<SiteState> = AtomicPtr::new(core::ptr::null_mut());

/// What a site has reported since its breakpoint was set.
struct SiteState {
    /// Reports with something new, about as many as tests.
    news: AtomicU8,
    repeats: AtomicU8,
    /// How often the number of repeats was reached without any news.
    halvings: AtomicU8,
}

/// Prepares the observation of statics if this process has a table of them. The log says whether they are observed.
pub(crate) fn begin() {
    if !this_process::is_test() || !table::read() {
        return;
    }
    if table::sites().is_empty() {
        // The program has no statics that tests could share.
        log::set(header::MEMORY, log_format::MEMORY_SEEN);
        return;
    }
    let handler = on_sigtrap as *const () as usize;
    let is_on = selector::is_on()
        && table::fits()
        && allocate_states()
        && copies::make()
        && table::make_writable()
        && signal_masks::install_trap(handler);
    if is_on {
        signal_stacks::begin();
    }
    IS_ON.store(is_on, SeqCst);
    let state = if is_on {
        log_format::MEMORY_SEEN
    } else {
        log_format::MEMORY_REFUSED
    };
    log::set(header::MEMORY, state);
}

fn allocate_states() -> bool {
    let size = table::sites().len() * size_of::<SiteState>();
    let (protection, flags) = (
        sys::PROT_READ | sys::PROT_WRITE,
        sys::MAP_PRIVATE | sys::MAP_ANONYMOUS,
    );
    // SAFETY: fresh memory.
    let found = unsafe { sys::mmap(core::ptr::null_mut(), size.max(1), protection, flags, -1, 0) };
    if found != sys::MAP_FAILED {
        STATES.store(found.cast(), Relaxed);
    }
    found != sys::MAP_FAILED
}

fn state_of(site: usize) -> Option<&'static SiteState> {
    let states = STATES.load(Relaxed);
    // SAFETY: there is a state for each site, zeros are valid, and the memory stays.
    (!states.is_null() && site < table::sites().len()).then(|| unsafe { &*states.add(site) })
}

/// Returns the first byte of a site.
fn first_byte(site: &Site) -> &'static AtomicU8 {
    // SAFETY: a byte of the program's code, writable since `begin`.
    unsafe { AtomicU8::from_ptr(table::place_of(site)) }
}

/// Sets a breakpoint, unless the program has changed its code there.
fn set_breakpoint(site: &Site) {
    replace(site, site.first, BREAKPOINT);
}

fn remove_breakpoint(site: &Site) {
    replace(site, BREAKPOINT, site.first);
}

fn replace(site: &Site, expected: u8, new: u8) {
    let byte = first_byte(site);
    // An attempt to write costs threads that execute the code.
    if byte.load(Relaxed) == expected {
        let _ = byte.compare_exchange(expected, new, Relaxed, Relaxed);
    }
}

/// Sets all breakpoints for a test that begins.
pub(crate) fn test_begins() {
    if !IS_ON.load(Acquire) {
        return;
    }
    RUNNING.fetch_add(1, Relaxed);
    for (index, site) in table::sites().iter().enumerate() {
        if let Some(state) = state_of(index) {
            state.news.store(0, Relaxed);
            state.repeats.store(0, Relaxed);
        }
        set_breakpoint(site);
    }
    // Another thread may have ended the observation meanwhile.
    if !IS_ON.load(SeqCst) {
        table::sites().iter().for_each(remove_breakpoint);
    }
}

pub(crate) fn test_ends() {
    if IS_ON.load(Relaxed) {
        RUNNING.fetch_sub(1, Relaxed);
    }
}

/// Ends the observation of statics for good.
pub(crate) fn stop() {
    if IS_ON.swap(false, SeqCst) {
        table::sites().iter().for_each(remove_breakpoint);
        if this_process::is_original() {
            log::set(header::MEMORY, log_format::MEMORY_ENDED);
        }
    }
}

/// Called in a forked copy of the process, whose statics no test shares.
pub(crate) fn forked() {
    if IS_ON.swap(false, SeqCst) {
        table::sites().iter().for_each(remove_breakpoint);
    }
}

/// Returns whether the address is that of an instruction with a breakpoint, and not that after a call.
pub(crate) fn is_site(address: usize) -> bool {
    table::site_at(address).is_some()
}

/// Replaces an address in a copy by the original one in the description of an interrupted place, which a handler of the
/// program's is about to see. The instruction is then executed at its original place, or has been executed.
///
/// # Safety
/// `context` is the kernel's.
pub(crate) unsafe fn show_original_place(context: *mut usize) {
    // SAFETY: the caller's promise.
    unsafe { *context.add(RIP) = copies::original(*context.add(RIP)) };
}

/// The handler of SIGTRAP.
///
/// # Safety
/// Called by the kernel.
unsafe extern "C" fn on_sigtrap(signal: c_int, info: *mut c_int, context: *mut usize) {
    // SAFETY: the kernel's own description of the signal and of the registers.
    unsafe {
        let at = (*context.add(RIP)).wrapping_sub(1);
        let site = table::site_at(at).filter(|_| *info.add(signal_masks::CODE) == SI_KERNEL);
        let Some((index, site)) = site.and_then(|index| Some((index, table::sites().get(index)?))) else {
            signal_masks::forward(signal, info, context.cast());
            return;
        };
        let errno = sys::errno();
        // The stack is read from here on.
        *context.add(RIP) = at;
        let stays = report(index, site, *context.add(RDI));
        if stays {
            *context.add(RIP) = copies::of(index);
        }
        sys::set_errno(errno);
    }
}

/// Records the access at a site. Returns whether the breakpoint stays; otherwise it is removed.
#[inline(never)]
fn report(index: usize, site: &Site, argument: usize) -> bool {
    let Some(state) = state_of(index) else {
        return true;
    };
    // Another process may share this memory, or have a copy of it. Its accesses are no test's.
    if !this_process::is_itself() {
        return true;
    }
    let is_news = record(site, argument);
    let stays = if is_news {
        let news = state.news.fetch_add(1, Relaxed).saturating_add(1);
        state.halvings.store(0, Relaxed);
        site.how & (IN_ARGUMENT | BEHIND_ARGUMENT) != 0 || u32::from(news) < RUNNING.load(Relaxed)
    } else {
        let repeats = state.repeats.fetch_add(1, Relaxed).saturating_add(1);
        let halvings = state.halvings.load(Relaxed);
        let stays = repeats < MOST_REPEATS >> halvings;
        if !stays && state.news.load(Relaxed) == 0 && halvings < MOST_HALVINGS {
            state.halvings.store(halvings + 1, Relaxed);
        }
        stays
    };
    if !stays {
        remove_breakpoint(site);
    }
    stays && IS_ON.load(Relaxed)
}

/// Records the access, unless the test has made it before or the static is not in the table. Returns whether it did.
fn record(site: &Site, argument: usize) -> bool {
    if matches!(thread::current().test.load(Relaxed), 0 | RUN) {
        return false;
    }
    let Some(_guard) = ReentrancyGuard::enter() else {
        return false;
    };
    let found = match site.how & (IN_ARGUMENT | BEHIND_ARGUMENT) {
        0 => Some(site.target as usize),
        IN_ARGUMENT => table::static_at(argument).filter(|found| !table::is_lock(*found)),
        // SAFETY: readable, and aligned as a guard's pointer is.
        _ if argument.is_multiple_of(8) && is_readable(argument) => {
            table::static_at(unsafe { *(argument as *const usize) })
        }
        _ => None,
    };
    let Some((name, line)) = found.and_then(table::texts_of) else {
        return false;
    };
    let mut record = Record::new(Kind::UseStatic, name);
    record.second = [&[], line];
    record.value = u64::from(site.how & ACCESS);
    recording::access(&record)
}
