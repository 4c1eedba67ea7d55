//! Uses of static variables: SIGTRAP reports that a thread has reached a breakpoint. The access is recorded, and the
//! instruction is executed from a copy, so that the breakpoint stays for the other tests that run.

use crate::breakpoints::{self, copies, table};
use crate::hooks::{signal_masks, signal_stacks};
use crate::log::{self, Record};
use crate::log_format::{self, Kind, RUN, header};
use crate::recording::{self, ReentrancyGuard};
use crate::site_table::{
    ACCESS, ATTEMPT, BEHIND_ARGUMENT, EMPTY, GUARD, IN_ARGUMENT, LAZY, LOCK, LOCK_BEHIND, RELEASE, Site,
    WRITE,
};
use crate::stack::modules;
use crate::sys::processor::register::{ARGUMENTS, COUNTER};
use crate::sys::{self, c_int};
use crate::{hold, selector, static_bytes, static_locks, this_process, thread};
use core::sync::atomic::Ordering::Relaxed;

/// The code of a SIGTRAP from a breakpoint instruction.
const SI_KERNEL: c_int = 0x80;

/// Prepares the observation of statics if this process has a table of them. The log says whether they are observed.
pub(crate) fn begin() {
    if !this_process::is_test() || !table::read(modules::program()) {
        return;
    }
    static_bytes::prepare();
    if table::sites().is_empty() {
        // The program has no statics that tests could share, or their uses are not wanted.
        log::set(header::MEMORY, log_format::MEMORY_SEEN);
        return;
    }
    if this_process::is_traced() {
        log::set(header::MEMORY, log_format::MEMORY_TRACED);
        return;
    }
    let handler = on_sigtrap as *const () as usize;
    let is_on = selector::is_on() && breakpoints::prepare() && signal_masks::install_trap(handler);
    if is_on {
        signal_stacks::begin();
        breakpoints::enable();
    }
    let state = if is_on {
        log_format::MEMORY_SEEN
    } else {
        log_format::MEMORY_REFUSED
    };
    log::set(header::MEMORY, state);
}

/// The handler of SIGTRAP.
///
/// # Safety
/// Called by the kernel.
unsafe extern "C" fn on_sigtrap(signal: c_int, info: *mut c_int, context: *mut usize) {
    // SAFETY: the kernel's own description of the signal and of the registers.
    unsafe {
        let at = (*context.add(COUNTER)).wrapping_sub(1);
        let site = table::site_at(at).filter(|_| *info.add(signal_masks::CODE) == SI_KERNEL);
        let Some((index, site)) = site.and_then(|index| Some((index, table::sites().get(index)?))) else {
            signal_masks::forward(signal, info, context.cast());
            return;
        };
        let errno = sys::errno();
        // A walk of the stack starts there.
        *context.add(COUNTER) = at;
        // Another process may share this memory, or have a copy of it. Its accesses are no test's.
        let stays = !this_process::is_itself() || {
            let is_news = record(
                index,
                site,
                [*context.add(ARGUMENTS[0]), *context.add(ARGUMENTS[1])],
            );
            let lose = || static_locks::lose(index, site);
            breakpoints::reported(index, site, is_news, hold::is_requested(), lose)
        };
        if stays {
            *context.add(COUNTER) = copies::of(index);
        }
        sys::set_errno(errno);
    }
}

/// Records the access, unless the thread works for no test, its test has made the access before, the static is not in the
/// table, or pauses at something else are requested. Returns whether it did.
#[inline(never)]
fn record(index: usize, site: &Site, arguments: [usize; 2]) -> bool {
    if matches!(thread::current().test.load(Relaxed), 0 | RUN) {
        return false;
    }
    let Some(_guard) = ReentrancyGuard::enter() else {
        return false;
    };
    if site.how & (ATTEMPT | RELEASE) != 0 {
        return static_locks::record(index, site, arguments);
    }
    let [argument, _] = arguments;
    let found = match site.how & (IN_ARGUMENT | BEHIND_ARGUMENT) {
        0 => Some(site.target as usize),
        // A lazy static sets the number inside it by other methods: a store is one to its value.
        IN_ARGUMENT => match table::static_at(argument) {
            Some(found) => Some(found).filter(|found| {
                !table::has(*found, LOCK) || (table::has(*found, LAZY) && site.how & ACCESS == WRITE)
            }),
            None => table::static_pointing_to(argument).filter(|found| !table::has(*found, LOCK_BEHIND)),
        },
        _ => static_locks::word_at(argument)
            .and_then(|lock| table::static_at(lock).or_else(|| table::static_pointing_to(lock))),
    };
    let Some(found) = found else {
        return false;
    };
    let Some((name, line)) = table::texts_of(found) else {
        return false;
    };
    let is_new_lock = table::has(found, GUARD) && static_locks::used(name);
    if table::has(found, EMPTY) {
        return is_new_lock;
    }
    static_bytes::used(found, site.how);
    let mut record = Record::new(Kind::UseStatic, name);
    record.second = [&[], line];
    record.value = u64::from(site.how & ACCESS);
    // While tests pause at one static, the uses of others would fill the log.
    if hold::is_requested() && !hold::is_target(&record) {
        return false;
    }
    recording::access(&record)
}
