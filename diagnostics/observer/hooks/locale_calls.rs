//! The locale of the process: whether a call changes it or reads it. Its names are not recorded; a hash of each new one shows
//! whether two are the same.

use crate::log_format::Kind;
use crate::sys::interpose::{hooks, real_functions};
use crate::sys::{self, c_char, c_int, c_void};
use crate::{hash, recording};

/// glibc's `LC_ALL`.
const EVERYTHING: c_int = 6;

real_functions! {
    mod real;
    setlocale(category: c_int, name: *const c_char) -> *mut c_char;
}

/// # Safety
/// That of libc's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn setlocale(category: c_int, name: *const c_char) -> *mut c_char {
    // SAFETY: the program's call. libc's own texts are read before the next change of the locale can free them.
    unsafe {
        let current = || {
            let current = real::setlocale(EVERYTHING, core::ptr::null());
            (!current.is_null()).then(|| hash::of_secret(sys::text(current)))
        };
        let before = current();
        let answer = real::setlocale(category, name);
        // A call that fails changes nothing, whatever other threads do meanwhile.
        if name.is_null() || answer.is_null() {
            recording::by_name(Kind::GetLocale, false, 0, b"");
        } else {
            let after = current();
            recording::state(Kind::SetLocale, before == after, after.map_or(0, u64::from));
        }
        answer
    }
}

hooks! {
    mod real_conventions;
    localeconv() -> *mut c_void, |_conventions| recording::by_name(Kind::GetLocale, false, 0, b"");
}
