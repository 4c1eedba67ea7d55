//! Calls that read or change environment variables. Names are recorded, values never: a hash of each new value shows whether
//! two are the same.

use crate::log::Record;
use crate::log_format::{Kind, SAME};
use crate::recording::{self, ReentrancyGuard, outcome};
use crate::sys::interpose::{hooks, real_functions};
use crate::sys::{self, c_char, c_int, c_void};
use crate::{hash, this_process};

type Text = *const c_char;

real_functions! {
    mod real;
    getenv(name: Text) -> *mut c_char;
    secure_getenv(name: Text) -> *mut c_char;
    setenv(name: Text, value: Text, replace: c_int) -> c_int;
    unsetenv(name: Text) -> c_int;
    putenv(text: *mut c_char) -> c_int;
    clearenv() -> c_int;
}

/// Records an access to a variable. A process that a test started has an environment of its own, which no other test
/// reads or writes.
fn record_variable(kind: Kind, flags: u8, name: &[u8], value: u32) {
    if !this_process::is_test() || name.is_empty() {
        return;
    }
    let Some(_guard) = ReentrancyGuard::enter() else {
        return;
    };
    let mut record = Record::new(kind, name);
    record.flags = flags;
    record.value = u64::from(value);
    recording::access(&record);
}

/// Records that libc itself reads the time zone's variable.
fn read_zone() {
    record_variable(Kind::GetVariable, 0, b"TZ", 0);
}

hooks! {
    mod real_time;
    tzset() -> (), |_none| read_zone();
    localtime(time: *const i64) -> *mut c_void, |_time| read_zone();
    localtime_r(time: *const i64, to: *mut c_void) -> *mut c_void, |_time| read_zone();
    ctime(time: *const i64) -> *mut c_char, |_text| read_zone();
    ctime_r(time: *const i64, to: *mut c_char) -> *mut c_char, |_text| read_zone();
    mktime(time: *mut c_void) -> i64, |_time| read_zone();
    timelocal(time: *mut c_void) -> i64, |_time| read_zone();
    strftime(to: *mut c_char, length: usize, format: Text, time: *const c_void) -> usize, |_length| read_zone();
}

/// # Safety
/// The contract of libc's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getenv(name: Text) -> *mut c_char {
    // SAFETY: the program's call, and a text that libc has read.
    unsafe {
        let value = real::getenv(name);
        record_variable(Kind::GetVariable, 0, sys::text(name), 0);
        value
    }
}

/// # Safety
/// The contract of libc's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn secure_getenv(name: Text) -> *mut c_char {
    // SAFETY: as above.
    unsafe {
        let value = real::secure_getenv(name);
        record_variable(Kind::GetVariable, 0, sys::text(name), 0);
        value
    }
}

/// # Safety
/// The contract of libc's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn setenv(name: Text, value: Text, replace: c_int) -> c_int {
    // SAFETY: the program's texts, which libc is about to read.
    unsafe {
        let same = !name.is_null() && {
            let before = real::getenv(name);
            !before.is_null() && (replace == 0 || sys::text(before) == sys::text(value))
        };
        let done = real::setenv(name, value, replace);
        record_variable(
            Kind::SetVariable,
            outcome(done != 0) | if same { SAME } else { 0 },
            sys::text(name),
            hash::of_secret(sys::text(if same { real::getenv(name) } else { value })),
        );
        done
    }
}

/// # Safety
/// The contract of libc's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn unsetenv(name: Text) -> c_int {
    // SAFETY: the program's text, which libc is about to read.
    unsafe {
        let same = !name.is_null() && real::getenv(name).is_null();
        let done = real::unsetenv(name);
        record_variable(
            Kind::UnsetVariable,
            outcome(done != 0) | if same { SAME } else { 0 },
            sys::text(name),
            0,
        );
        done
    }
}

/// # Safety
/// The contract of libc's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn putenv(text: *mut c_char) -> c_int {
    // SAFETY: the program's text, which libc has read.
    unsafe {
        let done = real::putenv(text);
        let text = sys::text(text);
        let mut parts = text.splitn(2, |byte| *byte == b'=');
        let (name, value) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        record_variable(
            Kind::SetVariable,
            outcome(done != 0),
            name,
            hash::of_secret(value),
        );
        done
    }
}

/// # Safety
/// The contract of libc's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clearenv() -> c_int {
    // SAFETY: the program's call.
    let done = unsafe { real::clearenv() };
    if this_process::is_test() {
        recording::by_name(Kind::ClearVariables, done != 0, 0, b"");
    }
    done
}
