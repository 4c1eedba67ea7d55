//! A test for which libc calls a function with all signals blocked. It passes, observed or not.

use std::ffi::{c_int, c_void};
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

unsafe extern "C" {
    fn timer_create(clock: c_int, event: *const [usize; 8], timer: *mut usize) -> c_int;
    fn timer_settime(timer: usize, flags: c_int, time: *const [i64; 4], old: *mut c_void) -> c_int;
}

static TIMED: AtomicU32 = AtomicU32::new(0);

extern "C" fn on_time(_: usize) {
    TIMED.fetch_add(1, SeqCst);
}

#[test]
fn libc_calls_a_function_on_a_thread_of_its_own() {
    const ON_A_THREAD: usize = 2 << 32;
    let event = [0, ON_A_THREAD, on_time as *const () as usize, 0, 0, 0, 0, 0];
    let mut timer = 0;
    TIMED.store(0, SeqCst);
    unsafe {
        assert_eq!(timer_create(1, &event, &mut timer), 0);
        assert_eq!(timer_settime(timer, 0, &[0, 0, 0, 1], std::ptr::null_mut()), 0);
    }
    while TIMED.load(SeqCst) == 0 {
        std::thread::yield_now();
    }
}
