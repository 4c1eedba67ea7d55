//! System calls that a program makes without libc's functions: by number, with the same meaning.

use crate::format::{ITSELF, Kind};
use crate::hooks::file_calls::{self, itself};
use crate::hooks::{lock_calls, socket_calls};
use crate::record::{self, Path, open_file, path, paths};
use crate::sys::{self, AT_FDCWD, AT_REMOVEDIR, c_char, c_int, c_long, c_uint, c_void};

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

    /// Whether it is one by which a program sets its mask or its handlers.
    pub(crate) fn is_of_signals(&self) -> bool {
        matches!(
            self.number,
            RT_SIGACTION | RT_SIGPROCMASK | RT_SIGSUSPEND | PSELECT6 | PPOLL | EPOLL_PWAIT | EPOLL_PWAIT2
        )
    }

    /// A folder's descriptor and a path in it.
    fn path_at(&self, place: usize) -> Path {
        Path::at(self.int(place), self.text(place + 1))
    }
}

const CREAT: c_int = sys::O_CREAT | sys::O_TRUNC | 1;
const MADE: c_int = sys::O_CREAT | sys::O_EXCL | sys::O_RDWR;

pub(crate) const FCNTL: c_long = 72;
pub(crate) const CLOSE: c_long = 3;
pub(crate) const EXECVE: c_long = 59;
pub(crate) const EXECVEAT: c_long = 322;
pub(crate) const KILL: c_long = 62;
pub(crate) const FUTEX: c_long = 202;
pub(crate) const PRCTL: c_long = 157;
pub(crate) const SECCOMP: c_long = 317;
pub(crate) const RT_SIGACTION: c_long = 13;
pub(crate) const RT_SIGPROCMASK: c_long = 14;
pub(crate) const RT_SIGSUSPEND: c_long = 130;
pub(crate) const PSELECT6: c_long = 270;
pub(crate) const PPOLL: c_long = 271;
pub(crate) const EPOLL_PWAIT: c_long = 281;
pub(crate) const EPOLL_PWAIT2: c_long = 441;
/// What cannot be made by another in the program's stead: it acts on the stack or the signal frame it is made from.
pub(crate) const ITS_OWN: [c_long; 6] = [15, 56, 57, 58, 131, 435];

/// Notes what a call did that came back.
///
/// # Safety
/// The kernel has read what the arguments point to.
pub(crate) unsafe fn noted(call: &Call, result: c_long) {
    let failed = result < 0;
    // SAFETY: the caller's promise.
    unsafe {
        match call.number {
            2 => file_calls::opened(AT_FDCWD, call.text(0), call.int(1), failed),
            257 => file_calls::opened(call.int(0), call.text(1), call.int(2), failed),
            // `openat2`: the flags are the first word of a structure, which was not read if it was of a wrong size.
            437 if !(failed && matches!(sys::errno(), sys::EFAULT | sys::EINVAL | sys::E2BIG))
                && call.arguments[2] != 0 =>
            {
                let flags = (call.arguments[2] as *const u64).read_unaligned();
                file_calls::opened(call.int(0), call.text(1), flags as c_int, failed);
            }
            85 => file_calls::opened(AT_FDCWD, call.text(0), CREAT, failed),
            133 => file_calls::opened(AT_FDCWD, call.text(0), MADE, failed),
            259 => file_calls::opened(call.int(0), call.text(1), MADE, failed),
            4 | 21 | 137 => path(Kind::Look, failed, 0, call.path(0)),
            6 | 89 => path(Kind::Look, failed, ITSELF, call.path(0)),
            // The flags of `statx` stand before its mask.
            332 => path(Kind::Look, failed, itself(call.int(2)), call.path_at(0)),
            262 | 439 => path(Kind::Look, failed, itself(call.int(3)), call.path_at(0)),
            267 => path(Kind::Look, failed, ITSELF, call.path_at(0)),
            269 => path(Kind::Look, failed, 0, call.path_at(0)),
            83 => path(Kind::MakeFolder, failed, 0, call.path(0)),
            258 => path(Kind::MakeFolder, failed, 0, call.path_at(0)),
            84 => file_calls::unlinked(AT_FDCWD, call.text(0), AT_REMOVEDIR, failed),
            87 => file_calls::unlinked(AT_FDCWD, call.text(0), 0, failed),
            263 => file_calls::unlinked(call.int(0), call.text(1), call.int(2), failed),
            82 => file_calls::renamed(call.path(0), call.path(1), failed),
            264 | 316 => file_calls::renamed(call.path_at(0), call.path_at(2), failed),
            86 => paths(Kind::Link, failed, 0, call.path(0), call.path(1)),
            265 => paths(Kind::Link, failed, 0, call.path_at(0), call.path_at(2)),
            88 => path(Kind::Symlink, failed, 0, call.path(1)),
            266 => path(Kind::Symlink, failed, 0, call.path_at(1)),
            76 | 90 | 92 | 132 | 188 | 197 | 235 => path(Kind::Change, failed, 0, call.path(0)),
            94 | 189 | 198 => path(Kind::Change, failed, ITSELF, call.path(0)),
            260 => path(Kind::Change, failed, itself(call.int(4)), call.path_at(0)),
            261 | 268 => path(Kind::Change, failed, 0, call.path_at(0)),
            452 => path(Kind::Change, failed, itself(call.int(3)), call.path_at(0)),
            280 => file_calls::changed_at(call.int(0), call.text(1), call.int(3), failed),
            77 | 91 | 93 | 190 => open_file(Kind::Change, failed, 0, call.int(0)),
            80 => file_calls::moved(call.text(0), failed),
            81 => file_calls::moved(c".".as_ptr(), failed),
            79 => record::thing(Kind::GetFolder, false, 0, b""),
            95 => record::thing(Kind::Mask, result == (call.int(0) & 0o777).into(), 0, b""),
            49 => socket_calls::bound(
                call.int(0),
                call.arguments[1] as *const c_void,
                call.int(2) as c_uint,
                failed,
            ),
            42 => socket_calls::connected(
                call.int(0),
                call.arguments[1] as *const c_void,
                call.int(2) as c_uint,
                failed,
            ),
            73 => lock_calls::flocked(call.int(0), call.int(1), failed),
            FCNTL => lock_calls::controlled(call.int(0), call.int(1), call.arguments[2], failed),
            CLOSE => lock_calls::closed(call.int(0)),
            33 | 292 => lock_calls::replaced(call.int(0), call.int(1), failed),
            436 => lock_calls::closed_all(call.int(0) as c_uint, call.int(1) as c_uint, call.int(2), failed),
            _ => {}
        }
    }
}
