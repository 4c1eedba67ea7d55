//! Raw system calls: those that a program makes by an instruction of its own or by libc's `syscall`.
//!
//! The kernel's Syscall User Dispatch reports every such instruction outside of libc's code by SIGSYS. The handler makes
//! the call on behalf of the program and records it.

use crate::calls::{self, Call};
use crate::hooks::{kill_calls, process_calls, signal_masks, signal_stacks, wait_calls};
use crate::log_format::{self, header};
use crate::selector::{self, PR_SET_SYSCALL_USER_DISPATCH};
use crate::stack::modules;
use crate::sys::own_calls::{self, is_readable};
use crate::sys::processor::{self, CALL_SIZE, register};
use crate::sys::{self, c_int, c_long, c_void, nr};
use crate::{hold, log, recording, this_process, thread};
use core::sync::atomic::AtomicPtr;
use core::sync::atomic::Ordering::Relaxed;

const PR_SET_SECCOMP: c_int = 22;
/// The code of a SIGSYS that Syscall User Dispatch sends.
const SYS_USER_DISPATCH: c_int = 2;

/// The address of libc's `syscall`, once the constructor has found it: the short way for calls that are not recorded.
static SYSCALL: AtomicPtr<c_void> = AtomicPtr::new(core::ptr::null_mut());

/// Installs the handler and arms the only thread, if raw calls are to be recorded. The log says whether they are.
pub(crate) fn begin(is_wanted: bool) {
    // SAFETY: looked up by name.
    let found = unsafe { sys::dlsym(sys::RTLD_NEXT, c"syscall".as_ptr()) };
    SYSCALL.store(found, Relaxed);
    let state = if !is_wanted {
        log_format::RAW_OFF
    } else if !processor::REPORTS_CALLS
        || !has_one_libc()
        || !signal_masks::install(on_sigsys as *const () as usize)
    {
        log_format::RAW_REFUSED
    } else {
        signal_masks::unblock();
        if selector::begin() {
            log_format::RAW_SEEN
        } else {
            log_format::RAW_REFUSED
        }
    };
    log::set(header::RAW, state);
}

/// Returns whether libc includes the threads library, as it does since glibc 2.34. The older library makes system calls
/// with all signals blocked.
fn has_one_libc() -> bool {
    // SAFETY: libc's own text.
    let version = unsafe { sys::text(sys::gnu_get_libc_version()) };
    let mut parts = version.split(|byte| *byte == b'.').map(|part| {
        part.iter()
            .take_while(|digit| digit.is_ascii_digit())
            .fold(0_u32, |number, digit| number * 10 + u32::from(digit - b'0'))
    });
    (parts.next(), parts.next()) >= (Some(2), Some(34)) && modules::libc().0 != 0
}

/// Returns whether a program restricts its own system calls with this option of `prctl`.
fn restricts_calls(option: c_int) -> bool {
    matches!(option, PR_SET_SECCOMP | PR_SET_SYSCALL_USER_DISPATCH)
}

/// # Safety
/// The contract of libc's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn prctl(option: c_int, a: usize, b: usize, c: usize, d: usize) -> c_int {
    if restricts_calls(option) {
        selector::stop();
    }
    // SAFETY: the program's call.
    unsafe { selector::real::prctl(option, a, b, c, d) }
}

/// The hook of `syscall`. Its usual call is a futex operation, which must not become slower; and a call that acts on its
/// caller's stack must not be made from a frame of ours.
///
/// # Safety
/// The contract of libc's function.
#[unsafe(no_mangle)]
#[unsafe(naked)]
pub unsafe extern "C" fn syscall() {
    processor::syscall_hook!(recorded_syscall, SYSCALL, hold::RECORDS_WAITS)
}

/// # Safety
/// That of libc's `syscall`: arguments that a call does not have are arbitrary.
unsafe extern "C" fn recorded_syscall(
    number: c_long,
    a: usize,
    b: usize,
    c: usize,
    d: usize,
    e: usize,
    f: usize,
) -> c_long {
    let call = Call {
        number,
        arguments: [a, b, c, d, e, f],
    };
    // SAFETY: the program's call.
    unsafe {
        let result = make(&call);
        calls::after(&call, result);
        result
    }
}

/// Makes the call on behalf of the program. Returns as libc does: -1, and the reason in `errno`.
///
/// # Safety
/// The program asked for this call.
unsafe fn make(call: &Call) -> c_long {
    // SAFETY: the program's call.
    unsafe {
        if call.is_of_signals() {
            return make_signal_call(call);
        }
        let [a, b, c, d, e, _] = call.arguments;
        match call.number {
            nr::EXECVE => {
                return process_calls::execve(a as *const _, b as *const _, c as *const _).into();
            }
            nr::EXECVEAT => {
                let (path, arguments, variables) = (b as *const _, c as *const _, d as *const _);
                return process_calls::execveat(a as c_int, path, arguments, variables, e as c_int).into();
            }
            nr::SIGALTSTACK => return signal_stacks::change(a as *const _, b as *mut _).into(),
            nr::KILL => return kill_calls::kill(a as c_int, b as c_int).into(),
            nr::WAIT4 => wait_calls::before_wait(a as c_int),
            nr::WAITID => wait_calls::before_waitid(a as c_int, b as u32, d as c_int),
            nr::FUTEX => recording::futex_wait(b),
            nr::SECCOMP => selector::stop(),
            nr::PRCTL if restricts_calls(a as c_int) => selector::stop(),
            _ => {}
        }
        own_calls::syscall(call.number, call.arguments)
    }
}

