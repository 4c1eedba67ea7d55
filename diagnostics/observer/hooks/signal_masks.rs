//! Signal masks and handlers: SIGSYS, and SIGTRAP while statics are observed, belong to the observer and are not really
//! blocked, but the program finds the masks and handlers that it has set.
//!
//! Each thread's state says which of them the program has blocked. A handler of ours calls those of the program, because
//! the kernel blocks signals while a handler runs and unblocks them by itself.

use crate::breakpoints::copies;
use crate::hooks::signal_actions::{self, Disposition};
use crate::sys::interpose::real_functions;
use crate::sys::own_calls::{is_readable, syscall};
use crate::sys::processor::register::{COUNTER, MASK};
use crate::sys::{
    self, SA_NODEFER, SA_RESETHAND, SA_RESTART, SA_SIGINFO, SIGSYS, SIGSYS_BIT, SIGTRAP, Sigaction, Sigset,
    bit, c_int, c_long, c_uint, c_void, nr,
};
use crate::{breakpoints, selector, this_process, thread};
use core::cell::UnsafeCell;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize};

real_functions! {
    mod real;
    sigaction(signal: c_int, new: *const Sigaction, old: *mut Sigaction) -> c_int;
    signal(signal: c_int, handler: usize) -> usize;
}

/// The bits of the observer's signals, among the first 32.
static OWN_SIGNALS: AtomicU64 = AtomicU64::new(SIGSYS_BIT);

/// Returns the bits of the observer's signals.
pub(crate) fn own_signals() -> u64 {
    OWN_SIGNALS.load(Relaxed)
}

/// The signals of glibc's own, which its functions never block.
pub(crate) const OF_LIBC: u64 = 3 << 31;
/// SIGKILL and SIGSTOP, which cannot be blocked.
const UNBLOCKABLE: u64 = 1 << 8 | 1 << 18;
const SA_RESTORER: c_int = 0x0400_0000;

/// `SIG_DFL` and `SIG_IGN`.
const DEFAULT: usize = 0;
pub(crate) const IGNORED: usize = 1;
/// The place of the code in a signal's description, and the codes of a seccomp filter's signal and of one sent to a
/// thread.
pub(crate) const CODE: usize = 2;
const SYS_SECCOMP: c_int = 1;
const SI_TKILL: c_int = -6;

/// The program's action for one of the observer's signals.
struct OwnAction(UnsafeCell<Sigaction>);

// SAFETY: written by `sigaction` and its kin only, which a program with several threads calls from one at a time for a
// signal, or does not know which of its handlers is set.
unsafe impl Sync for OwnAction {}

static SIGSYS_ACTION: OwnAction = OwnAction(UnsafeCell::new(Sigaction::DEFAULT));
static SIGTRAP_ACTION: OwnAction = OwnAction(UnsafeCell::new(Sigaction::DEFAULT));

/// Returns the place of the program's action for a signal of the observer's; `None` for other signals.
fn own_action(signal: c_int) -> Option<*mut Sigaction> {
    match signal {
        SIGSYS => Some(SIGSYS_ACTION.0.get()),
        SIGTRAP if own_signals() & bit(SIGTRAP) != 0 => Some(SIGTRAP_ACTION.0.get()),
        _ => None,
    }
}

static IS_INSTALLED: AtomicBool = AtomicBool::new(false);

/// The program's action for another signal.
struct Handler {
    /// The function; 0 for none.
    function: AtomicUsize,
    /// The observer's signals that are blocked while the function runs.
    masks: AtomicU32,
}

static HANDLERS: [Handler; 65] = [const {
    Handler {
        function: AtomicUsize::new(0),
        masks: AtomicU32::new(0),
    }
}; 65];

/// Returns whether the observer's handler of SIGSYS is in place.
pub(crate) fn is_installed() -> bool {
    IS_INSTALLED.load(Acquire)
}

/// Installs the observer's handler of SIGSYS. Returns `false` if that is impossible.
pub(crate) fn install(handler: usize) -> bool {
    let done = install_for(SIGSYS, handler, 0, SIGSYS_ACTION.0.get());
    IS_INSTALLED.store(done, Release);
    done
}

