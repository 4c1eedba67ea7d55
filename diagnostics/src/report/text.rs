//! Escapes names, joins numbers with their nouns, and quotes commands.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Returns the text with harmful characters escaped. Names of tests and files are untrusted: in a report they can neither
/// steer a terminal, nor begin a line of their own, nor be read as a workflow command.
pub(super) fn plain(text: &str) -> Cow<'_, str> {
    if !text.contains(is_harmful) && !text.contains("##[") {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len() + 16);
    for letter in text.chars() {
        if is_harmful(letter) {
            plain.extend(letter.escape_default());
        } else if letter == '[' && plain.ends_with("##") {
            plain.push_str("\\[");
        } else {
            plain.push(letter);
        }
    }
    Cow::Owned(plain)
}

/// Returns whether a character is a control character, changes the direction of a line, or is invisible.
pub(super) fn is_harmful(letter: char) -> bool {
    letter.is_control()
        || matches!(
            letter,
            '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
        )
}

/// Returns JSON in which characters that steer a terminal are escaped, which means the same. They occur in strings only.
pub(super) fn harmless(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for letter in json.chars() {
        if is_harmful(letter) {
            let mut units = [0; 2];
            for unit in letter.encode_utf16(&mut units) {
                let _ = write!(text, "\\u{unit:04x}");
            }
        } else {
            text.push(letter);
        }
    }
    // GitHub's runner executes this command anywhere in a line.
    text.replace("##[", "#\\u0023[")
}

/// Returns a number with its noun: `1 test`, `2 tests`, `2 processes`.
pub(super) fn count(number: u64, noun: &str) -> String {
    let plural = match number {
        1 => "",
        _ if noun.ends_with('s') => "es",
        _ => "s",
    };
    format!("{number} {noun}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_name_becomes_a_harmless_one() {
        for (name, shown) in [
            ("tests::a", "tests::a"),
            ("grün/ß", "grün/ß"),
            ("a\nb", "a\\nb"),
            ("\u{1b}[31mred", "\\u{1b}[31mred"),
            ("\u{9b}31mred", "\\u{9b}31mred"),
            ("\u{202e}evil", "\\u{202e}evil"),
            ("\u{61c}evil", "\\u{61c}evil"),
            ("##[error]no", "##\\[error]no"),
        ] {
            assert_eq!(plain(name), shown);
        }
    }
}
