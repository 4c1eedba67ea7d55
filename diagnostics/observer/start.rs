//! Before the program's `main`: what was asked for, the log, and everything that may have to be found later.

use crate::format::Kind;
use crate::hooks::{
    env_calls, file_calls, kill_calls, lock_calls, long_jumps, process_calls, shell_calls, signal_masks,
    socket_calls, thread_calls, thread_names,
};
use crate::log::{self, Entry};
use crate::stack::{modules, trace};
use crate::sys::{self, c_char, c_int};
use crate::{dispatch, hold, thread};
use core::sync::atomic::Ordering::Relaxed;

/// Called by the loader, before the program's own constructors.
#[used]
#[unsafe(link_section = ".init_array")]
static BEGIN: unsafe extern "C" fn() = begin;

/// Called when the program ends by `exit`, after the program's own destructors.
#[used]
#[unsafe(link_section = ".fini_array")]
static END: extern "C" fn() = end;

extern "C" fn end() {
    let own = thread::current();
    if own.busy.swap(1, Relaxed) == 0 {
        log::close();
        own.busy.store(0, Relaxed);
    }
}

/// # Safety
/// Called by the loader once.
unsafe extern "C" fn begin() {
    // SAFETY: one thread, before `main`.
    unsafe {
        if let Some(wanted) = Wanted::read() {
            thread::current().busy.store(1, Relaxed);
            resolve();
            set_up(&wanted);
            thread::current().busy.store(0, Relaxed);
        }
    }
}

/// Looks up everything, so that nothing is looked up where that cannot be done.
fn resolve() {
    file_calls::real::resolve();
    lock_calls::real::resolve();
    socket_calls::real::resolve();
    env_calls::real::resolve();
    env_calls::zones::resolve();
    process_calls::real::resolve();
    process_calls::forks::resolve();
    kill_calls::real::resolve();
    shell_calls::real::resolve();
    thread_calls::real::resolve();
    thread_calls::names_of_threads::resolve();
    signal_masks::real::resolve();
    signal_masks::waiting::resolve();
    long_jumps::resolve();
    dispatch::real::resolve();
    dispatch::tuning::real::resolve();
}

const ONE_TEST: u32 = 1;
/// For the test of what is done when names cannot be read.
const WITHOUT_NAMES: u32 = 2;

/// The variable `COFFERDAM_OBSERVE`: `SLOT;PID;FRAMES;RAW;TESTS;FOLDER`.
struct Wanted {
    /// The process's place in the account.
    slot: u32,
    /// The process that the runner started.
    pid: u32,
    frames: u32,
    /// Whether raw system calls are to be seen.
    raw: bool,
    /// Whether the process works for one test, as under nextest: [`ONE_TEST`]; or for many whose names are not read.
    tests: u32,
    /// Where the account is.
    folder: &'static [u8],
}

impl Wanted {
    /// # Safety
    /// Before `main`: the environment is as the kernel laid it out.
    unsafe fn read() -> Option<Self> {
        // SAFETY: the caller's promise.
        let text = unsafe { variable(process_calls::OBSERVE) }?;
        let mut parts = text.splitn(6, |byte| *byte == b';');
        let mut number = || parts.next().map(number);
        let (slot, pid, frames, raw, tests) = (number()?, number()?, number()?, number()?, number()?);
        Some(Self {
            slot,
            pid,
            frames,
            raw: raw != 0,
            tests,
            folder: parts.next()?,
        })
    }
}

fn number(text: &[u8]) -> u32 {
    text.iter().fold(0, |number: u32, digit| {
        number
            .wrapping_mul(10)
            .wrapping_add(u32::from(digit.wrapping_sub(b'0')))
    })
}

/// # Safety
/// Before `main`.
unsafe fn variable(name: &[u8]) -> Option<&'static [u8]> {
    // SAFETY: an array of texts that ends with a null pointer.
    unsafe {
        let mut at = sys::environ;
        while !at.is_null() && !(*at).is_null() {
            if let Some(value) = sys::text(*at).strip_prefix(name) {
                return Some(value);
            }
            at = at.add(1);
        }
    }
    None
}

/// # Safety
/// Before `main`.
unsafe fn set_up(wanted: &Wanted) {
    let is_test = wanted.pid == process_calls::own_id();
    // SAFETY: the caller's promise.
    unsafe {
        if let Some(asked) = variable(process_calls::HOLD) {
            hold::ask(asked);
        }
        let (test, program) = (variable(b"NEXTEST_TEST_NAME="), variable(b"NEXTEST_BINARY_ID="));
        process_calls::hide();
        if !log::begin(wanted.folder, wanted.slot.into(), is_test) {
            kill_calls::leave_mark();
            return;
        }
        process_calls::set_is_test(is_test);
        if wanted.tests == ONE_TEST || !is_test {
            thread_calls::one_test();
        } else if wanted.tests == WITHOUT_NAMES {
            thread_names::leave();
        }
        let mut program_path = [0_u8; 4096];
        let own = file_calls::real::readlink(
            c"/proc/self/exe".as_ptr(),
            program_path.as_mut_ptr().cast::<c_char>(),
            4096,
        );
        let own = usize::try_from(own)
            .ok()
            .and_then(|length| program_path.get(..length));
        log::append(&Entry::new(Kind::Program, own.unwrap_or_default()), false);
        if let Some(test) = test.filter(|_| is_test && wanted.tests == ONE_TEST) {
            let mut entry = Entry::new(Kind::Named, test);
            entry.second = [&[], program.unwrap_or_default()];
            log::append(&entry, false);
        }
        modules::look();
        log::note_folder();
        trace::prepare(wanted.frames as usize);
        sys::pthread_atfork(None, None, Some(process_calls::copied));
    }
    dispatch::begin(wanted.raw);
}

const _: () = assert!(size_of::<c_int>() == 4);
