//! Jumps out of a handler. `siglongjmp` restores the mask that `sigsetjmp` has saved, which is the real one. So the mask
//! that the program sees is saved with it.

use crate::hooks::signal_masks;
use crate::sys::interpose::real_functions;
use crate::sys::{c_int, c_void, processor};
use crate::thread;
use core::sync::atomic::Ordering::Relaxed;

/// `sigjmp_buf`. libc and the kernel use only the first words of the mask.
#[repr(C)]
pub(crate) struct Jump {
    registers: [usize; processor::JUMP_WORDS],
    has_mask: c_int,
    pub(crate) mask: [u64; 16],
}

/// Marks the last word of a mask that was saved here; its lower half is [`masked`](thread::Thread::masked).
pub(crate) const MARK: u64 = 0xc0ff_e7da << 32;
const MARK_BITS: u64 = 0xffff_ffff << 32;

real_functions! {
    mod real;
    longjmp(place: *mut c_void, answer: c_int) -> *mut c_void;
    _longjmp(place: *mut c_void, answer: c_int) -> *mut c_void;
    siglongjmp(place: *mut c_void, answer: c_int) -> *mut c_void;
    __longjmp_chk(place: *mut c_void, answer: c_int) -> *mut c_void;
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
