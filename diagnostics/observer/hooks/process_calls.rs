//! Processes: which test started them, and that the observer is loaded into them.

use crate::account_layout::{Reason, State};
use crate::hooks::child_environment::{ChildEnvironment, Program, Text, Texts};
use crate::hooks::signal_masks;
use crate::log::{self, Record};
use crate::log_format::Kind;
use crate::recording::{self, ReentrancyGuard};
use crate::sys::interpose::{hooks, real_functions};
use crate::sys::own_calls::syscall;
use crate::sys::{self, c_int, c_void, nr, processor};
use crate::{breakpoints, selector, this_process, thread};
use core::sync::atomic::Ordering::Relaxed;

/// Records that the test started that process: by its number, or by its slot.
pub(crate) fn record_child(pid: u32) {
    let Some(_guard) = ReentrancyGuard::enter() else {
        return;
    };
    let mut record = Record::new(Kind::Child, b"");
    record.value = u64::from(pid);
    recording::append(&record, true);
}

/// Records that a program is about to be executed in a new process.
///
/// # Safety
/// The caller passed `program` to libc.
pub(crate) unsafe fn record_execution(program: Program) {
    if !this_process::is_test() {
        return;
    }
    let (folder, path) = match program {
        Program::Path(path) | Program::Name(path) => (sys::AT_FDCWD, path),
        Program::At(folder, path) => (folder, path),
        Program::Open(_) => (sys::AT_FDCWD, c"".as_ptr()),
    };
    // SAFETY: the caller's promise.
    unsafe {
        let text = sys::text(path);
        if text.contains(&b'/') && !text.starts_with(b"/proc/") {
            recording::by_path(Kind::Execute, false, 0, recording::Path::at(folder, path));
        } else {
            recording::by_name(Kind::Execute, false, 0, text);
        }
    }
}

real_functions! {
    mod real;
    execve(path: Text, arguments: Texts, variables: Texts) -> c_int;
    execvpe(file: Text, arguments: Texts, variables: Texts) -> c_int;
    fexecve(fd: c_int, arguments: Texts, variables: Texts) -> c_int;
    posix_spawn(pid: *mut c_int, path: Text, actions: *const c_void, attributes: *const c_void, arguments: Texts, variables: Texts) -> c_int;
    posix_spawnp(pid: *mut c_int, path: Text, actions: *const c_void, attributes: *const c_void, arguments: Texts, variables: Texts) -> c_int;
    pidfd_spawn(fd: *mut c_int, path: Text, actions: *const c_void, attributes: *const c_void, arguments: Texts, variables: Texts) -> c_int;
    pidfd_spawnp(fd: *mut c_int, path: Text, actions: *const c_void, attributes: *const c_void, arguments: Texts, variables: Texts) -> c_int;
    pidfd_getpid(fd: c_int) -> c_int;
}

/// Replaces the program of this process. Returns only if that fails.
///
/// # Safety
/// `texts` and `program` are those that the caller passed to libc, and `call` is the caller's call.
unsafe fn exec(texts: Texts, program: Program, call: impl FnOnce(Texts) -> c_int) -> c_int {
    let pid = this_process::kernel_pid();
    // This process is a copy, made by a fork of libc or a raw one.
    if pid != this_process::pid() || !this_process::is_original() {
        record_child(pid);
        // SAFETY: the caller's promise.
        unsafe { record_execution(program) };
    }
    // SAFETY: the caller's promise.
    let environment = unsafe { ChildEnvironment::new(texts, program) };
    let owns_log = log::is_on() && this_process::is_original() && pid == this_process::pid();
    if owns_log {
        log::set_own_state(State::Closed, Reason::None);
    }
    environment.report_start(Some(pid));
    let mask = signal_masks::ShownMask::apply();
    let failed = call(environment.texts);
    drop(mask);
    let errno = sys::errno();
    if owns_log {
        log::set_own_state(State::Recording, Reason::None);
    }
    environment.report_start(None);
    drop(environment);
    sys::set_errno(errno);
    failed
}

