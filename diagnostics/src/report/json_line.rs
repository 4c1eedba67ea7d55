//! A report as one line of JSON.

use super::text::harmless;
use serde::Serialize;
use std::borrow::Cow;
use std::io::{self, Write};
use std::path::Path;

/// Writes a view as one line of JSON, in which nothing steers a terminal.
pub(super) fn write(out: &mut (impl Write + ?Sized), view: &impl Serialize) -> io::Result<()> {
    writeln!(out, "{}", harmless(&serde_json::to_string(view)?))
}

/// Returns a path as text.
pub(super) fn path(path: &Path) -> Cow<'_, str> {
    path.to_string_lossy()
}

#[cfg(test)]
mod tests {
    use super::super::text::is_harmful;
    use super::*;
    use serde_json::Value;

    #[test]
    fn control_characters_are_escaped_without_a_change_of_meaning() {
        let name = "a\u{1b}[1m\u{9b}2m\u{202e}\u{7f}ü\n::error::##[error]";
        let text = harmless(&serde_json::to_string(&[name]).unwrap());
        assert!(!text.contains(is_harmful) && !text.contains("##["), "{text:?}");
        let back: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(back[0], name);
    }
}
