//! Shell commands. `system` and `popen` start the shell within libc, with the program's environment.
//!
//! So that shell is given a command of ours: it sets the observer's variables and becomes the shell that the program
//! asked for.

use crate::format::IN_SLOT;
use crate::hooks::process_calls::{self, Handed, Program};
use crate::hooks::signal_masks;
use crate::sys::interpose::reals;
use crate::sys::{self, c_char, c_int, c_void};

type Text = *const c_char;

pub(crate) mod real {
    use super::*;
    reals! {
        system(command: Text) -> c_int;
        popen(command: Text, mode: Text) -> *mut c_void;
    }
}

/// The longest argument that the kernel takes, with the zero at its end.
const LONGEST: usize = 32 * 4096;

/// # Safety
/// That of libc's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn system(command: Text) -> c_int {
    // SAFETY: the program's call.
    unsafe {
        if command.is_null() {
            return real::system(command);
        }
        with_observer(command, |command| real::system(command), |status| *status == -1)
    }
}

/// # Safety
/// That of libc's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn popen(command: Text, mode: Text) -> *mut c_void {
    // SAFETY: the program's call.
    unsafe {
        with_observer(
            command,
            |command| real::popen(command, mode),
            |stream| stream.is_null(),
        )
    }
}

/// Starts a shell by `call`, with the observer in it.
///
/// # Safety
/// The program handed `command` to libc.
unsafe fn with_observer<T>(
    command: Text,
    call: impl FnOnce(Text) -> T,
    has_failed: impl FnOnce(&T) -> bool,
) -> T {
    let errno = sys::errno();
    // SAFETY: the caller's promise; libc hands this environment on, too.
    let handed = unsafe { Handed::on(sys::environ, Program::Path(c"/bin/sh".as_ptr())) };
    if let Some(slot) = handed.slot {
        process_calls::child((IN_SLOT | slot) as u32);
    }
    // SAFETY: the caller's promise.
    let memory = unsafe { Memory::of(&handed, command) };
    let mask = signal_masks::Inherited::begin();
    sys::set_errno(errno);
    let result = call(memory.as_ref().map_or(command, |memory| memory.at.cast()));
    drop(mask);
    let errno = sys::errno();
    if has_failed(&result) {
        handed.began(None);
    }
    drop((handed, memory));
    sys::set_errno(errno);
    result
}

/// A command, in memory of its own.
struct Memory {
    at: *mut c_void,
    length: usize,
}

impl Memory {
    /// Returns `None` if the shell cannot have the observer's variables: it is counted as lost then, or out of reach.
    ///
    /// # Safety
    /// The program handed `command` to libc.
    unsafe fn of(handed: &Handed, command: Text) -> Option<Self> {
        let [preload, ..] = handed.ours;
        if preload.is_null() {
            return None;
        }
        let mut length = 0;
        // SAFETY: the caller's promise, and texts of the environment.
        unsafe { write(handed.ours, command, |_| length += 1) };
        if length >= LONGEST {
            return None;
        }
        let (protection, flags) = (
            sys::PROT_READ | sys::PROT_WRITE,
            sys::MAP_PRIVATE | sys::MAP_ANONYMOUS,
        );
        // SAFETY: fresh memory with a place for the zero, which is there already.
        unsafe {
            let at = sys::mmap(core::ptr::null_mut(), length + 1, protection, flags, -1, 0);
            if at == sys::MAP_FAILED {
                return None;
            }
            let mut to = at.cast::<u8>();
            write(handed.ours, command, |byte| {
                to.write(byte);
                to = to.add(1);
            });
            Some(Self {
                at,
                length: length + 1,
            })
        }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: our own memory, which the shell has read.
        unsafe { sys::munmap(self.at, self.length) };
    }
}

/// Writes `export NAME='VALUE' …; exec /bin/sh -c ' COMMAND' sh`. With the blank, no command is taken for an option; the
/// last word is the name in the shell's messages.
///
/// # Safety
/// All are texts or null.
unsafe fn write(variables: [Text; 3], command: Text, mut to: impl FnMut(u8)) {
    let mut plain = |text: &[u8], quoted: bool| {
        for byte in text {
            if quoted && *byte == b'\'' {
                b"'\\''".iter().for_each(|byte| to(*byte));
            } else {
                to(*byte);
            }
        }
    };
    plain(b"export", false);
    for variable in variables {
        // SAFETY: the caller's promise.
        let text = unsafe { sys::text(variable) };
        if let Some(end) = text.iter().position(|byte| *byte == b'=') {
            let (name, value) = text.split_at(end + 1);
            plain(b" ", false);
            plain(name, false);
            plain(b"'", false);
            plain(value, true);
            plain(b"'", false);
        }
    }
    plain(b"; exec /bin/sh -c ' ", false);
    // SAFETY: the caller's promise.
    plain(unsafe { sys::text(command) }, true);
    plain(b"' sh", false);
}