/// # Safety
/// The contract of libc's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn execve(path: Text, arguments: Texts, variables: Texts) -> c_int {
    // SAFETY: the program's call.
    unsafe {
        exec(variables, Program::Path(path), |variables| {
            real::execve(path, arguments, variables)
        })
    }
}

/// # Safety
/// The contract of libc's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn execv(path: Text, arguments: Texts) -> c_int {
    // SAFETY: the program's call.
    unsafe { execve(path, arguments, sys::environ) }
}

/// # Safety
/// The contract of libc's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn execvpe(file: Text, arguments: Texts, variables: Texts) -> c_int {
    // SAFETY: the program's call.
    unsafe {
        exec(variables, Program::Name(file), |variables| {
            real::execvpe(file, arguments, variables)
        })
    }
}

/// # Safety
/// The contract of libc's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn execvp(file: Text, arguments: Texts) -> c_int {
    // SAFETY: the program's call.
    unsafe { execvpe(file, arguments, sys::environ) }
}

/// # Safety
/// The contract of libc's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fexecve(fd: c_int, arguments: Texts, variables: Texts) -> c_int {
    // SAFETY: the program's call.
    unsafe {
        exec(variables, Program::Open(fd), |variables| {
            real::fexecve(fd, arguments, variables)
        })
    }
}

/// # Safety
/// The contract of libc's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn execveat(
    folder: c_int,
    path: Text,
    arguments: Texts,
    variables: Texts,
    flags: c_int,
) -> c_int {
    // SAFETY: the program's call.
    unsafe {
        let program = if flags & sys::AT_EMPTY_PATH != 0 && sys::text(path).is_empty() {
            Program::Open(folder)
        } else {
            Program::At(folder, path)
        };
        exec(variables, program, |variables| {
            let (folder, flags) = (folder as usize, flags as usize);
            let arguments = [folder, path.addr(), arguments.addr(), variables.addr(), flags];
            // Older libcs have no function for it.
            syscall(nr::EXECVEAT, arguments) as c_int
        })
    }
}

/// # Safety
/// That of `execle`: the variables follow the null pointer that ends the arguments.
unsafe extern "C" fn execle_by(path: Text, arguments: Texts) -> c_int {
    // SAFETY: the caller's promise.
    unsafe {
        let mut end = arguments;
        while !(*end).is_null() {
            end = end.add(1);
        }
        execve(path, arguments, end.add(1).cast::<Texts>().read())
    }
}

/// Declares functions that take a program's arguments one by one.
macro_rules! one_by_one {
    ($($name:ident, $with:ident;)*) => {
        $(
            /// # Safety
            /// The contract of libc's function.
            #[unsafe(no_mangle)]
            #[unsafe(naked)]
            pub unsafe extern "C" fn $name() {
                processor::one_by_one!($with)
            }
        )*
    };
}

one_by_one! {
    execl, execv;
    execlp, execvp;
    execle, execle_by;
}

/// Starts a process. `call` does it, and stores the process's number.
///
/// # Safety
/// As [`exec`].
unsafe fn spawn(
    pid: *mut c_int,
    texts: Texts,
    program: Program,
    call: impl FnOnce(*mut c_int, Texts) -> c_int,
) -> c_int {
    let mut own = 0;
    // The caller need not want the number, but the record does.
    let pid = if pid.is_null() { &raw mut own } else { pid };
    // SAFETY: the caller's promise.
    let environment = unsafe {
        record_execution(program);
        ChildEnvironment::new(texts, program)
    };
    let mask = signal_masks::ShownMask::apply();
    let failed = call(pid, environment.texts);
    drop(mask);
    let errno = sys::errno();
    if failed == 0 {
        // SAFETY: libc has written it.
        let pid = unsafe { *pid as u32 };
        environment.report_start(Some(pid));
        record_child(pid);
    } else {
        environment.report_start(None);
    }
    drop(environment);
    sys::set_errno(errno);
    failed
}

