//! The mask that the program sees, saved for jumps and restored with contexts. These functions must not be called from a
//! frame of ours.

use crate::hooks::long_jumps::{Jump, MARK};
use crate::hooks::signal_masks;
use crate::sys::{self, c_void, processor};
use crate::thread;
use core::arch::naked_asm;
use core::sync::atomic::AtomicPtr;
use core::sync::atomic::Ordering::Relaxed;

static SETJMP: AtomicPtr<c_void> = AtomicPtr::new(core::ptr::null_mut());

/// Looks up the real functions.
pub(crate) fn resolve() {
    find_setjmp();
    find_contexts();
}

extern "C" fn find_setjmp() {
    // SAFETY: looked up by name.
    let found = unsafe { sys::dlsym(sys::RTLD_NEXT, c"__sigsetjmp".as_ptr()) };
    SETJMP.store(found, Relaxed);
}

/// `sigsetjmp`, which returns to its caller's frame a second time: it must not be called from one of ours.
///
/// # Safety
/// The contract of libc's function.
#[unsafe(no_mangle)]
#[unsafe(naked)]
pub unsafe extern "C" fn __sigsetjmp() {
    naked_asm!(
        "test esi, esi",
        "je 2f",
        "mov rax, qword ptr [rip + cofferdam_thread@GOTTPOFF]",
        "mov ecx, dword ptr fs:[rax + {masked}]",
        "movabs rax, {mark}",
        "or rax, rcx",
        "mov qword ptr [rdi + {last}], rax",
        "2:",
        "mov rax, qword ptr [rip + {real}]",
        "test rax, rax",
        "je 3f",
        "jmp rax",
        // Only before the constructor.
        "3:",
        "push rdi",
        "push rsi",
        "sub rsp, 8",
        "call {find_setjmp}",
        "add rsp, 8",
        "pop rsi",
        "pop rdi",
        "jmp qword ptr [rip + {real}]",
        masked = const core::mem::offset_of!(thread::Thread, masked),
        mark = const MARK,
        last = const core::mem::offset_of!(Jump, mask) + 15 * 8,
        real = sym SETJMP,
        find_setjmp = sym find_setjmp,
    )
}

/// `setjmp` as a function, which saves the mask; `_setjmp` does not.
///
/// # Safety
/// The contract of libc's function.
#[unsafe(no_mangle)]
#[unsafe(naked)]
pub unsafe extern "C" fn setjmp() {
    naked_asm!("mov esi, 1", "jmp {with}", with = sym __sigsetjmp)
}

static SETCONTEXT: AtomicPtr<c_void> = AtomicPtr::new(core::ptr::null_mut());
static SWAPCONTEXT: AtomicPtr<c_void> = AtomicPtr::new(core::ptr::null_mut());

extern "C" fn find_contexts() {
    for (place, name) in [(&SETCONTEXT, c"setcontext"), (&SWAPCONTEXT, c"swapcontext")] {
        // SAFETY: looked up by name.
        place.store(unsafe { sys::dlsym(sys::RTLD_NEXT, name.as_ptr()) }, Relaxed);
    }
}

/// Returns the bits of the observer's signals that are really blocked in this thread.
fn really_blocked() -> u64 {
    let own = thread::current();
    u64::from(own.pending.load(Relaxed) | own.blocked_for_child.load(Relaxed))
}

/// Takes the observer's signals out of the mask in a context that is about to be restored: they would really be blocked.
extern "C" fn before_context(context: *mut u64) {
    if SETCONTEXT.load(Relaxed).is_null() {
        // Only before the constructor.
        find_contexts();
    }
    if signal_masks::is_installed() {
        let mask = context.wrapping_add(processor::register::MASK);
        // SAFETY: the program passes the context to libc, which reads the mask.
        unsafe { *mask &= !signal_masks::own_signals() | really_blocked() };
    }
}

/// Declares the functions that restore a context, which must not be called from a frame of ours.
macro_rules! contexts {
    ($($name:ident, $context:literal, $real:ident;)*) => {
        $(
            /// # Safety
            /// The contract of libc's function.
            #[unsafe(no_mangle)]
            #[unsafe(naked)]
            pub unsafe extern "C" fn $name() {
                naked_asm!(
                    "push rdi",
                    "push rsi",
                    "sub rsp, 8",
                    concat!("mov rdi, ", $context),
                    "call {before}",
                    "add rsp, 8",
                    "pop rsi",
                    "pop rdi",
                    "jmp qword ptr [rip + {real}]",
                    before = sym before_context,
                    real = sym $real,
                )
            }
        )*
    };
}

contexts! {
    setcontext, "rdi", SETCONTEXT;
    swapcontext, "rsi", SWAPCONTEXT;
}
