//! Children: whose they are, and that the observer goes with them.
//!
//! A program does not see the observer's variables: they are taken out of its environment before it begins, and put
//! into that of every process that it starts, also where it starts one with an environment of its own making.

use crate::format::Kind;
use crate::log::{self, Entry};
use crate::note::Noting;
use crate::real::{hooks, reals};
use crate::sys::{self, c_char, c_int, c_long, c_void};
use crate::{dispatch, thread};
use core::sync::atomic::Ordering::Relaxed;
use core::sync::atomic::{AtomicBool, AtomicPtr};

type Text = *const c_char;
type Texts = *const *mut c_char;

const SYS_GETPID: c_long = 39;
const SYS_GETPPID: c_long = 110;

/// The variable that the loader reads.
pub(crate) const PRELOAD: &[u8] = b"LD_PRELOAD=";
/// Ours.
pub(crate) const OBSERVE: &[u8] = b"COFFERDAM_OBSERVE=";
/// Ours, too.
pub(crate) const HOLD: &[u8] = b"COFFERDAM_HOLD=";
/// In the environment of a fixture's keeper and of what the keeper starts: these belong to the run and to no test.
const OF_THE_RUN: [&[u8]; 2] = [b"COFFERDAM_KEEPER=", b"COFFERDAM_FIXTURE="];

/// The variables as they came, for those who come next: `LD_PRELOAD` is the observer's part of it alone.
static HANDED_ON: [AtomicPtr<c_char>; 3] = [const { AtomicPtr::new(core::ptr::null_mut()) }; 3];
static IS_TEST: AtomicBool = AtomicBool::new(false);

pub(crate) fn own_id() -> u32 {
    // SAFETY: no arguments, no effect. Not `getpid`: an old libc remembers the answer of another process.
    unsafe { dispatch::real::syscall(SYS_GETPID, 0, 0, 0, 0, 0, 0) as u32 }
}

pub(crate) fn parent_id() -> u32 {
    // SAFETY: no arguments, no effect.
    unsafe { dispatch::real::syscall(SYS_GETPPID, 0, 0, 0, 0, 0, 0) as u32 }
}

/// Whether this is the process that the runner started, and no child of a test.
pub(crate) fn is_test() -> bool {
    IS_TEST.load(Relaxed)
}

pub(crate) fn set_is_test(is_test: bool) {
    IS_TEST.store(is_test, Relaxed);
}

/// Takes the observer's variables out of the environment, for the program that is about to begin.
///
/// # Safety
/// Before `main`, while there is one thread.
pub(crate) unsafe fn hide() {
    static REST: [core::sync::atomic::AtomicU64; 512] =
        [const { core::sync::atomic::AtomicU64::new(0) }; 512];
    // SAFETY: one thread; the environment is an array of texts that ends with a null pointer.
    unsafe {
        let mut from = sys::environ;
        let mut to = from;
        while !from.is_null() && !(*from).is_null() {
            let text = sys::text(*from);
            if text.starts_with(OBSERVE) {
                HANDED_ON[0].store(*from, Relaxed);
            } else if text.starts_with(HOLD) {
                HANDED_ON[1].store(*from, Relaxed);
            } else if let Some(paths) = text.strip_prefix(PRELOAD) {
                HANDED_ON[2].store(*from, Relaxed);
                let ours = paths.iter().position(|byte| *byte == b':').unwrap_or(paths.len());
                let rest = paths.get(ours + 1..).unwrap_or_default();
                if !rest.is_empty() && PRELOAD.len() + rest.len() < REST.len() * 8 {
                    // What others preload stays, and ours is remembered without it.
                    let place = (&raw const REST).cast_mut().cast::<u8>();
                    core::ptr::copy_nonoverlapping(PRELOAD.as_ptr(), place, PRELOAD.len());
                    core::ptr::copy_nonoverlapping(rest.as_ptr(), place.add(PRELOAD.len()), rest.len());
                    (*from).add(PRELOAD.len() + ours).write(0);
                    *to = place.cast();
                    to = to.add(1);
                }
            } else {
                *to = *from;
                to = to.add(1);
            }
            from = from.add(1);
        }
        if !to.is_null() {
            *to = core::ptr::null_mut();
        }
    }
}

