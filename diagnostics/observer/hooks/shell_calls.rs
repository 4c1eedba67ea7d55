//! Shell commands: `system` and `popen`, which start a shell inside libc with the program's environment.
//!
//! That shell gets a command of ours, which sets the observer's variables and replaces itself by the shell that the
//! program asked for.

use crate::hooks::child_environment::{ChildEnvironment, Program, Text};
use crate::hooks::{process_calls, signal_masks};
use crate::log_format::IN_SLOT;
use crate::sys::interpose::real_functions;
use crate::sys::mapped_memory::Memory;
use crate::sys::{self, c_int, c_void};

real_functions! {
    mod real;
    system(command: Text) -> c_int;
    popen(command: Text, mode: Text) -> *mut c_void;
}

/// The longest argument that the kernel takes, with the zero at its end.
const LONGEST: usize = 32 * 4096;

/// # Safety
/// The contract of libc's function.
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
/// The contract of libc's function.
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
/// The program passed `command` to libc.
unsafe fn with_observer<T>(
    command: Text,
    call: impl FnOnce(Text) -> T,
    has_failed: impl FnOnce(&T) -> bool,
) -> T {
    let errno = sys::errno();
    let shell = Program::Path(c"/bin/sh".as_ptr());
    // SAFETY: the caller's promise; libc passes this environment to the shell, too.
    let environment = unsafe { ChildEnvironment::new(sys::environ, shell) };
    // SAFETY: a path with a zero at its end.
    unsafe { process_calls::record_execution(shell) };
    if let Some(slot) = environment.slot {
        process_calls::record_child((IN_SLOT | slot) as u32);
    }
    // SAFETY: the caller's promise.
    let wrapped = unsafe { wrap(&environment, command) };
    let mask = signal_masks::ShownMask::apply();
    sys::set_errno(errno);
    let result = call(wrapped.as_ref().map_or(command, |memory| memory.at.cast()));
    drop(mask);
    let errno = sys::errno();
    if has_failed(&result) {
        environment.report_start(None);
    }
    drop((environment, wrapped));
    sys::set_errno(errno);
    result
}

/// Returns the command with the observer's variables in front. Returns `None` if the shell cannot have them: the account
/// counts it as lost then, or as out of reach.
///
/// # Safety
/// The program passed `command` to libc.
unsafe fn wrap(environment: &ChildEnvironment, command: Text) -> Option<Memory> {
    let [preload, ..] = environment.added;
    if preload.is_null() {
        return None;
    }
    let mut length = 0;
    // SAFETY: the caller's promise, and texts of the environment.
    unsafe { write(environment.added, command, |_| length += 1) };
    if length >= LONGEST {
        return None;
    }
    // With a place for the zero, which is there already.
    let memory = Memory::allocate(length + 1)?;
    let mut to = memory.at;
    // SAFETY: the caller's promise, and enough memory.
    unsafe {
        write(environment.added, command, |byte| {
            to.write(byte);
            to = to.add(1);
        });
    }
    Some(memory)
}

/// Writes `export NAME='VALUE' …; exec /bin/sh -c ' COMMAND' sh`. The blank keeps a command from being taken for an
/// option; the last word is the name in the shell's messages.
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
