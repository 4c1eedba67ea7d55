//! Interposition: hooks, which the program calls in place of libc's functions, and the real functions behind them.

use crate::sys::{self, RTLD_NEXT, c_char, c_int, c_void};
use core::sync::atomic::{AtomicPtr, Ordering::Relaxed};

/// A function of libc, looked up once.
pub(crate) struct RealFunction {
    /// Ends with a zero.
    name: &'static str,
    address: AtomicPtr<c_void>,
}

impl RealFunction {
    pub(crate) const fn new(name: &'static str) -> Self {
        Self {
            name,
            address: AtomicPtr::new(core::ptr::null_mut()),
        }
    }

    /// Returns the function's address, or null if this libc lacks it.
    ///
    /// The first call looks it up. The constructor makes that call, because a signal handler must not.
    pub(crate) fn address(&self) -> *mut c_void {
        let known = self.address.load(Relaxed);
        if !known.is_null() {
            return known;
        }
        let errno = sys::errno();
        // SAFETY: the name ends with a zero.
        let found = unsafe { sys::dlsym(RTLD_NEXT, self.name.as_ptr().cast::<c_char>()) };
        self.address.store(found, Relaxed);
        sys::set_errno(errno);
        found
    }
}

/// The result of a function that this libc lacks; `errno` is `ENOSYS` then.
pub(crate) trait FailureValue {
    const FAILURE: Self;
}

impl FailureValue for () {
    const FAILURE: Self = ();
}

impl FailureValue for c_int {
    const FAILURE: Self = -1;
}

impl FailureValue for isize {
    const FAILURE: Self = -1;
}

impl FailureValue for i64 {
    const FAILURE: Self = -1;
}

impl FailureValue for u32 {
    const FAILURE: Self = 0;
}

impl FailureValue for usize {
    const FAILURE: Self = usize::MAX;
}

impl<T> FailureValue for *mut T {
    const FAILURE: Self = core::ptr::null_mut();
}

impl<T> FailureValue for *const T {
    const FAILURE: Self = core::ptr::null();
}

/// Declares functions that call libc's past our hooks, and `resolve`, which looks all of them up. With `mod NAME;` in
/// front they are in a module of that name.
///
/// A function that this libc lacks fails as a system call does that the kernel lacks.
macro_rules! real_functions {
    (mod $module:ident; $($functions:tt)*) => {
        pub(crate) mod $module {
            use super::*;
            $crate::sys::interpose::real_functions! { $($functions)* }
        }
    };
    ($($name:ident($($arg:ident: $shape:ty),* $(,)?) -> $answer:ty;)*) => {
        #[expect(non_upper_case_globals, reason = "each is called like its function")]
        mod addresses {
            $(pub(super) static $name: $crate::sys::interpose::RealFunction =
                $crate::sys::interpose::RealFunction::new(concat!(stringify!($name), "\0"));)*
        }

        pub(crate) fn resolve() {
            $(addresses::$name.address();)*
        }

        $(
            /// # Safety
            /// The contract of libc's function.
            pub(crate) unsafe fn $name($($arg: $shape),*) -> $answer {
                let address = addresses::$name.address();
                if address.is_null() {
                    $crate::sys::set_errno($crate::sys::ENOSYS);
                    return <$answer as $crate::sys::interpose::FailureValue>::FAILURE;
                }
                // SAFETY: libc's function of that name has this signature; the arguments' validity is the caller's
                // promise. A variadic function takes its arguments in the same registers.
                unsafe {
                    core::mem::transmute::<
                        *mut core::ffi::c_void,
                        unsafe extern "C" fn($($shape),*) -> $answer,
                    >(address)($($arg),*)
                }
            }
        )*
    };
}

/// Declares hooks, and the real functions behind them in a module. The expression after a hook's signature runs after
/// the call, and sees the arguments and the result.
macro_rules! hooks {
    (mod $module:ident; $($name:ident($($arg:ident: $shape:ty),* $(,)?) -> $answer:ty, |$result:ident| $after:expr;)*) => {
        $crate::sys::interpose::real_functions! {
            mod $module;
            $($name($($arg: $shape),*) -> $answer;)*
        }
        $(
            /// # Safety
            /// The contract of libc's function.
            #[unsafe(no_mangle)]
            pub unsafe extern "C" fn $name($($arg: $shape),*) -> $answer {
                // SAFETY: the program's call, passed on unchanged; then what libc has read is read once more.
                unsafe {
                    let $result = $module::$name($($arg),*);
                    $after;
                    $result
                }
            }
        )*
    };
}

pub(crate) use {hooks, real_functions};
