//! A command as a line for a shell.

use super::text::plain;
use std::ffi::OsString;

/// Returns the words as a line that a shell reads as these words; `None` if no line does, as with a zero byte in a word.
pub(super) fn shell_line(words: &[OsString]) -> Option<String> {
    let words: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
    let line = shlex::try_join(words.iter().map(AsRef::as_ref)).ok()?;
    Some(plain(&line).into_owned())
}