/// An environment with the observer's variables in it, in memory of its own: `malloc` may not be called between fork
/// and exec.
struct Handed {
    texts: Texts,
    length: usize,
}

impl Handed {
    /// # Safety
    /// `texts` is null or ends with a null pointer.
    unsafe fn on(texts: Texts) -> Self {
        let plain = Self { texts, length: 0 };
        let preload = HANDED_ON[2].load(Relaxed);
        // SAFETY: the caller's promise.
        if preload.is_null() || !log::is_free() || unsafe { is_of_the_run(texts) } {
            return plain;
        }
        // SAFETY: the caller's promise, and variables that the constructor kept.
        unsafe {
            let mut count = 0;
            let mut theirs: &[u8] = &[];
            while !texts.is_null() && !(*texts.add(count)).is_null() {
                let text = sys::text(*texts.add(count));
                theirs = text.strip_prefix(PRELOAD).unwrap_or(theirs);
                count += 1;
            }
            let ours = sys::text(preload);
            let length = (count + 4) * 8 + ours.len() + theirs.len() + 2;
            let memory = sys::mmap(
                core::ptr::null_mut(),
                length,
                sys::PROT_READ | sys::PROT_WRITE,
                sys::MAP_PRIVATE | sys::MAP_ANONYMOUS,
                -1,
                0,
            );
            if memory == sys::MAP_FAILED {
                return plain;
            }
            let new = memory.cast::<*mut c_char>();
            let text = memory.cast::<u8>().add((count + 4) * 8);
            core::ptr::copy_nonoverlapping(ours.as_ptr(), text, ours.len());
            if !theirs.is_empty() {
                text.add(ours.len()).write(b':');
                core::ptr::copy_nonoverlapping(theirs.as_ptr(), text.add(ours.len() + 1), theirs.len());
            }
            let mut to = new;
            for at in 0..count {
                let old = *texts.add(at);
                let text = sys::text(old);
                if ![PRELOAD, OBSERVE, HOLD].iter().any(|name| text.starts_with(name)) {
                    to.write(old);
                    to = to.add(1);
                }
            }
            to.write(text.cast());
            for own in [&HANDED_ON[0], &HANDED_ON[1]] {
                let own = own.load(Relaxed);
                if !own.is_null() {
                    to = to.add(1);
                    to.write(own);
                }
            }
            // Fresh memory is null behind it.
            Self { texts: new, length }
        }
    }
}

/// Whether a program with that environment belongs to the run, so that it is not observed.
///
/// # Safety
/// `texts` is null or ends with a null pointer.
unsafe fn is_of_the_run(texts: Texts) -> bool {
    let mut at = texts;
    // SAFETY: the caller's promise.
    unsafe {
        while !at.is_null() && !(*at).is_null() {
            let text = sys::text(*at);
            if OF_THE_RUN.iter().any(|name| text.starts_with(name)) {
                return true;
            }
            at = at.add(1);
        }
    }
    false
}

impl Drop for Handed {
    fn drop(&mut self) {
        if self.length > 0 {
            // SAFETY: our own memory, which the kernel or the new process has read.
            unsafe { sys::munmap(self.texts.cast_mut().cast(), self.length) };
        }
    }
}

/// This process, which a fork made, becomes another program.
fn becoming() {
    if own_id() != log::pid() || !log::is_first() {
        child(own_id());
    }
}

/// Notes that the test started that process.
fn child(pid: u32) {
    let Some(_noting) = Noting::begin() else { return };
    let mut entry = Entry::new(Kind::Child, b"");
    entry.value = u64::from(pid);
    log::append(&entry, true);
}

