//! Tests that would break a careless observer. All pass, observed or not.

use std::ffi::{CString, c_char, c_int, c_long, c_void};
use std::os::fd::AsRawFd as _;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

unsafe extern "C" {
    fn _exit(code: c_int) -> !;
    fn bind(fd: c_int, address: *const c_void, length: u32) -> c_int;
    fn close(fd: c_int) -> c_int;
    fn close_range(first: u32, last: u32, flags: c_int) -> c_int;
    fn connect(fd: c_int, address: *const c_void, length: u32) -> c_int;
    fn execve(path: *const c_char, args: *const *const c_char, env: *const *const c_char) -> c_int;
    fn fork() -> c_int;
    fn open(path: *const c_char, flags: c_int, ...) -> c_int;
    fn prctl(option: c_int, ...) -> c_int;
    fn pthread_sigmask(how: c_int, set: *const u64, old: *mut u64) -> c_int;
    fn raise(signal: c_int) -> c_int;
    fn setitimer(which: c_int, new: *const [i64; 4], old: *mut c_void) -> c_int;
    fn sigfillset(set: *mut u64) -> c_int;
    fn signal(signal: c_int, handler: usize) -> usize;
    fn syscall(number: c_long, ...) -> c_long;
    fn vfork() -> c_int;
    fn waitpid(pid: c_int, status: *mut c_int, options: c_int) -> c_int;
}

fn place(name: &str) -> String {
    let place = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("met").join(name);
    place.to_str().unwrap().to_owned()
}

/// Makes a system call with an instruction of this program.
fn raw(number: i64, arguments: [u64; 4]) -> i64 {
    let result: i64;
    unsafe {
        std::arch::asm!(
            "syscall", inlateout("rax") number => result, in("rdi") arguments[0], in("rsi") arguments[1],
            in("rdx") arguments[2], in("r10") arguments[3], out("rcx") _, out("r11") _,
        );
    }
    result
}

fn raw_open(path: &str, flags: u64) -> i64 {
    let path = CString::new(path).unwrap();
    raw(2, [path.as_ptr() as u64, flags, 0o644, 0])
}

const CREATE: u64 = 0o101;

fn status(pid: c_int) -> c_int {
    let mut status = 0;
    while unsafe { waitpid(pid, &mut status, 0) } < 0 {}
    status
}

#[test]
fn a_child_s_environment_is_as_empty_as_it_was_made() {
    let output = Command::new("/usr/bin/env").env_clear().output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "");
}

#[test]
fn no_variable_of_the_observer_is_to_be_seen() {
    for (name, value) in std::env::vars_os() {
        let (name, value) = (name.to_string_lossy(), value.to_string_lossy());
        assert!(!name.contains("OBSERVE") && name != "LD_PRELOAD", "{name}={value}");
    }
}

#[test]
fn a_copy_of_the_process_goes_on() {
    unsafe {
        let pid = fork();
        if pid == 0 {
            let written = std::fs::write(place("by-copy"), "1").is_ok();
            let raw = raw_open(&place("by-copy-raw"), CREATE) >= 0;
            _exit(if written && raw { 7 } else { 8 });
        }
        assert_eq!(status(pid), 7 << 8);
    }
}

#[test]
fn copies_made_without_libc_go_on() {
    unsafe {
        let pid = raw(56, [17, 0, 0, 0]);
        if pid == 0 {
            _exit(3);
        }
        assert_eq!(status(pid as c_int), 3 << 8);
        let pid = syscall(56, 17_u64, 0_u64, 0_u64, 0_u64, 0_u64);
        if pid == 0 {
            _exit(4);
        }
        assert_eq!(status(pid as c_int), 4 << 8);
        for _ in 0..20 {
            let (program, arguments, variables) = (c"/bin/true".as_ptr(), [c"true".as_ptr(), std::ptr::null()], [std::ptr::null()]);
            let pid = vfork();
            if pid == 0 {
                execve(program, arguments.as_ptr(), variables.as_ptr());
                _exit(9);
            }
            assert_eq!(status(pid), 0);
        }
    }
}

#[test]
fn a_raw_call_with_all_signals_blocked_comes_back() {
    unsafe {
        let (mut all, mut before) = ([0_u64; 16], [0_u64; 16]);
        sigfillset(all.as_mut_ptr());
        assert_eq!(pthread_sigmask(0, all.as_ptr(), before.as_mut_ptr()), 0);
        assert!(raw_open(&place("blocked"), CREATE) >= 0);
        // The mask, too, without libc.
        assert_eq!(raw(14, [2, before.as_ptr() as u64, 0, 8]), 0);
        assert_eq!(raw(14, [0, all.as_ptr() as u64, 0, 8]), 0);
        assert!(raw_open(&place("blocked-raw"), CREATE) >= 0);
        let mut now = [0_u64; 16];
        pthread_sigmask(0, std::ptr::null(), now.as_mut_ptr());
        assert_ne!(now[0] & 1 << 9, 0, "the mask was taken back");
        pthread_sigmask(2, before.as_ptr(), std::ptr::null_mut());
    }
}

