//! SIGSYS is the observer's and never really blocked; the program is shown the masks and handlers that it has set.
//!
//! Whether the program has blocked SIGSYS is kept for each thread. Its handlers are called by one of ours, because the
//! kernel blocks signals for a handler's time and takes that back by itself.

use crate::hooks::process_calls;
use crate::stack::unwind;
use crate::sys::interpose::reals;
use crate::sys::{
    self, SA_NODEFER, SA_RESTART, SA_SIGINFO, SIGSYS, Sigaction, Sigset, c_int, c_long, c_uint, c_void,
};
use crate::{dispatch, log, thread};
use core::cell::UnsafeCell;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicBool, AtomicUsize};

pub(crate) mod real {
    use super::*;
    reals! {
        sigaction(signal: c_int, new: *const Sigaction, old: *mut Sigaction) -> c_int;
        signal(signal: c_int, handler: usize) -> usize;
    }
}

const SYS_RT_SIGACTION: c_long = 13;
const SYS_RT_SIGPROCMASK: c_long = 14;
const SYS_RT_SIGQUEUEINFO: c_long = 129;
const SYS_GETTID: c_long = 186;
const SYS_RT_TGSIGQUEUEINFO: c_long = 297;

/// SIGSYS in a mask's first word.
pub(crate) const BIT: u64 = 1 << (SIGSYS - 1);
/// The signals of glibc's own, which its functions leave alone.
const LIBC_S: u64 = 3 << 31;
/// SIGKILL and SIGSTOP, which nobody can block.
const FREE: u64 = 1 << 8 | 1 << 18;
const SA_RESTORER: c_int = 0x0400_0000;
const SA_RESETHAND: c_int = 0x8000_0000_u32 as c_int;

/// `SIG_DFL` and `SIG_IGN`.
const DEFAULT: usize = 0;
const IGNORED: usize = 1;
/// Where a signal's description says what it is, and that it is a seccomp filter's or was sent to the thread.
pub(crate) const CODE: usize = 2;
const SYS_SECCOMP: c_int = 1;
const SI_TKILL: c_int = -6;
/// In a `ucontext_t`, the mask that the handler's return brings back, in words.
pub(crate) const MASK: usize = 37;

/// What the program wants done with SIGSYS.
struct Kept(UnsafeCell<Sigaction>);

// SAFETY: written in `sigaction` only, which a program that has several threads calls from one at a time for a signal,
// or cannot tell which of its handlers is set.
unsafe impl Sync for Kept {}

static KEPT: Kept = Kept(UnsafeCell::new(Sigaction {
    handler: DEFAULT,
    mask: Sigset::EMPTY,
    flags: 0,
    restorer: 0,
}));
static IS_OURS: AtomicBool = AtomicBool::new(false);

/// What the program wants done with another signal.
struct Handler {
    /// Its function, if there is one.
    function: AtomicUsize,
    /// Whether SIGSYS is blocked meanwhile.
    masks: AtomicBool,
}

static HANDLERS: [Handler; 65] = [const {
    Handler {
        function: AtomicUsize::new(0),
        masks: AtomicBool::new(false),
    }
}; 65];

/// Whether our handler is in place.
pub(crate) fn is_ours() -> bool {
    IS_OURS.load(Acquire)
}

/// Puts our handler in place.
pub(crate) fn install(handler: usize) -> bool {
    let ours = Sigaction {
        handler,
        mask: Sigset::EMPTY,
        flags: SA_SIGINFO | SA_NODEFER | SA_RESTART,
        restorer: 0,
    };
    // SAFETY: a handler that returns, and a place for the old one; there is one thread.
    let done = unsafe { real::sigaction(SIGSYS, &raw const ours, KEPT.0.get()) == 0 };
    IS_OURS.store(done, Release);
    done
}

/// Unblocks SIGSYS for this thread, which has begun with whatever mask: blocked it would end the process.
pub(crate) fn open() {
    let mut old = 0;
    change(sys::SIG_UNBLOCK, Some(BIT), &raw mut old);
    if old & BIT != 0 {
        thread::current().masked.store(1, Relaxed);
    }
}

