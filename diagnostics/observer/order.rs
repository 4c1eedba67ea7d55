//! The order of tests: each test's thread waits at a gate of its own until all have arrived, and then for its turn.
//!
//! A test is over when the destructors of its thread's variables have run. Those of Rust run before those of POSIX threads,
//! one of which opens the next gate. If the order cannot be kept, all gates open at once, and the log has the reason.
//! If the tests are to begin at the same moment, all gates open at once when all tests have arrived.

use crate::hash;
use crate::log::Record;
use crate::log_format::{Kind, OrderEvent};
use crate::sys::mapped_memory::Memory;
use crate::sys::own_calls::{self, FUTEX_WAIT, FUTEX_WAKE, close_own, futex, syscall};
use crate::sys::{self, Timespec, c_char, c_int, c_void, nr};
use crate::{recording, this_process};
use core::sync::atomic::Ordering::{Acquire, Relaxed, SeqCst};
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64};

/// A place in the order. Memory from the kernel begins as zeros.
#[repr(C)]
struct Gate {
    /// The hash of the test's name.
    name: AtomicU64,
    /// Set once a thread has this place.
    is_taken: AtomicU32,
    /// 0 while the thread has to wait: a futex.
    is_open: AtomicU32,
}

/// No order was requested, or all tests are over.
const OFF: u32 = 0;
/// Not all tests have arrived.
const ARRIVING: u32 = 1;
/// The tests run one after the other.
const RUNNING: u32 = 2;
/// The order cannot be kept.
const VOID: u32 = 3;

static STATE: AtomicU32 = AtomicU32::new(OFF);
static GATES: AtomicPtr<Gate> = AtomicPtr::new(core::ptr::null_mut());
/// The number of gates.
static COUNT: AtomicU32 = AtomicU32::new(0);
static ARRIVED: AtomicU32 = AtomicU32::new(0);
/// Set if all gates open when the last test has arrived.
static AT_ONCE: AtomicBool = AtomicBool::new(false);
/// The time in nanoseconds in which all tests have to arrive after the first.
static PATIENCE: AtomicU64 = AtomicU64::new(0);
/// The key of POSIX threads whose destructor opens the next gate.
static KEY: AtomicU32 = AtomicU32::new(0);

/// Takes a request, `MILLISECONDS;order;FILE`, with `at-once` instead of `order` if all tests begin at the same moment. The
/// file lists the names of all tests that will run, one per line.
///
/// # Safety
/// The caller runs before `main`, and a zero byte follows `request`.
pub(crate) unsafe fn request(request: &'static [u8]) {
    record(OrderEvent::Requested, &[]);
    STATE.store(ARRIVING, Relaxed);
    let mut parts = request.splitn(3, |byte| *byte == b';');
    let (Some(patience), Some(way), Some(file)) = (parts.next(), parts.next(), parts.next()) else {
        return void(OrderEvent::Unreadable, &[]);
    };
    AT_ONCE.store(way == b"at-once", Relaxed);
    let millis = patience.iter().fold(0_u64, |number, digit| {
        number
            .wrapping_mul(10)
            .wrapping_add(u64::from(digit.wrapping_sub(b'0')))
    });
    PATIENCE.store(millis.wrapping_mul(1_000_000), Relaxed);
    let mut key = 0;
    // SAFETY: the caller's promise; the destructor is never unloaded.
    let is_ready = unsafe {
        read(file.as_ptr().cast()).is_some_and(|text| make_gates(text.bytes()))
            && sys::pthread_key_create(&raw mut key, Some(over)) == 0
    };
    KEY.store(key, Relaxed);
    if !is_ready {
        void(OrderEvent::Unreadable, &[]);
    }
}

/// Reads a file. Returns `None` if it cannot be read.
///
/// # Safety
/// A path with a zero at its end.
unsafe fn read(path: *const c_char) -> Option<Memory> {
    // SAFETY: the caller's promise.
    let fd = unsafe { own_calls::open(path, sys::O_CLOEXEC, 0) };
    if fd < 0 {
        return None;
    }
    let memory = read_all(fd);
    close_own(fd);
    memory
}

fn read_all(fd: c_int) -> Option<Memory> {
    // SAFETY: our own descriptor.
    let size = usize::try_from(unsafe { sys::lseek(fd, 0, sys::SEEK_END) }).ok()?;
    let memory = Memory::allocate(size.max(1))?;
    let mut done = 0;
    while done < size {
        let to = memory.at.wrapping_add(done).addr();
        // SAFETY: our own memory, of that length.
        let got = unsafe { syscall(nr::PREAD64, [fd as usize, to, size - done, done]) };
        done += usize::try_from(got).ok().filter(|got| *got > 0)?;
    }
    Some(memory)
}

fn names(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| matches!(byte, b'\n' | 0))
        .filter(|name| !name.is_empty())
}

