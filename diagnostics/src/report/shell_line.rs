//! A command as a line for a shell.

use super::text::plain;
use std::ffi::OsString;

/// Returns the words as a line that a shell reads as these words; `None` if no line does, as with a zero byte in a word.
pub(super) fn shell_line(words: &[OsString]) -> Option<String> {
    let words = words.iter().map(|word| quoted(&word.to_string_lossy()));
    let line = words.collect::<Option<Vec<String>>>()?.join(" ");
    Some(plain(&line).into_owned())
}

fn quoted(word: &str) -> Option<String> {
    // shlex quotes for commas too, which only braces make special.
    let others = word.replace(',', "");
    let is_plain = shlex::try_quote(&others).ok()? == others;
    let quoted = shlex::try_quote(word).ok()?;
    Some(if is_plain {
        word.to_owned()
    } else {
        quoted.into_owned()
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_words_that_a_shell_would_change_are_quoted() {
        let words = ["a::b,c", "x y,z", "{a,b}", "", ",", "it's"];
        let line = shell_line(&words.map(OsString::from)).unwrap();
        assert_eq!(shlex::split(&line).unwrap(), words);
        assert!(line.starts_with("a::b,c 'x y,z' "), "{line}");
    }
}
