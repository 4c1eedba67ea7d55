//! Signals that end programs, and the programs that they end before these have begun.
//!
//! A program that is ended before its observer could begin has done nothing that is missed. One that has begun without
//! its observer is lost, however it ends. What the loader has mapped when the signal is sent shows which it is.

use crate::account_layout::{self, Reason, State};
use crate::hooks::{file_calls, process_calls};
use crate::stack::work_memory;
use crate::sys::interpose::reals;
use crate::sys::{self, c_char, c_int, c_long};
use crate::{dispatch, log};
use core::sync::atomic::Ordering::Relaxed;

const SYS_READ: c_long = 0;
const SYS_GETPGID: c_long = 121;

pub(crate) mod real {
    use super::*;
    reals! {
        kill(target: c_int, signal: c_int) -> c_int;
    }
}

/// # Safety
/// That of libc's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kill(target: c_int, signal: c_int) -> c_int {
    // HUP, INT, QUIT, ABRT, KILL, TERM.
    let ends = matches!(signal, 1 | 2 | 3 | 6 | 9 | 15) && log::is_on() && log::is_free();
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

/// # Safety
/// That of libc's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn killpg(group: c_int, signal: c_int) -> c_int {
    if group < 0 {
        sys::set_errno(sys::EINVAL);
        return -1;
    }
    // SAFETY: the program's call, as libc makes it.
    unsafe { kill(-group, signal) }
}

/// Moves the programs that a signal is sent to from one state to the other, unless they have begun.
fn mark(target: c_int, from: State, to: State) {
    // SAFETY: no effect.
    let group = |pid: u32| unsafe { dispatch::real::syscall(SYS_GETPGID, pid as usize, 0, 0, 0, 0, 0) };
    for slot in log::children() {
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

/// Returns whether the loader of that process is at work, before the observer. `false` if that cannot be known.
#[inline(never)]
fn is_about_to_begin(pid: u32) -> bool {
    let mut name = *b"/proc/\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let digits = pid.checked_ilog10().unwrap_or(0) as usize + 1;
    let mut left = pid;
    for place in name.iter_mut().skip(6).take(digits).rev() {
        *place = b'0' + (left % 10) as u8;
        left /= 10;
    }
    for (place, byte) in name.iter_mut().skip(6 + digits).zip(b"/maps") {
        *place = *byte;
    }
    let Some(mut scratch) = work_memory::take() else {
        return false;
    };
    // SAFETY: a path with a zero at its end.
    let fd = unsafe { file_calls::real::open(name.as_ptr().cast::<c_char>(), sys::O_CLOEXEC, 0) };
    if fd < 0 {
        return false;
    }
    let found = look(fd, scratch.paths.as_flattened_mut());
    process_calls::close(fd);
    match found {
        // It has ended already.
        Found { any: false, .. } => false,
        Found {
            observer: true, mark, ..
        } => !mark,
        // The loader maps the observer before what the program itself needs.
        Found { libc, .. } => !libc,
    }
}

/// The files that are mapped into a process.
#[derive(Default)]
struct Found {
    any: bool,
    observer: bool,
    libc: bool,
    /// The page that [`leave_mark`] maps.
    mark: bool,
}

fn look(fd: c_int, buffer: &mut [u8]) -> Found {
    let mut found = Found::default();
    let mut kept = 0;
    while let Some(rest) = buffer.get_mut(kept..).filter(|rest| !rest.is_empty()) {
        let (at, room) = (rest.as_mut_ptr().addr(), rest.len());
        // SAFETY: our own memory.
        let got = unsafe { dispatch::real::syscall(SYS_READ, fd as usize, at, room, 0, 0, 0) };
        let Some(got) = usize::try_from(got).ok().filter(|got| *got > 0) else {
            break;
        };
        let end = kept + got;
        let known = buffer.get(..end).unwrap_or_default();
        let whole = known
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |at| at + 1);
        for line in known
            .get(..whole)
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
        buffer.copy_within(whole..end, 0);
        kept = end - whole;
    }
    found
}

/// Marks this process as one whose observer could not begin, where the account cannot be reached: by a page that
/// `/proc` shows to the process that sends a signal.
pub(crate) fn leave_mark() {
    // SAFETY: a new page, which is never touched.
    unsafe {
        let flags = sys::MAP_SHARED | sys::MAP_ANONYMOUS;
        sys::mmap(core::ptr::null_mut(), 4096, 0, flags, -1, 0);
    }
}