/// Changes the thread's real mask, by the kernel's call.
fn change(how: c_int, set: Option<u64>, old: *mut u64) -> c_long {
    let set = set.as_ref().map_or(0, |set| core::ptr::from_ref(set).addr());
    // SAFETY: a mask or none; the old one goes where the caller wants it.
    unsafe { dispatch::real::syscall(SYS_RT_SIGPROCMASK, how as usize, set, old as usize, 8, 0, 0) }
}

/// The mask as the program sees it, for what it starts. A program that is started finds it as it would have. Meanwhile
/// the raw calls of the thread's handlers pass unseen: reported, they would end the process.
pub(crate) struct Inherited {
    /// Whether the thread has a block of its own: what `vfork` made shares that of its parent, whose calls it must not
    /// let pass. Its own are not reported.
    is_own: bool,
}

impl Inherited {
    pub(crate) fn begin() -> Option<Self> {
        let own = thread::current();
        let is_hidden = is_ours() && own.masked.load(Relaxed) != 0 && !own.is_shut();
        is_hidden.then(|| {
            let is_own = process_calls::own_id() == log::pid();
            if is_own {
                own.bequeathed.store(1, Relaxed);
                dispatch::pass(own);
            }
            change(sys::SIG_BLOCK, Some(BIT), core::ptr::null_mut());
            Self { is_own }
        })
    }
}

impl Drop for Inherited {
    fn drop(&mut self) {
        let errno = sys::errno();
        change(sys::SIG_UNBLOCK, Some(BIT), core::ptr::null_mut());
        if self.is_own {
            thread::current().bequeathed.store(0, Relaxed);
            dispatch::again();
        }
        sys::set_errno(errno);
    }
}

/// Sets what the program knows of its mask when a thread jumps back to where it saved one, with SIGSYS blocked or not.
/// Returns the bit of SIGSYS for the real mask.
pub(crate) fn jumped(masked: bool) -> u64 {
    let own = thread::current();
    own.masked.store(u8::from(masked), Relaxed);
    own.suspended.store(0, Relaxed);
    own.bequeathed.store(0, Relaxed);
    if !masked {
        // The one that waits comes with the jump.
        own.waiting_sigsys.store(0, Relaxed);
    }
    u64::from(own.waiting_sigsys.load(Relaxed)) << (SIGSYS - 1)
}

/// The thread's real mask.
#[inline(never)]
pub(crate) fn mask() -> u64 {
    let mut mask = 0;
    change(sys::SIG_BLOCK, None, &raw mut mask);
    mask
}

/// Changes the mask that the program sees: -1 and the reason in `errno` if that cannot be.
///
/// # Safety
/// `set` is null or a mask that can be read, and `old` is the program's.
pub(crate) unsafe fn change_shown(how: c_int, set: *const u64, old: *mut u64, kept_out: u64) -> c_long {
    let own = thread::current();
    let before = own.masked.load(Relaxed);
    // SAFETY: the caller's promise.
    let set = (!set.is_null()).then(|| unsafe { set.read_unaligned() });
    if !is_ours() {
        return change(how, set.map(|set| set & !kept_out), old);
    }
    let has = set.is_some_and(|set| set & BIT != 0);
    let after = match (how, set) {
        (sys::SIG_BLOCK, Some(_)) => before | u8::from(has),
        (sys::SIG_UNBLOCK, Some(_)) => before & u8::from(!has),
        (sys::SIG_SETMASK, Some(_)) => u8::from(has),
        _ => before,
    };
    let is_opened = own.waiting_sigsys.load(Relaxed) != 0 && after == 0;
    if is_opened {
        // The one that waits comes now.
        own.waiting_sigsys.store(0, Relaxed);
        own.masked.store(0, Relaxed);
    }
    let hidden = if how == sys::SIG_UNBLOCK || own.waiting_sigsys.load(Relaxed) != 0 {
        0
    } else {
        BIT
    };
    let done = change(how, set.map(|set| set & !(hidden | kept_out)), old);
    if done == 0 {
        own.masked.store(after, Relaxed);
        own.suspended.store(0, Relaxed);
        if !old.is_null() && before != 0 {
            // SAFETY: the kernel has just written there.
            unsafe { old.write_unaligned(old.read_unaligned() | BIT) };
        }
    }
    done
}

