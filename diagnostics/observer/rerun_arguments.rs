//! The arguments of the program. A rerun selects tests by arguments that the suite's run did not have: a test that reads the
//! arguments of its process by libc or std must not find them. `/proc/self/cmdline` keeps them.

use crate::sys::{self, c_char};
use core::sync::atomic::AtomicPtr;
use core::sync::atomic::Ordering::Relaxed;

/// The array of the arguments to hide; null for none.
static HIDDEN: AtomicPtr<*const c_char> = AtomicPtr::new(core::ptr::null_mut());

/// Takes the arguments of the program, to be hidden once the first test that they name begins.
pub(crate) fn request(arguments: *mut *const c_char) {
    HIDDEN.store(arguments, Relaxed);
}

/// Hides the arguments if one of them is this name: then the harness has read them, since one of its tests begins.
pub(crate) fn test_begins(name: &[u8]) {
    let arguments = HIDDEN.load(Relaxed);
    if arguments.is_null() || name.is_empty() {
        return;
    }
    // SAFETY: the kernel's array, which libc and std read as well. It ends with a null pointer.
    unsafe {
        let first = arguments.add(usize::from(!(*arguments).is_null()));
        let mut next = first;
        while !(*next).is_null() && sys::text(*next) != name {
            next = next.add(1);
        }
        if !(*next).is_null() {
            // std ends its list at a null pointer, whatever the count says.
            first.write(core::ptr::null());
            HIDDEN.store(core::ptr::null_mut(), Relaxed);
        }
    }
}
