//! The name of a thread that std is about to start, read from the argument that std passes to it.
//!
//! std keeps the name in `Arc<Inner>`, to which the argument leads by one or two pointers. std does not promise that, so
//! nothing is trusted: memory is read by a call that cannot fault, the text must look like a name, the thread must set
//! the same one (cut to 15 bytes), and the binary compares it with the list of tests. A thread whose name is not found
//! keeps the short one.

use crate::sys::{self, Iovec, c_void, nr, own_calls};
use crate::this_process;
use core::sync::atomic::AtomicBool;
use core::sync::atomic::Ordering::Relaxed;

static IS_OFF: AtomicBool = AtomicBool::new(false);

/// Stops the search for names.
pub(crate) fn disable() {
    IS_OFF.store(true, Relaxed);
}

pub(crate) const LONGEST: usize = 4096;

/// The number of words to examine at each address.
const WORDS: usize = 8;

/// Returns the thread's name, or nothing if it is not found.
pub(crate) fn of_thread(argument: usize, buffer: &mut [u8; LONGEST]) -> &[u8] {
    if !this_process::may_call() || IS_OFF.load(Relaxed) {
        return &[];
    }
    let found = search(argument, buffer);
    buffer.get(..found).unwrap_or_default()
}

fn search(argument: usize, buffer: &mut [u8; LONGEST]) -> usize {
    let own = words(argument);
    for pointer in own.into_iter().filter(|word| is_pointer(*word)) {
        let length = name_in_arc(pointer, buffer);
        if length > 0 {
            return length;
        }
    }
    // Before Rust 1.86 the argument was the closure itself, which holds the thread's handle.
    for pointer in own.into_iter().filter(|word| is_pointer(*word)) {
        for inner in words(pointer).into_iter().filter(|word| is_pointer(*word)) {
            let length = name_in_arc(inner, buffer);
            if length > 0 {
                return length;
            }
        }
    }
    0
}

/// Returns the length of the name and leaves the name in `buffer`; 0 if there is none.
fn name_in_arc(pointer: usize, buffer: &mut [u8; LONGEST]) -> usize {
    let words = words(pointer);
    // The counts of an `Arc` that was just made.
    if !(1..=16).contains(&words[0]) || !(1..=16).contains(&words[1]) {
        return 0;
    }
    for pair in words[2..].windows(2) {
        for (text, length) in [(pair[0], pair[1]), (pair[1], pair[0])] {
            // With the zero at its end.
            if !is_in_memory(text) || !(2..=LONGEST).contains(&length) {
                continue;
            }
            let Some(bytes) = buffer.get_mut(..length) else {
                continue;
            };
            if read(text, bytes) != length {
                continue;
            }
            if let Some((0, name)) = bytes.split_last()
                && !name.contains(&0)
                && core::str::from_utf8(name).is_ok()
            {
                return length - 1;
            }
        }
    }
    0
}

fn is_pointer(word: usize) -> bool {
    is_in_memory(word) && word.is_multiple_of(8)
}

fn is_in_memory(word: usize) -> bool {
    (0x1_0000..0x8000_0000_0000).contains(&word)
}

/// Returns the words at that address; zeros where memory cannot be read.
fn words(at: usize) -> [usize; WORDS] {
    let mut bytes = [0; WORDS * 8];
    let length = read(at, &mut bytes);
    let mut words = [0; WORDS];
    for (word, bytes) in words.iter_mut().zip(bytes[..length].chunks_exact(8)) {
        *word = bytes.try_into().map_or(0, usize::from_ne_bytes);
    }
    words
}

/// Reads as many bytes as can be read. At an invalid address the kernel returns an error, and the process does not fault.
fn read(at: usize, into: &mut [u8]) -> usize {
    let mut done = 0;
    // In halves: memory may end behind the first.
    for half in [into.len(), into.len() / 2] {
        let local = Iovec {
            base: into.as_mut_ptr().cast(),
            length: half,
        };
        let remote = Iovec {
            base: at as *mut c_void,
            length: half,
        };
        // SAFETY: our own buffer; the other side is checked by the kernel.
        let mut got = unsafe {
            sys::process_vm_readv(
                this_process::kernel_pid() as i32,
                &raw const local,
                1,
                &raw const remote,
                1,
                0,
            )
        };
        // Some sandboxes forbid the call, and qemu lacks it.
        if got == -1 && sys::errno() != sys::EFAULT {
            got = read_file(at, &local);
        }
        done = usize::try_from(got).unwrap_or(0).min(half);
        if done > 0 {
            break;
        }
    }
    done
}

/// Reads memory through its file, which takes a descriptor for a moment. Returns -1 if it cannot be read.
fn read_file(at: usize, to: &Iovec) -> isize {
    // SAFETY: a path with a zero at its end.
    let memory = unsafe { own_calls::open(c"/proc/self/mem".as_ptr(), sys::O_CLOEXEC, 0) };
    if memory == -1 {
        return -1;
    }
    let into = [memory as usize, to.base.addr(), to.length, at];
    // SAFETY: the caller's buffer; the kernel checks the other side.
    let got = unsafe { own_calls::syscall(nr::PREAD64, into) };
    own_calls::close_own(memory);
    got as isize
}
