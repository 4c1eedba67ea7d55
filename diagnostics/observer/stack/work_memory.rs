//! Working memory of the observer. A hook may be called on a signal's stack or a coroutine's, with a few kilobytes
//! left: nothing big lies on the stack, and nothing is allocated.

use crate::open_paths::KnownFolder;
use crate::stack::unwind::Walk;
use crate::sys::own_calls::is_readable;
use crate::sys::{self, PATH_MAX, processor};
use crate::{this_process, thread};
use core::cell::UnsafeCell;
use core::ops::{Deref, DerefMut};
use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

/// The maximum number of frames in a stack, without those of the observer.
pub(crate) const MOST_FRAMES: usize = 32;

/// The memory that one thread needs at a time.
pub(crate) struct WorkMemory {
    pub(crate) paths: [[u8; PATH_MAX]; 2],
    pub(crate) folder: KnownFolder,
    pub(crate) frames: [usize; MOST_FRAMES],
    pub(crate) walk: Walk,
}

const COUNT: usize = 128;

struct Blocks([UnsafeCell<WorkMemory>; COUNT]);

// SAFETY: a block is used by the thread that has its mark in `OWNERS`.
unsafe impl Sync for Blocks {}

/// Of its two megabytes only the used pages are in memory.
static BLOCKS: Blocks = Blocks(
    [const {
        UnsafeCell::new(WorkMemory {
            paths: [[0; PATH_MAX]; 2],
            folder: KnownFolder::NONE,
            frames: [0; MOST_FRAMES],
            walk: Walk::EMPTY,
        })
    }; COUNT],
);

/// The process that uses a block, or 0, in a cache line of its own.
#[repr(align(64))]
struct BlockOwner(AtomicU32);

/// The owners. A block that another thread used when this process was forked is free in the copy.
static OWNERS: [BlockOwner; COUNT] = [const { BlockOwner(AtomicU32::new(0)) }; COUNT];

/// A block that belongs to the calling thread until this is dropped.
pub(crate) struct Taken {
    owner: &'static BlockOwner,
    memory: &'static UnsafeCell<WorkMemory>,
}

/// Takes a block. Returns `None` if all are in use, which takes that many threads or signals inside the observer.
pub(crate) fn take() -> Option<Taken> {
    let pid = this_process::pid();
    // Threads begin at different places, so that they do not compete for one block; at few, because the first use of
    // each block costs page faults.
    let own = (core::ptr::from_ref(thread::current()).addr() >> 6).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 61;
    for place in 0..COUNT {
        let place = (own + place) % COUNT;
        let (owner, memory) = (OWNERS.get(place)?, BLOCKS.0.get(place)?);
        let before = owner.0.load(Relaxed);
        if before != pid && owner.0.compare_exchange(before, pid, Acquire, Relaxed).is_ok() {
            return Some(Taken { owner, memory });
        }
    }
    None
}

impl Deref for Taken {
    type Target = WorkMemory;

    fn deref(&self) -> &WorkMemory {
        // SAFETY: the block is ours until this is dropped.
        unsafe { &*self.memory.get() }
    }
}

impl DerefMut for Taken {
    fn deref_mut(&mut self) -> &mut WorkMemory {
        // SAFETY: as above.
        unsafe { &mut *self.memory.get() }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.owner.0.store(0, Release);
    }
}

/// The stack that recording something new takes at most. A test measures it.
const NEEDED: usize = 1024;
const PAGE: usize = 4096;

/// Returns whether there is enough stack left. Asks the kernel if the needed part reaches into the next page.
pub(crate) fn has_stack() -> bool {
    let here = processor::stack_pointer();
    let low = here.saturating_sub(NEEDED);
    if low / PAGE == here / PAGE || !this_process::may_call() {
        return true;
    }
    let errno = sys::errno();
    let is_there = is_readable(low);
    sys::set_errno(errno);
    is_there
}