/// # Safety
/// The contract of libc's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn posix_spawn(
    pid: *mut c_int,
    path: Text,
    actions: *const c_void,
    attributes: *const c_void,
    arguments: Texts,
    variables: Texts,
) -> c_int {
    // SAFETY: the program's call.
    unsafe {
        spawn(pid, variables, Program::Path(path), |pid, variables| {
            real::posix_spawn(pid, path, actions, attributes, arguments, variables)
        })
    }
}

/// # Safety
/// The contract of libc's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn posix_spawnp(
    pid: *mut c_int,
    path: Text,
    actions: *const c_void,
    attributes: *const c_void,
    arguments: Texts,
    variables: Texts,
) -> c_int {
    // SAFETY: the program's call.
    unsafe {
        spawn(pid, variables, Program::Name(path), |pid, variables| {
            real::posix_spawnp(pid, path, actions, attributes, arguments, variables)
        })
    }
}

/// Starts a process and opens a descriptor for it: by `with_fd` where libc has such a function, otherwise by
/// `without_fd` and `pidfd_open`. A program that checks for the function finds ours.
///
/// # Safety
/// As [`spawn`]; `fd` can be written.
unsafe fn spawn_with_descriptor(
    fd: *mut c_int,
    texts: Texts,
    program: Program,
    with_fd: impl FnOnce(*mut c_int, Texts) -> c_int,
    without_fd: impl FnOnce(*mut c_int, Texts) -> c_int,
) -> c_int {
    let call = |pid: *mut c_int, texts| {
        let failed = with_fd(fd, texts);
        // -1 is no error number: libc lacks the function.
        if failed >= 0 {
            if failed == 0 {
                // SAFETY: libc has written it.
                unsafe { *pid = real::pidfd_getpid(*fd) };
            }
            return failed;
        }
        let failed = without_fd(pid, texts);
        if failed != 0 {
            return failed;
        }
        // SAFETY: the process that was just started; the caller's promise.
        unsafe {
            *fd = syscall(nr::PIDFD_OPEN, [*pid as usize, 0]) as c_int;
            if *fd < 0 { sys::errno() } else { 0 }
        }
    };
    // SAFETY: the caller's promise.
    unsafe { spawn(core::ptr::null_mut(), texts, program, call) }
}

/// Declares the functions that start a process and open a descriptor for it.
macro_rules! with_descriptor {
    ($($name:ident, $without:ident, $program:ident;)*) => {
        $(
            /// # Safety
            /// The contract of libc's function.
            #[unsafe(no_mangle)]
            pub unsafe extern "C" fn $name(
                fd: *mut c_int,
                path: Text,
                actions: *const c_void,
                attributes: *const c_void,
                arguments: Texts,
                variables: Texts,
            ) -> c_int {
                // SAFETY: the program's call.
                unsafe {
                    spawn_with_descriptor(
                        fd,
                        variables,
                        Program::$program(path),
                        |fd, variables| real::$name(fd, path, actions, attributes, arguments, variables),
                        |pid, variables| real::$without(pid, path, actions, attributes, arguments, variables),
                    )
                }
            }
        )*
    };
}

with_descriptor! {
    pidfd_spawn, posix_spawn, Path;
    pidfd_spawnp, posix_spawnp, Name;
}

/// Called in the forked copy, after each of libc's functions that fork.
///
/// # Safety
/// Called by libc.
pub(crate) unsafe extern "C" fn after_fork_in_child() {
    if log::is_on() {
        let errno = sys::errno();
        this_process::forked();
        breakpoints::forked();
        thread::current().is_armed.store(0, Relaxed);
        selector::arm();
        sys::set_errno(errno);
    }
}

hooks! {
    mod real_fork;
    fork() -> c_int, |pid| if pid > 0 { record_child(pid as u32) };
}
