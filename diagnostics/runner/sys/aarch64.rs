//! What is particular to Linux on aarch64.

use core::arch::asm;

/// System calls by name.
pub(super) mod nr {
    pub(crate) const GETCWD: usize = 17;
    pub(crate) const FLOCK: usize = 32;
    pub(crate) const UNLINKAT: usize = 35;
    pub(crate) const FACCESSAT: usize = 48;
    pub(crate) const OPENAT: usize = 56;
    pub(crate) const CLOSE: usize = 57;
    pub(crate) const WRITE: usize = 64;
    pub(crate) const PREAD64: usize = 67;
    pub(crate) const PWRITE64: usize = 68;
    pub(crate) const READLINKAT: usize = 78;
    pub(crate) const EXIT_GROUP: usize = 94;
    pub(crate) const RT_SIGACTION: usize = 134;
    pub(crate) const GETPID: usize = 172;
    pub(crate) const EXECVE: usize = 221;
    pub(crate) const MMAP: usize = 222;
}

/// Makes a system call. Returns the kernel's answer.
///
/// # Safety
/// That of the call.
#[inline(always)]
pub(super) unsafe fn call(number: usize, [a, b, c, d, e, f]: [usize; 6]) -> isize {
    let answer;
    // SAFETY: the caller's promise; the kernel changes no register but this.
    unsafe {
        asm!(
            "svc 0",
            in("x8") number,
            inlateout("x0") a as isize => answer,
            in("x1") b, in("x2") c, in("x3") d, in("x4") e, in("x5") f,
            options(nostack)
        );
    }
    answer
}

/// Ends a handler, by `rt_sigreturn`.
#[unsafe(naked)]
pub(super) extern "C" fn end_handler() {
    core::arch::naked_asm!("mov x8, 139", "svc 0")
}

// The program's entry, which passes the kernel's stack to a function of that name.
#[cfg(panic = "abort")]
core::arch::global_asm!(".globl _start", "_start:", "mov x0, sp", "bl begin",);

/// Copies bytes, the first ones first.
///
/// # Safety
/// There are so many bytes at both addresses.
pub(super) unsafe fn copy(to: *mut u8, from: *const u8, length: usize) {
    for at in 0..length {
        // SAFETY: the caller's promise.
        unsafe { to.add(at).write_volatile(from.add(at).read_volatile()) };
    }
}
