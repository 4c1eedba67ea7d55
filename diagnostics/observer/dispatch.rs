//! Raw system calls: those that a program makes with an instruction of its own, past libc.
//!
//! The kernel's Syscall User Dispatch reports every such instruction outside of libc's code by SIGSYS. The handler makes
//! the call in the program's stead and notes it. The kernel forgets about it at exec and in new threads and processes,
//! which is why those arm themselves again.

use crate::calls::{self, Call};
use crate::format::{self, header};
use crate::hooks::{kill_calls, process_calls, signal_masks};
use crate::stack::{modules, unwind};
use crate::sys::interpose::reals;
use crate::sys::{self, Sigaction, c_int, c_long, c_void};
use crate::thread::Thread;
use crate::{hold, log, thread};
use core::arch::naked_asm;
use core::sync::atomic::Ordering::Relaxed;
use core::sync::atomic::{AtomicBool, AtomicPtr};

const PR_SET_SECCOMP: c_int = 22;
const PR_SET_SYSCALL_USER_DISPATCH: c_int = 59;
const SYS_USER_DISPATCH: c_int = 2;
const LET_THROUGH: u8 = 0;
const REPORT: u8 = 1;

/// Whether threads are to be armed.
static IS_ON: AtomicBool = AtomicBool::new(false);

pub(crate) mod real {
    use super::*;
    reals! {
        syscall(number: c_long, a: usize, b: usize, c: usize, d: usize, e: usize, f: usize) -> c_long;
    }
}

/// Where `syscall` of libc is, once the constructor has looked: the quick way for the calls that are nobody's business.
static SYSCALL: AtomicPtr<c_void> = AtomicPtr::new(core::ptr::null_mut());

/// Sets everything up, and arms the thread that there is.
pub(crate) fn begin(is_wanted: bool) {
    // SAFETY: looked up by name.
    let found = unsafe { sys::dlsym(sys::RTLD_NEXT, c"syscall".as_ptr()) };
    SYSCALL.store(found, Relaxed);
    if !is_wanted {
        log::set(header::RAW, format::RAW_OFF);
        return;
    }
    if !libc_is_one() || !signal_masks::install(reported as *const () as usize) {
        log::set(header::RAW, format::RAW_REFUSED);
        return;
    }
    signal_masks::open();
    IS_ON.store(true, Relaxed);
    let armed = arm();
    IS_ON.store(armed, Relaxed);
    log::set(
        header::RAW,
        if armed {
            format::RAW_SEEN
        } else {
            format::RAW_REFUSED
        },
    );
}

/// Until glibc 2.34 threads were another library, which makes calls with all signals blocked.
fn libc_is_one() -> bool {
    // SAFETY: libc's own text.
    let version = unsafe { sys::text(sys::gnu_get_libc_version()) };
    let mut parts = version.split(|byte| *byte == b'.').map(|part| {
        part.iter()
            .take_while(|digit| digit.is_ascii_digit())
            .fold(0_u32, |number, digit| number * 10 + u32::from(digit - b'0'))
    });
    (parts.next(), parts.next()) >= (Some(2), Some(34)) && modules::libc().0 != 0
}

/// Has this thread's raw calls reported from now on. `false` if that cannot be.
pub(crate) fn arm() -> bool {
    if !IS_ON.load(Relaxed) {
        return false;
    }
    let own = thread::current();
    if !own.is_shut() {
        own.selector.store(REPORT, Relaxed);
    }
    let (start, length) = modules::libc();
    let selector = (&raw const own.selector) as usize;
    // SAFETY: the selector lives as long as its thread.
    let failed = unsafe { tuning::real::prctl(PR_SET_SYSCALL_USER_DISPATCH, 1, start, length, selector) };
    own.armed.store(u8::from(failed == 0), Relaxed);
    failed == 0
}

/// The same for a thread that begins, with whatever mask.
pub(crate) fn arm_thread() {
    if IS_ON.load(Relaxed) {
        signal_masks::open();
        arm();
    }
}

/// Goes on after a call that was let through.
pub(crate) fn again() {
    let own = thread::current();
    if own.armed.load(Relaxed) != 0 && !own.is_shut() && IS_ON.load(Relaxed) {
        own.selector.store(REPORT, Relaxed);
    }
}

/// Lets the thread's raw calls pass, until `again`.
pub(crate) fn pass(own: &Thread) {
    own.selector.store(LET_THROUGH, Relaxed);
}

