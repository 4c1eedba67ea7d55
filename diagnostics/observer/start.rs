//! The constructor, which runs before the program's `main`, and the destructor.

use crate::hooks::child_environment::{self, BARE, HOLD, OBSERVE, ORDER};
use crate::hooks::{self, kill_calls, process_calls, result_calls, thread_calls, thread_names};
use crate::log::{self, Record};
use crate::log_format::Kind;
use crate::recording;
use crate::stack::{modules, trace};
use crate::sys::{self, PATH_MAX, c_char, c_int, own_calls};
use crate::{dispatch, hold, order, rerun_arguments, selector, static_uses, this_process, thread};
use core::sync::atomic::Ordering::Relaxed;

/// Called by the loader, before the program's own constructors.
#[used]
#[unsafe(link_section = ".init_array")]
static BEGIN: unsafe extern "C" fn(c_int, *mut *const c_char) = begin;

/// Called when the program ends by `exit`, after the program's own destructors.
#[used]
#[unsafe(link_section = ".fini_array")]
static END: extern "C" fn() = end;

extern "C" fn end() {
    let own = thread::current();
    if own.in_observer.swap(1, Relaxed) == 0 {
        log::close();
        own.in_observer.store(0, Relaxed);
    }
}

/// # Safety
/// Called by the loader once, with the program's arguments.
unsafe extern "C" fn begin(_count: c_int, arguments: *mut *const c_char) {
    // SAFETY: one thread, before `main`.
    unsafe {
        if let Some(settings) = Settings::read() {
            thread::current().in_observer.store(1, Relaxed);
            own_calls::resolve_all();
            selector::real::resolve();
            hooks::resolve();
            set_up(&settings, arguments);
            thread::current().in_observer.store(0, Relaxed);
        }
    }
}

const ONE_TEST: u32 = 1;
/// For the test of the fallback when names cannot be read.
const WITHOUT_NAMES: u32 = 2;

/// The variable `COFFERDAM_OBSERVE`: `SLOT;PID;FRAMES;RAW;TESTS;FOLDER`.
struct Settings {
    /// The process's slot in the account.
    slot: u32,
    /// The process that the runner started.
    pid: u32,
    /// The number of frames to record of each stack.
    frames: u32,
    /// Set if raw system calls are to be recorded.
    raw: bool,
    /// [`ONE_TEST`] if the process runs a single test, as under nextest, or [`WITHOUT_NAMES`].
    tests: u32,
    /// The folder of the account.
    folder: &'static [u8],
}

impl Settings {
    /// # Safety
    /// Before `main`: the environment is as the kernel laid it out.
    unsafe fn read() -> Option<Self> {
        // SAFETY: the caller's promise.
        let text = unsafe { variable(OBSERVE) }?;
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

/// Returns the value of a variable, whose name is passed with its `=`.
///
/// # Safety
/// Before `main`.
unsafe fn variable(name: &[u8]) -> Option<&'static [u8]> {
    // SAFETY: an array of texts that ends with a null pointer.
    unsafe { child_environment::iterate(sys::environ) }.find_map(|(_, text)| text.strip_prefix(name))
}

/// # Safety
/// Before `main`.
unsafe fn set_up(settings: &Settings, arguments: *mut *const c_char) {
    let pid = this_process::kernel_pid();
    let is_test = settings.pid == pid;
    this_process::begin(pid, is_test);
    // SAFETY: the caller's promise.
    unsafe {
        if let Some(request) = variable(HOLD) {
            hold::request(request);
        }
        let (test, program) = (variable(b"NEXTEST_TEST_NAME="), variable(b"NEXTEST_BINARY_ID="));
        let order = variable(ORDER);
        if is_test && variable(BARE).is_some() {
            rerun_arguments::request(arguments);
        }
        child_environment::hide();
        if !log::begin(settings.folder, settings.slot.into(), is_test) {
            kill_calls::leave_mark();
            return;
        }
        if settings.tests == ONE_TEST || !is_test {
            thread_calls::set_one_test();
        } else if settings.tests == WITHOUT_NAMES {
            thread_names::disable();
        }
        record_program();
        if let Some(request) = order.filter(|_| is_test && !thread_calls::is_one_test()) {
            order::request(request);
        }
        if let Some(test) = test.filter(|_| is_test && settings.tests == ONE_TEST) {
            let mut record = Record::new(Kind::Named, test);
            record.second = [&[], program.unwrap_or_default()];
            recording::append(&record, false);
        }
        modules::find();
        recording::working_directory();
        trace::set_wanted(settings.frames as usize);
        result_calls::begin();
        sys::pthread_atfork(None, None, Some(process_calls::after_fork_in_child));
    }
    dispatch::begin(settings.raw);
    static_uses::begin();
}

/// Records the path of the program.
fn record_program() {
    let mut path = [0_u8; PATH_MAX];
    // SAFETY: a path with a zero at its end, and a buffer of the length given.
    let length =
        unsafe { own_calls::readlink(c"/proc/self/exe".as_ptr(), path.as_mut_ptr().cast(), PATH_MAX) };
    let path = usize::try_from(length).ok().and_then(|length| path.get(..length));
    recording::append(&Record::new(Kind::Program, path.unwrap_or_default()), false);
}
