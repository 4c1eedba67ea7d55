//! State of the calling thread.
//!
//! Rust without std has no thread-local storage, so two cache lines of it are laid out by hand. The observer is there
//! when the program starts, so they lie in each thread's static block: reading them neither allocates nor fails, not
//! even in a signal handler. They begin as zeros.

use crate::sys::{self, processor};
use core::arch::global_asm;
use core::sync::atomic::Ordering::Relaxed;
use core::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, AtomicUsize};

global_asm!(
    ".pushsection .tbss,\"awT\",@nobits",
    ".balign 64",
    ".globl cofferdam_thread",
    ".hidden cofferdam_thread",
    ".type cofferdam_thread,@object",
    ".size cofferdam_thread,128",
    "cofferdam_thread:",
    ".zero 128",
    ".popsection",
);

/// The fields are atomic because a signal handler may interrupt anything.
#[repr(C)]
pub(crate) struct Thread {
    /// Read by the kernel: 0 lets raw system calls through, 1 has them reported.
    pub(crate) selector: AtomicU8,
    /// The kernel knows the address of `selector`.
    pub(crate) is_armed: AtomicU8,
    /// The observer is at work on this thread: its calls are not recorded.
    pub(crate) in_observer: AtomicU8,
    /// The program waits in a call with a mask of its own: `wait_mask`.
    pub(crate) is_waiting: AtomicU8,
    /// The thread is a test that has not set its short name yet.
    pub(crate) awaits_name: AtomicU8,
    /// The thread's number among those that tests have started; 0 for a test's own thread, `u16::MAX` for all that come late.
    pub(crate) helper: AtomicU16,
    /// The observer's signals that are in the mask that the program sees. The real mask leaves them open.
    pub(crate) masked: AtomicU32,
    /// The observer's signals that wait for the program to unblock them, and are in the real mask too.
    pub(crate) pending: AtomicU32,
    /// The observer's signals in the mask of the call that the program waits in.
    pub(crate) wait_mask: AtomicU32,
    /// The observer's signals that are in the real mask while a program is started, which inherits the mask.
    pub(crate) blocked_for_child: AtomicU32,
    /// The test that this thread works for; 0 for none.
    pub(crate) test: AtomicU32,
    /// The number of attempts to take a lock in a static, and of releases, above eight bits with the number of attempts
    /// without a release.
    pub(crate) lock_events: AtomicU32,
    /// A combined hash of the file locks that the thread holds.
    pub(crate) locks: AtomicU64,
    /// The locks in statics that were in use when the thread last recorded that, for its test at that time.
    pub(crate) locks_in_use: AtomicU64,
    /// The number of pauses that the thread has made.
    pub(crate) pauses: AtomicU32,
    /// The same by target.
    pub(crate) pauses_at: [AtomicU8; 32],
    /// Set from a pause at a variable until the thread next wakes another one.
    pub(crate) yields_after_wake: AtomicU8,
    /// The number of new accesses, and that at each of the last attempts without a release; both wrap.
    pub(crate) accesses: AtomicU8,
    pub(crate) accesses_before: [AtomicU8; 4],
    /// The alternate signal stack that the observer has set for the thread; 0 for none.
    pub(crate) own_stack: AtomicUsize,
    /// The alternate signal stack that the program sees: its address, flags and size.
    pub(crate) shown_stack: [AtomicUsize; 3],
}

const _: () = assert!(size_of::<Thread>() <= 128);

impl Thread {
    /// Returns whether SIGSYS is in the real mask, so that a reported call would end the process.
    pub(crate) fn is_sigsys_blocked(&self) -> bool {
        let blocked = self.pending.load(Relaxed) | self.blocked_for_child.load(Relaxed);
        u64::from(blocked) & sys::SIGSYS_BIT != 0
    }
}

/// Returns the calling thread's state.
pub(crate) fn current() -> &'static Thread {
    // SAFETY: the block is 128 bytes, aligned to 64, zeros are valid for every field, and it lives as long as its
    // thread: no reference to it is passed to another.
    unsafe { &*processor::thread_block().cast() }
}
