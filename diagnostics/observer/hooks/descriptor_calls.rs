//! Descriptors that a test closes twice. The second time it may close a file that another test has opened meanwhile.

use crate::hooks::lock_calls;
use crate::log_format::Kind;
use crate::sys::{self, c_int};
use crate::{recording, this_process, thread};
use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering::Relaxed;

/// The test that last closed each descriptor. Of its 256 kilobytes only the used pages are in memory.
static CLOSED_BY: [AtomicU32; 1 << 16] = [const { AtomicU32::new(0) }; 1 << 16];
/// The first number that is none of the standard streams.
const FIRST: usize = 3;

pub(crate) fn after_close(fd: c_int, failed: bool) {
    let Some(number) = usize::try_from(fd).ok().filter(|number| *number >= FIRST) else {
        return lock_calls::after_close(fd);
    };
    let test = thread::current().test.load(Relaxed);
    if let Some(closed_by) = CLOSED_BY.get(number).filter(|_| test != 0) {
        if !failed {
            closed_by.store(test, Relaxed);
        } else if sys::errno() == sys::EBADF
            && closed_by.load(Relaxed) == test
            && this_process::is_test()
            && this_process::is_itself()
        {
            recording::by_name(Kind::CloseTwice, false, 0, b"");
        }
    }
    lock_calls::after_close(fd);
}