/// # Safety
/// That of libc's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pthread_sigmask(how: c_int, set: *const Sigset, old: *mut Sigset) -> c_int {
    let errno = sys::errno();
    // SAFETY: the program's call.
    let done = unsafe { change_shown(how, set.cast(), old.cast(), LIBC_S) };
    let failed = if done == 0 { 0 } else { sys::errno() };
    sys::set_errno(errno);
    failed
}

/// # Safety
/// That of libc's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sigprocmask(how: c_int, set: *const Sigset, old: *mut Sigset) -> c_int {
    // SAFETY: the program's call.
    unsafe { change_shown(how, set.cast(), old.cast(), LIBC_S) as c_int }
}

/// Changes the shown mask by the old functions, which know the first 32 signals: the old mask, or -1.
fn change_old(how: c_int, set: u64) -> c_int {
    let mut old = 0;
    // SAFETY: masks of ours.
    match unsafe { change_shown(how, &raw const set, &raw mut old, LIBC_S) } {
        0 => old as c_int,
        _ => -1,
    }
}

/// # Safety
/// That of libc's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sigblock(mask: c_int) -> c_int {
    change_old(sys::SIG_BLOCK, u64::from(mask as c_uint))
}

/// # Safety
/// That of libc's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sigsetmask(mask: c_int) -> c_int {
    change_old(sys::SIG_SETMASK, u64::from(mask as c_uint))
}

/// Changes one signal's bit by the functions of System V.
fn change_one(how: c_int, signal: c_int) -> c_int {
    if !(1..=64).contains(&signal) {
        sys::set_errno(sys::EINVAL);
        return -1;
    }
    let set = 1_u64 << (signal - 1);
    // SAFETY: a mask of ours.
    unsafe { change_shown(how, &raw const set, core::ptr::null_mut(), LIBC_S) as c_int }
}

/// # Safety
/// That of libc's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sighold(signal: c_int) -> c_int {
    change_one(sys::SIG_BLOCK, signal)
}

/// # Safety
/// That of libc's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sigrelse(signal: c_int) -> c_int {
    change_one(sys::SIG_UNBLOCK, signal)
}

/// The mask of a call that waits with it, for the kernel: SIGSYS left out.
pub(crate) struct Suspended(u64);

impl Suspended {
    /// # Safety
    /// `mask` is null or can be read.
    pub(crate) unsafe fn with(mask: *const u64) -> Option<Self> {
        let own = thread::current();
        if mask.is_null() || !is_ours() || own.waiting_sigsys.load(Relaxed) != 0 {
            return None;
        }
        // SAFETY: the caller's promise.
        let mask = unsafe { mask.read_unaligned() };
        own.suspended.store(1 + u8::from(mask & BIT != 0), Relaxed);
        Some(Self(mask & !BIT))
    }

    pub(crate) fn mask(&self) -> *const u64 {
        &raw const self.0
    }
}

impl Drop for Suspended {
    fn drop(&mut self) {
        thread::current().suspended.store(0, Relaxed);
    }
}

/// Declares functions that wait with another mask.
macro_rules! waits {
    ($($name:ident($($arg:ident: $shape:ty),*; $mask:ident $(, $last:ident: $last_shape:ty)?) -> $answer:ty;)*) => {
        pub(crate) mod waiting {
            use super::*;
            reals! { $($name($($arg: $shape,)* $mask: *const u64 $(, $last: $last_shape)?) -> $answer;)* }
        }
        $(
            /// # Safety
            /// That of libc's function.
            #[unsafe(no_mangle)]
            pub unsafe extern "C" fn $name($($arg: $shape,)* $mask: *const u64 $(, $last: $last_shape)?) -> $answer {
                // SAFETY: the program's call, with a mask that lives until it comes back.
                unsafe {
                    let suspended = Suspended::with($mask);
                    let mask = suspended.as_ref().map_or($mask, Suspended::mask);
                    waiting::$name($($arg,)* mask $(, $last)?)
                }
            }
        )*
    };
}

type Any = *mut c_void;

