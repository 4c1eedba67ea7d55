//! Tests that close descriptors, of which two do so twice. All pass unless another test opens a file in between.

use std::ffi::{c_int, c_long};
use std::fs::File;
use std::os::fd::IntoRawFd as _;

const CLOSE: c_long = if cfg!(target_arch = "aarch64") { 57 } else { 3 };

unsafe extern "C" {
    fn close(fd: c_int) -> c_int;
    fn dup2(from: c_int, to: c_int) -> c_int;
    fn fork() -> c_int;
    fn syscall(number: c_long, ...) -> c_long;
    fn waitpid(pid: c_int, status: *mut c_int, options: c_int) -> c_int;
    fn _exit(code: c_int) -> !;
}

fn open() -> File {
    File::open(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).unwrap()
}

/// Returns a number of its own, so that no other test's file has it in the meantime.
fn at(number: c_int) -> c_int {
    let file = open().into_raw_fd();
    assert_eq!(unsafe { dup2(file, number) }, number);
    assert_eq!(unsafe { close(file) }, 0);
    number
}

#[test]
fn closes_twice() {
    let fd = at(901);
    assert_eq!(unsafe { close(fd) + close(fd) }, -1);
}

#[test]
fn closes_twice_past_libc() {
    let fd = at(902);
    assert_eq!(unsafe { syscall(CLOSE, fd) + syscall(CLOSE, fd) }, -1);
}

#[test]
fn opens() {
    drop(open());
}

#[test]
fn closes_what_was_never_open() {
    assert_eq!(unsafe { close(-1) + close(903) }, -2);
}

#[test]
fn closes_the_same_number_again_after_it_was_reopened() {
    for _ in 0..3 {
        assert_eq!(unsafe { close(at(904)) }, 0);
    }
}

#[test]
fn has_a_child_that_closes_twice() {
    let fd = at(905);
    unsafe {
        let pid = fork();
        if pid == 0 {
            _exit(if close(fd) + close(fd) == -1 { 0 } else { 1 });
        }
        let mut status = 1;
        assert_eq!((waitpid(pid, &mut status, 0), status), (pid, 0));
        assert_eq!(close(fd), 0);
    }
}