/// Makes a call about signals, so that the program finds the mask and the handlers that it has set.
///
/// # Safety
/// The program asked for this call.
#[inline(never)]
unsafe fn make_signal_call(call: &Call) -> c_long {
    use own_calls::syscall;
    let [a, b, c, d, e, f] = call.arguments;
    // SAFETY: the program's call; a mask is read only where memory can be read.
    unsafe {
        match call.number {
            nr::RT_SIGACTION => return signal_masks::raw_sigaction(call.arguments),
            nr::RT_SIGPROCMASK if signal_masks::is_installed() && d == 8 && (b == 0 || is_mask(b)) => {
                return signal_masks::change_shown(a as c_int, b as *const u64, c as *mut u64, 0);
            }
            nr::RT_SIGSUSPEND if b == 8 && is_mask(a) => {
                let mask = signal_masks::WaitMask::set(a as *const u64);
                return syscall(call.number, [address(&mask, a), b]);
            }
            nr::PPOLL if e == 8 && is_mask(d) => {
                let mask = signal_masks::WaitMask::set(d as *const u64);
                return syscall(call.number, [a, b, c, address(&mask, d), e]);
            }
            nr::EPOLL_PWAIT | nr::EPOLL_PWAIT2 if f == 8 && is_mask(e) => {
                let mask = signal_masks::WaitMask::set(e as *const u64);
                return syscall(call.number, [a, b, c, d, address(&mask, e), f]);
            }
            nr::PSELECT6 if is_mask(f) && is_mask(f.wrapping_add(8)) => {
                let [mask, size] = (f as *const [usize; 2]).read_unaligned();
                if size == 8 && is_mask(mask) {
                    let changed = signal_masks::WaitMask::set(mask as *const u64);
                    let both = [address(&changed, mask), size];
                    return syscall(call.number, [a, b, c, d, e, (&raw const both) as usize]);
                }
            }
            _ => {}
        }
        syscall(call.number, call.arguments)
    }
}

/// Returns whether a mask can be read there.
fn is_mask(at: usize) -> bool {
    let errno = sys::errno();
    let is_there = at != 0 && this_process::may_call() && is_readable(at) && is_readable(at.wrapping_add(7));
    sys::set_errno(errno);
    is_there
}

/// Returns the address of the mask that a call waits with.
fn address(mask: &Option<signal_masks::WaitMask>, otherwise: usize) -> usize {
    mask.as_ref().map_or(otherwise, |mask| mask.mask() as usize)
}

/// Returns the call that the program was about to make.
///
/// # Safety
/// The registers are the kernel's description of the program's.
unsafe fn call_of(number: c_long, registers: *const usize) -> Call {
    // SAFETY: the caller's promise.
    let arguments = register::ARGUMENTS.map(|place| unsafe { *registers.add(place) });
    Call { number, arguments }
}

/// # Safety
/// That of [`call_of`].
#[inline(never)]
unsafe fn make_reported(number: c_long, registers: *const usize) -> c_long {
    // SAFETY: the caller's promise; the program's call.
    unsafe { make(&call_of(number, registers)) }
}

/// # Safety
/// That of [`call_of`], for a call that was made.
#[inline(never)]
unsafe fn after_reported(number: c_long, registers: *const usize, result: c_long) {
    // SAFETY: the caller's promise.
    unsafe { calls::after(&call_of(number, registers), result) }
}

/// The handler of SIGSYS.
///
/// # Safety
/// Called by the kernel.
unsafe extern "C" fn on_sigsys(_signal: c_int, info: *mut c_int, context: *mut usize) {
    // SAFETY: the kernel's own description of the signal and of the registers.
    unsafe {
        if *info.add(signal_masks::CODE) != SYS_USER_DISPATCH {
            signal_masks::forward(sys::SIGSYS, info, context.cast());
            return;
        }
        let errno = sys::errno();
        let own = thread::current();
        let at = |place: usize| *context.add(place);
        let number = *info.add(6) as c_long;
        let is_bound = calls::BOUND_TO_CALLER.contains(&number)
            && !(number == nr::SIGALTSTACK && signal_stacks::is_own());
        if is_bound || !selector::is_on() {
            // The program itself repeats it; `rearm` goes on with the next recorded call.
            selector::let_through(own);
            *context.add(register::NUMBER) = number as usize;
            *context.add(register::COUNTER) = at(register::COUNTER).wrapping_sub(CALL_SIZE);
            sys::set_errno(errno);
            return;
        }
        // The loader may be changing the data that a record needs.
        let is_quiet = modules::is_loader(at(register::COUNTER)) && own.in_observer.swap(1, Relaxed) == 0;
        // Functions of their own, so that their frames are not on the stack together.
        let result = make_reported(number, context);
        after_reported(number, context, result);
        if is_quiet {
            own.in_observer.store(0, Relaxed);
        }
        *context.add(register::RESULT) = if result == -1 {
            -c_long::from(sys::errno()) as usize
        } else {
            result as usize
        };
        if number == nr::RT_SIGPROCMASK {
            // Otherwise the handler's return would undo it.
            *context.add(register::MASK) = signal_masks::real_mask() as usize;
        }
        sys::set_errno(errno);
    }
}
