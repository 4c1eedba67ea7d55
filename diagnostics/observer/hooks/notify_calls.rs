//! Functions of libc that have it call a function of the program's later, on a thread of libc's own. There libc blocks all
//! signals, and a breakpoint would end the process. So statics are not observed any more from such a call on.

use crate::breakpoints;
use crate::sys::interpose::real_functions;
use crate::sys::{c_int, c_void};

type Any = *mut c_void;

/// The beginning of `struct sigevent`.
#[repr(C)]
pub(crate) struct Event {
    value: usize,
    signal: c_int,
    notify: c_int,
}

impl Event {
    /// # Safety
    /// `event` is null, or the program has passed it to libc.
    unsafe fn is_call(event: *const Self) -> bool {
        const SIGEV_THREAD: c_int = 2;
        // SAFETY: the caller's promise.
        unsafe { event.as_ref() }.is_some_and(|event| event.notify == SIGEV_THREAD)
    }
}

/// Declares hooks. Before the call statics cease to be observed, if the expression is true.
macro_rules! notifying {
    ($($name:ident($($arg:ident: $shape:ty),*) if $calls:expr;)*) => {
        real_functions! {
            mod real;
            $($name($($arg: $shape),*) -> c_int;)*
        }
        $(
            /// # Safety
            /// The contract of libc's function.
            #[unsafe(no_mangle)]
            pub unsafe extern "C" fn $name($($arg: $shape),*) -> c_int {
                // SAFETY: the program's call, passed on unchanged.
                unsafe {
                    if $calls {
                        breakpoints::stop();
                    }
                    real::$name($($arg),*)
                }
            }
        )*
    };
}

notifying! {
    timer_create(clock: c_int, event: *const Event, timer: Any) if Event::is_call(event);
    mq_notify(queue: c_int, event: *const Event) if Event::is_call(event);
    // The events of these are in lists.
    getaddrinfo_a(mode: c_int, list: Any, count: c_int, event: *const Event) if true;
    lio_listio(mode: c_int, list: Any, count: c_int, event: *const Event) if true;
    lio_listio64(mode: c_int, list: Any, count: c_int, event: *const Event) if true;
    aio_read(block: Any) if true;
    aio_read64(block: Any) if true;
    aio_write(block: Any) if true;
    aio_write64(block: Any) if true;
    aio_fsync(operation: c_int, block: Any) if true;
    aio_fsync64(operation: c_int, block: Any) if true;
}
