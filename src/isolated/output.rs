//! The output of an isolated test's process, repeated as this test's own.

use std::io::{PipeReader, Read as _};
use std::os::fd::{AsRawFd as _, RawFd};

/// A pipe that the process writes to.
pub(super) struct Stream {
    pipe: PipeReader,
    is_open: bool,
}

impl Stream {
    pub(super) fn new(pipe: PipeReader) -> Self {
        Self { pipe, is_open: true }
    }

    /// Returns the descriptor while there may be more to read.
    pub(super) fn fd(&self) -> Option<RawFd> {
        self.is_open.then(|| self.pipe.as_raw_fd())
    }

    /// Reads what is there, or notes the end. Waits if there is nothing.
    pub(super) fn read(&mut self, into: &mut Vec<u8>) {
        let mut buffer = [0; 16 * 1024];
        match self.pipe.read(&mut buffer) {
            Ok(0) => self.is_open = false,
            Ok(length) => into.extend_from_slice(&buffer[..length]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => self.is_open = false,
        }
    }
}

/// Removes the complete text from the beginning of the bytes. A character whose end has not arrived stays.
pub(super) fn take_text(bytes: &mut Vec<u8>) -> String {
    let complete = match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() => error.valid_up_to(),
        _ => bytes.len(),
    };
    let rest = bytes.split_off(complete);
    let text = String::from_utf8_lossy(bytes).into_owned();
    *bytes = rest;
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_character_is_repeated_when_it_is_complete() {
        let mut bytes = "aé".as_bytes()[..2].to_vec();
        assert_eq!(take_text(&mut bytes), "a");
        bytes.push("é".as_bytes()[1]);
        assert_eq!(take_text(&mut bytes), "é");
        bytes.extend([b'x', 0xff, b'y']);
        assert_eq!(take_text(&mut bytes), "x\u{fffd}y");
        assert!(bytes.is_empty());
    }
}
