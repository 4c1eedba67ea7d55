//! The environment of the programs that an observed program starts, with the observer in it.
//!
//! A program does not see the observer's variables: they are taken out of its environment before it begins, and put
//! into that of every program that it starts, even where it passes an environment of its own.

use crate::account_layout::{self, Reach, Reason, State};
use crate::log::{self, account_slots};
use crate::sys::mapped_memory::Memory;
use crate::sys::own_calls::{self, close_own, syscall};
use crate::sys::processor::STAT;
use crate::sys::{self, c_char, c_int, nr};
use crate::this_process;
use core::sync::atomic::Ordering::Relaxed;
use core::sync::atomic::{AtomicPtr, AtomicU64};

pub(crate) type Text = *const c_char;
pub(crate) type Texts = *const *mut c_char;

/// The variable that the loader reads.
const PRELOAD: &[u8] = b"LD_PRELOAD=";
/// The variable with the observer's settings.
pub(crate) const OBSERVE: &[u8] = b"COFFERDAM_OBSERVE=";
/// The variable with the requested pauses.
pub(crate) const HOLD: &[u8] = b"COFFERDAM_HOLD=";
/// The variable with the requested order of tests, which is for the first process only.
pub(crate) const ORDER: &[u8] = b"COFFERDAM_ORDER=";
/// The variable that hides the arguments of the first process from its tests.
pub(crate) const BARE: &[u8] = b"COFFERDAM_BARE=";
/// Variables of a fixture's keeper and of the programs that it starts. Those belong to the run and not to a test.
const OF_THE_RUN: [&[u8]; 2] = [b"COFFERDAM_KEEPER=", b"COFFERDAM_FIXTURE="];

/// The variables that this program received, in the order [`OBSERVE`], [`HOLD`], [`PRELOAD`]; of the last only the
/// observer's part.
static RECEIVED: [AtomicPtr<c_char>; 3] = [const { AtomicPtr::new(core::ptr::null_mut()) }; 3];

