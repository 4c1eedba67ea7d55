//! Children: whose they are, and that the observer goes with them.
//!
//! A program does not see the observer's variables: they are taken out of its environment before it begins, and put
//! into that of every process that it starts, also where it starts one with an environment of its own making.

use crate::account_layout::{self, Reach, Reason, State};
use crate::format::Kind;
use crate::hooks::signal_masks;
use crate::log::{self, Entry};
use crate::record::Noting;
use crate::sys::interpose::{hooks, reals};
use crate::sys::{self, c_char, c_int, c_long, c_void};
use crate::{dispatch, thread};
use core::arch::naked_asm;
use core::sync::atomic::Ordering::Relaxed;
use core::sync::atomic::{AtomicBool, AtomicPtr};

type Text = *const c_char;
type Texts = *const *mut c_char;

const SYS_FSTAT: c_long = 5;
const SYS_PREAD: c_long = 17;
const SYS_GETPID: c_long = 39;
const SYS_GETEUID: c_long = 107;
const SYS_GETEGID: c_long = 108;
const SYS_GETPPID: c_long = 110;
const SYS_FGETXATTR: c_long = 193;
const SYS_NEWFSTATAT: c_long = 262;
const SYS_EXECVEAT: c_long = 322;
const SYS_PIDFD_OPEN: c_long = 434;

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

/// A program that is about to be started.
#[derive(Clone, Copy)]
pub(crate) enum Program {
    Path(Text),
    /// A path in an open folder.
    At(c_int, Text),
    /// A name that is looked up in `PATH` unless there is a `/` in it.
    Name(Text),
    Open(c_int),
}

/// An environment with the observer's variables in it, in memory of its own: `malloc` may not be called between fork
/// and exec. And the program's slot in the account.
pub(crate) struct Handed {
    texts: Texts,
    memory: *mut c_void,
    length: usize,
    pub(crate) slot: Option<u64>,
    /// The observer's variables as they are in `texts`; null where they are not.
    pub(crate) ours: [Text; 3],
}

/// The digits of a slot's number at the beginning of [`OBSERVE`]'s value.
const DIGITS: usize = 8;
/// For a path that is put together, and for a program's beginning: not on the stack, which may be small.
const SCRATCH: usize = 4096 + account_layout::HEAD;

impl Handed {
    /// # Safety
    /// `texts` is null or ends with a null pointer; `program` is what the caller handed to libc.
    pub(crate) unsafe fn on(texts: Texts, program: Program) -> Self {
        let mut handed = Self {
            texts,
            memory: core::ptr::null_mut(),
            length: 0,
            slot: None,
            ours: [core::ptr::null(); 3],
        };
        let (observe, preload) = (HANDED_ON[0].load(Relaxed), HANDED_ON[2].load(Relaxed));
        // SAFETY: the caller's promise.
        if !log::is_on() || preload.is_null() || observe.is_null() || unsafe { is_of_the_run(texts) } {
            return handed;
        }
        // SAFETY: the caller's promise, and variables that the constructor kept.
        unsafe {
            let name = match program {
                Program::Path(text) | Program::At(_, text) | Program::Name(text) => sys::text(text),
                Program::Open(_) => b"",
            };
            if !log::is_free() {
                handed.slot = log::take(State::OutOfReach, Reason::Filter, name);
                return handed;
            }
            let mut count = 0;
            let mut theirs: &[u8] = &[];
            while !texts.is_null() && !(*texts.add(count)).is_null() {
                let text = sys::text(*texts.add(count));
                theirs = text.strip_prefix(PRELOAD).unwrap_or(theirs);
                count += 1;
            }
            let (ours, observe) = (sys::text(preload), sys::text(observe));
            let room = (count + 4) * 8 + ours.len() + theirs.len() + 2 + observe.len() + 1;
            let memory = sys::mmap(
                core::ptr::null_mut(),
                room + SCRATCH,
                sys::PROT_READ | sys::PROT_WRITE,
                sys::MAP_PRIVATE | sys::MAP_ANONYMOUS,
                -1,
                0,
            );
            if memory == sys::MAP_FAILED {
                handed.slot = log::take(State::Lost, Reason::NoMemory, name);
                return handed;
            }
            (handed.memory, handed.length) = (memory, room + SCRATCH);
            let scratch = core::slice::from_raw_parts_mut(memory.cast::<u8>().add(room), SCRATCH);
            let reason = out_of_reach(program, scratch);
            let state = match reason {
                Reason::None => State::Started,
                _ => State::OutOfReach,
            };
            handed.slot = log::take(state, reason, name);
            // Another loader would complain of the library, or fail. Without a slot nobody would miss the log.
            let Some(slot) = handed
                .slot
                .filter(|_| !matches!(reason, Reason::Foreign | Reason::OtherLibc))
            else {
                return handed;
            };
            let new = memory.cast::<*mut c_char>();
            let text = memory.cast::<u8>().add((count + 4) * 8);
            core::ptr::copy_nonoverlapping(ours.as_ptr(), text, ours.len());
            if !theirs.is_empty() {
                text.add(ours.len()).write(b':');
                core::ptr::copy_nonoverlapping(theirs.as_ptr(), text.add(ours.len() + 1), theirs.len());
            }
            let told = text.add(ours.len() + theirs.len() + 2);
            core::ptr::copy_nonoverlapping(observe.as_ptr(), told, observe.len());
            let mut left = slot;
            for digit in (0..DIGITS).rev() {
                told.add(OBSERVE.len() + digit).write(b'0' + (left % 10) as u8);
                left /= 10;
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
            to.add(1).write(told.cast());
            let hold = HANDED_ON[1].load(Relaxed);
            if !hold.is_null() {
                to.add(2).write(hold);
            }
            // Fresh memory is null behind it.
            handed.texts = new;
            handed.ours = [text.cast(), told.cast(), hold];
        }
        handed
    }

    /// Notes how the start went: with a process number, or not at all.
    pub(crate) fn began(&self, pid: Option<u32>) {
        let Some((number, slot)) = self.slot.and_then(|number| Some((number, log::slot(number)?))) else {
            return;
        };
        let known = slot.load(Relaxed);
        let new = match (pid, account_layout::state(known)) {
            (Some(pid), State::Started) => account_layout::word(State::Started, Reason::None, pid),
            (None, State::Started | State::OutOfReach | State::Lost) => {
                account_layout::word(State::Void, Reason::None, 0)
            }
            _ => return,
        };
        // Its observer may have said more by now.
        let is_said = slot.compare_exchange(known, new, Relaxed, Relaxed).is_ok();
        if is_said && pid.is_none() {
            log::give_back(number);
        }
    }
}

/// Returns whether a program with that environment belongs to the run, so that it is not observed.
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
            unsafe { sys::munmap(self.memory, self.length) };
        }
    }
}

