//! Tests that set, ask for and send signals. All pass in any order: what they send is ignored by default.

use std::ffi::{c_int, c_long};
use std::io::{Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

#[repr(C)]
struct Action {
    handler: usize,
    mask: [u64; 16],
    flags: c_int,
    restorer: usize,
}

unsafe extern "C" {
    fn getpid() -> c_int;
    fn kill(pid: c_int, signal: c_int) -> c_int;
    fn pthread_kill(thread: usize, signal: c_int) -> c_int;
    fn pthread_self() -> usize;
    fn raise(signal: c_int) -> c_int;
    fn sigaction(signal: c_int, new: *const Action, old: *mut Action) -> c_int;
    fn signal(signal: c_int, handler: usize) -> usize;
    fn syscall(number: c_long, ...) -> c_long;
}

const PIPE: c_int = 13;
const URG: c_int = 23;
const WINCH: c_int = 28;
const REAL_TIME: c_int = 35;
const RT_SIGACTION: c_long = if cfg!(target_arch = "aarch64") { 134 } else { 13 };

extern "C" fn handle(_: c_int) {}
extern "C" fn handle_otherwise(_: c_int) {}

fn address(handler: extern "C" fn(c_int)) -> usize {
    handler as *const () as usize
}

fn action(handler: usize) -> Action {
    Action { handler, mask: [0; 16], flags: 0, restorer: 0 }
}

fn set(number: c_int, handler: usize) {
    assert_ne!(unsafe { signal(number, handler) }, usize::MAX);
}

#[test]
fn sets_and_resets() {
    set(WINCH, address(handle));
    set(WINCH, 0);
}

#[test]
fn sets_past_libc() {
    let (new, nothing) = ([address(handle), 0x0400_0000, 0, 0], 0);
    assert_eq!(unsafe { syscall(RT_SIGACTION, WINCH, &new, nothing, 8) }, 0);
    let new = [0; 4];
    assert_eq!(unsafe { syscall(RT_SIGACTION, WINCH, &new, nothing, 8) }, 0);
}

#[test]
fn asks() {
    let mut old = action(0);
    assert_eq!(unsafe { sigaction(WINCH, std::ptr::null(), &mut old) }, 0);
}

#[test]
fn raises() {
    assert_eq!(unsafe { raise(WINCH) }, 0);
}

#[test]
fn kills_its_process() {
    assert_eq!(unsafe { kill(getpid(), WINCH) }, 0);
}

#[test]
fn kills_its_group() {
    assert_eq!(unsafe { kill(0, WINCH) }, 0);
}

#[test]
fn kills_its_thread() {
    assert_eq!(unsafe { pthread_kill(pthread_self(), WINCH) }, 0);
}

/// No signal is sent.
#[test]
fn looks_for_its_process() {
    assert_eq!(unsafe { kill(getpid(), 0) }, 0);
}

#[test]
fn kills_another_process() {
    let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    // It answers once it has begun.
    let (mut to, mut answer) = (child.stdin.take().unwrap(), [0]);
    to.write_all(b"x").unwrap();
    child.stdout.as_mut().unwrap().read_exact(&mut answer).unwrap();
    assert_eq!(unsafe { kill(child.id() as c_int, WINCH) }, 0);
    drop(to);
    assert!(child.wait().unwrap().success());
}

/// std resets SIGPIPE in the child.
#[test]
fn starts_a_child_that_sets_signals() {
    let mut command = Command::new("true");
    unsafe {
        command.pre_exec(|| {
            set(URG, 1);
            Ok(())
        })
    };
    assert!(command.status().unwrap().success());
}

#[test]
fn sends_what_only_children_set() {
    assert_eq!(unsafe { raise(PIPE) + raise(URG) }, 0);
}

fn set_the_same() {
    let new = action(address(handle));
    assert_eq!(unsafe { sigaction(REAL_TIME + 1, &new, std::ptr::null_mut()) }, 0);
    assert_eq!(unsafe { raise(REAL_TIME + 1) }, 0);
}

#[test]
fn sets_what_every_test_sets() {
    set_the_same();
}

#[test]
fn sets_what_every_test_sets_too() {
    set_the_same();
}

#[test]
fn sets_one_handler() {
    set(REAL_TIME, address(handle));
}

#[test]
fn sets_another_handler() {
    set(REAL_TIME, address(handle_otherwise));
}

/// The place of the new action is that of the old one.
#[test]
fn swaps() {
    let mut both = action(address(handle));
    let place = &raw mut both;
    assert_eq!(unsafe { sigaction(PIPE + 4, place, place) }, 0);
    assert_eq!(both.handler, 0);
    assert_eq!(unsafe { sigaction(PIPE + 4, place, place) }, 0);
    assert_eq!(both.handler, address(handle));
}
