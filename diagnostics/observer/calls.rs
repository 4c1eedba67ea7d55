//! System calls that a program makes past libc's functions, recorded as the hooks record those functions.

use crate::hold;
use crate::hooks::file_calls::{self, CREAT_FLAGS, MADE, itself};
use crate::hooks::{descriptor_calls, lock_calls, socket_calls};
use crate::log_format::{ITSELF, Kind};
use crate::recording::{self, Path, by_descriptor, by_path, by_paths};
use crate::sys::{self, AT_FDCWD, AT_REMOVEDIR, c_char, c_int, c_long, c_uint, c_void, nr};

/// A call's number and arguments.
#[derive(Clone, Copy)]
pub(crate) struct Call {
    pub(crate) number: c_long,
    pub(crate) arguments: [usize; 6],
}

impl Call {
    fn text(&self, place: usize) -> *const c_char {
        self.arguments[place] as *const c_char
    }

    fn int(&self, place: usize) -> c_int {
        self.arguments[place] as c_int
    }

    fn path(&self, place: usize) -> Path {
        Path::new(self.text(place))
    }

    /// Returns the path made of a directory's descriptor and the path that follows it.
    fn path_at(&self, place: usize) -> Path {
        Path::at(self.int(place), self.text(place + 1))
    }

    /// Returns whether the call sets or waits with a signal mask, or sets a signal's handler.
    pub(crate) fn is_of_signals(&self) -> bool {
        matches!(
            self.number,
            nr::RT_SIGACTION
                | nr::RT_SIGPROCMASK
                | nr::RT_SIGSUSPEND
                | nr::PSELECT6
                | nr::PPOLL
                | nr::EPOLL_PWAIT
                | nr::EPOLL_PWAIT2
        )
    }
}

/// The calls that only the program itself can make, because they act on the stack or the signal frame of their caller.
pub(crate) const BOUND_TO_CALLER: [c_long; 6] = [
    nr::RT_SIGRETURN,
    nr::CLONE,
    nr::FORK,
    nr::VFORK,
    nr::SIGALTSTACK,
    nr::CLONE3,
];

/// Records a call that has returned.
///
/// # Safety
/// The kernel has read the memory that the arguments point to.
pub(crate) unsafe fn after(call: &Call, result: c_long) {
    let failed = result < 0;
    let (text, int, at) = (
        |place| call.text(place),
        |place| call.int(place),
        |place| call.path_at(place),
    );
    // SAFETY: the caller's promise.
    unsafe {
        match call.number {
            nr::FUTEX if result > 0 => hold::after_wake(call.arguments[1]),
            nr::OPEN => file_calls::after_open(AT_FDCWD, text(0), int(1), failed),
            nr::OPENAT => file_calls::after_open(int(0), text(1), int(2), failed),
            // The flags are the first word of a structure, which was not read if its size was wrong.
            nr::OPENAT2
                if !(failed && matches!(sys::errno(), sys::EFAULT | sys::EINVAL | sys::E2BIG))
                    && call.arguments[2] != 0 =>
            {
                let flags = (call.arguments[2] as *const u64).read_unaligned();
                file_calls::after_open(int(0), text(1), flags as c_int, failed);
            }
            nr::CREAT => file_calls::after_open(AT_FDCWD, text(0), CREAT_FLAGS, failed),
            nr::MKNOD => file_calls::after_open(AT_FDCWD, text(0), MADE, failed),
            nr::MKNODAT => file_calls::after_open(int(0), text(1), MADE, failed),
            nr::STAT | nr::ACCESS | nr::STATFS => by_path(Kind::Look, failed, 0, call.path(0)),
            nr::LSTAT | nr::READLINK => by_path(Kind::Look, failed, ITSELF, call.path(0)),
            nr::STATX => by_path(Kind::Look, failed, itself(int(2)), at(0)),
            nr::NEWFSTATAT | nr::FACCESSAT2 => by_path(Kind::Look, failed, itself(int(3)), at(0)),
            nr::READLINKAT => by_path(Kind::Look, failed, ITSELF, at(0)),
            nr::FACCESSAT => by_path(Kind::Look, failed, 0, at(0)),
            nr::MKDIR => by_path(Kind::MakeFolder, failed, 0, call.path(0)),
            nr::MKDIRAT => by_path(Kind::MakeFolder, failed, 0, at(0)),
            nr::RMDIR => file_calls::after_unlinkat(AT_FDCWD, text(0), AT_REMOVEDIR, failed),
            nr::UNLINK => file_calls::after_unlinkat(AT_FDCWD, text(0), 0, failed),
            nr::UNLINKAT => file_calls::after_unlinkat(int(0), text(1), int(2), failed),
            nr::RENAME => by_paths(Kind::Rename, failed, 0, call.path(0), call.path(1)),
            nr::RENAMEAT | nr::RENAMEAT2 => by_paths(Kind::Rename, failed, 0, at(0), at(2)),
            nr::LINK => by_paths(Kind::Link, failed, 0, call.path(0), call.path(1)),
            nr::LINKAT => by_paths(Kind::Link, failed, 0, at(0), at(2)),
            nr::SYMLINK => by_path(Kind::Symlink, failed, 0, call.path(1)),
            nr::SYMLINKAT => by_path(Kind::Symlink, failed, 0, at(1)),
            nr::TRUNCATE
            | nr::CHMOD
            | nr::CHOWN
            | nr::UTIME
            | nr::UTIMES
            | nr::SETXATTR
            | nr::REMOVEXATTR => by_path(Kind::Change, failed, 0, call.path(0)),
            nr::LCHOWN | nr::LSETXATTR | nr::LREMOVEXATTR => {
                by_path(Kind::Change, failed, ITSELF, call.path(0));
            }
            nr::FCHOWNAT => by_path(Kind::Change, failed, itself(int(4)), at(0)),
            nr::FUTIMESAT | nr::FCHMODAT => by_path(Kind::Change, failed, 0, at(0)),
            nr::FCHMODAT2 => by_path(Kind::Change, failed, itself(int(3)), at(0)),
            nr::UTIMENSAT => file_calls::after_utimensat(int(0), text(1), int(3), failed),
            nr::FTRUNCATE | nr::FCHMOD | nr::FCHOWN | nr::FSETXATTR => {
                by_descriptor(Kind::Change, failed, 0, int(0));
            }
            nr::CHDIR => file_calls::after_chdir(text(0), failed),
            nr::FCHDIR => file_calls::after_chdir(c".".as_ptr(), failed),
            nr::GETCWD => recording::by_name(Kind::GetFolder, false, 0, b""),
            nr::UMASK => file_calls::after_umask(int(0) as c_uint, result as c_uint),
            nr::BIND => {
                let address = call.arguments[1] as *const c_void;
                socket_calls::after_bind(int(0), address, int(2) as c_uint, failed);
            }
            nr::CONNECT => {
                let address = call.arguments[1] as *const c_void;
                socket_calls::after_connect(int(0), address, int(2) as c_uint, failed);
            }
            nr::FLOCK => lock_calls::after_flock(int(0), int(1), failed),
            nr::FCNTL => lock_calls::after_fcntl(int(0), int(1), call.arguments[2], failed),
            nr::CLOSE => descriptor_calls::after_close(int(0), failed),
            nr::DUP2 | nr::DUP3 => lock_calls::after_dup2(int(0), int(1), failed),
            nr::CLOSE_RANGE => {
                lock_calls::after_close_range(int(0) as c_uint, int(1) as c_uint, int(2), failed);
            }
            _ => {}
        }
    }
}