static CAUGHT: AtomicU32 = AtomicU32::new(0);

extern "C" fn caught(_: c_int) {
    CAUGHT.fetch_add(1, Ordering::SeqCst);
}

#[test]
fn a_handler_for_the_observer_s_signal_is_called_for_its_own() {
    unsafe {
        signal(31, caught as *const () as usize);
        raise(31);
    }
    raw_open(&place("not-there"), 0);
    assert_eq!(CAUGHT.load(Ordering::SeqCst), 1);
}

/// Traps `getpgid` and lets everything else pass.
unsafe fn trap() {
    let filter = [0x20_u64, 0x0000_0079_0100_0015, 0x0003_0000_0000_0006, 0x7fff_0000_0000_0006];
    let program = [filter.len() as u64, filter.as_ptr() as u64];
    unsafe {
        prctl(38, 1_u64, 0_u64, 0_u64, 0_u64);
        prctl(22, 2_u64, program.as_ptr(), 0_u64, 0_u64);
    }
}

#[test]
fn the_observer_s_signal_ends_who_does_not_want_it_as_the_kernel_would() {
    const IGNORE: usize = 1;
    // Sent, or from a filter, in which case it cannot be ignored.
    for (wanted, handler, trapped) in [(31, 0, false), (0, IGNORE, false), (31, 0, true), (31, IGNORE, true)] {
        let pid = unsafe { fork() };
        if pid == 0 {
            unsafe {
                signal(31, handler);
                if trapped {
                    trap();
                    raw(121, [0; 4]);
                } else {
                    raise(31);
                }
                _exit(0);
            }
        }
        assert_eq!(status(pid) & 0x7f, wanted, "{handler} {trapped}");
    }
}

#[test]
fn a_child_may_be_forbidden_files() {
    let status = Command::new("sh").args(["-c", "ulimit -f 8; exec /bin/true"]).status().unwrap();
    assert!(status.success(), "{status}");
}

#[test]
fn all_descriptors_may_be_closed() {
    unsafe {
        let pid = fork();
        if pid == 0 {
            close_range(3, u32::MAX, 0);
            _exit(if std::fs::write(place("closed"), "1").is_ok() { 0 } else { 1 });
        }
        assert_eq!(status(pid), 0);
    }
}

#[test]
fn a_process_may_forbid_itself_all_but_a_few_calls() {
    unsafe {
        let pid = fork();
        if pid == 0 {
            prctl(22, 1_u64, 0_u64, 0_u64, 0_u64);
            syscall(1, 1_u64, b"".as_ptr(), 0_u64);
            syscall(60, 5_u64);
        }
        assert_eq!(status(pid), 5 << 8);
    }
}

extern "C" fn interrupted(_: c_int) {
    unsafe {
        let fd = open(c"/etc/hostname".as_ptr(), 0);
        if fd >= 0 {
            close(fd);
        }
    }
    raw(39, [0; 4]);
}

#[test]
fn a_storm_of_signals_passes() {
    unsafe {
        signal(26, interrupted as *const () as usize);
        setitimer(1, &[0, 300, 0, 300], std::ptr::null_mut());
    }
    for number in 0..2000 {
        let _ = std::fs::metadata(place(&format!("not-there/{number}")));
        raw_open(&place(&format!("not-there/raw-{number}")), 0);
    }
    for _ in 0..50 {
        let pid = unsafe { fork() };
        if pid == 0 {
            unsafe { _exit(0) };
        }
        assert_eq!(status(pid), 0);
    }
    unsafe { setitimer(1, &[0; 4], std::ptr::null_mut()) };
}

#[test]
fn more_threads_begin_than_the_observer_has_places() {
    let begin = |number| {
        std::thread::spawn(move || {
            let _ = std::fs::metadata(place(&format!("not-there/thread-{number}")));
            raw_open(&place("not-there"), 0)
        })
    };
    let threads: Vec<_> = (0..600).map(begin).collect();
    for thread in threads {
        assert_eq!(thread.join().unwrap(), -2);
    }
}

#[test]
fn a_bad_pointer_is_the_kernel_s_to_refuse() {
    unsafe {
        assert_eq!(open(8 as *const c_char, 0), -1);
        assert_eq!(raw(2, [8, 0, 0, 0]), -14);
        // Refused before anything is read there.
        let (none, file) = (-1, std::fs::File::open("/dev/null").unwrap());
        for fd in [none, file.as_raw_fd()] {
            let address = 8 as *const c_void;
            assert_eq!((bind(fd, address, 16), connect(fd, address, 16)), (-1, -1));
            assert_ne!(raw(49, [fd as u64, 8, 16, 0]), 0);
        }
        assert_eq!(raw(437, [none as u64, c"/".as_ptr() as u64, 8, 1]), -22);
        assert_eq!(raw(14, [0, 8, 0, 8]), -14);
    }
}

#[test]
fn errno_is_as_libc_left_it() {
    for _ in 0..100 {
        let error = std::fs::metadata(place("not-there/errno")).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(2));
    }
}
