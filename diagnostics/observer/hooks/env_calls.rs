//! The environment: names only, never what they say. Of that a mark is kept, which tells whether two say the same.

use crate::dedupe::mark_of;
use crate::format::{Kind, SAME};
use crate::hooks::process_calls;
use crate::log::{self, Entry};
use crate::record::{self, Noting};
use crate::sys::interpose::{hooks, reals};
use crate::sys::{self, c_char, c_int, c_void};

type Text = *const c_char;

pub(crate) mod real {
    use super::*;
    reals! {
        getenv(name: Text) -> *mut c_char;
        secure_getenv(name: Text) -> *mut c_char;
        setenv(name: Text, value: Text, replace: c_int) -> c_int;
        unsetenv(name: Text) -> c_int;
        putenv(text: *mut c_char) -> c_int;
        clearenv() -> c_int;
    }
}

/// A child's environment is its own: it meets nobody there.
fn noted(kind: Kind, flags: u8, name: &[u8], mark: u32) {
    if !process_calls::is_test() || name.is_empty() {
        return;
    }
    let Some(_noting) = Noting::begin() else { return };
    let mut entry = Entry::new(kind, name);
    entry.flags = flags;
    entry.value = u64::from(mark);
    log::access(&entry);
}

mod zone {
    use super::*;

    /// What these functions find depends on a variable that libc reads by itself.
    fn read() {
        noted(Kind::GetVariable, 0, b"TZ", 0);
    }

    hooks! {
        tzset() -> (), |_none| read();
        localtime(time: *const i64) -> *mut c_void, |_time| read();
        localtime_r(time: *const i64, to: *mut c_void) -> *mut c_void, |_time| read();
        ctime(time: *const i64) -> *mut c_char, |_text| read();
        ctime_r(time: *const i64, to: *mut c_char) -> *mut c_char, |_text| read();
        mktime(time: *mut c_void) -> i64, |_time| read();
        timelocal(time: *mut c_void) -> i64, |_time| read();
        strftime(to: *mut c_char, length: usize, format: Text, time: *const c_void) -> usize, |_length| read();
    }
}
pub(crate) use zone::real as zones;

/// # Safety
/// That of libc's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getenv(name: Text) -> *mut c_char {
    // SAFETY: the program's call, and a text that libc has read.
    unsafe {
        let value = real::getenv(name);
        noted(Kind::GetVariable, 0, sys::text(name), 0);
        value
    }
}

/// # Safety
/// That of libc's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn secure_getenv(name: Text) -> *mut c_char {
    // SAFETY: as above.
    unsafe {
        let value = real::secure_getenv(name);
        noted(Kind::GetVariable, 0, sys::text(name), 0);
        value
    }
}

/// # Safety
/// That of libc's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn setenv(name: Text, value: Text, replace: c_int) -> c_int {
    // SAFETY: the program's texts, which libc is about to read.
    unsafe {
        let same = !name.is_null() && {
            let before = real::getenv(name);
            !before.is_null() && (replace == 0 || sys::text(before) == sys::text(value))
        };
        let done = real::setenv(name, value, replace);
        noted(
            Kind::SetVariable,
            log::flags(done != 0) | if same { SAME } else { 0 },
            sys::text(name),
            mark_of(sys::text(if same { real::getenv(name) } else { value })),
        );
        done
    }
}

/// # Safety
/// That of libc's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn unsetenv(name: Text) -> c_int {
    // SAFETY: the program's text, which libc is about to read.
    unsafe {
        let same = !name.is_null() && real::getenv(name).is_null();
        let done = real::unsetenv(name);
        noted(
            Kind::UnsetVariable,
            log::flags(done != 0) | if same { SAME } else { 0 },
            sys::text(name),
            0,
        );
        done
    }
}

/// # Safety
/// That of libc's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn putenv(text: *mut c_char) -> c_int {
    // SAFETY: the program's text, which libc has read.
    unsafe {
        let done = real::putenv(text);
        let text = sys::text(text);
        let mut parts = text.splitn(2, |byte| *byte == b'=');
        let (name, value) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        noted(Kind::SetVariable, log::flags(done != 0), name, mark_of(value));
        done
    }
}

/// # Safety
/// That of libc's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clearenv() -> c_int {
    // SAFETY: the program's call.
    let done = unsafe { real::clearenv() };
    if process_calls::is_test() {
        record::thing(Kind::ClearVariables, done != 0, 0, b"");
    }
    done
}