/// Makes a gate for each line. Returns `false` if there is none, or no memory.
fn make_gates(text: &[u8]) -> bool {
    let count = names(text).count();
    let Some(memory) = Memory::allocate((count * size_of::<Gate>()).max(1)) else {
        return false;
    };
    GATES.store(memory.at.cast(), Relaxed);
    COUNT.store(count as u32, Relaxed);
    core::mem::forget(memory);
    for (gate, name) in gates().iter().zip(names(text)) {
        gate.name.store(hash::of(name), Relaxed);
    }
    count > 0
}

fn gates() -> &'static [Gate] {
    let gates = GATES.load(Relaxed);
    if gates.is_null() {
        return &[];
    }
    // SAFETY: that many gates were allocated, and are never freed.
    unsafe { core::slice::from_raw_parts(gates, COUNT.load(Relaxed) as usize) }
}

/// Returns whether tests wait until all have arrived.
pub(crate) fn is_arriving() -> bool {
    STATE.load(Relaxed) == ARRIVING
}

/// Returns the number of the gate at which the test of that name has to wait, from 1 on; 0 if it need not wait.
pub(crate) fn gate_of(name: &[u8]) -> u32 {
    if !matches!(STATE.load(Relaxed), ARRIVING | RUNNING) {
        return 0;
    }
    if name.is_empty() {
        void(OrderEvent::Nameless, name);
        return 0;
    }
    let wanted = hash::of(name);
    let Some(place) = gates().iter().position(|gate| gate.name.load(Relaxed) == wanted) else {
        void(OrderEvent::Unknown, name);
        return 0;
    };
    let is_taken = gates().get(place).map(|gate| gate.is_taken.swap(1, Relaxed));
    if is_taken != Some(0) {
        void(OrderEvent::Repeated, name);
        return 0;
    }
    place as u32 + 1
}

/// Called when a test's thread could not be started: the test runs on the main thread.
pub(crate) fn thread_refused() {
    void(OrderEvent::NoThread, &[]);
}

/// Waits until it is the calling thread's turn.
pub(crate) fn wait(number: u32) {
    let Some(gate) = gates().get((number as usize).wrapping_sub(1)) else {
        return;
    };
    mark(number, 1);
    let arrived = ARRIVED.fetch_add(1, SeqCst) + 1;
    let is_last = arrived == COUNT.load(Relaxed);
    if is_last && STATE.compare_exchange(ARRIVING, RUNNING, SeqCst, Relaxed).is_ok() {
        record(OrderEvent::Kept, &[]);
        if AT_ONCE.load(Relaxed) {
            STATE.store(OFF, SeqCst);
            (1..=arrived).for_each(open);
        } else {
            open(1);
        }
    }
    // The first to arrive sees to it that none waits in vain.
    let deadline =
        (arrived == 1).then(|| sys::now(sys::CLOCK_MONOTONIC).saturating_add(PATIENCE.load(Relaxed)));
    while gate.is_open.load(Acquire) == 0 {
        let mut limit = None;
        if let Some(deadline) = deadline.filter(|_| is_arriving()) {
            let left = deadline.saturating_sub(sys::now(sys::CLOCK_MONOTONIC));
            if left == 0 {
                void(OrderEvent::Deadline, &[]);
                continue;
            }
            limit = Some(Timespec::of(left));
        }
        futex(&gate.is_open, FUTEX_WAIT, 0, limit.as_ref());
    }
}

/// Opens the gate of that number, if there is one.
fn open(number: u32) {
    if let Some(gate) = gates().get((number as usize).wrapping_sub(1)) {
        gate.is_open.store(1, SeqCst);
        // Also below a seccomp filter: the next test would wait forever.
        futex(&gate.is_open, FUTEX_WAKE, 1, None);
    }
}

/// The round of destructors in which a test counts as over: others of POSIX threads' destructors run in the first.
const LAST_ROUND: usize = 3;

/// Has [`over`] called for the gate in that round of the thread's destructors.
fn mark(number: u32, round: usize) {
    let value = (number as usize) << 2 | round;
    // SAFETY: a key of our own. It was made before all others, so its place is in the thread's own block.
    unsafe { sys::pthread_setspecific(KEY.load(Relaxed), value as *const c_void) };
}

/// The destructor: the thread's test is over, and the next one's turn comes.
extern "C" fn over(value: *mut c_void) {
    let (number, round) = ((value.addr() >> 2) as u32, value.addr() & 3);
    if round < LAST_ROUND {
        mark(number, round + 1);
    } else if this_process::is_original() {
        if number == COUNT.load(Relaxed) {
            let _ = STATE.compare_exchange(RUNNING, OFF, SeqCst, Relaxed);
        }
        open(number + 1);
    }
}

/// Gives up the order, and opens all gates.
fn void(reason: OrderEvent, name: &[u8]) {
    let end = |state| matches!(state, ARRIVING | RUNNING).then_some(VOID);
    if STATE.fetch_update(SeqCst, Relaxed, end).is_ok() {
        let errno = sys::errno();
        record(reason, name);
        (1..=COUNT.load(Relaxed)).for_each(open);
        sys::set_errno(errno);
    }
}

fn record(event: OrderEvent, name: &[u8]) {
    let mut record = Record::new(Kind::Order, name);
    record.value = event as u64;
    recording::append(&record, false);
}