/// Takes the observer's variables out of the environment of the program that is about to begin.
///
/// # Safety
/// Before `main`, while there is one thread.
pub(crate) unsafe fn hide() {
    static REST: [AtomicU64; 512] = [const { AtomicU64::new(0) }; 512];
    // SAFETY: one thread; the environment is an array of texts that ends with a null pointer.
    unsafe {
        let mut from = sys::environ;
        let mut to = from;
        while !from.is_null() && !(*from).is_null() {
            let text = sys::text(*from);
            if text.starts_with(OBSERVE) {
                RECEIVED[0].store(*from, Relaxed);
            } else if text.starts_with(HOLD) {
                RECEIVED[1].store(*from, Relaxed);
            } else if let Some(paths) = text.strip_prefix(PRELOAD) {
                RECEIVED[2].store(*from, Relaxed);
                let ours = paths.iter().position(|byte| *byte == b':').unwrap_or(paths.len());
                let rest = paths.get(ours + 1..).unwrap_or_default();
                if !rest.is_empty() && PRELOAD.len() + rest.len() < REST.len() * 8 {
                    // Other preloaded libraries stay in a copy, and the received text is cut behind ours.
                    let place = (&raw const REST).cast_mut().cast::<u8>();
                    core::ptr::copy_nonoverlapping(PRELOAD.as_ptr(), place, PRELOAD.len());
                    core::ptr::copy_nonoverlapping(rest.as_ptr(), place.add(PRELOAD.len()), rest.len());
                    (*from).add(PRELOAD.len() + ours).write(0);
                    *to = place.cast();
                    to = to.add(1);
                }
            } else if !text.starts_with(ORDER) && !text.starts_with(BARE) {
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

/// Iterates over the texts of an array.
///
/// # Safety
/// `texts` is null, or an array of texts that ends with a null pointer.
pub(crate) unsafe fn iterate<'a>(texts: Texts) -> impl Iterator<Item = (*mut c_char, &'a [u8])> {
    let mut at = texts;
    core::iter::from_fn(move || {
        // SAFETY: the caller's promise; the last pointer is null and not passed.
        unsafe {
            if at.is_null() || (*at).is_null() {
                return None;
            }
            let text = *at;
            at = at.add(1);
            Some((text, sys::text(text)))
        }
    })
}

/// A program that is about to be started.
#[derive(Clone, Copy)]
pub(crate) enum Program {
    Path(Text),
    /// A path that begins at an open directory.
    At(c_int, Text),
    /// A name that is looked up in `PATH` unless there is a `/` in it.
    Name(Text),
    Open(c_int),
}

/// An environment with the observer's variables in it, and the program's slot in the account.
pub(crate) struct ChildEnvironment {
    pub(crate) texts: Texts,
    /// The array of `texts` and the added texts, if there are any.
    memory: Option<Memory>,
    pub(crate) slot: Option<u64>,
    /// The observer's variables in `texts`; null for those that are missing.
    pub(crate) added: [Text; 3],
}

/// The digits of a slot's number at the beginning of [`OBSERVE`]'s value.
const DIGITS: usize = 8;
/// Room for a path and for a program's first bytes, behind the environment. The stack may be too small for it.
const WORK_ROOM: usize = sys::PATH_MAX + account_layout::HEAD;

impl ChildEnvironment {
    /// Takes a slot for the program, and makes its environment of `texts` if the observer can be loaded into it.
    ///
    /// # Safety
    /// `texts` is null or ends with a null pointer; `program` is the one that the caller passed to libc.
    pub(crate) unsafe fn new(texts: Texts, program: Program) -> Self {
        let mut new = Self {
            texts,
            memory: None,
            slot: None,
            added: [core::ptr::null(); 3],
        };
        let (observe, preload) = (RECEIVED[0].load(Relaxed), RECEIVED[2].load(Relaxed));
        // SAFETY: the caller's promise.
        if !log::is_on() || preload.is_null() || observe.is_null() || unsafe { is_of_the_run(texts) } {
            return new;
        }
        // SAFETY: the caller's promise, and variables that the constructor kept.
        unsafe {
            let name = match program {
                Program::Path(text) | Program::At(_, text) | Program::Name(text) => sys::text(text),
                Program::Open(_) => b"",
            };
            if !this_process::may_call() {
                new.slot = account_slots::take(State::OutOfReach, Reason::Filter, name);
                return new;
            }
            let (mut count, mut theirs): (usize, &[u8]) = (0, &[]);
            for (_, text) in iterate(texts) {
                theirs = text.strip_prefix(PRELOAD).unwrap_or(theirs);
                count += 1;
            }
            let room =
                (count + 4) * 8 + sys::text(preload).len() + theirs.len() + 2 + sys::text(observe).len() + 1;
            let Some(memory) = Memory::allocate(room + WORK_ROOM) else {
                new.slot = account_slots::take(State::Lost, Reason::NoMemory, name);
                return new;
            };
            let work_room = core::slice::from_raw_parts_mut(memory.at.add(room), WORK_ROOM);
            let reason = out_of_reach(program, work_room);
            let state = match reason {
                Reason::None => State::Started,
                _ => State::OutOfReach,
            };
            new.slot = account_slots::take(state, reason, name);
            // Another loader would complain about the library, or fail. Without a slot the log would not be missed.
            if let Some(slot) = new
                .slot
                .filter(|_| !matches!(reason, Reason::Foreign | Reason::OtherLibc))
            {
                new.fill(memory, (count + 4) * 8, theirs, slot);
            }
        }
        new
    }

    /// Writes the environment into the memory: the pointers first, the new texts from `start` on. `theirs` are the
    /// libraries that the program itself preloads.
    ///
    /// # Safety
    /// That of [`new`](Self::new), with enough memory.
    unsafe fn fill(&mut self, memory: Memory, start: usize, theirs: &[u8], slot: u64) {
        // SAFETY: the caller's promise, and variables that the constructor kept.
        unsafe {
            let observe = sys::text(RECEIVED[0].load(Relaxed));
            let hold = RECEIVED[1].load(Relaxed);
            let ours = sys::text(RECEIVED[2].load(Relaxed));
            let preload = memory.at.add(start);
            core::ptr::copy_nonoverlapping(ours.as_ptr(), preload, ours.len());
            if !theirs.is_empty() {
                preload.add(ours.len()).write(b':');
                let to = preload.add(ours.len() + 1);
                core::ptr::copy_nonoverlapping(theirs.as_ptr(), to, theirs.len());
            }
            let settings = preload.add(ours.len() + theirs.len() + 2);
            core::ptr::copy_nonoverlapping(observe.as_ptr(), settings, observe.len());
            let mut left = slot;
            for digit in (0..DIGITS).rev() {
                settings
                    .add(OBSERVE.len() + digit)
                    .write(b'0' + (left % 10) as u8);
                left /= 10;
            }
            let new = memory.at.cast::<*mut c_char>();
            let mut to = new;
            for (old, text) in iterate(self.texts) {
                if ![PRELOAD, OBSERVE, HOLD].iter().any(|name| text.starts_with(name)) {
                    to.write(old);
                    to = to.add(1);
                }
            }
            to.write(preload.cast());
            to.add(1).write(settings.cast());
            if !hold.is_null() {
                to.add(2).write(hold);
            }
            // The next pointer is null, as fresh memory is.
            self.texts = new;
            self.added = [preload.cast(), settings.cast(), hold];
        }
        self.memory = Some(memory);
    }

    /// Reports the outcome of the start to the account: the process number, or `None` if it failed.
    pub(crate) fn report_start(&self, pid: Option<u32>) {
        let Some((number, slot)) = self
            .slot
            .and_then(|number| Some((number, account_slots::slot(number)?)))
        else {
            return;
        };
        let known = slot.load(Relaxed);
        let state @ (State::Started | State::OutOfReach | State::Lost) = account_layout::state(known) else {
            return;
        };
        let new = match pid {
            Some(pid) => account_layout::word(state, account_layout::reason(known), pid),
            None => account_layout::word(State::Void, Reason::None, 0),
        };
        // The program's own observer may have changed it since.
        let is_changed = slot.compare_exchange(known, new, Relaxed, Relaxed).is_ok();
        if is_changed && pid.is_none() {
            account_slots::give_back(number);
        }
    }
}

/// Returns whether a program with that environment belongs to the run, so that it is not observed.
///
/// # Safety
/// `texts` is null or ends with a null pointer.
unsafe fn is_of_the_run(texts: Texts) -> bool {
    // SAFETY: the caller's promise.
    unsafe { iterate(texts) }.any(|(_, text)| OF_THE_RUN.iter().any(|name| text.starts_with(name)))
}

/// Returns the reason why the observer cannot be loaded into that program, if there is one.
///
/// # Safety
/// The caller passed `program` to libc.
unsafe fn out_of_reach(program: Program, work_room: &mut [u8]) -> Reason {
    // SAFETY: a call without arguments or effect.
    let user = unsafe { syscall(nr::GETEUID, []) as u32 };
    if user != 0 && user != account_slots::user() {
        return Reason::OtherUser;
    }
    let (path, head) = work_room.split_at_mut(sys::PATH_MAX);
    // SAFETY: the caller's promise.
    let (mut fd, is_ours) = unsafe {
        match program {
            Program::Open(fd) => (fd, false),
            Program::Path(text) => (open(sys::AT_FDCWD, text), true),
            Program::At(folder, text) => (open(folder, text), true),
            Program::Name(text) => (find(sys::text(text), text, path), true),
        }
    };
    // A script's interpreter decides, but not the interpreter of that if it is a script too.
    for is_interpreter in [false, true] {
        if fd < 0 {
            return Reason::None;
        }
        // SAFETY: reads into our own memory.
        let length = unsafe { syscall(nr::PREAD64, [fd as usize, head.as_mut_ptr().addr(), head.len()]) };
        let length = usize::try_from(length).unwrap_or(0).min(head.len());
        let found = account_layout::reach(head.get(..length).unwrap_or_default());
        let is_secure = user != 0 && gains_rights(fd, user, path);
        if is_ours || is_interpreter {
            close_own(fd);
        }
        match found {
            _ if is_secure => return Reason::Setuid,
            Reach::Yes => return Reason::None,
            Reach::No(why) => return why,
            Reach::Script { start, end } => {
                let Some(end) = head.get_mut(end).filter(|_| !is_interpreter) else {
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

/// Returns whether the program would run with more rights than its caller has: then the loader ignores the observer.
fn gains_rights(fd: c_int, user: u32, buffer: &mut [u8]) -> bool {
    // SAFETY: writes to our own memory, which is long enough.
    if unsafe { syscall(nr::FSTAT, [fd as usize, buffer.as_mut_ptr().addr()]) } != 0 {
        return false;
    }
    let word = |at: usize| {
        let bytes = buffer.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
        bytes.map_or(0, u32::from_ne_bytes)
    };
    let [mode, owner, group] = STAT.map(word);
    // SAFETY: a call without arguments or effect.
    let own_group = || unsafe { syscall(nr::GETEGID, []) as u32 };
    let name = c"security.capability".as_ptr().addr();
    mode & 0o4000 != 0 && owner != user
        || mode & 0o2010 == 0o2010 && group != own_group()
        // SAFETY: asks for the size alone.
        || unsafe { syscall(nr::FGETXATTR, [fd as usize, name, 0, 0]) } > 0
}

/// Opens a regular file. Nothing else is a program, and opening a FIFO waits for its other end.
///
/// # Safety
/// A path with a zero at its end.
#[inline(never)]
unsafe fn open(folder: c_int, path: Text) -> c_int {
    const REGULAR: u32 = 0o100_000;
    let mut stat = [0_u32; 36];
    let (at, to) = (folder as usize, stat.as_mut_ptr().addr());
    // SAFETY: the caller's promise, and a place for `struct stat`.
    unsafe {
        if syscall(nr::NEWFSTATAT, [at, path.addr(), to, 0]) != 0 || stat[STAT[0] / 4] & 0o170_000 != REGULAR
        {
            return -1;
        }
        // It may be another file by now.
        own_calls::openat(folder, path, sys::O_CLOEXEC | sys::O_NONBLOCK, 0)
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
    let mut folders: &[u8] = b"/bin:/usr/bin";
    // SAFETY: an array of texts that ends with a null pointer.
    for (_, variable) in unsafe { iterate(sys::environ) } {
        folders = variable.strip_prefix(b"PATH=").unwrap_or(folders);
    }
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
