//! Signals that end programs, some of them before the program has begun.
//!
//! A program that is ended before its observer could begin has made no access that is missed. One that has begun without
//! its observer is lost, however it ends. The files that the loader has mapped when the signal is sent tell these apart.

use crate::account_layout::{self, Reason, State};
use crate::hooks::signal_actions;
use crate::log::{self, account_slots};
use crate::stack::work_memory;
use crate::sys::interpose::real_functions;
use crate::sys::own_calls::{self, close_own, syscall};
use crate::sys::{self, c_char, c_int, c_long, nr};
use crate::this_process;
use core::sync::atomic::Ordering::Relaxed;

real_functions! {
    mod real;
    kill(target: c_int, signal: c_int) -> c_int;
}

/// # Safety
/// The contract of libc's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kill(target: c_int, signal: c_int) -> c_int {
    if is_sent_to_itself(target) {
        signal_actions::record_sent(signal);
    }
    // HUP, INT, QUIT, ABRT, KILL, TERM.
    let ends = matches!(signal, 1 | 2 | 3 | 6 | 9 | 15) && log::is_on() && this_process::may_call();
    let errno = sys::errno();
    if ends {
        mark(target, State::Started, State::Ended);
        sys::set_errno(errno);
    }
    // SAFETY: the program's call.
    let failed = unsafe { real::kill(target, signal) };
    if ends && failed != 0 {
        let errno = sys::errno();
        mark(target, State::Ended, State::Started);
        sys::set_errno(errno);
    }
    failed
}

/// Returns whether the sender is among the processes that a signal to this target reaches.
fn is_sent_to_itself(target: c_int) -> bool {
    match target {
        // All processes but the sender.
        -1 => false,
        0 => true,
        1.. => target.unsigned_abs() == this_process::pid(),
        _ => this_process::may_call() && group(0) == -c_long::from(target),
    }
}

/// Returns the process group of a process; 0 stands for the caller.
fn group(pid: u32) -> c_long {
    // SAFETY: no effect.
    unsafe { syscall(nr::GETPGID, [pid as usize]) }
}

/// # Safety
/// The contract of libc's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn killpg(group: c_int, signal: c_int) -> c_int {
    if group < 0 {
        sys::set_errno(sys::EINVAL);
        return -1;
    }
    // SAFETY: the program's call, as libc makes it.
    unsafe { kill(-group, signal) }
}

/// Changes the state of the programs that a signal is sent to from one to the other, unless they have begun.
fn mark(target: c_int, from: State, to: State) {
    for slot in account_slots::children() {
        let known = slot.load(Relaxed);
        let pid = account_layout::pid(known);
        if account_layout::state(known) != from || pid == 0 {
            continue;
        }
        let is_target = match target {
            -1 => true,
            0 => group(pid) == group(0),
            1.. => target == pid as c_int,
            _ => group(pid) == -c_long::from(target),
        };
        if is_target && (to == State::Started || is_about_to_begin(pid)) {
            let _ = slot.compare_exchange(
                known,
                account_layout::word(to, Reason::None, pid),
                Relaxed,
                Relaxed,
            );
        }
    }
}

/// Returns whether that process is still in its loader, before the observer. `false` if that cannot be found out.
#[inline(never)]
fn is_about_to_begin(pid: u32) -> bool {
    let mut name = *b"/proc/\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let digits = sys::write_decimal(pid, name.get_mut(6..).unwrap_or_default());
    for (place, byte) in name.iter_mut().skip(6 + digits).zip(b"/maps") {
        *place = *byte;
    }
    let Some(mut memory) = work_memory::take() else {
        return false;
    };
    // SAFETY: a path with a zero at its end.
    let fd = unsafe { own_calls::open(name.as_ptr().cast::<c_char>(), sys::O_CLOEXEC, 0) };
    if fd < 0 {
        return false;
    }
    let mapped = read_mapped(fd, memory.paths.as_flattened_mut());
    close_own(fd);
    match mapped {
        // It has ended already.
        MappedFiles { any: false, .. } => false,
        MappedFiles {
            observer: true, mark, ..
        } => !mark,
        // The loader maps the observer before the libraries that the program itself needs.
        MappedFiles { libc, .. } => !libc,
    }
}

/// The relevant files found among those mapped into a process.
#[derive(Default)]
struct MappedFiles {
    any: bool,
    observer: bool,
    libc: bool,
    /// The page that [`leave_mark`] maps.
    mark: bool,
}

fn read_mapped(fd: c_int, buffer: &mut [u8]) -> MappedFiles {
    let mut found = MappedFiles::default();
    let mut kept = 0;
    while let Some(rest) = buffer.get_mut(kept..).filter(|rest| !rest.is_empty()) {
        let (at, room) = (rest.as_mut_ptr().addr(), rest.len());
        // SAFETY: our own memory.
        let got = unsafe { syscall(nr::READ, [fd as usize, at, room]) };
        let Some(got) = usize::try_from(got).ok().filter(|got| *got > 0) else {
            break;
        };
        let end = kept + got;
        let known = buffer.get(..end).unwrap_or_default();
        let complete = known
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |at| at + 1);
        for line in known
            .get(..complete)
            .unwrap_or_default()
            .split(|byte| *byte == b'\n')
        {
            let name = line.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
            found.any |= !line.is_empty();
            found.observer |= line.ends_with(b"/observer.so");
            found.libc |= name.starts_with(b"libc.so") || name.starts_with(b"libc-");
            // Shared, and neither readable nor writable.
            found.mark |=
                line.ends_with(b"/dev/zero (deleted)") && line.windows(6).any(|part| part == b" ---s ");
        }
        buffer.copy_within(complete..end, 0);
        kept = end - complete;
    }
    found
}

/// Marks this process as one whose observer could not begin, because the account cannot be reached: by a page that
/// `/proc` shows to the process that sends a signal.
pub(crate) fn leave_mark() {
    // SAFETY: a new page, which is never touched.
    unsafe {
        let flags = sys::MAP_SHARED | sys::MAP_ANONYMOUS;
        sys::mmap(core::ptr::null_mut(), 4096, 0, flags, -1, 0);
    }
}