pub(crate) mod real {
    use super::*;
    reals! {
        execve(path: Text, arguments: Texts, variables: Texts) -> c_int;
        execvpe(file: Text, arguments: Texts, variables: Texts) -> c_int;
        fexecve(fd: c_int, arguments: Texts, variables: Texts) -> c_int;
        posix_spawn(pid: *mut c_int, path: Text, actions: *const c_void, attributes: *const c_void, arguments: Texts, variables: Texts) -> c_int;
        posix_spawnp(pid: *mut c_int, path: Text, actions: *const c_void, attributes: *const c_void, arguments: Texts, variables: Texts) -> c_int;
    }
}

/// # Safety
/// That of libc's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn execve(path: Text, arguments: Texts, variables: Texts) -> c_int {
    becoming();
    // SAFETY: the program's call.
    unsafe { real::execve(path, arguments, Handed::on(variables).texts) }
}

/// # Safety
/// That of libc's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn execv(path: Text, arguments: Texts) -> c_int {
    // SAFETY: the program's call.
    unsafe { execve(path, arguments, sys::environ) }
}

/// # Safety
/// That of libc's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn execvpe(file: Text, arguments: Texts, variables: Texts) -> c_int {
    becoming();
    // SAFETY: the program's call.
    unsafe { real::execvpe(file, arguments, Handed::on(variables).texts) }
}

/// # Safety
/// That of libc's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn execvp(file: Text, arguments: Texts) -> c_int {
    // SAFETY: the program's call.
    unsafe { execvpe(file, arguments, sys::environ) }
}

/// # Safety
/// That of libc's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fexecve(fd: c_int, arguments: Texts, variables: Texts) -> c_int {
    becoming();
    // SAFETY: the program's call.
    unsafe { real::fexecve(fd, arguments, Handed::on(variables).texts) }
}

/// # Safety
/// That of libc's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn posix_spawn(
    pid: *mut c_int,
    path: Text,
    actions: *const c_void,
    attributes: *const c_void,
    arguments: Texts,
    variables: Texts,
) -> c_int {
    let mut own = 0;
    // SAFETY: the program's call; `own` stands in where it does not want to know.
    unsafe {
        let variables = Handed::on(variables);
        let pid = if pid.is_null() { &raw mut own } else { pid };
        let failed = real::posix_spawn(pid, path, actions, attributes, arguments, variables.texts);
        if failed == 0 {
            child(*pid as u32);
        }
        failed
    }
}

/// # Safety
/// That of libc's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn posix_spawnp(
    pid: *mut c_int,
    path: Text,
    actions: *const c_void,
    attributes: *const c_void,
    arguments: Texts,
    variables: Texts,
) -> c_int {
    let mut own = 0;
    // SAFETY: the program's call; `own` stands in where it does not want to know.
    unsafe {
        let variables = Handed::on(variables);
        let pid = if pid.is_null() { &raw mut own } else { pid };
        let failed = real::posix_spawnp(pid, path, actions, attributes, arguments, variables.texts);
        if failed == 0 {
            child(*pid as u32);
        }
        failed
    }
}

/// Called in the copy, after every way of copying a process that libc knows.
///
/// # Safety
/// Called by libc.
pub(crate) unsafe extern "C" fn copied() {
    if log::is_on() {
        let errno = sys::errno();
        log::forked();
        thread::current().armed.store(0, Relaxed);
        dispatch::arm();
        sys::set_errno(errno);
    }
}

mod forking {
    use super::*;
    hooks! {
        fork() -> c_int, |pid| if pid > 0 { super::child(pid as u32) };
    }
}
pub(crate) use forking::real as forks;

pub(crate) fn close(fd: c_int) {
    // SAFETY: our own descriptor.
    unsafe { crate::files::real::close(fd) };
}