/// Installs the observer's handler of SIGTRAP, which runs on the thread's alternate stack. Returns `false` if that is
/// impossible.
pub(crate) fn install_trap(handler: usize) -> bool {
    let done = is_installed() && install_for(SIGTRAP, handler, sys::SA_ONSTACK, SIGTRAP_ACTION.0.get());
    if done {
        OWN_SIGNALS.store(SIGSYS_BIT | bit(SIGTRAP), Relaxed);
        unblock();
    }
    done
}

fn install_for(signal: c_int, handler: usize, flags: c_int, before: *mut Sigaction) -> bool {
    let ours = Sigaction {
        handler,
        mask: Sigset::EMPTY,
        flags: SA_SIGINFO | SA_NODEFER | SA_RESTART | flags,
        restorer: 0,
    };
    // SAFETY: a handler that returns, and a place for the old one; there is one thread.
    unsafe { real::sigaction(signal, &raw const ours, before) == 0 }
}

/// Unblocks the observer's signals for this thread, which has inherited any mask: a blocked one would end the process.
pub(crate) fn unblock() {
    let mut old = 0;
    let signals = own_signals();
    change_real(sys::SIG_UNBLOCK, Some(signals), &raw mut old);
    thread::current().masked.fetch_or((old & signals) as u32, Relaxed);
}

/// Changes the thread's real mask.
fn change_real(how: c_int, set: Option<u64>, old: *mut u64) -> c_long {
    let set = set.as_ref().map_or(0, |set| core::ptr::from_ref(set).addr());
    // SAFETY: a mask or none; the old one is written to the place that the caller passes.
    unsafe { syscall(nr::RT_SIGPROCMASK, [how as usize, set, old as usize, 8]) }
}

/// While it exists, the real mask is the one that the program sees, and a program that is started inherits it. Raw calls
/// of the thread's handlers are not reported meanwhile: with SIGSYS blocked a report would end the process.
pub(crate) struct ShownMask {
    hidden: u64,
    /// Set unless this process was made by `vfork`. Such a process shares its parent's thread state, which must stay as
    /// it is; its own calls are not reported anyway.
    is_own: bool,
}

impl ShownMask {
    pub(crate) fn apply() -> Option<Self> {
        let own = thread::current();
        let hidden = u64::from(own.masked.load(Relaxed) & !own.pending.load(Relaxed));
        let is_hidden = is_installed() && hidden != 0 && own.blocked_for_child.load(Relaxed) == 0;
        is_hidden.then(|| {
            let is_own = this_process::kernel_pid() == this_process::pid();
            if is_own {
                own.blocked_for_child.store(hidden as u32, Relaxed);
                if hidden & SIGSYS_BIT != 0 {
                    selector::let_through(own);
                }
            }
            change_real(sys::SIG_BLOCK, Some(hidden), core::ptr::null_mut());
            Self { hidden, is_own }
        })
    }
}

impl Drop for ShownMask {
    fn drop(&mut self) {
        let errno = sys::errno();
        change_real(sys::SIG_UNBLOCK, Some(self.hidden), core::ptr::null_mut());
        if self.is_own {
            thread::current().blocked_for_child.store(0, Relaxed);
            selector::rearm();
        }
        sys::set_errno(errno);
    }
}

/// Sets the thread's state for a jump to a place where the program saw these of the observer's signals blocked. Returns
/// their bits for the real mask.
pub(crate) fn before_jump(masked: u32) -> u64 {
    let own = thread::current();
    own.masked.store(masked, Relaxed);
    own.is_waiting.store(0, Relaxed);
    own.blocked_for_child.store(0, Relaxed);
    // The jump unblocks the other pending ones.
    u64::from(own.pending.fetch_and(masked, Relaxed) & masked)
}

/// Returns the thread's real mask.
#[inline(never)]
pub(crate) fn real_mask() -> u64 {
    let mut mask = 0;
    change_real(sys::SIG_BLOCK, None, &raw mut mask);
    mask
}

