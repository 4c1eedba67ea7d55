//! The process of an isolated test: how it is prepared before its program begins, and its standard output.

use std::fs::File;
use std::io::{self, Write as _};
use std::mem::ManuallyDrop;
use std::os::fd::{FromRawFd as _, RawFd};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// The limits of a process; `None` leaves one as it is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Limits {
    pub(crate) open_files: Option<u64>,
    /// In bytes.
    pub(crate) file_size: Option<u64>,
    /// The address space in bytes.
    pub(crate) memory: Option<u64>,
}

/// The changes to a process before its program begins.
#[derive(Debug)]
pub(crate) struct Preparation {
    /// Descriptors that the program inherits under the same numbers.
    pub(crate) inherited: [RawFd; 2],
    pub(crate) umask: Option<u32>,
    pub(crate) limits: Limits,
}

/// Makes the command's process apply the changes.
pub(crate) fn prepare(command: &mut Command, preparation: Preparation) {
    #[expect(unsafe_code, reason = "limits and descriptors have to be set in the child")]
    // SAFETY: between fork and exec the closure makes system calls on numbers and a live structure of numbers, and
    // allocates nothing.
    unsafe {
        command.pre_exec(move || {
            for fd in preparation.inherited {
                check(libc::fcntl(fd, libc::F_SETFD, 0))?;
            }
            if let Some(mask) = preparation.umask {
                libc::umask(mask as libc::mode_t);
            }
            let limits = &preparation.limits;
            for (resource, value) in [
                (libc::RLIMIT_NOFILE, limits.open_files),
                (libc::RLIMIT_FSIZE, limits.file_size),
                (libc::RLIMIT_AS, limits.memory),
            ] {
                if let Some(value) = value {
                    let mut limit: libc::rlimit = std::mem::zeroed();
                    check(libc::getrlimit(resource, &raw mut limit))?;
                    // The limit that applies. The one up to which the process may raise it stays.
                    limit.rlim_cur = value as libc::rlim_t;
                    check(libc::setrlimit(resource, &raw const limit))?;
                }
            }
            Ok(())
        });
    }
    #[cfg(target_os = "linux")]
    super::child::dies_with_us(command);
}

fn check(result: i32) -> io::Result<()> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// Kills the group that the process leads, or the process if it leads none. It must not have been waited for.
pub(crate) fn kill(pid: u32, is_leader: bool) {
    let pid = pid as i32;
    #[expect(unsafe_code, reason = "kill is a C function")]
    // SAFETY: it takes numbers. A process that has ended is an error that can be ignored.
    unsafe {
        libc::kill(if is_leader { -pid } else { pid }, libc::SIGKILL);
    }
}

/// Takes an inherited descriptor, which the programs that this process starts do not inherit.
///
/// It is never closed: its end is the end of the process.
pub(crate) fn inherited_file(fd: RawFd) -> ManuallyDrop<File> {
    #[expect(unsafe_code, reason = "a descriptor is inherited by its number")]
    // SAFETY: the parent opened it for this process, nothing else here uses the number, and the file is not closed.
    unsafe {
        libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC);
        ManuallyDrop::new(File::from_raw_fd(fd))
    }
}

/// Standard output, redirected until this is dropped.
#[derive(Debug)]
pub(crate) struct RedirectedOutput {
    /// A copy of the descriptor from before. It may have been closed by a test that closes everything, so nothing owns it.
    before: RawFd,
}

impl RedirectedOutput {
    /// Redirects standard output to an inherited descriptor, which is closed.
    pub(crate) fn to(fd: RawFd) -> Self {
        flush();
        #[expect(unsafe_code, reason = "std cannot redirect its streams")]
        // SAFETY: it takes numbers. The descriptor was opened by the parent for this process, and only this call uses it.
        unsafe {
            let before = libc::fcntl(libc::STDOUT_FILENO, libc::F_DUPFD_CLOEXEC, 3);
            libc::dup2(fd, libc::STDOUT_FILENO);
            libc::close(fd);
            Self { before }
        }
    }
}

impl Drop for RedirectedOutput {
    fn drop(&mut self) {
        flush();
        #[expect(unsafe_code, reason = "std cannot redirect its streams")]
        // SAFETY: it takes numbers, and no value owns standard output. A number that is not open is an error.
        unsafe {
            libc::dup2(self.before, libc::STDOUT_FILENO);
        }
    }
}

/// Writes what Rust and C have buffered for standard output.
fn flush() {
    let _ = io::stdout().flush();
    #[expect(unsafe_code, reason = "fflush is a C function")]
    // SAFETY: a null pointer means all streams.
    unsafe {
        libc::fflush(std::ptr::null_mut());
    }
}

/// Ends this process as soon as the reader of the descriptor has ended. On Linux, the kernel does that.
#[cfg(not(target_os = "linux"))]
pub(crate) fn end_with_reader(fd: RawFd) {
    let watch = move || {
        let mut polled = libc::pollfd {
            fd,
            events: 0,
            revents: 0,
        };
        #[expect(unsafe_code, reason = "poll is a C function")]
        // SAFETY: it gets one live structure; `_exit` takes a number.
        unsafe {
            while libc::poll(&raw mut polled, 1, -1) <= 0 {}
            libc::_exit(101);
        }
    };
    // Without the thread, the process may outlive its parent, which fails no test.
    let _ = std::thread::Builder::new()
        .name("cofferdam-isolated".to_owned())
        .spawn(watch);
}
