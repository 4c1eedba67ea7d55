//! What is known of the calling thread.
//!
//! Rust without std has no thread-local storage, so sixty-four bytes of it are laid out by hand. The observer is there
//! when the program starts, so they lie in each thread's static block: reading them neither allocates nor fails, also
//! in a signal handler. They begin as zeros.

use core::arch::{asm, global_asm};
use core::sync::atomic::Ordering::Relaxed;
use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64};

global_asm!(
    ".pushsection .tbss,\"awT\",@nobits",
    ".balign 64",
    ".globl cofferdam_thread",
    ".hidden cofferdam_thread",
    ".type cofferdam_thread,@object",
    ".size cofferdam_thread,64",
    "cofferdam_thread:",
    ".zero 64",
    ".popsection",
);

/// Atomic, because a signal handler may run in the midst of anything.
#[repr(C)]
pub(crate) struct Thread {
    /// Read by the kernel: 0 lets raw system calls through, 1 has them reported.
    pub(crate) selector: AtomicU8,
    /// Whether the kernel was told of `selector`.
    pub(crate) armed: AtomicU8,
    /// The observer itself is at work: what it calls is not noted.
    pub(crate) busy: AtomicU8,
    /// The program has blocked SIGSYS, or believes so: it is not really.
    pub(crate) masked: AtomicU8,
    /// A SIGSYS of the program's waits to be unblocked, and is really blocked.
    pub(crate) waiting_sigsys: AtomicU8,
    /// It waits with a mask that leaves SIGSYS open (1) or blocks it (2).
    pub(crate) suspended: AtomicU8,
    /// SIGSYS is really blocked, for the program that is being started.
    pub(crate) bequeathed: AtomicU8,
    /// Its test has not said its short name yet.
    pub(crate) unnamed: AtomicU8,
    /// The test that this thread works for; 0 for none.
    pub(crate) test: AtomicU32,
    /// Stands for the file locks that it holds.
    pub(crate) held: AtomicU64,
    /// The number of its pauses for `hold`.
    pub(crate) slept: AtomicU32,
    /// The same by target.
    pub(crate) slept_at: [AtomicU8; 32],
}

impl Thread {
    /// Returns whether SIGSYS is really blocked, so that a reported call would end the process.
    pub(crate) fn is_shut(&self) -> bool {
        self.waiting_sigsys.load(Relaxed) != 0 || self.bequeathed.load(Relaxed) != 0
    }
}

/// The calling thread's.
pub(crate) fn current() -> &'static Thread {
    let block: *const Thread;
    // SAFETY: the address of a thread-local symbol by the ABI's initial-exec model, which is what the observer is
    // loaded by; it reads the thread pointer and a constant of the linker's.
    unsafe {
        asm!(
            "mov {block}, qword ptr [rip + cofferdam_thread@GOTTPOFF]",
            "add {block}, qword ptr fs:[0]",
            block = out(reg) block,
            options(nostack, nomem, pure)
        );
    }
    // SAFETY: the block is 64 bytes, aligned to 64, zeros are valid for every field, and it lives as long as its
    // thread: no reference to it is handed to another.
    unsafe { &*block }
}
