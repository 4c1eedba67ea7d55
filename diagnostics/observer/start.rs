//! Before the program's `main`: what was asked for, the log, and everything that may have to be found later.

use crate::format::Kind;
use crate::log::{self, Entry};
use crate::sys::{self, c_char, c_int};
use crate::{
    dispatch, files, hold, locks, modules, names, network, processes, signals, thread, threads, trace,
    variables,
};
use core::sync::atomic::Ordering::Relaxed;

/// Called by the loader, before the program's own constructors.
#[used]
#[unsafe(link_section = ".init_array")]
static BEGIN: unsafe extern "C" fn() = begin;

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
    files::real::resolve();
    locks::real::resolve();
    network::real::resolve();
    variables::real::resolve();
    processes::real::resolve();
    processes::forks::resolve();
    threads::real::resolve();
    threads::names_of_threads::resolve();
    signals::real::resolve();
    signals::waiting::resolve();
    dispatch::real::resolve();
    dispatch::tuning::real::resolve();
}

const ONE_TEST: u32 = 1;
/// For the test of what is done when names cannot be read.
const WITHOUT_NAMES: u32 = 2;

/// The variable `COFFERDAM_OBSERVE`: `PID;FRAMES;RAW;TESTS;FOLDER`.
struct Wanted {
    /// The process that the runner started.
    pid: u32,
    frames: u32,
    /// Whether raw system calls are to be seen.
    raw: bool,
    /// Whether the process works for one test, as under nextest: [`ONE_TEST`]; or for many whose names are not read.
    tests: u32,
    /// Where the log goes.
    folder: &'static [u8],
}

impl Wanted {
    /// # Safety
    /// Before `main`: the environment is as the kernel laid it out.
    unsafe fn read() -> Option<Self> {
        // SAFETY: the caller's promise.
        let text = unsafe { variable(processes::OBSERVE) }?;
        let mut parts = text.splitn(5, |byte| *byte == b';');
        let mut number = || parts.next().map(number);
        let (pid, frames, raw, tests) = (number()?, number()?, number()?, number()?);
        Some(Self {
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
    let is_test = wanted.pid == processes::own_id();
    let mut path = [0; 2048];
    let Some(length) = name_log(wanted.folder, &mut path) else {
        return;
    };
    // SAFETY: the caller's promise.
    unsafe {
        if let Some(asked) = variable(processes::HOLD) {
            hold::ask(asked);
        }
        let (test, program) = (variable(b"NEXTEST_TEST_NAME="), variable(b"NEXTEST_BINARY_ID="));
        processes::hide();
        if !log::begin(path.get(..=length).unwrap_or_default(), is_test) {
            return;
        }
        processes::set_is_test(is_test);
        if wanted.tests == ONE_TEST || !is_test {
            threads::one_test();
        } else if wanted.tests == WITHOUT_NAMES {
            names::leave();
        }
        let mut program_path = [0_u8; 4096];
        let own = files::real::readlink(
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
        sys::pthread_atfork(None, None, Some(processes::copied));
    }
    dispatch::begin(wanted.raw);
}

/// `FOLDER/PID-MOMENT.log`, which no other process has: a program that becomes another keeps its number.
fn name_log(folder: &[u8], path: &mut [u8; 2048]) -> Option<usize> {
    let mut length = 0;
    let mut put = |bytes: &[u8]| {
        path.get_mut(length..length + bytes.len())?.copy_from_slice(bytes);
        length += bytes.len();
        Some(())
    };
    put(folder)?;
    put(b"/")?;
    put(decimal(processes::own_id().into(), &mut [0; 20]))?;
    put(b"-")?;
    put(decimal(sys::now(sys::CLOCK_MONOTONIC), &mut [0; 20]))?;
    put(b".log")?;
    (length < path.len()).then_some(length)
}

fn decimal(mut number: u64, digits: &mut [u8; 20]) -> &[u8] {
    let mut first = digits.len();
    loop {
        first -= 1;
        digits[first] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 || first == 0 {
            return &digits[first..];
        }
    }
}

const _: () = assert!(size_of::<c_int>() == 4);
