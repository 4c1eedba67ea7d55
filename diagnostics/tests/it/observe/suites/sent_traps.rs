//! Tests to which a SIGTRAP is sent while they have it blocked. They use a static before, meanwhile and after. All pass,
//! observed or not.

use std::ffi::{c_int, c_void};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

unsafe extern "C" {
    fn close(fd: c_int) -> c_int;
    fn pthread_sigmask(how: c_int, set: *const u64, old: *mut u64) -> c_int;
    fn raise(signal: c_int) -> c_int;
    fn read(fd: c_int, to: *mut c_void, length: usize) -> isize;
    fn signal(signal: c_int, handler: usize) -> usize;
    fn signalfd(fd: c_int, set: *const u64, flags: c_int) -> c_int;
    fn sigwait(set: *const u64, found: *mut c_int) -> c_int;
}

const TRAP: c_int = 5;
const TRAP_BIT: u64 = 1 << 4;

static ONE: Mutex<()> = Mutex::new(());
static USED: AtomicU32 = AtomicU32::new(0);
static CAUGHT: AtomicU32 = AtomicU32::new(0);

fn blocked(test: impl FnOnce()) {
    let _one = ONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let mut old = [0; 16];
    unsafe { pthread_sigmask(0, [TRAP_BIT; 16].as_ptr(), old.as_mut_ptr()) };
    let before = USED.fetch_add(1, SeqCst);
    unsafe { raise(TRAP) };
    (0..30).for_each(|_| _ = USED.fetch_add(1, SeqCst));
    test();
    unsafe { pthread_sigmask(2, old.as_ptr(), std::ptr::null_mut()) };
    assert_eq!(USED.fetch_add(1, SeqCst), before + 31);
}

#[test]
fn a_descriptor_reports_it() {
    blocked(|| unsafe {
        let fd = signalfd(-1, [TRAP_BIT; 16].as_ptr(), 0);
        let mut info = [0_u32; 32];
        assert_eq!((read(fd, info.as_mut_ptr().cast(), 128), info[0]), (128, 5));
        close(fd);
    });
}

#[test]
fn it_is_waited_for() {
    blocked(|| {
        let mut found = 0;
        assert_eq!((unsafe { sigwait([TRAP_BIT; 16].as_ptr(), &mut found) }, found), (0, TRAP));
    });
}

extern "C" fn caught(_: c_int) {
    CAUGHT.fetch_add(1, SeqCst);
}

#[test]
fn it_is_handled_when_it_is_unblocked() {
    blocked(|| {
        unsafe { signal(TRAP, caught as *const () as usize) };
        assert_eq!(CAUGHT.load(SeqCst), 0);
        unsafe { pthread_sigmask(1, [TRAP_BIT; 16].as_ptr(), std::ptr::null_mut()) };
        assert_eq!(CAUGHT.load(SeqCst), 1);
        unsafe { signal(TRAP, 0) };
    });
}
