//! Tests that write programs and start processes. They pass one after another, and mostly at once.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("met").join(name)
}

fn write(name: &str) -> PathBuf {
    let path = path(name);
    fs::write(&path, "#!/bin/sh\nexit 0\n").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// The text file may be busy: that is what these tests are about.
fn run(command: &mut Command) {
    match command.status() {
        Ok(status) => assert!(status.success()),
        Err(error) => assert_eq!(error.kind(), ErrorKind::ExecutableFileBusy),
    }
}

#[test]
fn writes_and_runs() {
    run(&mut Command::new(write("one")));
}

#[test]
fn writes_renames_and_runs_in_a_fork() {
    let path = path("renamed");
    fs::rename(write("new"), &path).unwrap();
    let mut command = Command::new(path);
    unsafe { command.pre_exec(|| Ok(())) };
    run(&mut command);
}

#[test]
fn writes_and_runs_by_a_link() {
    let link = path("link");
    let _ = fs::remove_file(&link);
    symlink(write("target"), &link).unwrap();
    run(&mut Command::new(link));
}

#[test]
fn runs_what_is_there() {
    run(&mut Command::new("/bin/true"));
}

#[test]
fn runs_a_shell() {
    unsafe extern "C" {
        fn system(command: *const std::ffi::c_char) -> i32;
    }
    assert_eq!(unsafe { system(c"true".as_ptr()) }, 0);
}

#[test]
fn writes_and_lets_a_shell_read() {
    run(Command::new("sh").arg(write("read")));
}

#[test]
fn writes_alone() {
    write("alone");
}