waits! {
    sigsuspend(; mask) -> c_int;
    ppoll(files: Any, count: usize, time: Any; mask) -> c_int;
    __ppoll_chk(files: Any, count: usize, time: Any; mask, size: usize) -> c_int;
    pselect(count: c_int, read: Any, write: Any, except: Any, time: Any; mask) -> c_int;
    epoll_pwait(fd: c_int, events: Any, most: c_int, time: c_int; mask) -> c_int;
    epoll_pwait2(fd: c_int, events: Any, most: c_int, time: Any; mask) -> c_int;
}

/// Calls the program's handler, with the mask as it knows it.
///
/// # Safety
/// Called by the kernel.
unsafe extern "C" fn handled(signal: c_int, info: *mut c_int, context: *mut u64) {
    let Some(handler) = HANDLERS.get(signal.unsigned_abs() as usize) else {
        return;
    };
    let function = handler.function.load(Acquire);
    // SAFETY: what the program has set for this signal.
    unsafe { call(function, handler.masks.load(Relaxed), signal, info, context) }
}

/// # Safety
/// In a handler, with what the kernel gave it and a function of the program's.
unsafe fn call(function: usize, masks: bool, signal: c_int, info: *mut c_int, context: *mut u64) {
    let own = thread::current();
    let mask = context.wrapping_add(MASK);
    let (before, suspended) = (own.masked.load(Relaxed), own.suspended.swap(0, Relaxed));
    let until = if suspended == 0 { before } else { suspended - 1 };
    own.masked.store(until | u8::from(masks), Relaxed);
    // SAFETY: the caller's promise; a function that takes less finds it in its registers, and leaves the rest.
    unsafe {
        let bequeathed = if own.bequeathed.load(Relaxed) == 0 {
            0
        } else {
            *mask & BIT
        };
        if before != 0 {
            *mask |= BIT;
        }
        core::mem::transmute::<usize, unsafe extern "C" fn(c_int, *mut c_int, *mut u64)>(function)(
            signal, info, context,
        );
        own.masked.store(u8::from(*mask & BIT != 0), Relaxed);
        if own.waiting_sigsys.load(Relaxed) == 0 {
            *mask = *mask & !BIT | bequeathed;
        }
    }
}

/// A SIGSYS that is not the kernel's report to us: a seccomp filter's, or one that somebody sent.
///
/// # Safety
/// Called in the handler with what the kernel gave it.
#[inline(never)]
pub(crate) unsafe fn hand_on(info: *mut c_int, context: *mut u64) {
    // SAFETY: the kernel's description; what the program itself set, called as it asked.
    unsafe {
        let kept = KEPT.0.get();
        let is_filter_s = *info.add(CODE) == SYS_SECCOMP;
        let is_masked = thread::current().masked.load(Relaxed) != 0;
        if is_masked && !is_filter_s {
            return wait(info, context);
        }
        match (*kept).handler {
            // A filter's is not to be ignored: the kernel would put the default back.
            IGNORED if !is_filter_s => {}
            DEFAULT | IGNORED => end_by(kept),
            _ if is_masked => end_by(kept),
            handler => {
                let flags = (*kept).flags;
                if flags & SA_RESETHAND != 0 {
                    (*kept).handler = DEFAULT;
                }
                let blocked = (*kept).mask.0[0];
                // The handler's return takes it back.
                change(sys::SIG_BLOCK, Some(blocked & !BIT), core::ptr::null_mut());
                let masks = blocked & BIT != 0 || flags & SA_NODEFER == 0;
                call(handler, masks, SIGSYS, info, context);
            }
        }
    }
}

/// As if we were not here. Nothing brings the signal again, so it is sent again, and ends the process.
///
/// # Safety
/// In the handler, with what the program wants done.
unsafe fn end_by(kept: *const Sigaction) {
    // SAFETY: the caller's promise.
    unsafe {
        let default = Sigaction {
            handler: DEFAULT,
            mask: Sigset::EMPTY,
            flags: (*kept).flags,
            restorer: (*kept).restorer,
        };
        IS_OURS.store(false, Release);
        real::sigaction(SIGSYS, &raw const default, core::ptr::null_mut());
        sys::raise(SIGSYS);
    }
}

