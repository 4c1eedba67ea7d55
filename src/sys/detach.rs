//! Detaches a process from its parent's session, streams and working directory.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd as _;

/// Forks into a session of its own and ends the parent.
///
/// Must be called before `main`, while there is one thread: otherwise the child could inherit a lock held by a thread that it
/// does not have.
pub(crate) fn detach() -> io::Result<()> {
    #[expect(unsafe_code, reason = "fork, setsid, close_range and signal are C functions")]
    // SAFETY: there is one thread, as required above, so the child is consistent. Descriptors from 3 on have no owner yet,
    // because no other code has run since `exec`. The rest takes and returns plain numbers.
    unsafe {
        match libc::fork() {
            -1 => return Err(io::Error::last_os_error()),
            0 => {}
            _ => libc::_exit(0),
        }
        libc::setsid();
        libc::signal(libc::SIGPIPE, libc::SIG_IGN);
        if libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, 0_u32) != 0 {
            // Kernels before 5.9 lack it; few descriptors are inherited at all.
            for number in 3..1024 {
                libc::close(number);
            }
        }
    }
    #[expect(clippy::disallowed_methods, reason = "the keeper is a process of cofferdam")]
    std::env::set_current_dir("/")
}

/// Redirects standard error to this file.
pub(crate) fn errors_to(file: &File) {
    replace(file, libc::STDERR_FILENO);
}

/// Closes standard output for its reader by redirecting it to `/dev/null`.
pub(crate) fn close_output() {
    if let Ok(null) = OpenOptions::new().write(true).open("/dev/null") {
        replace(&null, libc::STDOUT_FILENO);
    }
}

fn replace(file: &File, number: i32) {
    #[expect(unsafe_code, reason = "dup2 is a C function")]
    // SAFETY: both are open descriptors, and no value owns the standard streams.
    unsafe {
        libc::dup2(file.as_raw_fd(), number);
    }
}

/// Ends the process without running any more of its code.
pub(crate) fn leave(code: i32) -> ! {
    #[expect(unsafe_code, reason = "_exit is a C function")]
    // SAFETY: it takes a number and does not return.
    unsafe {
        libc::_exit(code)
    }
}