/// For good: the program is about to say itself which calls may be made, and ours would be no exception.
fn end() {
    if log::is_on() {
        log::confine();
        IS_ON.store(false, Relaxed);
        let own = thread::current();
        own.selector.store(LET_THROUGH, Relaxed);
        if own.armed.swap(0, Relaxed) != 0 {
            if log::is_first() {
                log::set(header::RAW, format::RAW_ENDED);
            }
            // SAFETY: only takes back what `arm` set.
            unsafe { tuning::real::prctl(PR_SET_SYSCALL_USER_DISPATCH, 0, 0, 0, 0) };
        }
    }
}

pub(crate) mod tuning {
    use super::*;
    reals! {
        prctl(option: c_int, a: usize, b: usize, c: usize, d: usize) -> c_int;
    }
    pub(crate) mod real {
        pub(crate) use super::{prctl, resolve};
    }
}

/// # Safety
/// That of libc's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn prctl(option: c_int, a: usize, b: usize, c: usize, d: usize) -> c_int {
    if option == PR_SET_SECCOMP || option == PR_SET_SYSCALL_USER_DISPATCH {
        end();
    }
    // SAFETY: the program's call.
    unsafe { tuning::real::prctl(option, a, b, c, d) }
}

/// `syscall`, called as a function. Most often it is a futex, for which there is no time to lose; and what acts on the
/// caller's stack must not be called from a frame of ours.
///
/// # Safety
/// That of libc's function.
#[unsafe(no_mangle)]
#[unsafe(naked)]
pub unsafe extern "C" fn syscall() {
    naked_asm!(
        "cmp rdi, 202",
        "je 4f",
        "cmp rdi, 15",
        "je 2f",
        "cmp rdi, 56",
        "je 2f",
        "cmp rdi, 57",
        "je 2f",
        "cmp rdi, 58",
        "je 2f",
        "cmp rdi, 435",
        "je 2f",
        "jmp {noted}",
        "2:",
        "mov rax, qword ptr [rip + {real}]",
        "test rax, rax",
        "je 3f",
        "jmp rax",
        "3:",
        "jmp {noted}",
        "4:",
        "cmp byte ptr [rip + {waits}], 0",
        "je 2b",
        "jmp {noted}",
        noted = sym called,
        waits = sym hold::NOTES_WAITS,
        real = sym SYSCALL,
    )
}

/// # Safety
/// That of libc's `syscall`: the arguments that a call does not have are whatever lay in their places.
unsafe extern "C" fn called(
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
        let result = made(&call);
        calls::noted(&call, result);
        result
    }
}

/// Makes the call in the program's stead. The answer is libc's: -1, and the reason in `errno`.
///
/// # Safety
/// The program asked for this call.
unsafe fn made(call: &Call) -> c_long {
    // SAFETY: the program's call.
    unsafe {
        if call.is_of_signals() {
            return of_signals(call);
        }
        let [a, b, c, d, e, f] = call.arguments;
        match call.number {
            calls::EXECVE => {
                return process_calls::execve(a as *const _, b as *const _, c as *const _).into();
            }
            calls::EXECVEAT => {
                let (path, arguments, variables) = (b as *const _, c as *const _, d as *const _);
                return process_calls::execveat(a as c_int, path, arguments, variables, e as c_int).into();
            }
            calls::KILL => return kill_calls::kill(a as c_int, b as c_int).into(),
            calls::FUTEX => hold::waits(b),
            calls::SECCOMP => end(),
            calls::PRCTL if matches!(a as c_int, PR_SET_SECCOMP | PR_SET_SYSCALL_USER_DISPATCH) => end(),
            _ => {}
        }
        real::syscall(call.number, a, b, c, d, e, f)
    }
}

/// Makes a call that is about signals, so that the program finds its mask and its handlers as it has set them.
///
/// # Safety
/// The program asked for this call.
#[inline(never)]
unsafe fn of_signals(call: &Call) -> c_long {
    let [a, b, c, d, e, f] = call.arguments;
    // SAFETY: the program's call; a mask is read where one can be read.
    unsafe {
        match call.number {
            calls::RT_SIGACTION => return signal_masks::raw_action(call.arguments),
            calls::RT_SIGPROCMASK if signal_masks::is_ours() && d == 8 && (b == 0 || is_mask(b)) => {
                return signal_masks::change_shown(a as c_int, b as *const u64, c as *mut u64, 0);
            }
            calls::RT_SIGSUSPEND if b == 8 && is_mask(a) => {
                let mask = signal_masks::Suspended::with(a as *const u64);
                return real::syscall(call.number, place(&mask, a), b, 0, 0, 0, 0);
            }
            calls::PPOLL if e == 8 && is_mask(d) => {
                let mask = signal_masks::Suspended::with(d as *const u64);
                return real::syscall(call.number, a, b, c, place(&mask, d), e, 0);
            }
            calls::EPOLL_PWAIT | calls::EPOLL_PWAIT2 if f == 8 && is_mask(e) => {
                let mask = signal_masks::Suspended::with(e as *const u64);
                return real::syscall(call.number, a, b, c, d, place(&mask, e), f);
            }
            calls::PSELECT6 if is_mask(f) && is_mask(f.wrapping_add(8)) => {
                let [mask, size] = (f as *const [usize; 2]).read_unaligned();
                if size == 8 && is_mask(mask) {
                    let suspended = signal_masks::Suspended::with(mask as *const u64);
                    let both = [place(&suspended, mask), size];
                    return real::syscall(call.number, a, b, c, d, e, (&raw const both) as usize);
                }
            }
            _ => {}
        }
        real::syscall(call.number, a, b, c, d, e, f)
    }
}