/// The program has blocked the signal: it waits until that ends, or until the program fetches it. Meanwhile it is really
/// blocked, and so the thread's raw calls pass unseen.
///
/// # Safety
/// In the handler, with what the kernel gave it.
unsafe fn wait(info: *mut c_int, context: *mut u64) {
    let own = thread::current();
    own.waiting_sigsys.store(1, Relaxed);
    dispatch::pass(own);
    change(sys::SIG_BLOCK, Some(BIT), core::ptr::null_mut());
    let pid = process_calls::own_id() as usize;
    // SAFETY: the signal's own description, sent to the process or to the thread as it was before.
    unsafe {
        *context.add(MASK) |= BIT;
        if *info.add(CODE) == SI_TKILL {
            let thread = dispatch::real::syscall(SYS_GETTID, 0, 0, 0, 0, 0, 0) as usize;
            let (signal, info) = (SIGSYS as usize, info as usize);
            dispatch::real::syscall(SYS_RT_TGSIGQUEUEINFO, pid, thread, signal, info, 0, 0);
        } else {
            dispatch::real::syscall(SYS_RT_SIGQUEUEINFO, pid, SIGSYS as usize, info as usize, 0, 0, 0);
        }
    }
}

/// An action that is about to be set, and how to have it undone.
struct Replaced {
    handler: &'static Handler,
    function: usize,
    masks: bool,
}

impl Replaced {
    /// Remembers the program's action for a signal, and gives the function that the kernel is to call.
    fn by(signal: c_int, function: usize, mask: u64) -> Option<(Self, usize)> {
        let handler = HANDLERS.get(usize::try_from(signal).ok()?)?;
        let is_function = !matches!(function, DEFAULT | IGNORED);
        let replaced = Self {
            handler,
            function: handler.function.load(Relaxed),
            masks: handler.masks.swap(mask & BIT != 0, Relaxed),
        };
        if is_function {
            handler.function.store(function, Release);
        }
        Some((replaced, if is_function { ours() } else { function }))
    }

    /// What there is for a signal.
    fn of(signal: c_int) -> Option<Self> {
        let handler = HANDLERS.get(usize::try_from(signal).ok()?)?;
        Some(Self {
            handler,
            function: handler.function.load(Relaxed),
            masks: handler.masks.load(Relaxed),
        })
    }

    /// It could not be replaced.
    fn undo(&self) {
        self.handler.function.store(self.function, Relaxed);
        self.handler.masks.store(self.masks, Relaxed);
    }

    /// The function and the mask that the program had set, where the kernel has these.
    fn shown(&self, function: usize, mask: u64) -> (usize, u64) {
        (
            if function == ours() {
                self.function
            } else {
                function
            },
            mask | if self.masks { BIT } else { 0 },
        )
    }
}

fn ours() -> usize {
    handled as *const () as usize
}

/// # Safety
/// That of libc's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sigaction(signal: c_int, new: *const Sigaction, old: *mut Sigaction) -> c_int {
    // SAFETY: the program's own structures, which libc would read and write.
    unsafe {
        if !is_ours() {
            return real::sigaction(signal, new, old);
        }
        if signal == SIGSYS {
            let before = *KEPT.0.get();
            if !new.is_null() {
                keep((*new).handler, (*new).mask.0[0], (*new).flags);
            }
            if !old.is_null() {
                *old = before;
            }
            return 0;
        }
        let set = new
            .as_ref()
            .map(|new| (Replaced::by(signal, new.handler, new.mask.0[0]), *new));
        let (replaced, done) = match set {
            Some((Some((replaced, function)), mut action)) => {
                action.handler = function;
                action.mask.0[0] &= !BIT;
                let done = real::sigaction(signal, &raw const action, old);
                if done != 0 {
                    replaced.undo();
                }
                (Some(replaced), done)
            }
            _ => (Replaced::of(signal), real::sigaction(signal, new, old)),
        };
        if let (Some(replaced), Some(old), 0) = (replaced, old.as_mut(), done) {
            (old.handler, old.mask.0[0]) = replaced.shown(old.handler, old.mask.0[0]);
        }
        done
    }
}

/// Remembers what the program wants done with SIGSYS, as the kernel would.
fn keep(handler: usize, mask: u64, flags: c_int) {
    let mut set = Sigset::EMPTY;
    set.0[0] = mask & !FREE;
    let kept = KEPT.0.get();
    // SAFETY: see `Kept`.
    unsafe {
        *kept = Sigaction {
            handler,
            mask: set,
            flags: flags | SA_RESTORER,
            restorer: (*kept).restorer,
        };
    }
}

