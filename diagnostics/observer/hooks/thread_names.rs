//! The name of a thread that std is about to begin, read from what std hands to it.
//!
//! std keeps the name in `Arc<Inner>`, to which the thread's argument leads by one or two pointers. That is nobody's
//! promise, so nothing is believed: memory is read by a call that cannot fault, what is found has to look like a name,
//! the thread has to give itself the same one (cut to 15 bytes), and the binary compares it with the list of tests. A
//! thread whose name is not found keeps the short one.

use crate::hooks::process_calls;
use crate::log;
use crate::sys::{self, Iovec, c_void};
use core::sync::atomic::AtomicBool;
use core::sync::atomic::Ordering::Relaxed;

static IS_LEFT: AtomicBool = AtomicBool::new(false);

/// Names are not read.
pub(crate) fn leave() {
    IS_LEFT.store(true, Relaxed);
}

pub(crate) const LONGEST: usize = 4096;

/// As many words of each thing are looked at.
const WORDS: usize = 8;

/// The thread's name, if it is to be found.
pub(crate) fn of_thread(argument: usize, buffer: &mut [u8; LONGEST]) -> &[u8] {
    if !log::is_free() || IS_LEFT.load(Relaxed) {
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

/// The length of the name, which is in `buffer` then; 0 if there is none.
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

/// What lies there; zeros where nothing does.
fn words(at: usize) -> [usize; WORDS] {
    let mut bytes = [0; WORDS * 8];
    let length = read(at, &mut bytes);
    let mut words = [0; WORDS];
    for (word, bytes) in words.iter_mut().zip(bytes[..length].chunks_exact(8)) {
        *word = bytes.try_into().map_or(0, usize::from_ne_bytes);
    }
    words
}

/// Reads as many bytes as can be read. An address that is none is an error of the kernel's and no fault.
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
        let got = unsafe {
            sys::process_vm_readv(
                process_calls::own_id() as i32,
                &raw const local,
                1,
                &raw const remote,
                1,
                0,
            )
        };
        done = usize::try_from(got).unwrap_or(0).min(half);
        if done > 0 {
            break;
        }
    }
    done
}