/// Changes the mask that the program sees. Returns -1 and sets `errno` if that fails.
///
/// # Safety
/// `set` is null or a mask that can be read, and `old` is the program's own.
pub(crate) unsafe fn change_shown(how: c_int, set: *const u64, old: *mut u64, kept_out: u64) -> c_long {
    let own = thread::current();
    let before = own.masked.load(Relaxed);
    // SAFETY: the caller's promise.
    let set = (!set.is_null()).then(|| unsafe { set.read_unaligned() });
    if !is_installed() {
        return change_real(how, set.map(|set| set & !kept_out), old);
    }
    let has = (set.unwrap_or(0) & own_signals()) as u32;
    let after = match (how, set) {
        (sys::SIG_BLOCK, Some(_)) => before | has,
        (sys::SIG_UNBLOCK, Some(_)) => before & !has,
        (sys::SIG_SETMASK, Some(_)) => has,
        _ => before,
    };
    // The call below delivers the pending ones that it unblocks.
    let is_opened = own.pending.fetch_and(after, Relaxed) & !after;
    own.masked.fetch_and(!is_opened, Relaxed);
    let hidden = if how == sys::SIG_UNBLOCK {
        0
    } else {
        own_signals() & !u64::from(own.pending.load(Relaxed))
    };
    let done = change_real(how, set.map(|set| set & !(hidden | kept_out)), old);
    if done == 0 {
        own.masked.store(after, Relaxed);
        own.is_waiting.store(0, Relaxed);
        if !old.is_null() && before != 0 {
            // SAFETY: the kernel has just written there.
            unsafe { old.write_unaligned(old.read_unaligned() | u64::from(before)) };
        }
    }
    done
}

/// # Safety
/// The contract of libc's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pthread_sigmask(how: c_int, set: *const Sigset, old: *mut Sigset) -> c_int {
    let errno = sys::errno();
    // SAFETY: the program's call.
    let done = unsafe { change_shown(how, set.cast(), old.cast(), OF_LIBC) };
    let failed = if done == 0 { 0 } else { sys::errno() };
    sys::set_errno(errno);
    failed
}

/// # Safety
/// The contract of libc's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sigprocmask(how: c_int, set: *const Sigset, old: *mut Sigset) -> c_int {
    // SAFETY: the program's call.
    unsafe { change_shown(how, set.cast(), old.cast(), OF_LIBC) as c_int }
}

/// The mask of a call that waits with it, without the observer's signals. While it exists, the thread's state has the original.
pub(crate) struct WaitMask(u64);

impl WaitMask {
    /// # Safety
    /// `mask` is null or can be read.
    pub(crate) unsafe fn set(mask: *const u64) -> Option<Self> {
        let own = thread::current();
        if mask.is_null() || !is_installed() || own.pending.load(Relaxed) != 0 {
            return None;
        }
        // SAFETY: the caller's promise.
        let mask = unsafe { mask.read_unaligned() };
        own.wait_mask.store((mask & own_signals()) as u32, Relaxed);
        own.is_waiting.store(1, Relaxed);
        Some(Self(mask & !own_signals()))
    }

    pub(crate) fn mask(&self) -> *const u64 {
        &raw const self.0
    }
}

impl Drop for WaitMask {
    fn drop(&mut self) {
        thread::current().is_waiting.store(0, Relaxed);
    }
}

