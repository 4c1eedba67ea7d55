//! Tests that end in every possible way, fork their process, or restrict themselves. Many fail; each has the same
//! outcome, observed or not, in a separate process.

use std::ffi::{CString, c_char, c_int, c_long, c_void};
use std::fs;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;

unsafe extern "C" {
    fn __errno_location() -> *mut c_int;
    fn _exit(code: c_int) -> !;
    fn atexit(last: extern "C" fn()) -> c_int;
    fn chroot(path: *const c_char) -> c_int;
    fn clearenv() -> c_int;
    fn clone(start: extern "C" fn(*mut c_void) -> c_int, stack: *mut u8, flags: c_int, argument: *mut c_void) -> c_int;
    fn close(fd: c_int) -> c_int;
    fn daemon(keep_folder: c_int, keep_streams: c_int) -> c_int;
    fn dup2(from: c_int, to: c_int) -> c_int;
    fn execv(path: *const c_char, arguments: *const *const c_char) -> c_int;
    fn execve(path: *const c_char, arguments: *const *const c_char, variables: *const *const c_char) -> c_int;
    fn fexecve(fd: c_int, arguments: *const *const c_char, variables: *const *const c_char) -> c_int;
    fn fork() -> c_int;
    fn getpid() -> c_int;
    fn kill(pid: c_int, signal: c_int) -> c_int;
    fn mlockall(flags: c_int) -> c_int;
    fn mmap(at: *mut c_void, length: usize, protection: c_int, flags: c_int, fd: c_int, offset: i64) -> *mut u8;
    fn munmap(at: *mut u8, length: usize) -> c_int;
    fn open(path: *const c_char, flags: c_int, ...) -> c_int;
    fn prctl(option: c_int, ...) -> c_int;
    fn pthread_cancel(thread: u64) -> c_int;
    fn pthread_create(thread: *mut u64, attributes: *const c_void, start: extern "C" fn(*mut c_void) -> *mut c_void, argument: *mut c_void) -> c_int;
    fn pthread_join(thread: u64, answer: *mut *mut c_void) -> c_int;
    fn pthread_sigmask(how: c_int, set: *const u64, old: *mut u64) -> c_int;
    fn ptrace(request: c_long, ...) -> c_long;
    fn raise(signal: c_int) -> c_int;
    fn rename(from: *const c_char, to: *const c_char) -> c_int;
    fn setgid(group: u32) -> c_int;
    fn setitimer(which: c_int, new: *const [i64; 4], old: *mut c_void) -> c_int;
    fn setrlimit(resource: c_int, limit: *const [u64; 2]) -> c_int;
    fn setuid(user: u32) -> c_int;
    fn signal(signal: c_int, handler: usize) -> usize;
    fn sigwait(set: *const u64, found: *mut c_int) -> c_int;
    fn syscall(number: c_long, ...) -> c_long;
    fn umask(mask: u32) -> u32;
    fn unlink(path: *const c_char) -> c_int;
    fn unshare(flags: c_int) -> c_int;
    fn vfork() -> c_int;
    fn waitpid(pid: c_int, status: *mut c_int, options: c_int) -> c_int;
}

const HOSTNAME: *const c_char = c"/etc/hostname".as_ptr();
const EFAULT: c_int = 14;
const SYS_OPENAT: c_long = 257;
const FILE_SIZE: c_int = 1;
const FILES: c_int = 7;
const MEMORY: c_int = 9;

fn status(pid: c_int) -> c_int {
    let mut status = 0;
    while unsafe { waitpid(pid, &mut status, 0) } < 0 {}
    status
}

/// Returns the exit code of a forked copy of the process that runs `work`.
fn in_a_copy(what: impl FnOnce() -> c_int) -> c_int {
    match unsafe { fork() } {
        0 => unsafe { _exit(what()) },
        pid => {
            let status = status(pid);
            assert_eq!(status & 0x7f, 0, "ended by a signal");
            status >> 8
        }
    }
}

