//! The locale of the process: whether a call changes it or reads it. Its names are not recorded; a hash of each new one shows
//! whether two are the same.

use crate::log_format::Kind;
use crate::sys::interpose::{hooks, real_functions};
use crate::sys::{self, c_char, c_int, c_void};
use crate::{hash, recording};

real_functions! {
    mod real;
    setlocale(category: c_int, name: *const c_char) -> *mut c_char;
}

/// # Safety
/// The contract of libc's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn setlocale(category: c_int, name: *const c_char) -> *mut c_char {
    // SAFETY: the program's call. libc's own texts are read before the next change of the locale can free them.
    unsafe {
        let current = || {
            let current = real::setlocale(category, core::ptr::null());
            (!current.is_null()).then(|| hash::of_secret(sys::text(current)))
        };
        let before = current();
        let answer = real::setlocale(category, name);
        // A call that fails changes nothing, whatever other threads do meanwhile.
        if name.is_null() || answer.is_null() {
            recording::by_name(Kind::GetLocale, false, 0, b"");
        } else {
            // Of the call's own answer: another thread may have changed the locale since.
            let mark = hash::of_secret(sys::text(answer)).wrapping_mul(31);
            let mark = mark.wrapping_add(category.unsigned_abs());
            recording::state(Kind::SetLocale, before == current(), u64::from(mark));
        }
        answer
    }
}

hooks! {
    mod real_conventions;
    localeconv() -> *mut c_void, |_conventions| recording::by_name(Kind::GetLocale, false, 0, b"");
}
