//! Pairs of tests that write one file: some under a lock that separates them, some under one that only seems to.

use std::ffi::{CString, c_char, c_int, c_void};
use std::fs::{self, File};
use std::os::fd::{AsRawFd as _, IntoRawFd as _};
use std::path::PathBuf;

unsafe extern "C" {
    fn close_range(first: u32, last: u32, flags: c_int) -> c_int;
    fn dup2(from: c_int, to: c_int) -> c_int;
    fn fclose(file: *mut c_void) -> c_int;
    fn fcntl(fd: c_int, what: c_int, lock: *const Flock) -> c_int;
    fn fileno(file: *mut c_void) -> c_int;
    fn flock(fd: c_int, how: c_int) -> c_int;
    fn fopen(path: *const c_char, mode: *const c_char) -> *mut c_void;
    fn fork() -> c_int;
    fn lockf(fd: c_int, how: c_int, length: i64) -> c_int;
    fn waitpid(pid: c_int, status: *mut c_int, options: c_int) -> c_int;
    fn _exit(code: c_int) -> !;
}

#[repr(C)]
struct Flock {
    kind: i16,
    whence: i16,
    start: i64,
    length: i64,
    pid: c_int,
}

const SHARED: c_int = 1;
const EXCLUSIVE: c_int = 2;
const UNLOCK: c_int = 8;
const F_LOCK: c_int = 1;
const F_ULOCK: c_int = 0;
const F_SETLK: c_int = 6;
const F_OFD_SETLK: c_int = 37;
const SEEK_SET: i16 = 0;
const SEEK_CUR: i16 = 1;
const SEEK_END: i16 = 2;

fn place(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("met").join(name)
}

fn lock() -> File {
    // Not empty, so that a lock on a part does not cover the whole file.
    fs::write(place("lock"), "0123456789").unwrap();
    File::options().read(true).write(true).open(place("lock")).unwrap()
}

fn write(name: &str) {
    fs::write(place(name), "1").unwrap();
}

fn control(file: &File, kind: i16, whence: i16, start: i64, length: i64) {
    controls(F_SETLK, file, kind, whence, start, length);
}

fn controls(what: c_int, file: &File, kind: i16, whence: i16, start: i64, length: i64) {
    let lock = Flock { kind, whence, start, length, pid: 0 };
    assert_eq!(unsafe { fcntl(file.as_raw_fd(), what, &lock) }, 0);
}

macro_rules! pairs {
    ($($name:ident $body:block)*) => {
        $(mod $name {
            use super::*;
            #[test]
            fn a() $body
            #[test]
            fn b() $body
        })*
    };
}

pairs! {
    // Whole files.
    whole_by_lockf {
        let file = lock();
        assert_eq!(unsafe { lockf(file.as_raw_fd(), F_LOCK, 0) }, 0);
        write("whole-by-lockf");
    }
    whole_from_here {
        let file = lock();
        control(&file, 1, SEEK_CUR, 0, 0);
        write("whole-from-here");
    }
    whole_and_a_part_given_back {
        let file = lock();
        control(&file, 1, SEEK_SET, 0, 0);
        control(&file, 2, SEEK_SET, 0, 1);
        assert_eq!(unsafe { lockf(file.as_raw_fd(), F_ULOCK, 1) }, 0);
        write("whole-but-for-a-part");
    }
    whole_by_its_description {
        let file = lock();
        controls(F_OFD_SETLK, &file, 1, SEEK_SET, 0, 0);
        write("whole-by-its-description");
    }
    whole_to_read_and_then_to_write {
        let file = lock();
        file.lock_shared().unwrap();
        let _ = fs::read(place("read-first"));
        file.lock().unwrap();
        write("read-first");
    }
    whole_while_a_copy_closes_all {
        let file = lock();
        file.lock().unwrap();
        unsafe {
            let pid = fork();
            if pid == 0 {
                close_range(3, u32::MAX, 0);
                _exit(0);
            }
            waitpid(pid, &mut 0, 0);
        }
        write("closed-by-a-copy");
    }

    // Parts of them.
    part_by_lockf {
        let file = lock();
        assert_eq!(unsafe { lockf(file.as_raw_fd(), F_LOCK, 5) }, 0);
        write("part-by-lockf");
    }
    part_from_here {
        use std::io::{Seek as _, SeekFrom};
        let mut file = lock();
        file.seek(SeekFrom::Start(5)).unwrap();
        assert_eq!(unsafe { lockf(file.as_raw_fd(), F_LOCK, 0) }, 0);
        write("part-from-here");
    }
    part_at_the_end {
        let file = lock();
        control(&file, 1, SEEK_END, 0, 0);
        write("part-at-the-end");
    }

    // Locks that were released, or guard less.
    shared_now {
        let file = lock();
        unsafe { flock(file.as_raw_fd(), EXCLUSIVE) };
        write("shared-now");
        unsafe { flock(file.as_raw_fd(), SHARED) };
        write("shared-now");
        unsafe { flock(file.as_raw_fd(), UNLOCK) };
    }
    closed_by_its_stream {
        let path = CString::new(place("lock").to_str().unwrap()).unwrap();
        unsafe {
            let file = fopen(path.as_ptr(), c"w".as_ptr());
            flock(fileno(file), EXCLUSIVE);
            fclose(file);
        }
        write("closed-by-its-stream");
    }
    closed_by_another {
        let file = lock();
        file.lock().unwrap();
        let other = File::open("/dev/null").unwrap();
        unsafe { dup2(other.as_raw_fd(), file.as_raw_fd()) };
        write("closed-by-another");
    }
    closed_by_range {
        let file = lock();
        file.lock().unwrap();
        let fd = file.into_raw_fd() as u32;
        unsafe { close_range(fd, fd, 0) };
        write("closed-by-range");
    }
}
