//! Tests that kill processes that they started.

use std::ffi::{c_int, c_long};
use std::io::Read as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

unsafe extern "C" {
    fn ptrace(request: c_long, ...) -> c_long;
    fn waitpid(pid: c_int, status: *mut c_int, options: c_int) -> c_int;
}

#[test]
fn before_it_begins() {
    let mut command = Command::new("sleep");
    command.arg("600");
    // It stops before its first instruction.
    unsafe { command.pre_exec(|| if ptrace(0) == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }) };
    let mut child = command.spawn().unwrap();
    let mut status = 0;
    assert!(unsafe { waitpid(child.id() as c_int, &mut status, 0) } > 0);
    assert_eq!(status & 0xff, 0x7f, "it has not stopped");
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Returns the directory of the observer's account and library.
fn folder() -> String {
    let variables = String::from_utf8(std::fs::read("/proc/self/environ").unwrap()).unwrap();
    let ours = variables.split('\0').find(|text| text.starts_with("COFFERDAM_OBSERVE="));
    ours.unwrap_or_default().rsplit(';').next().unwrap().to_owned()
}

/// Starts a program and kills it, in a namespace in which these commands ran before.
fn kills(lines: &str) {
    let script = format!("{lines} && exec sh -c 'echo ready; read line'");
    let mut child = Command::new("unshare")
        .args(["-m", "sh", "-c", &script])
        .env("FOLDER", folder())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut ready = [0; 6];
    child.stdout.as_mut().unwrap().read_exact(&mut ready).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn without_its_library() {
    kills("mount -t tmpfs none \"$FOLDER\"");
}

#[test]
fn without_its_account() {
    kills("mount --bind /dev/null \"$FOLDER/account\"");
}
