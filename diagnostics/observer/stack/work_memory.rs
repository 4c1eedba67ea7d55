//! Memory to work in. A hook may be called on a signal's stack or a coroutine's, with a few kilobytes left: nothing big
//! lies on the stack, and nothing is allocated.

use crate::record::PATH_MAX;
use crate::stack::trace;
use crate::stack::unwind::Walk;
use crate::{log, sys, thread};
use core::arch::asm;
use core::cell::UnsafeCell;
use core::ops::{Deref, DerefMut};
use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

/// What one thread needs at a time.
pub(crate) struct Scratch {
    pub(crate) paths: [[u8; PATH_MAX]; 2],
    pub(crate) frames: [usize; trace::MOST],
    pub(crate) walk: Walk,
}

const COUNT: usize = 128;

struct Slots([UnsafeCell<Scratch>; COUNT]);

// SAFETY: a slot is used by the one that has its mark in `OWNERS`.
unsafe impl Sync for Slots {}

/// Of two megabytes, only what is used is in memory.
static SLOTS: Slots = Slots(
    [const {
        UnsafeCell::new(Scratch {
            paths: [[0; PATH_MAX]; 2],
            frames: [0; trace::MOST],
            walk: Walk::EMPTY,
        })
    }; COUNT],
);

/// A slot's owner, alone in its cache line.
#[repr(align(64))]
struct Owner(AtomicU32);

/// The process that uses a slot, or 0. What another thread used when this process was copied is free here.
static OWNERS: [Owner; COUNT] = [const { Owner(AtomicU32::new(0)) }; COUNT];

/// A slot of the calling thread's own.
pub(crate) struct Taken {
    owner: &'static Owner,
    scratch: &'static UnsafeCell<Scratch>,
}

/// Takes a slot. `None` if all are in use, which takes that many threads in the midst of this, or signals.
pub(crate) fn take() -> Option<Taken> {
    let pid = log::pid();
    // Threads begin at different places, so that they do not meet.
    let own = (core::ptr::from_ref(thread::current()).addr() >> 6).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 57;
    for place in 0..COUNT {
        let place = (own + place) % COUNT;
        let (owner, scratch) = (OWNERS.get(place)?, SLOTS.0.get(place)?);
        let before = owner.0.load(Relaxed);
        if before != pid && owner.0.compare_exchange(before, pid, Acquire, Relaxed).is_ok() {
            return Some(Taken { owner, scratch });
        }
    }
    None
}

impl Deref for Taken {
    type Target = Scratch;

    fn deref(&self) -> &Scratch {
        // SAFETY: the slot is ours until this is dropped.
        unsafe { &*self.scratch.get() }
    }
}

impl DerefMut for Taken {
    fn deref_mut(&mut self) -> &mut Scratch {
        // SAFETY: as above.
        unsafe { &mut *self.scratch.get() }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.owner.0.store(0, Release);
    }
}

/// The stack that noting something new takes at most. A test measures it.
const NEEDED: usize = 1024;
const PAGE: usize = 4096;

/// Whether there is enough stack left: asked of the kernel where the end of the page is near.
pub(crate) fn is_roomy() -> bool {
    let here: usize;
    // SAFETY: reads a register.
    unsafe { asm!("mov {}, rsp", out(reg) here, options(nomem, nostack, preserves_flags)) };
    let low = here.saturating_sub(NEEDED);
    if low / PAGE == here / PAGE || !log::is_free() {
        return true;
    }
    let errno = sys::errno();
    let is_there = crate::stack::unwind::is_readable(low);
    sys::set_errno(errno);
    is_there
}
