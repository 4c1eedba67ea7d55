//! Waits for child processes. A wait for any child takes the exit status of one that another test waits for.

use crate::log_format::Kind;
use crate::sys::interpose::real_functions;
use crate::sys::{c_int, c_void};
use crate::{recording, this_process};

real_functions! {
    mod real;
    wait(status: *mut c_int) -> c_int;
    wait3(status: *mut c_int, options: c_int, usage: *mut c_void) -> c_int;
    wait4(pid: c_int, status: *mut c_int, options: c_int, usage: *mut c_void) -> c_int;
    waitid(by: c_int, id: u32, info: *mut c_void, options: c_int) -> c_int;
    waitpid(pid: c_int, status: *mut c_int, options: c_int) -> c_int;
}

const P_ALL: c_int = 0;
const P_PGID: c_int = 2;
/// Leaves the child's status for the next wait.
const WNOWAIT: c_int = 0x0100_0000;

/// Records a wait, which is about to begin: it may last until the test is ended from outside.
fn record(takes_any: bool) {
    if this_process::is_test() && this_process::is_itself() {
        let kind = if takes_any { Kind::WaitAny } else { Kind::WaitChild };
        recording::by_name(kind, false, 0, b"");
    }
}

/// Records a wait of `wait4` or `waitpid`. 0 and -1 stand for the children of the own group, and all.
pub(crate) fn before_wait(pid: c_int) {
    record(matches!(pid, 0 | -1));
}

/// Records a wait of `waitid`.
pub(crate) fn before_waitid(by: c_int, id: u32, options: c_int) {
    let is_any = by == P_ALL || by == P_PGID && id == 0;
    record(is_any && options & WNOWAIT == 0);
}

/// # Safety
/// The contract of libc's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wait(status: *mut c_int) -> c_int {
    before_wait(-1);
    // SAFETY: the program's call.
    unsafe { real::wait(status) }
}

/// # Safety
/// The contract of libc's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wait3(status: *mut c_int, options: c_int, usage: *mut c_void) -> c_int {
    before_wait(-1);
    // SAFETY: the program's call.
    unsafe { real::wait3(status, options, usage) }
}

/// # Safety
/// The contract of libc's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wait4(pid: c_int, status: *mut c_int, options: c_int, usage: *mut c_void) -> c_int {
    before_wait(pid);
    // SAFETY: the program's call.
    unsafe { real::wait4(pid, status, options, usage) }
}

/// # Safety
/// The contract of libc's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn waitid(by: c_int, id: u32, info: *mut c_void, options: c_int) -> c_int {
    before_waitid(by, id, options);
    // SAFETY: the program's call.
    unsafe { real::waitid(by, id, info, options) }
}

/// # Safety
/// The contract of libc's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn waitpid(pid: c_int, status: *mut c_int, options: c_int) -> c_int {
    before_wait(pid);
    // SAFETY: the program's call.
    unsafe { real::waitpid(pid, status, options) }
}
