//! A process that leaves its parent's session, streams and folder behind.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd as _;

/// Makes a copy of this process the leader of a session of its own, and ends this one.
///
/// To be called before `main` only, while there is one thread: the copy of a process with more may find a lock held by
/// a thread that it does not have.
pub(crate) fn detach() -> io::Result<()> {
    #[expect(unsafe_code, reason = "fork, setsid, close_range and signal are C functions")]
    // SAFETY: there is one thread, as is asked above, so the copy is whole. Descriptors from 3 on are nobody's yet: no
    // code but ours has run since `exec`. The rest takes and returns plain numbers.
    unsafe {
        match libc::fork() {
            -1 => return Err(io::Error::last_os_error()),
            0 => {}
            _ => libc::_exit(0),
        }
        libc::setsid();
        libc::signal(libc::SIGPIPE, libc::SIG_IGN);
        if libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, 0_u32) != 0 {
            // Kernels before 5.9 do not know it; few descriptors are inherited at all.
            for number in 3..1024 {
                libc::close(number);
            }
        }
    }
    #[expect(clippy::disallowed_methods, reason = "this process is ours alone")]
    std::env::set_current_dir("/")
}

/// Standard error goes to this file from here on.
pub(crate) fn errors_to(file: &File) {
    replace(file, libc::STDERR_FILENO);
}

/// Nobody reads standard output any more: whoever waits for its end has it.
pub(crate) fn close_output() {
    if let Ok(null) = OpenOptions::new().write(true).open("/dev/null") {
        replace(&null, libc::STDOUT_FILENO);
    }
}

fn replace(file: &File, number: i32) {
    #[expect(unsafe_code, reason = "dup2 is a C function")]
    // SAFETY: both are open descriptors, and the standard streams are never closed by an owner.
    unsafe {
        libc::dup2(file.as_raw_fd(), number);
    }
}

/// Ends the process without running anything more of it.
pub(crate) fn leave(code: i32) -> ! {
    #[expect(unsafe_code, reason = "_exit is a C function")]
    // SAFETY: it takes a number and does not return.
    unsafe {
        libc::_exit(code)
    }
}