/// # Safety
/// That of libc's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn signal(signal: c_int, handler: usize) -> usize {
    // SAFETY: the program's call.
    unsafe {
        if !is_ours() {
            return real::signal(signal, handler);
        }
        if signal == SIGSYS {
            let before = (*KEPT.0.get()).handler;
            keep(handler, BIT, SA_RESTART);
            return before;
        }
        let Some((replaced, function)) = Replaced::by(signal, handler, 0) else {
            return real::signal(signal, handler);
        };
        let before = real::signal(signal, function);
        if before == usize::MAX {
            replaced.undo();
        }
        replaced.shown(before, 0).0
    }
}

/// # Safety
/// That of libc's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bsd_signal(number: c_int, handler: usize) -> usize {
    // SAFETY: the program's call.
    unsafe { signal(number, handler) }
}

/// # Safety
/// That of libc's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ssignal(number: c_int, handler: usize) -> usize {
    // SAFETY: the program's call.
    unsafe { signal(number, handler) }
}

/// # Safety
/// That of libc's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __sysv_signal(number: c_int, handler: usize) -> usize {
    let new = Sigaction {
        handler,
        mask: Sigset::EMPTY,
        flags: SA_RESETHAND | SA_NODEFER,
        restorer: 0,
    };
    let mut old = new;
    // SAFETY: actions of ours.
    match unsafe { sigaction(number, &raw const new, &raw mut old) } {
        0 => old.handler,
        _ => usize::MAX,
    }
}

/// # Safety
/// That of libc's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sysv_signal(number: c_int, handler: usize) -> usize {
    // SAFETY: the program's call.
    unsafe { __sysv_signal(number, handler) }
}

/// `rt_sigaction` past libc: structures of the kernel's, which are the handler, flags, the way back and the mask.
///
/// # Safety
/// The program made this call.
pub(crate) unsafe fn raw_action(arguments: [usize; 6]) -> c_long {
    let [number, new, old, size, ..] = arguments;
    let signal = number as c_int;
    let set = |new: usize, old: usize| {
        // SAFETY: the program's call, with an action of ours or the program's.
        unsafe { dispatch::real::syscall(SYS_RT_SIGACTION, number, new, old, size, 0, 0) }
    };
    let is_read = new == 0 || unwind::is_readable(new) && unwind::is_readable(new.wrapping_add(31));
    let Some(before) = Replaced::of(signal).filter(|_| is_ours() && size == 8 && is_read) else {
        return set(new, old);
    };
    // SAFETY: four words that can be read.
    let wanted = (new != 0).then(|| unsafe { (new as *const [usize; 4]).read_unaligned() });
    let (replaced, done) = if signal == SIGSYS {
        // Ours stays. The kernel writes it, and so says whether the place is one.
        (before, set(0, old))
    } else if let Some([function, flags, way_back, mask]) = wanted
        && let Some((replaced, function)) = Replaced::by(signal, function, mask as u64)
    {
        let action = [function, flags, way_back, mask & !(BIT as usize)];
        let done = set((&raw const action) as usize, old);
        if done != 0 {
            replaced.undo();
        }
        (replaced, done)
    } else {
        (before, set(0, old))
    };
    if done == 0 && old != 0 {
        let old = old as *mut [usize; 4];
        // SAFETY: the kernel has just written there.
        unsafe {
            let mut action = old.read_unaligned();
            if signal == SIGSYS {
                let kept = KEPT.0.get();
                let flags = (*kept).flags as c_uint as usize;
                action = [
                    (*kept).handler,
                    flags,
                    (*kept).restorer,
                    (*kept).mask.0[0] as usize,
                ];
            } else {
                let (function, mask) = replaced.shown(action[0], action[3] as u64);
                (action[0], action[3]) = (function, mask as usize);
            }
            old.write_unaligned(action);
        }
    }
    if signal == SIGSYS
        && done == 0
        && let Some([function, flags, _, mask]) = wanted
    {
        keep(function, mask as u64, flags as c_int);
    }
    done
}
