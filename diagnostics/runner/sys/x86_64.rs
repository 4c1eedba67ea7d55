//! What is particular to Linux on x86_64.

use core::arch::asm;

/// System calls by name.
pub(super) mod nr {
    pub(crate) const WRITE: usize = 1;
    pub(crate) const CLOSE: usize = 3;
    pub(crate) const MMAP: usize = 9;
    pub(crate) const RT_SIGACTION: usize = 13;
    pub(crate) const PREAD64: usize = 17;
    pub(crate) const PWRITE64: usize = 18;
    pub(crate) const GETPID: usize = 39;
    pub(crate) const EXECVE: usize = 59;
    pub(crate) const FLOCK: usize = 73;
    pub(crate) const GETCWD: usize = 79;
    pub(crate) const EXIT_GROUP: usize = 231;
    pub(crate) const OPENAT: usize = 257;
    pub(crate) const UNLINKAT: usize = 263;
    pub(crate) const READLINKAT: usize = 267;
    pub(crate) const FACCESSAT: usize = 269;
}

/// Makes a system call. Returns the kernel's answer.
///
/// # Safety
/// That of the call.
#[inline(always)]
pub(super) unsafe fn call(number: usize, [a, b, c, d, e, f]: [usize; 6]) -> isize {
    let answer;
    // SAFETY: the caller's promise; the kernel changes no register but these.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number as isize => answer,
            in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d, in("r8") e, in("r9") f,
            lateout("rcx") _, lateout("r11") _,
            options(nostack)
        );
    }
    answer
}

/// Ends a handler, by `rt_sigreturn`.
#[unsafe(naked)]
pub(super) extern "C" fn end_handler() {
    core::arch::naked_asm!("mov eax, 15", "syscall")
}

// The program's entry, which passes the kernel's stack to a function of that name.
#[cfg(panic = "abort")]
core::arch::global_asm!(
    ".globl _start",
    "_start:",
    "mov rdi, rsp",
    "and rsp, -16",
    "call begin",
);

/// Copies bytes, the first ones first.
///
/// # Safety
/// There are so many bytes at both addresses.
pub(super) unsafe fn copy(to: *mut u8, from: *const u8, length: usize) {
    // SAFETY: the caller's promise.
    unsafe {
        asm!(
            "rep movsb",
            inout("rdi") to => _, inout("rsi") from => _, inout("rcx") length => _,
            options(nostack, preserves_flags)
        );
    }
}
