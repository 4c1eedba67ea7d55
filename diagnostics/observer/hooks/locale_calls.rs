//! The locale of the process: whether a call changes it or reads it. Its names are not recorded.

use crate::dedupe::mark_of;
use crate::format::Kind;
use crate::record;
use crate::sys::interpose::{hooks, reals};
use crate::sys::{self, c_char, c_int, c_void};

pub(crate) mod real {
    use super::*;
    reals! {
        setlocale(category: c_int, name: *const c_char) -> *mut c_char;
    }
}

/// # Safety
/// That of libc's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn setlocale(category: c_int, name: *const c_char) -> *mut c_char {
    // SAFETY: the program's call. libc's own texts are read before the next change of the locale can free them.
    unsafe {
        let mark = || {
            let current = real::setlocale(category, core::ptr::null());
            (!current.is_null()).then(|| mark_of(sys::text(current)))
        };
        let before = mark();
        let answer = real::setlocale(category, name);
        let kind = if name.is_null() || before == mark() {
            Kind::GetLocale
        } else {
            Kind::SetLocale
        };
        record::thing(kind, false, 0, b"");
        answer
    }
}

mod conventions {
    use super::*;
    hooks! {
        localeconv() -> *mut c_void, |_conventions| record::thing(Kind::GetLocale, false, 0, b"");
    }
}
pub(crate) use conventions::real as conventions_real;