/// Declares hooks of functions that wait with another mask.
macro_rules! waits {
    ($($name:ident($($arg:ident: $shape:ty),*; $mask:ident $(, $last:ident: $last_shape:ty)?) -> $answer:ty;)*) => {
        real_functions! {
            mod real_waits;
            $($name($($arg: $shape,)* $mask: *const u64 $(, $last: $last_shape)?) -> $answer;)*
        }
        $(
            /// # Safety
            /// The contract of libc's function.
            #[unsafe(no_mangle)]
            pub unsafe extern "C" fn $name($($arg: $shape,)* $mask: *const u64 $(, $last: $last_shape)?) -> $answer {
                // SAFETY: the program's call, with a mask that exists until it returns.
                unsafe {
                    let changed = WaitMask::set($mask);
                    let mask = changed.as_ref().map_or($mask, WaitMask::mask);
                    real_waits::$name($($arg,)* mask $(, $last)?)
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

/// The handler of all other signals. Calls the program's handler with the mask that the program expects.
///
/// # Safety
/// Called by the kernel.
unsafe extern "C" fn on_signal(signal: c_int, info: *mut c_int, context: *mut u64) {
    let Some(handler) = HANDLERS.get(signal.unsigned_abs() as usize) else {
        return;
    };
    let function = handler.function.load(Acquire);
    // SAFETY: the program's handler for this signal.
    unsafe { call(function, handler.masks.load(Relaxed), signal, info, context) }
}

/// # Safety
/// Called in a handler with the kernel's arguments and a function of the program's.
unsafe fn call(function: usize, masks: u32, signal: c_int, info: *mut c_int, context: *mut u64) {
    let own = thread::current();
    let mask = context.wrapping_add(MASK);
    let before = own.masked.load(Relaxed);
    let until = if own.is_waiting.swap(0, Relaxed) == 0 {
        before
    } else {
        own.wait_mask.load(Relaxed)
    };
    own.masked.store(until | masks, Relaxed);
    // SAFETY: the caller's promise; a function with fewer parameters ignores the other registers.
    unsafe {
        // The place of a copied instruction, or the one after it.
        *context.add(COUNTER) = copies::original(*context.add(COUNTER) as usize) as u64;
        let blocked_for_child = *mask & u64::from(own.blocked_for_child.load(Relaxed));
        if blocked_for_child & bit(SIGTRAP) != 0 {
            // The handler may use statics. Its return blocks SIGTRAP again.
            change_real(sys::SIG_UNBLOCK, Some(bit(SIGTRAP)), core::ptr::null_mut());
        }
        *mask |= u64::from(before);
        core::mem::transmute::<usize, unsafe extern "C" fn(c_int, *mut c_int, *mut u64)>(function)(
            signal, info, context,
        );
        own.masked.store((*mask & own_signals()) as u32, Relaxed);
        let hidden = own_signals() & !u64::from(own.pending.load(Relaxed));
        *mask = *mask & !hidden | blocked_for_child;
    }
}

/// Handles one of the observer's signals that is for the program: one that was sent, or a SIGSYS of a seccomp filter, or a
/// SIGTRAP of the program's own breakpoint.
///
/// # Safety
/// Called in the handler with the kernel's arguments.
#[inline(never)]
pub(crate) unsafe fn forward(signal: c_int, info: *mut c_int, context: *mut u64) {
    let Some(kept) = own_action(signal) else {
        return;
    };
    // SAFETY: the kernel's description, and the program's own action.
    unsafe {
        let code = *info.add(CODE);
        let is_forced = if signal == SIGSYS {
            code == SYS_SECCOMP
        } else {
            code > 0
        };
        let is_masked = u64::from(thread::current().masked.load(Relaxed)) & bit(signal) != 0;
        if is_masked && !is_forced {
            return keep_pending(signal, info, context);
        }
        match (*kept).handler {
            // A forced signal cannot be ignored: the kernel would reset the action to the default.
            IGNORED if !is_forced => {}
            DEFAULT | IGNORED => end_process(signal, kept),
            _ if is_masked => end_process(signal, kept),
            handler => {
                let flags = (*kept).flags;
                if flags & SA_RESETHAND != 0 {
                    (*kept).handler = DEFAULT;
                }
                let blocked = (*kept).mask.0[0];
                // The handler's return undoes this.
                let real = blocked & !own_signals();
                change_real(sys::SIG_BLOCK, Some(real), core::ptr::null_mut());
                let itself = if flags & SA_NODEFER == 0 { bit(signal) } else { 0 };
                let masks = (blocked | itself) & own_signals();
                call(handler, masks as u32, signal, info, context);
            }
        }
    }
}

/// Ends the process by the signal, as if there were no observer. The signal does not come again by itself, so it is
/// raised.
///
/// # Safety
/// Called in the handler, with the program's action.
unsafe fn end_process(signal: c_int, kept: *const Sigaction) {
    // SAFETY: the caller's promise.
    unsafe {
        let default = Sigaction {
            handler: DEFAULT,
            mask: Sigset::EMPTY,
            flags: (*kept).flags,
            restorer: (*kept).restorer,
        };
        IS_INSTALLED.store(false, Release);
        real::sigaction(signal, &raw const default, core::ptr::null_mut());
        signal_actions::real::raise(signal);
    }
}

/// Sends a signal that the program has blocked once more, so that it stays pending until the program unblocks or fetches
/// it. Until then it is really blocked, so the thread's raw calls are not reported, and statics are not observed any more.
///
/// # Safety
/// Called in the handler with the kernel's arguments.
unsafe fn keep_pending(signal: c_int, info: *mut c_int, context: *mut u64) {
    let own = thread::current();
    breakpoints::stop();
    own.pending.fetch_or(bit(signal) as u32, Relaxed);
    if signal == SIGSYS {
        selector::let_through(own);
    }
    change_real(sys::SIG_BLOCK, Some(bit(signal)), core::ptr::null_mut());
    let pid = this_process::kernel_pid() as usize;
    // SAFETY: the signal's own description, sent to the process or to the thread as it was before.
    unsafe {
        *context.add(MASK) |= bit(signal);
        if *info.add(CODE) == SI_TKILL {
            let thread = syscall(nr::GETTID, []) as usize;
            let (signal, info) = (signal as usize, info as usize);
            syscall(nr::RT_TGSIGQUEUEINFO, [pid, thread, signal, info]);
        } else {
            syscall(nr::RT_SIGQUEUEINFO, [pid, signal as usize, info as usize]);
        }
    }
}

/// The program's action for a signal before a change, which can be undone.
struct ReplacedAction {
    handler: &'static Handler,
    function: usize,
    masks: u32,
}

impl ReplacedAction {
    /// Remembers the program's new action for a signal. Returns the old one, and the function that the kernel is to call.
    fn by(signal: c_int, function: usize, mask: u64) -> Option<(Self, usize)> {
        let handler = HANDLERS.get(usize::try_from(signal).ok()?)?;
        let is_function = !matches!(function, DEFAULT | IGNORED);
        let replaced = Self {
            handler,
            function: handler.function.load(Relaxed),
            masks: handler.masks.swap((mask & own_signals()) as u32, Relaxed),
        };
        if is_function {
            handler.function.store(function, Release);
        }
        Some((replaced, if is_function { our_handler() } else { function }))
    }

    /// Returns the program's action for a signal, which stays.
    fn of(signal: c_int) -> Option<Self> {
        let handler = HANDLERS.get(usize::try_from(signal).ok()?)?;
        Some(Self {
            handler,
            function: handler.function.load(Relaxed),
            masks: handler.masks.load(Relaxed),
        })
    }

    /// Restores the action, because the kernel refused the new one.
    fn undo(&self) {
        self.handler.function.store(self.function, Relaxed);
        self.handler.masks.store(self.masks, Relaxed);
    }

    /// Returns the function and the mask that the program had set, given those that the kernel had.
    fn shown(&self, function: usize, mask: u64) -> (usize, u64) {
        (
            if function == our_handler() {
                self.function
            } else {
                function
            },
            mask | u64::from(self.masks),
        )
    }
}

fn our_handler() -> usize {
    on_signal as *const () as usize
}

/// # Safety
/// The contract of libc's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sigaction(signal: c_int, new: *const Sigaction, old: *mut Sigaction) -> c_int {
    let mut own = Sigaction::DEFAULT;
    // SAFETY: the program's own structures. The new one may be where the old one is to be written.
    unsafe {
        let wanted = new.as_ref().map(Disposition::of);
        let old = if old.is_null() { &raw mut own } else { old };
        let done = change_action(signal, new, old);
        if done == 0 {
            signal_actions::record_set(signal, wanted, Disposition::of(&*old));
        }
        done
    }
}

/// # Safety
/// That of libc's `sigaction`.
unsafe fn change_action(signal: c_int, new: *const Sigaction, old: *mut Sigaction) -> c_int {
    // SAFETY: the program's own structures, which libc would read and write.
    unsafe {
        if !is_installed() {
            return real::sigaction(signal, new, old);
        }
        if let Some(kept) = own_action(signal) {
            let before = *kept;
            if !new.is_null() {
                remember(kept, (*new).handler, (*new).mask.0[0], (*new).flags);
            }
            if !old.is_null() {
                *old = before;
            }
            return 0;
        }
        let set = new
            .as_ref()
            .map(|new| (ReplacedAction::by(signal, new.handler, new.mask.0[0]), *new));
        let (replaced, done) = match set {
            Some((Some((replaced, function)), mut action)) => {
                action.handler = function;
                action.mask.0[0] &= !own_signals();
                let done = real::sigaction(signal, &raw const action, old);
                if done != 0 {
                    replaced.undo();
                }
                (Some(replaced), done)
            }
            _ => (ReplacedAction::of(signal), real::sigaction(signal, new, old)),
        };
        if let (Some(replaced), Some(old), 0) = (replaced, old.as_mut(), done) {
            (old.handler, old.mask.0[0]) = replaced.shown(old.handler, old.mask.0[0]);
        }
        done
    }
}

/// Remembers the program's action for a signal of the observer's as the kernel would.
fn remember(kept: *mut Sigaction, handler: usize, mask: u64, flags: c_int) {
    let mut set = Sigset::EMPTY;
    set.0[0] = mask & !UNBLOCKABLE;
    // SAFETY: see `OwnAction`.
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
/// The contract of libc's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn signal(signal: c_int, handler: usize) -> usize {
    // SAFETY: the program's call.
    let before = unsafe { change_handler(signal, handler) };
    if before != usize::MAX {
        let (new, old) = (Disposition::new(handler, 0), Disposition::new(before, 0));
        signal_actions::record_set(signal, Some(new), old);
    }
    before
}

/// # Safety
/// That of libc's `signal`.
unsafe fn change_handler(signal: c_int, handler: usize) -> usize {
    // SAFETY: the program's call.
    unsafe {
        if !is_installed() {
            return real::signal(signal, handler);
        }
        if let Some(kept) = own_action(signal) {
            let before = (*kept).handler;
            remember(kept, handler, bit(signal), SA_RESTART);
            return before;
        }
        let Some((replaced, function)) = ReplacedAction::by(signal, handler, 0) else {
            return real::signal(signal, handler);
        };
        let before = real::signal(signal, function);
        if before == usize::MAX {
            replaced.undo();
        }
        replaced.shown(before, 0).0
    }
}

/// Returns the disposition that the program has set for a signal, or the default if libc does not report one.
#[inline(never)]
fn disposition(signal: c_int) -> Disposition {
    let errno = sys::errno();
    let mut action = Sigaction::DEFAULT;
    // SAFETY: asks for the action, and writes to a place of ours.
    unsafe { change_action(signal, core::ptr::null(), &raw mut action) };
    sys::set_errno(errno);
    Disposition::of(&action)
}

/// Makes a raw `rt_sigaction`, whose structures are the kernel's: handler, flags, restorer and mask.
///
/// # Safety
/// The program made this call.
pub(crate) unsafe fn raw_sigaction(arguments: [usize; 6]) -> c_long {
    let [number, new, old, size, ..] = arguments;
    let signal = number as c_int;
    let before = disposition(signal);
    let set = |new: usize, old: usize| {
        // SAFETY: the program's call, with an action of ours or the program's.
        unsafe { syscall(nr::RT_SIGACTION, [number, new, old, size]) }
    };
    let is_read = size == 8 && (new == 0 || is_readable(new) && is_readable(new.wrapping_add(31)));
    // SAFETY: four words that can be read.
    let wanted = (is_read && new != 0).then(|| unsafe { (new as *const [usize; 4]).read_unaligned() });
    let record = |done: c_long| {
        if done == 0 && is_read {
            let new = wanted.map(|[function, flags, ..]| Disposition::new(function, flags as c_int));
            signal_actions::record_set(signal, new, before);
        }
        done
    };
    let Some(unchanged) = ReplacedAction::of(signal).filter(|_| is_installed() && is_read) else {
        return record(set(new, old));
    };
    let kept = own_action(signal);
    let (replaced, done) = if kept.is_some() {
        // The observer's action stays. The kernel writes it, and so checks that the place is valid.
        (unchanged, set(0, old))
    } else if let Some([function, flags, way_back, mask]) = wanted
        && let Some((replaced, function)) = ReplacedAction::by(signal, function, mask as u64)
    {
        let action = [function, flags, way_back, mask & !(own_signals() as usize)];
        let done = set((&raw const action) as usize, old);
        if done != 0 {
            replaced.undo();
        }
        (replaced, done)
    } else {
        (unchanged, set(0, old))
    };
    if done == 0 && old != 0 {
        let old = old as *mut [usize; 4];
        // SAFETY: the kernel has just written there.
        unsafe {
            let mut action = old.read_unaligned();
            if let Some(kept) = kept {
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
    if let Some(kept) = kept
        && done == 0
        && let Some([function, flags, _, mask]) = wanted
    {
        remember(kept, function, mask as u64, flags as c_int);
    }
    record(done)
}

const _: () = assert!(size_of::<Sigaction>() == 152);
