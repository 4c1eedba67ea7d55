//! The functions that ours stand in front of.

use crate::sys::{self, RTLD_NEXT, c_char, c_int, c_void};
use core::sync::atomic::{AtomicPtr, Ordering::Relaxed};

/// One of them, looked up once.
pub(crate) struct Real {
    /// With a zero at its end.
    name: &'static str,
    found: AtomicPtr<c_void>,
}

impl Real {
    pub(crate) const fn new(name: &'static str) -> Self {
        Self {
            name,
            found: AtomicPtr::new(core::ptr::null_mut()),
        }
    }

    /// Its address; null if this libc does not have it.
    ///
    /// The first call looks it up. The constructor makes that call, so that a signal handler never does.
    pub(crate) fn address(&self) -> *mut c_void {
        let found = self.found.load(Relaxed);
        if !found.is_null() {
            return found;
        }
        let errno = sys::errno();
        // SAFETY: the name ends with a zero.
        let found = unsafe { sys::dlsym(RTLD_NEXT, self.name.as_ptr().cast::<c_char>()) };
        self.found.store(found, Relaxed);
        sys::set_errno(errno);
        found
    }
}

/// What a function answers that is not there; `errno` is `ENOSYS` then.
pub(crate) trait Missing {
    const ANSWER: Self;
}

impl Missing for () {
    const ANSWER: Self = ();
}

impl Missing for c_int {
    const ANSWER: Self = -1;
}

impl Missing for isize {
    const ANSWER: Self = -1;
}

impl Missing for i64 {
    const ANSWER: Self = -1;
}

impl Missing for u32 {
    const ANSWER: Self = 0;
}

impl Missing for usize {
    const ANSWER: Self = usize::MAX;
}

impl<T> Missing for *mut T {
    const ANSWER: Self = core::ptr::null_mut();
}

impl<T> Missing for *const T {
    const ANSWER: Self = core::ptr::null();
}

/// Declares functions of libc that can be called as they are, past our own: `name(…)`; and `resolve`, which looks all of
/// them up.
///
/// A name that this libc lacks answers like a kernel that lacks the call.
macro_rules! reals {
    ($($name:ident($($arg:ident: $shape:ty),* $(,)?) -> $answer:ty;)*) => {
        #[expect(non_upper_case_globals, reason = "each is called like its function")]
        mod found {
            $(pub(super) static $name: $crate::sys::interpose::Real =
                $crate::sys::interpose::Real::new(concat!(stringify!($name), "\0"));)*
        }

        pub(crate) fn resolve() {
            $(found::$name.address();)*
        }

        $(
            /// # Safety
            /// That of libc's function.
            pub(crate) unsafe fn $name($($arg: $shape),*) -> $answer {
                let found = found::$name.address();
                if found.is_null() {
                    $crate::sys::set_errno($crate::sys::ENOSYS);
                    return <$answer as $crate::sys::interpose::Missing>::ANSWER;
                }
                // SAFETY: libc's function of that name takes and returns these; what the arguments have to be is the
                // caller's promise. A variadic function takes its arguments in the same registers.
                unsafe {
                    core::mem::transmute::<
                        *mut core::ffi::c_void,
                        unsafe extern "C" fn($($shape),*) -> $answer,
                    >(found)($($arg),*)
                }
            }
        )*
    };
}

/// Declares functions that the program calls in place of libc's. The expression sees the arguments and the result.
macro_rules! hooks {
    ($($name:ident($($arg:ident: $shape:ty),* $(,)?) -> $answer:ty, |$result:ident| $after:expr;)*) => {
        pub(crate) mod real {
            use super::*;
            $crate::sys::interpose::reals! { $($name($($arg: $shape),*) -> $answer;)* }
        }
        $(
            /// # Safety
            /// That of libc's function.
            #[unsafe(no_mangle)]
            pub unsafe extern "C" fn $name($($arg: $shape),*) -> $answer {
                // SAFETY: the program's call, handed on as it is; then what libc has read is read once more.
                unsafe {
                    let $result = real::$name($($arg),*);
                    $after;
                    $result
                }
            }
        )*
    };
}

pub(crate) use {hooks, reals};