/// Tells why the observer cannot be loaded into that program.
///
/// # Safety
/// The caller handed `program` to libc.
unsafe fn out_of_reach(program: Program, scratch: &mut [u8]) -> Reason {
    // SAFETY: calls without an effect, on our own memory.
    let call = |number, a, b, c, d| unsafe { dispatch::real::syscall(number, a, b, c, d, 0, 0) };
    let user = call(SYS_GETEUID, 0, 0, 0, 0) as u32;
    if user != 0 && user != log::user() {
        return Reason::OtherUser;
    }
    let (path, head) = scratch.split_at_mut(4096);
    let (mut fd, is_ours) = match program {
        Program::Open(fd) => (fd, false),
        // SAFETY: the caller's promise.
        Program::Path(text) => (unsafe { open(sys::AT_FDCWD, text) }, true),
        // SAFETY: as above.
        Program::At(folder, text) => (unsafe { open(folder, text) }, true),
        // SAFETY: the caller's promise.
        Program::Name(text) => (unsafe { find(sys::text(text), text, path) }, true),
    };
    // A script's own program counts, and that of no further one.
    for is_script in [false, true] {
        if fd < 0 {
            return Reason::None;
        }
        let length = call(SYS_PREAD, fd as usize, head.as_mut_ptr().addr(), head.len(), 0);
        let length = usize::try_from(length).unwrap_or(0).min(head.len());
        let found = account_layout::reach(head.get(..length).unwrap_or_default());
        let is_secure = user != 0 && is_setuid(fd, user, path, &call);
        if is_ours || is_script {
            close(fd);
        }
        match found {
            _ if is_secure => return Reason::Setuid,
            Reach::Yes => return Reason::None,
            Reach::No(why) => return why,
            Reach::Script { start, end } => {
                let Some(end) = head.get_mut(end).filter(|_| !is_script) else {
                    return Reason::None;
                };
                *end = 0;
                // SAFETY: a path with a zero at its end.
                fd = unsafe { open(sys::AT_FDCWD, head.as_ptr().wrapping_add(start).cast()) };
            }
        }
    }
    Reason::None
}

/// Whether the program would run with more rights than its caller has: then the loader ignores the observer.
fn is_setuid(
    fd: c_int,
    user: u32,
    buffer: &mut [u8],
    call: &impl Fn(c_long, usize, usize, usize, usize) -> c_long,
) -> bool {
    if call(SYS_FSTAT, fd as usize, buffer.as_mut_ptr().addr(), 0, 0) != 0 {
        return false;
    }
    // `st_mode`, `st_uid` and `st_gid` of `struct stat`.
    let word = |at: usize| {
        let bytes = buffer.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
        bytes.map_or(0, u32::from_ne_bytes)
    };
    let (mode, owner, group) = (word(24), word(28), word(32));
    let of_group = || call(SYS_GETEGID, 0, 0, 0, 0) as u32;
    let name = c"security.capability".as_ptr().addr();
    mode & 0o4000 != 0 && owner != user
        || mode & 0o2010 == 0o2010 && group != of_group()
        || call(SYS_FGETXATTR, fd as usize, name, 0, 0) > 0
}

