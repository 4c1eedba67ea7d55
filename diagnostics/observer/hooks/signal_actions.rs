//! Signal dispositions: which calls change the process's reaction to a signal, and which depend on it.

use crate::hash;
use crate::log::Record;
use crate::log_format::{Kind, SAME};
use crate::recording::{self, ReentrancyGuard};
use crate::sys::interpose::real_functions;
use crate::sys::{self, SA_RESETHAND, SA_SIGINFO, Sigaction, c_int};
use crate::this_process;

real_functions! {
    mod real;
    raise(signal: c_int) -> c_int;
    pthread_kill(thread: usize, signal: c_int) -> c_int;
    pthread_sigqueue(thread: usize, signal: c_int, value: usize) -> c_int;
    sigqueue(target: c_int, signal: c_int, value: usize) -> c_int;
}

/// The names of signals, by number.
const NAMES: [&str; 32] = [
    "",
    "SIGHUP",
    "SIGINT",
    "SIGQUIT",
    "SIGILL",
    "SIGTRAP",
    "SIGABRT",
    "SIGBUS",
    "SIGFPE",
    "SIGKILL",
    "SIGUSR1",
    "SIGSEGV",
    "SIGUSR2",
    "SIGPIPE",
    "SIGALRM",
    "SIGTERM",
    "SIGSTKFLT",
    "SIGCHLD",
    "SIGCONT",
    "SIGSTOP",
    "SIGTSTP",
    "SIGTTIN",
    "SIGTTOU",
    "SIGURG",
    "SIGXCPU",
    "SIGXFSZ",
    "SIGVTALRM",
    "SIGPROF",
    "SIGWINCH",
    "SIGIO",
    "SIGPWR",
    "SIGSYS",
];
/// glibc keeps the two below for itself.
const FIRST_REAL_TIME: c_int = 34;

/// The function that a signal calls, and the flags that change how it is called.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Disposition {
    handler: usize,
    flags: c_int,
}

impl Disposition {
    pub(crate) fn new(handler: usize, flags: c_int) -> Self {
        // `SIG_DFL` and `SIG_IGN` call nothing.
        let flags = if handler <= 1 {
            0
        } else {
            flags & (SA_SIGINFO | SA_RESETHAND)
        };
        Self { handler, flags }
    }

    pub(crate) fn of(action: &Sigaction) -> Self {
        Self::new(action.handler, action.flags)
    }

    /// Returns a number that equal dispositions share. That of the default is 0.
    fn mark(self) -> u64 {
        match self.handler {
            0 => 0,
            handler => {
                let mut text = [0; 16];
                let words = (handler as u128) << 64 | u128::from(self.flags.unsigned_abs());
                text.copy_from_slice(&words.to_ne_bytes());
                u64::from(hash::of_secret(&text))
            }
        }
    }
}

/// Records that a disposition was changed, or, without a new one, read.
pub(crate) fn record_set(signal: c_int, new: Option<Disposition>, old: Disposition) {
    match new {
        Some(new) => record(
            Kind::SetSignal,
            signal,
            new.mark(),
            if new == old { SAME } else { 0 },
        ),
        None => record(Kind::GetSignal, signal, 0, 0),
    }
}

/// Records that this process sends itself a signal. To be called before that is done: it may be the end of the process.
pub(crate) fn record_sent(signal: c_int) {
    record(Kind::GetSignal, signal, 0, 0);
}

/// Records an access to a disposition by a test's thread. The main thread is none: std sets some dispositions on it before
/// `main`, also in a process that runs a single test.
///
/// A process that a test started has dispositions of its own, also a copy made past libc, which sets some before it
/// executes a program.
fn record(kind: Kind, signal: c_int, value: u64, flags: u8) {
    if !this_process::is_test() || signal <= 0 || !this_process::is_itself() || this_process::is_main_thread()
    {
        return;
    }
    let Some(_guard) = ReentrancyGuard::enter() else {
        return;
    };
    let mut digits = [0; 10];
    let mut record = Record::new(kind, b"");
    match NAMES.get(signal.unsigned_abs() as usize) {
        Some(name) => record.first[1] = name.as_bytes(),
        None => {
            let number = signal - FIRST_REAL_TIME;
            let length = sys::write_decimal(number.unsigned_abs(), &mut digits);
            record.first = [b"SIGRTMIN+", digits.get(..length).unwrap_or_default()];
        }
    }
    record.value = value;
    record.flags = flags;
    recording::access(&record);
}

/// # Safety
/// The contract of libc's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn raise(signal: c_int) -> c_int {
    record_sent(signal);
    // SAFETY: the program's call.
    unsafe { real::raise(signal) }
}

/// # Safety
/// The contract of libc's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pthread_kill(thread: usize, signal: c_int) -> c_int {
    record_sent(signal);
    // SAFETY: the program's call.
    unsafe { real::pthread_kill(thread, signal) }
}

/// # Safety
/// The contract of libc's function. The value is a union of one word.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pthread_sigqueue(thread: usize, signal: c_int, value: usize) -> c_int {
    record_sent(signal);
    // SAFETY: the program's call.
    unsafe { real::pthread_sigqueue(thread, signal, value) }
}

/// # Safety
/// The contract of libc's function. The value is a union of one word.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sigqueue(target: c_int, signal: c_int, value: usize) -> c_int {
    if target.unsigned_abs() == this_process::pid() {
        record_sent(signal);
    }
    // SAFETY: the program's call.
    unsafe { real::sigqueue(target, signal, value) }
}
