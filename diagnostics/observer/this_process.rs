//! Facts about the process that the observer is loaded into.

use crate::sys::own_calls::{self, syscall};
use crate::sys::{self, nr};
use core::sync::atomic::Ordering::Relaxed;
use core::sync::atomic::{AtomicBool, AtomicU32};

/// The number of this process. A fork changes it.
static PID: AtomicU32 = AtomicU32::new(0);
/// Set unless this is a forked copy of the process that began the log.
static IS_ORIGINAL: AtomicBool = AtomicBool::new(true);
/// Set while the observer may make system calls of its own. Below a seccomp filter one of them might end the process.
static MAY_CALL: AtomicBool = AtomicBool::new(true);
/// Set in the process that the runner started, and not in a child of a test.
static IS_TEST: AtomicBool = AtomicBool::new(false);

/// Asks the kernel for the number of this process.
pub(crate) fn kernel_pid() -> u32 {
    // SAFETY: no arguments, no effect. Not `getpid`: an old libc returns the remembered number of another process.
    unsafe { syscall(nr::GETPID, []) as u32 }
}

/// Asks the kernel for the number of the process that started this one.
pub(crate) fn parent_pid() -> u32 {
    // SAFETY: no arguments, no effect.
    unsafe { syscall(nr::GETPPID, []) as u32 }
}

/// Returns whether a debugger or another tracer is attached. It receives this process's signals first, and may discard them.
pub(crate) fn is_traced() -> bool {
    const BEFORE: &[u8] = b"TracerPid:\t";
    let mut text = [0_u8; 1024];
    // SAFETY: our own descriptor and buffer.
    let got = unsafe {
        let fd = own_calls::open(c"/proc/self/status".as_ptr(), sys::O_CLOEXEC, 0);
        if fd < 0 {
            return false;
        }
        let got = syscall(nr::READ, [fd as usize, text.as_mut_ptr().addr(), text.len()]);
        own_calls::close_own(fd);
        got
    };
    let text = usize::try_from(got).ok().and_then(|got| text.get(..got));
    let mut lines = text.unwrap_or_default().split(|byte| *byte == b'\n');
    lines
        .find_map(|line| line.strip_prefix(BEFORE))
        .is_some_and(|tracer| tracer != b"0")
}

/// Called once, by the constructor.
pub(crate) fn begin(pid: u32, is_test: bool) {
    PID.store(pid, Relaxed);
    IS_TEST.store(is_test, Relaxed);
}

/// Returns the number of this process as of the last fork that libc made. A copy made by a raw system call has that of
/// its parent.
pub(crate) fn pid() -> u32 {
    PID.load(Relaxed)
}

pub(crate) fn is_test() -> bool {
    IS_TEST.load(Relaxed)
}

pub(crate) fn is_original() -> bool {
    IS_ORIGINAL.load(Relaxed)
}

/// Called in a forked copy, which goes on in the same log under its own number.
pub(crate) fn forked() {
    IS_ORIGINAL.store(false, Relaxed);
    PID.store(kernel_pid(), Relaxed);
}

/// Returns whether this is the process of [`pid`], and not a copy of it made past libc, where the kernel can be asked.
pub(crate) fn is_itself() -> bool {
    !may_call() || kernel_pid() == pid()
}

/// Returns whether the caller is the thread that the process began with; `false` where the kernel cannot be asked.
pub(crate) fn is_main_thread() -> bool {
    // SAFETY: no arguments, no effect.
    may_call() && unsafe { syscall(nr::GETTID, []) as u32 } == pid()
}

pub(crate) fn may_call() -> bool {
    MAY_CALL.load(Relaxed)
}

/// Stops all further system calls of the observer's own.
pub(crate) fn stop_calling() {
    MAY_CALL.store(false, Relaxed);
}
