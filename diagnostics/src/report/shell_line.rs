//! A command as a line for a shell.

use super::text::plain;
use std::ffi::OsString;

/// Returns the words as a line that a shell reads as these words; `None` if no line does, as with a zero byte in a word.
pub(super) fn shell_line(words: &[OsString]) -> Option<String> {
    let words: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
    let line = shlex::try_join(words.iter().map(AsRef::as_ref)).ok()?;
    Some(plain(&line).into_owned())
}

/// Returns the command that repeats a scene. The words of `command` may be secret: it is for the terminal only.
pub(super) fn rerun_command(words: &[String], command: &[OsString]) -> Option<String> {
    let words = ["cargo", "cofferdam", "rerun"]
        .into_iter()
        .chain(words.iter().map(String::as_str))
        .chain(["--"])
        .map(OsString::from);
    shell_line(&words.chain(command.iter().cloned()).collect::<Vec<_>>())
}