/// Writes, reads and removes a file.
fn touch(name: &str) {
    let path = std::env::temp_dir().join(format!("unruly-{}-{name}", std::process::id()));
    fs::write(&path, "x").unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "x");
    fs::remove_file(path).unwrap();
}

/// Returns 0 if a file can be opened with libc's `syscall`.
fn past_libc() -> c_int {
    c_int::from(unsafe { syscall(SYS_OPENAT, -100, HOSTNAME, 0, 0) } < 0)
}

#[test]
fn copies() {
    let pids: Vec<c_int> = (0..60)
        .map(|number| match unsafe { fork() } {
            0 => {
                (0..20).for_each(|_| touch("copy"));
                unsafe { _exit(number) }
            }
            pid => pid,
        })
        .collect();
    for (number, pid) in pids.into_iter().enumerate() {
        assert_eq!(status(pid), (number as c_int) << 8);
    }
}

#[test]
fn copies_from_threads() {
    let thread = |number| {
        thread::spawn(move || {
            for round in 0..5 {
                touch(&format!("{number}-{round}"));
                assert_eq!(in_a_copy(|| c_int::from(unsafe { open(HOSTNAME, 0) } < 0)), 0);
            }
        })
    };
    let threads: Vec<_> = (0..16).map(thread).collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

#[test]
fn copies_without_libc() {
    const SIGCHLD: u64 = 17;
    let mut arguments = [0_u64; 11];
    arguments[4] = SIGCHLD;
    for way in 0..3 {
        let pid = unsafe {
            match way {
                0 => syscall(57),
                1 => syscall(56, SIGCHLD, 0, 0, 0, 0),
                _ => syscall(435, arguments.as_mut_ptr(), 88),
            }
        };
        if pid == 0 {
            touch("without");
            unsafe { _exit(past_libc()) };
        }
        assert_eq!(status(pid as c_int), 0, "{way}");
    }
}

extern "C" fn opens(_: *mut c_void) -> c_int {
    unsafe { c_int::from(open(HOSTNAME, 0) < 0) }
}

#[test]
fn copies_that_share() {
    const SIGCHLD: c_int = 17;
    for shared in [0x100, 0x400 | 0x200] {
        let mut stack = vec![0_u8; 256 << 10];
        let pid = unsafe { clone(opens, stack.as_mut_ptr().add((256 << 10) - 64), shared | SIGCHLD, std::ptr::null_mut()) };
        assert_eq!(status(pid), 0);
        touch("shared");
    }
}

#[test]
fn programs_by_vfork_and_by_descriptor() {
    let (arguments, nothing) = ([c"true".as_ptr(), std::ptr::null()], [std::ptr::null()]);
    for _ in 0..10 {
        let pid = unsafe { vfork() };
        if pid == 0 {
            unsafe {
                execv(c"/bin/true".as_ptr(), arguments.as_ptr());
                _exit(9);
            }
        }
        assert_eq!(status(pid), 0);
    }
    let by_descriptor = || unsafe { fexecve(open(c"/bin/true".as_ptr(), 0), arguments.as_ptr(), nothing.as_ptr()) };
    assert_eq!(in_a_copy(by_descriptor), 0);
}

#[test]
fn a_program_finds_the_environment_that_it_was_given() {
    let script = c"test -z \"$LD_PRELOAD$COFFERDAM_OBSERVE\" && exit 6".as_ptr();
    let arguments = [c"sh".as_ptr(), c"-c".as_ptr(), script, std::ptr::null()];
    let variables = [c"A=b".as_ptr(), std::ptr::null()];
    let becomes = || unsafe { execve(c"/bin/sh".as_ptr(), arguments.as_ptr(), variables.as_ptr()) };
    assert_eq!(in_a_copy(becomes), 6);
    unsafe { clearenv() };
    unsafe { std::env::set_var("A", "b") };
    assert_eq!(Command::new("/usr/bin/env").output().unwrap().stdout, b"A=b\n");
}

#[test]
fn another_user() {
    let read = || unsafe {
        if setgid(65_534) != 0 || setuid(65_534) != 0 {
            return 2;
        }
        c_int::from(fs::read("/etc/shadow").is_ok())
    };
    assert_eq!(in_a_copy(read), 0);
}

#[test]
fn becomes_another_user() {
    unsafe { assert_eq!((setgid(65_534), setuid(65_534)), (0, 0)) };
    assert!(fs::read(HOSTNAME_PATH).is_ok());
    assert_eq!(Command::new("id").arg("-u").output().unwrap().stdout, b"65534\n");
}

const HOSTNAME_PATH: &str = "/etc/hostname";

#[test]
fn another_root() {
    let root = std::env::temp_dir().join(format!("unruly-root-{}", std::process::id()));
    fs::create_dir(&root).unwrap();
    let path = CString::new(root.to_str().unwrap()).unwrap();
    let changed = in_a_copy(|| unsafe {
        let done = chroot(path.as_ptr());
        _ = fs::write("/inside", "");
        c_int::from(done != 0)
    });
    fs::remove_dir_all(root).unwrap();
    assert_eq!(changed, 0);
}

static CAUGHT: AtomicU32 = AtomicU32::new(0);

extern "C" fn caught(_: c_int) {
    CAUGHT.fetch_add(1, Ordering::SeqCst);
}

/// Installs a seccomp filter that answers calls of this number with `answer`.
fn filter(number: u32, answer: u32) {
    let filter = [
        0x20,
        0x0100_0015_u64 | u64::from(number) << 32,
        6 | u64::from(answer) << 32,
        0x7fff_0000_0000_0006,
    ];
    let program = [filter.len() as u64, filter.as_ptr() as u64];
    unsafe {
        assert_eq!(prctl(38, 1_u64, 0_u64, 0_u64, 0_u64), 0);
        assert_eq!(prctl(22, 2_u64, program.as_ptr(), 0_u64, 0_u64), 0);
    }
}

#[test]
fn a_filter_that_traps() {
    const GETPPID: u32 = 110;
    unsafe { signal(31, caught as *const () as usize) };
    filter(GETPPID, 0x0003_0000);
    _ = std::os::unix::process::parent_id();
    unsafe { syscall(c_long::from(GETPPID)) };
    touch("trap");
    assert_eq!(CAUGHT.load(Ordering::SeqCst), 2);
}

#[test]
fn a_filter_that_refuses() {
    filter(257, 0x0005_0000 | 13);
    assert_eq!(fs::read(HOSTNAME_PATH).unwrap_err().raw_os_error(), Some(13));
}

#[test]
fn a_filter_that_kills() {
    filter(257, 0x8000_0000);
    _ = fs::read(HOSTNAME_PATH);
}

#[test]
fn two_thousand_threads() {
    let all = Arc::new(Barrier::new(2000));
    let thread = |number: usize| {
        let all = all.clone();
        let begin = thread::Builder::new().stack_size(128 << 10);
        let work = move || {
            all.wait();
            if number.is_multiple_of(50) {
                touch(&number.to_string());
            }
            fs::metadata(HOSTNAME_PATH).unwrap();
        };
        begin.spawn(work).unwrap()
    };
    let threads: Vec<_> = (0..2000).map(thread).collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

#[test]
fn one_thread_after_another() {
    for _ in 0..3000 {
        let look = || fs::metadata(HOSTNAME_PATH).unwrap();
        thread::spawn(look).join().unwrap();
    }
}

#[test]
fn descriptors_are_the_program_s() {
    for fd in 3..1024 {
        unsafe { close(fd) };
    }
    assert_eq!(unsafe { open(HOSTNAME, 0) }, 3);
    touch("closed");
    for fd in 3..64 {
        unsafe { dup2(1, fd) };
    }
    touch("taken");
}

#[test]
fn no_descriptors_left() {
    unsafe { setrlimit(FILES, &[8, 8]) };
    let files: Vec<_> = (0..20).map(|_| fs::File::open(HOSTNAME_PATH)).collect();
    let refused = files.iter().filter_map(|file| file.as_ref().err());
    assert!(refused.clone().count() > 0);
    assert!(refused.into_iter().all(|error| error.raw_os_error() == Some(24)));
}

#[test]
fn no_memory_left() {
    unsafe { setrlimit(MEMORY, &[400 << 20, 400 << 20]) };
    touch("memory");
    thread::spawn(|| touch("memory-thread")).join().unwrap();
    assert!(Command::new("cat").arg(HOSTNAME_PATH).output().unwrap().status.success());
}

#[test]
fn no_file_may_grow() {
    unsafe {
        signal(25, 0);
        setrlimit(FILE_SIZE, &[0, 0]);
    }
    for number in 0..200 {
        _ = fs::metadata(format!("{}/met/none/{number}", env!("CARGO_MANIFEST_DIR")));
    }
    assert_eq!(in_a_copy(|| c_int::from(fs::metadata(HOSTNAME_PATH).is_err())), 0);
    assert!(Command::new("true").status().unwrap().success());
}

#[test]
fn all_memory_stays() {
    assert_eq!(unsafe { mlockall(3) }, 0);
    touch("locked");
}

#[test]
fn ends_by_abort() {
    touch("abort");
    std::process::abort();
}

#[test]
fn ends_by_a_bad_pointer() {
    touch("pointer");
    unsafe { (8 as *mut u8).write_volatile(1) };
}

fn deeper(depth: u64) -> u64 {
    let frame = std::hint::black_box([depth; 64]);
    if frame[0] == u64::MAX {
        return 0;
    }
    1 + deeper(depth + 1) + frame[3]
}

#[test]
fn ends_by_a_stack_overflow() {
    touch("overflow");
    assert_ne!(deeper(0), 0);
}

#[test]
fn ends_with_0() {
    std::process::exit(0);
}

#[test]
fn ends_with_3() {
    std::process::exit(3);
}

#[test]
fn ends_at_once() {
    unsafe { _exit(5) };
}

#[test]
fn ends_by_a_kill() {
    unsafe { kill(getpid(), 9) };
}

#[test]
fn ends_by_its_default_signal() {
    unsafe { raise(31) };
}

#[test]
fn panics() {
    touch("panic");
    panic!("as wanted");
}

#[test]
fn a_process_that_overflows_its_stack_says_so() {
    let own = std::env::current_exe().unwrap();
    let output = Command::new(own).args(["ends_by_a_stack_overflow", "--exact"]).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("overflowed its stack"));
}

extern "C" fn interrupts(_: c_int) {
    unsafe { close(open(HOSTNAME, 0)) };
    CAUGHT.fetch_add(1, Ordering::SeqCst);
}

#[test]
fn signals_in_the_midst_of_everything() {
    unsafe {
        signal(14, interrupts as *const () as usize);
        setitimer(0, &[0, 200, 0, 200], std::ptr::null_mut());
    }
    while CAUGHT.load(Ordering::SeqCst) < 500 {
        touch("signals");
    }
    unsafe { setitimer(0, &[0; 4], std::ptr::null_mut()) };
}

#[test]
fn a_signal_is_waited_for() {
    let all = [!0_u64; 16];
    let mut found = 0;
    unsafe {
        pthread_sigmask(0, all.as_ptr(), std::ptr::null_mut());
        syscall(200, syscall(186), 10);
        assert_eq!((sigwait([1 << 9; 16].as_ptr(), &mut found), found), (0, 10));
    }
    touch("waited");
}

#[test]
fn bad_pointers_are_refused() {
    let errno = || unsafe { *__errno_location() };
    for bad in [1_usize, 8, 9] {
        let bad = bad as *const c_char;
        unsafe {
            assert_eq!((open(bad, 0), errno()), (-1, EFAULT));
            assert_eq!((unlink(bad), errno()), (-1, EFAULT));
            assert_eq!((rename(bad, bad), errno()), (-1, EFAULT));
            assert_eq!((syscall(SYS_OPENAT, -100, bad, 0, 0), i64::from(errno())), (-1, EFAULT.into()));
        }
    }
    assert!(fs::read("a".repeat(5000)).is_err() && fs::read("").is_err());
}

#[test]
fn a_path_may_end_with_the_memory() {
    unsafe {
        let memory = mmap(std::ptr::null_mut(), 8192, 3, 0x22, -1, 0);
        munmap(memory.add(4096), 4096);
        let name = c"/etc/hostname".to_bytes_with_nul();
        let place = memory.add(4096 - name.len());
        std::ptr::copy(name.as_ptr(), place, name.len());
        assert!(open(place.cast(), 0) >= 0);
        std::ptr::copy(b"abcdef".as_ptr(), memory.add(4090), 6);
        assert_eq!((open(memory.add(4090).cast(), 0), *__errno_location()), (-1, EFAULT));
    }
}

extern "C" fn opens_on(_: *mut c_void) -> *mut c_void {
    loop {
        unsafe { close(open(HOSTNAME, 0)) };
    }
}

#[test]
fn threads_are_canceled() {
    for _ in 0..20 {
        let (mut thread, mut answer) = (0, std::ptr::null_mut());
        unsafe {
            assert_eq!(pthread_create(&mut thread, std::ptr::null(), opens_on, std::ptr::null_mut()), 0);
            pthread_cancel(thread);
            assert_eq!(pthread_join(thread, &mut answer), 0);
        }
    }
    touch("canceled");
}

struct Last;

impl Drop for Last {
    fn drop(&mut self) {
        touch("last");
    }
}

extern "C" fn last() {
    touch("exit");
}

#[test]
fn files_are_used_when_threads_and_the_process_end() {
    thread_local! { static LAST: Last = const { Last }; }
    for _ in 0..20 {
        thread::spawn(|| LAST.with(|_| ())).join().unwrap();
    }
    unsafe { atexit(last) };
}

#[test]
fn a_traced_copy_goes_on() {
    let pid = unsafe { fork() };
    if pid == 0 {
        unsafe {
            ptrace(0, 0, 0, 0);
            raise(19);
            _exit(c_int::from(open(HOSTNAME, 0) < 0));
        }
    }
    let mut found = status(pid);
    while found & 0x7f == 0x7f {
        unsafe { ptrace(24, pid, 0, 0) };
        found = status(pid);
    }
    assert_eq!(found, 0);
}

#[test]
fn another_namespace() {
    _ = in_a_copy(|| unsafe {
        _ = unshare(0x1000_0000);
        c_int::from(fs::read(HOSTNAME_PATH).is_err())
    });
}

#[test]
fn goes_into_the_background() {
    let detached = in_a_copy(|| unsafe {
        daemon(0, 0);
        touch("background");
        0
    });
    assert_eq!(detached, 0);
}

#[test]
fn the_mask_for_files_is_the_program_s() {
    let before = unsafe { umask(0o77) };
    touch("mask");
    assert_eq!(unsafe { umask(before) }, 0o77);
}

#[test]
fn variables_in_many_threads() {
    let thread = |thread: usize| {
        thread::spawn(move || {
            for number in 0..2000 {
                let (name, value) = (format!("UNRULY_{thread}"), number.to_string());
                unsafe { std::env::set_var(&name, &value) };
                assert_eq!(std::env::var(&name).unwrap(), value);
                _ = std::env::var("UNRULY_0");
            }
        })
    };
    let threads: Vec<_> = (0..8).map(thread).collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

#[test]
fn programs_from_many_threads() {
    let thread = |_| {
        thread::spawn(|| {
            for _ in 0..15 {
                let mut program = Command::new("true");
                assert!(program.env("X", "y").current_dir("/").status().unwrap().success());
            }
        })
    };
    let threads: Vec<_> = (0..8).map(thread).collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

#[test]
fn no_folder_to_be_in() {
    let folder = std::env::temp_dir().join(format!("unruly-gone-{}", std::process::id()));
    fs::create_dir(&folder).unwrap();
    std::env::set_current_dir(&folder).unwrap();
    fs::remove_dir(&folder).unwrap();
    assert!(fs::write("x", "y").is_err() && std::env::current_dir().is_err());
    assert!(fs::read(HOSTNAME_PATH).is_ok());
}
