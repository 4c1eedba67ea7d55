//! Tests that wait for children. All pass if no test takes another one's child, so each waits for any only while it has none.

use std::ffi::{c_int, c_long, c_void};
use std::process::Command;

const ECHILD: c_int = 10;
const P_ALL: c_int = 0;
const WNOHANG: c_int = 1;
const WEXITED: c_int = 4;
const WNOWAIT: c_int = 0x0100_0000;
const SIGCHLD: c_int = 17;
const WAIT4: c_long = if cfg!(target_arch = "aarch64") { 260 } else { 61 };
const CLONE: c_long = if cfg!(target_arch = "aarch64") { 220 } else { 56 };

unsafe extern "C" {
    fn _exit(code: c_int) -> !;
    fn fork() -> c_int;
    fn syscall(number: c_long, ...) -> c_long;
    fn wait4(pid: c_int, status: *mut c_int, options: c_int, usage: *mut c_void) -> c_int;
    fn waitid(by: c_int, id: u32, info: *mut [u64; 16], options: c_int) -> c_int;
    fn waitpid(pid: c_int, status: *mut c_int, options: c_int) -> c_int;
}

/// Runs `wait` in a process without children.
fn without_children(make: unsafe extern "C" fn() -> c_int, wait: impl Fn() -> c_int) {
    unsafe {
        let pid = make();
        if pid == 0 {
            let is_alone = wait() == -1 && std::io::Error::last_os_error().raw_os_error() == Some(ECHILD);
            _exit(if is_alone { 0 } else { 1 });
        }
        let mut status = 1;
        assert_eq!(waitpid(pid, &mut status, 0), pid);
        assert_eq!(status, 0);
    }
}

/// What a child has is its own: these tests only wait for one.
#[test]
fn has_a_child_that_waits_for_any() {
    without_children(fork, || unsafe { waitpid(-1, &mut 0, 0) });
}

#[test]
fn has_a_child_made_past_libc_that_waits_for_any() {
    unsafe extern "C" fn make() -> c_int {
        unsafe { syscall(CLONE, SIGCHLD, 0, 0, 0, 0) as c_int }
    }
    without_children(make, || unsafe { waitpid(-1, &mut 0, 0) });
}

#[test]
fn waits_for_its_own() {
    assert!(Command::new("true").status().unwrap().success());
}

#[test]
fn looks_at_any() {
    unsafe { waitid(P_ALL, 0, &mut [0; 16], WEXITED | WNOHANG | WNOWAIT) };
}

#[test]
fn starts_and_does_not_wait() {
    std::mem::forget(Command::new("true").spawn().unwrap());
}

/// These would take others' children, so they ask for those of a kind that there is none of: clones without SIGCHLD.
const CLONES: c_int = 0x8000_0000_u32 as c_int;

#[test]
fn takes_any() {
    unsafe { wait4(-1, std::ptr::null_mut(), WNOHANG | CLONES, std::ptr::null_mut()) };
}

#[test]
fn takes_any_of_its_group() {
    unsafe { waitpid(0, std::ptr::null_mut(), WNOHANG | CLONES) };
}

#[test]
fn takes_any_by_waitid() {
    unsafe { waitid(P_ALL, 0, &mut [0; 16], WEXITED | WNOHANG | CLONES) };
}

#[test]
fn takes_any_past_libc() {
    unsafe { syscall(WAIT4, -1, 0, WNOHANG | CLONES, 0) };
}
