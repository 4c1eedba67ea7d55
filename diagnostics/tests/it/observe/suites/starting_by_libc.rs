//! Tests that start programs with the functions of the C library.

use std::ffi::{CString, c_char, c_int, c_long, c_void};
use std::os::unix::ffi::OsStringExt as _;
use std::ptr::null;

unsafe extern "C" {
    static environ: *const *const c_char;
    fn _exit(code: c_int) -> !;
    fn execl(path: *const c_char, ...) -> c_int;
    fn execle(path: *const c_char, ...) -> c_int;
    fn execlp(path: *const c_char, ...) -> c_int;
    fn execve(path: *const c_char, arguments: *const *const c_char, variables: *const *const c_char) -> c_int;
    fn fgets(to: *mut c_char, length: c_int, stream: *mut c_void) -> *mut c_char;
    fn fork() -> c_int;
    fn mkfifo(path: *const c_char, mode: u32) -> c_int;
    fn open(path: *const c_char, flags: c_int, ...) -> c_int;
    fn pclose(stream: *mut c_void) -> c_int;
    fn popen(command: *const c_char, mode: *const c_char) -> *mut c_void;
    fn posix_spawnp(
        pid: *mut c_int, path: *const c_char, actions: *const c_void, attributes: *const c_void,
        arguments: *const *const c_char, variables: *const *const c_char,
    ) -> c_int;
    fn dlsym(library: *const c_void, name: *const c_char) -> *const c_void;
    fn syscall(number: c_long, ...) -> c_long;
    fn system(command: *const c_char) -> c_int;
    fn waitpid(pid: c_int, status: *mut c_int, options: c_int) -> c_int;
}

fn met(name: &str) -> CString {
    CString::new(format!("{}/met/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// A shell command that leaves a file behind.
fn leaves(way: &str) -> CString {
    CString::new(format!("echo \"it's $0 $#\" > '{}'; exit 7", met(&format!("by-{way}")).to_str().unwrap())).unwrap()
}

fn ended(pid: c_int, way: &str) {
    let mut status = 0;
    while unsafe { waitpid(pid, &mut status, 0) } < 0 {}
    assert_eq!(status, 7 << 8, "{way}");
}

/// Runs a program in a forked copy of this process.
fn by_copy(way: &str, become_other: impl Fn(&CString)) {
    let command = leaves(way);
    match unsafe { fork() } {
        0 => {
            become_other(&command);
            unsafe { _exit(1) }
        }
        pid => ended(pid, way),
    }
}

#[test]
fn program_started() {
    let (sh, name, option) = (c"/bin/sh".as_ptr(), c"sh".as_ptr(), c"-c".as_ptr());
    let none = null::<c_char>();
    let (zero, one) = (c"name".as_ptr(), c"1".as_ptr());
    unsafe {
        assert_eq!(system(leaves("system").as_ptr()), 7 << 8);
        assert_eq!(std::fs::read_to_string(met("by-system").to_str().unwrap()).unwrap(), "it's sh 0\n");
        assert_ne!(system(null()), 0);
        let stream = popen(leaves("popen").as_ptr(), c"r".as_ptr());
        assert_eq!(pclose(stream), 7 << 8);
        let stream = popen(c"echo \"$0\" 'it'\\''s'".as_ptr(), c"r".as_ptr());
        let mut line = [0_u8; 32];
        assert!(!fgets(line.as_mut_ptr().cast(), 32, stream).is_null());
        assert_eq!((&line[..8], pclose(stream)), (&b"sh it's\n"[..], 0));
        // More arguments than there are registers.
        by_copy("execl", |command| _ = execl(sh, name, option, command.as_ptr(), zero, one, one, one, none));
        assert_eq!(std::fs::read_to_string(met("by-execl").to_str().unwrap()).unwrap(), "it's name 3\n");
        by_copy("execlp", |command| _ = execlp(name, name, option, command.as_ptr(), none));
        by_copy("execle", |command| {
            let variables = [c"LEFT=1".as_ptr(), none];
            _ = execle(sh, name, option, command.as_ptr(), none, variables.as_ptr());
        });
        by_copy("execveat", |command| {
            let execveat = dlsym(null(), c"execveat".as_ptr());
            let arguments = [name, option, command.as_ptr(), none];
            let folder = open(c"/bin".as_ptr(), 0o200_000);
            type Execveat = unsafe extern "C" fn(c_int, *const c_char, *const *const c_char, *const *const c_char, c_int) -> c_int;
            std::mem::transmute::<*const c_void, Execveat>(execveat)(folder, name, arguments.as_ptr(), environ, 0);
        });
        by_copy("raw", |command| {
            let arguments = [name, option, command.as_ptr(), none];
            let program = open(sh, 0);
            syscall(322, program, c"".as_ptr(), arguments.as_ptr(), environ, 0x1000);
        });
        type Spawn = unsafe extern "C" fn(
            *mut c_int, *const c_char, *const c_void, *const c_void, *const *const c_char, *const *const c_char,
        ) -> c_int;
        for (way, function, path) in [("pidfd", c"pidfd_spawn", sh), ("pidfdp", c"pidfd_spawnp", name)] {
            let command = leaves(way);
            let arguments = [name, option, command.as_ptr(), none];
            let function = dlsym(null(), function.as_ptr());
            // Only a recent libc has it.
            let spawn: Spawn = if function.is_null() { posix_spawnp } else { std::mem::transmute(function) };
            let mut number = -1;
            assert_eq!(spawn(&mut number, path, null(), null(), arguments.as_ptr(), environ), 0);
            if function.is_null() {
                ended(number, way);
            } else {
                // `waitid` with `P_PIDFD` and `WEXITED`.
                let mut info = [0_i32; 32];
                assert_eq!(syscall(247, 3, number, info.as_mut_ptr(), 4, 0), 0);
                assert_eq!(info[6], 7);
            }
        }
        let command = leaves("spawnp");
        let arguments = [name, option, command.as_ptr(), none];
        let mut pid = 0;
        assert_eq!(posix_spawnp(&mut pid, name, null(), null(), arguments.as_ptr(), environ), 0);
        ended(pid, "spawnp");
    }
}

#[test]
fn nothing_started() {
    let none = met("none");
    let arguments = [none.as_ptr(), null()];
    for _ in 0..70_000 {
        assert_eq!(unsafe { execve(none.as_ptr(), arguments.as_ptr(), arguments[1..].as_ptr()) }, -1);
    }
    assert_eq!(unsafe { execl(none.as_ptr(), none.as_ptr(), null::<c_char>()) }, -1);
    assert_eq!(std::io::Error::last_os_error().kind(), std::io::ErrorKind::NotFound);
}

#[test]
fn many_started() {
    for _ in 0..2_500 {
        assert!(std::process::Command::new("true").status().unwrap().success());
    }
}

#[test]
fn fifo_started() {
    let path = met("fifo");
    assert_eq!(unsafe { mkfifo(path.as_ptr(), 0o755) }, 0);
    let path = std::ffi::OsString::from_vec(path.into_bytes());
    assert!(std::process::Command::new(path).status().is_err());
}