/// Whether a mask can be read there.
fn is_mask(at: usize) -> bool {
    let errno = sys::errno();
    let is_there =
        at != 0 && log::is_free() && unwind::is_readable(at) && unwind::is_readable(at.wrapping_add(7));
    sys::set_errno(errno);
    is_there
}

/// Where the mask is that a call waits with.
fn place(mask: &Option<signal_masks::Suspended>, otherwise: usize) -> usize {
    mask.as_ref().map_or(otherwise, |mask| mask.mask() as usize)
}

/// Registers in a `ucontext_t`, by their places in words.
mod register {
    pub(super) const R8: usize = 5;
    pub(super) const R9: usize = 6;
    pub(super) const R10: usize = 7;
    pub(super) const RDI: usize = 13;
    pub(super) const RSI: usize = 14;
    pub(super) const RDX: usize = 17;
    pub(super) const RAX: usize = 18;
    pub(super) const RIP: usize = 21;
}

/// The call that the program was about to make.
///
/// # Safety
/// The registers are the kernel's description of the program's.
unsafe fn call_of(number: c_long, registers: *const usize) -> Call {
    use register::{R8, R9, R10, RDI, RDX, RSI};
    // SAFETY: the caller's promise.
    let arguments = [RDI, RSI, RDX, R10, R8, R9].map(|place| unsafe { *registers.add(place) });
    Call { number, arguments }
}

/// # Safety
/// That of [`call_of`].
#[inline(never)]
unsafe fn made_for(number: c_long, registers: *const usize) -> c_long {
    // SAFETY: the caller's promise; the program's call.
    unsafe { made(&call_of(number, registers)) }
}

/// # Safety
/// That of [`call_of`], for a call that was made.
#[inline(never)]
unsafe fn noted_for(number: c_long, registers: *const usize, result: c_long) {
    // SAFETY: the caller's promise.
    unsafe { calls::noted(&call_of(number, registers), result) }
}

/// The handler of SIGSYS.
///
/// # Safety
/// Called by the kernel.
unsafe extern "C" fn reported(_signal: c_int, info: *mut c_int, context: *mut usize) {
    // SAFETY: the kernel's own description of the signal and of the registers.
    unsafe {
        if *info.add(signal_masks::CODE) != SYS_USER_DISPATCH {
            signal_masks::hand_on(info, context.cast());
            return;
        }
        let errno = sys::errno();
        let own = thread::current();
        let at = |place: usize| *context.add(place);
        let number = *info.add(6) as c_long;
        if calls::ITS_OWN.contains(&number) || !IS_ON.load(Relaxed) {
            // Once more, by the program itself; `again` goes on with the next thing that is noted.
            own.selector.store(LET_THROUGH, Relaxed);
            *context.add(register::RAX) = number as usize;
            *context.add(register::RIP) = at(register::RIP).wrapping_sub(2);
            sys::set_errno(errno);
            return;
        }
        // The loader may be in the midst of changing what we would look at.
        let is_quiet = modules::is_loader(at(register::RIP)) && own.busy.swap(1, Relaxed) == 0;
        // One after the other, so that their frames are not on the stack together.
        let result = made_for(number, context);
        noted_for(number, context, result);
        if is_quiet {
            own.busy.store(0, Relaxed);
        }
        *context.add(register::RAX) = if result == -1 {
            -c_long::from(sys::errno()) as usize
        } else {
            result as usize
        };
        if number == calls::RT_SIGPROCMASK {
            // Otherwise the handler's return would undo it.
            *context.add(signal_masks::MASK) = signal_masks::mask() as usize;
        }
        sys::set_errno(errno);
    }
}

// `Sigaction` is what `signals` keeps of the program's own handler.
const _: () = assert!(size_of::<Sigaction>() == 152);