/// Opens a regular file. Nothing else is a program, and opening a FIFO waits for its other end.
///
/// # Safety
/// A path with a zero at its end.
#[inline(never)]
unsafe fn open(folder: c_int, path: Text) -> c_int {
    const REGULAR: u64 = 0o100_000;
    let mut stat = [0_u64; 18];
    let (at, to) = (folder as usize, stat.as_mut_ptr().addr());
    // SAFETY: the caller's promise, and a place for `struct stat`, whose fourth word begins with `st_mode`.
    unsafe {
        if dispatch::real::syscall(SYS_NEWFSTATAT, at, path.addr(), to, 0, 0, 0) != 0
            || stat[3] & 0o170_000 != REGULAR
        {
            return -1;
        }
        // It may be another file by now.
        crate::hooks::file_calls::real::openat(folder, path, sys::O_CLOEXEC | sys::O_NONBLOCK, 0)
    }
}

/// Opens the program of that name as `execvp` would find it.
///
/// # Safety
/// `text` is `name` with a zero at its end.
unsafe fn find(name: &[u8], text: Text, buffer: &mut [u8]) -> c_int {
    if name.contains(&b'/') {
        // SAFETY: the caller's promise.
        return unsafe { open(sys::AT_FDCWD, text) };
    }
    // SAFETY: an array of texts that ends with a null pointer.
    let folders = unsafe {
        let mut at = sys::environ;
        let mut found: &[u8] = b"/bin:/usr/bin";
        while !at.is_null() && !(*at).is_null() {
            found = sys::text(*at).strip_prefix(b"PATH=").unwrap_or(found);
            at = at.add(1);
        }
        found
    };
    for folder in folders.split(|byte| *byte == b':') {
        let parts = [folder, b"/", name, b"\0"];
        let length: usize = parts.iter().map(|part| part.len()).sum();
        if folder.is_empty() || length > buffer.len() {
            continue;
        }
        for (to, byte) in buffer.iter_mut().zip(parts.into_iter().flatten()) {
            *to = *byte;
        }
        // SAFETY: a path with a zero at its end.
        let fd = unsafe { open(sys::AT_FDCWD, buffer.as_ptr().cast()) };
        if fd >= 0 {
            return fd;
        }
    }
    -1
}

/// This process, which a fork made, becomes another program.
fn becoming() {
    if own_id() != log::pid() || !log::is_first() {
        child(own_id());
    }
}

/// Notes that the test started that process: by its number, or by its slot.
pub(crate) fn child(pid: u32) {
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
        pidfd_spawn(fd: *mut c_int, path: Text, actions: *const c_void, attributes: *const c_void, arguments: Texts, variables: Texts) -> c_int;
        pidfd_spawnp(fd: *mut c_int, path: Text, actions: *const c_void, attributes: *const c_void, arguments: Texts, variables: Texts) -> c_int;
        pidfd_getpid(fd: c_int) -> c_int;
    }
}

/// Makes this process another program. Returns only if that fails.
///
/// # Safety
/// `texts` and `program` are what the caller handed to libc, and `call` does what it asked for.
unsafe fn become_other(texts: Texts, program: Program, call: impl FnOnce(Texts) -> c_int) -> c_int {
    becoming();
    // SAFETY: the caller's promise.
    let handed = unsafe { Handed::on(texts, program) };
    let is_own = log::is_on() && log::is_first() && own_id() == log::pid();
    let ended = |state| {
        log::set_slot(
            log::own_slot(),
            account_layout::word(state, Reason::None, log::pid()),
        )
    };
    if is_own {
        ended(State::Closed);
    }
    handed.began(Some(own_id()));
    let mask = signal_masks::Inherited::begin();
    let failed = call(handed.texts);
    drop(mask);
    let errno = sys::errno();
    if is_own {
        ended(State::Recording);
    }
    handed.began(None);
    drop(handed);
    sys::set_errno(errno);
    failed
}

/// # Safety
/// That of libc's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn execve(path: Text, arguments: Texts, variables: Texts) -> c_int {
    // SAFETY: the program's call.
    unsafe {
        become_other(variables, Program::Path(path), |variables| {
            real::execve(path, arguments, variables)
        })
    }
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
    // SAFETY: the program's call.
    unsafe {
        become_other(variables, Program::Name(file), |variables| {
            real::execvpe(file, arguments, variables)
        })
    }
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
    // SAFETY: the program's call.
    unsafe {
        become_other(variables, Program::Open(fd), |variables| {
            real::fexecve(fd, arguments, variables)
        })
    }
}

