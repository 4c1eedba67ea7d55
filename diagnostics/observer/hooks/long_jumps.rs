//! Jumps out of a handler. `siglongjmp` restores the mask that `sigsetjmp` has saved, which is the real one. So the mask
//! that the program sees is saved with it.

use crate::hooks::signal_masks;
use crate::sys::interpose::real_functions;
use crate::sys::{self, c_int, c_void};
use crate::thread;
use core::arch::naked_asm;
use core::sync::atomic::AtomicPtr;
use core::sync::atomic::Ordering::Relaxed;

/// `sigjmp_buf`. libc and the kernel use only the first words of the mask.
#[repr(C)]
struct Jump {
    registers: [usize; 8],
    has_mask: c_int,
    mask: [u64; 16],
}

/// Marks the last word of a mask that was saved here; its lower half is [`masked`](thread::Thread::masked).
const MARK: u64 = 0xc0ff_e7da << 32;
const MARK_BITS: u64 = 0xffff_ffff << 32;

real_functions! {
    mod real;
    longjmp(place: *mut c_void, answer: c_int) -> *mut c_void;
    _longjmp(place: *mut c_void, answer: c_int) -> *mut c_void;
    siglongjmp(place: *mut c_void, answer: c_int) -> *mut c_void;
    __longjmp_chk(place: *mut c_void, answer: c_int) -> *mut c_void;
}

static SETJMP: AtomicPtr<c_void> = AtomicPtr::new(core::ptr::null_mut());

/// Looks up the real functions.
pub(crate) fn resolve() {
    real::resolve();
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

/// Takes the observer's signals out of the mask in a context that is about to be restored: they would really be blocked.
extern "C" fn before_context(context: *mut u64) {
    if SETCONTEXT.load(Relaxed).is_null() {
        // Only before the constructor.
        find_contexts();
    }
    if signal_masks::is_installed() {
        let mask = context.wrapping_add(signal_masks::MASK);
        // SAFETY: the program passes the context to libc, which reads the mask.
        unsafe { *mask &= !signal_masks::own_signals() | signal_masks::really_blocked() };
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

/// Prepares the thread's state and the saved mask for a jump.
///
/// # Safety
/// The program is about to jump there.
unsafe fn before_jump(place: *mut c_void) {
    // The jump may drop frames of the observer that would have reset it.
    thread::current().in_observer.store(0, Relaxed);
    // SAFETY: the caller's promise.
    unsafe {
        let has_mask = &raw const (*place.cast::<Jump>()).has_mask;
        if !signal_masks::is_installed() || *has_mask == 0 {
            return;
        }
        let mask = &raw mut (*place.cast::<Jump>()).mask;
        let known = (*mask)[15];
        // A mask without the mark was saved past our hook: then only the real mask is known.
        let own = signal_masks::own_signals();
        let masked = if known & MARK_BITS == MARK {
            known as u32
        } else {
            ((*mask)[0] & own) as u32
        };
        (*mask)[0] = (*mask)[0] & !own | signal_masks::before_jump(masked);
    }
}

/// Declares functions that jump.
macro_rules! jumps {
    ($($name:ident)*) => {
        $(
            /// # Safety
            /// The contract of libc's function.
            #[unsafe(no_mangle)]
            pub unsafe extern "C" fn $name(place: *mut c_void, answer: c_int) -> *mut c_void {
                // SAFETY: the program's call.
                unsafe {
                    before_jump(place);
                    real::$name(place, answer)
                }
            }
        )*
    };
}

jumps! { longjmp _longjmp siglongjmp __longjmp_chk }
