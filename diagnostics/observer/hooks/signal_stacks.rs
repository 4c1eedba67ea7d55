//! Alternate signal stacks: while statics are observed, each thread has one of the observer's own, because an access may be
//! made with next to no stack left. Handlers of the program's that want an alternate stack run on it, and the program
//! reads back the one that it has set.

use crate::sys::interpose::real_functions;
use crate::sys::{self, c_int};
use crate::thread;
use core::sync::atomic::Ordering::Relaxed;
use core::sync::atomic::{AtomicBool, AtomicUsize};

/// `stack_t`: address, flags, size.
type Stack = [usize; 3];

real_functions! {
    mod real;
    sigaltstack(new: *const Stack, old: *mut Stack) -> c_int;
}

/// The flag of a stack that the thread is on.
const SS_ONSTACK: usize = 1;
/// The flag that says that there is no stack.
const SS_DISABLE: usize = 2;
/// The flags' bits: the other half of the word is padding.
const FLAGS: usize = 0xffff_ffff;

/// The size of our stacks, of which only the used pages are in memory. A handler of the program's may have expected much
/// of the thread's own.
const SIZE: usize = 256 << 10;
const PAGE: usize = 4096;

static IS_ON: AtomicBool = AtomicBool::new(false);

/// Gives this thread a stack, and enables it for later threads.
pub(crate) fn begin() {
    IS_ON.store(true, Relaxed);
    give();
}

/// Gives the calling thread a stack, if it is to have one. Without memory for it, it has none: its handlers run on the
/// stack in use.
pub(crate) fn give() {
    if !IS_ON.load(Relaxed) {
        return;
    }
    let errno = sys::errno();
    let (protection, flags) = (
        sys::PROT_READ | sys::PROT_WRITE,
        sys::MAP_PRIVATE | sys::MAP_ANONYMOUS | sys::MAP_NORESERVE,
    );
    // SAFETY: fresh memory, whose first page stays closed, and a place of ours for the old stack.
    unsafe {
        let memory = sys::mmap(core::ptr::null_mut(), SIZE, protection, flags, -1, 0);
        if memory != sys::MAP_FAILED {
            sys::mprotect(memory, PAGE, 0);
            let mut before = [0; 3];
            if real::sigaltstack(&ours(memory.addr()), &raw mut before) == 0 {
                let own = thread::current();
                show(&own.shown_stack, before);
                own.own_stack.store(memory.addr(), Relaxed);
            } else {
                sys::munmap(memory, SIZE);
            }
        }
    }
    sys::set_errno(errno);
}

/// Takes the thread's stack back, at its end.
pub(crate) fn take_back() {
    let own = thread::current();
    let memory = own.own_stack.swap(0, Relaxed);
    if memory == 0 {
        return;
    }
    let errno = sys::errno();
    // SAFETY: the program's own stack, and our memory, on which this thread is not.
    unsafe {
        real::sigaltstack(&shown(&own.shown_stack), core::ptr::null_mut());
        sys::munmap(memory as *mut _, SIZE);
    }
    sys::set_errno(errno);
}

fn ours(memory: usize) -> Stack {
    [memory + PAGE, 0, SIZE - PAGE]
}

fn shown(places: &[AtomicUsize; 3]) -> Stack {
    [0, 1, 2].map(|place: usize| places.get(place).map_or(0, |word| word.load(Relaxed)))
}

fn show(places: &[AtomicUsize; 3], stack: Stack) {
    let [address, flags, size] = stack;
    for (place, word) in places.iter().zip([address, flags & FLAGS & !SS_ONSTACK, size]) {
        place.store(word, Relaxed);
    }
}

/// Returns whether the thread has a stack of ours, so that the kernel must not be asked.
pub(crate) fn is_own() -> bool {
    thread::current().own_stack.load(Relaxed) != 0
}

/// Changes the stack that the program sees. Returns -1 and sets `errno` if that fails.
///
/// # Safety
/// The program made this call.
pub(crate) unsafe fn change(new: *const Stack, old: *mut Stack) -> c_int {
    let own = thread::current();
    let memory = own.own_stack.load(Relaxed);
    let here = (&raw const own).addr();
    let mut before = shown(&own.shown_stack);
    // SAFETY: the program's call. The kernel checks the program's structures, and for a moment has its stack.
    unsafe {
        let done = real::sigaltstack(new, old);
        if done != 0 || memory == 0 {
            return done;
        }
        if !new.is_null() {
            let mut wanted = [0; 3];
            real::sigaltstack(&ours(memory), &raw mut wanted);
            show(&own.shown_stack, wanted);
        }
        if !old.is_null() {
            let is_on = (memory..memory + SIZE).contains(&here);
            if is_on && before[1] & SS_DISABLE == 0 {
                before[1] |= SS_ONSTACK;
            }
            let padding = (*old)[1] & !FLAGS;
            *old = [before[0], before[1] | padding, before[2]];
        }
        done
    }
}

/// # Safety
/// The contract of libc's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sigaltstack(new: *const Stack, old: *mut Stack) -> c_int {
    // SAFETY: the program's call.
    unsafe { change(new, old) }
}