/// # Safety
/// That of libc's function.
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
        become_other(variables, program, |variables| {
            let (path, arguments, variables) = (path.addr(), arguments.addr(), variables.addr());
            // Older libcs have no function for it.
            dispatch::real::syscall(
                SYS_EXECVEAT,
                folder as usize,
                path,
                arguments,
                variables,
                flags as usize,
                0,
            ) as c_int
        })
    }
}

/// # Safety
/// That of `execle`: behind the null pointer that ends the arguments are the variables.
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

/// Declares functions that take a program's arguments one by one. Those on the stack are an array already; those in
/// registers are pushed before them, over the return address, which is kept below.
macro_rules! one_by_one {
    ($($name:ident, $with:ident;)*) => {
        $(
            /// # Safety
            /// That of libc's function.
            #[unsafe(no_mangle)]
            #[unsafe(naked)]
            pub unsafe extern "C" fn $name() {
                naked_asm!(
                    ".cfi_startproc",
                    "pop rax",
                    "push r9",
                    "push r8",
                    "push rcx",
                    "push rdx",
                    "push rsi",
                    "mov rsi, rsp",
                    "push rax",
                    ".cfi_def_cfa_offset 48",
                    ".cfi_offset rip, -48",
                    "call {with}",
                    // It returns only if it failed.
                    "pop rcx",
                    "add rsp, 40",
                    "push rcx",
                    "ret",
                    ".cfi_endproc",
                    with = sym $with,
                )
            }
        )*
    };
}

one_by_one! {
    execl, execv;
    execlp, execvp;
    execle, execle_by;
}

/// Starts a process. `call` does it, and says where its number is.
///
/// # Safety
/// As [`become_other`].
unsafe fn start(
    pid: *mut c_int,
    texts: Texts,
    program: Program,
    call: impl FnOnce(*mut c_int, Texts) -> c_int,
) -> c_int {
    let mut own = 0;
    // It may be anything, and the caller wants to know what it is.
    let pid = if pid.is_null() { &raw mut own } else { pid };
    // SAFETY: the caller's promise.
    let handed = unsafe { Handed::on(texts, program) };
    let mask = signal_masks::Inherited::begin();
    let failed = call(pid, handed.texts);
    drop(mask);
    let errno = sys::errno();
    if failed == 0 {
        // SAFETY: libc has written it.
        let pid = unsafe { *pid as u32 };
        handed.began(Some(pid));
        child(pid);
    } else {
        handed.began(None);
    }
    drop(handed);
    sys::set_errno(errno);
    failed
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
    // SAFETY: the program's call.
    unsafe {
        start(pid, variables, Program::Path(path), |pid, variables| {
            real::posix_spawn(pid, path, actions, attributes, arguments, variables)
        })
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
    // SAFETY: the program's call.
    unsafe {
        start(pid, variables, Program::Name(path), |pid, variables| {
            real::posix_spawnp(pid, path, actions, attributes, arguments, variables)
        })
    }
}

/// Starts a process and opens a descriptor for it: by `spawn` where libc has such a function, otherwise by `apart` and
/// `pidfd_open`. A program that looks for the function finds ours.
///
/// # Safety
/// As [`start`]; `fd` can be written.
unsafe fn start_with_descriptor(
    fd: *mut c_int,
    texts: Texts,
    program: Program,
    spawn: impl FnOnce(*mut c_int, Texts) -> c_int,
    apart: impl FnOnce(*mut c_int, Texts) -> c_int,
) -> c_int {
    let call = |pid: *mut c_int, texts| {
        let failed = spawn(fd, texts);
        // -1 is no error number: libc lacks the function.
        if failed >= 0 {
            if failed == 0 {
                // SAFETY: libc has written it.
                unsafe { *pid = real::pidfd_getpid(*fd) };
            }
            return failed;
        }
        let failed = apart(pid, texts);
        if failed != 0 {
            return failed;
        }
        // SAFETY: the process that was just started; the caller's promise.
        unsafe {
            *fd = dispatch::real::syscall(SYS_PIDFD_OPEN, *pid as usize, 0, 0, 0, 0, 0) as c_int;
            if *fd < 0 { sys::errno() } else { 0 }
        }
    };
    // SAFETY: the caller's promise.
    unsafe { start(core::ptr::null_mut(), texts, program, call) }
}

/// Declares the functions that start a process and open a descriptor of it.
macro_rules! with_descriptor {
    ($($name:ident, $without:ident, $program:ident;)*) => {
        $(
            /// # Safety
            /// That of libc's function.
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
                    start_with_descriptor(
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
    unsafe { crate::hooks::file_calls::real::close(fd) };
}
