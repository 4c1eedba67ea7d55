//! Names of files and directories from any text.

use crate::sys::process::PidSpace;
use std::fmt::Write as _;

/// The maximum length of a name. File systems allow 255 bytes, but the complete path of a socket 108.
const LONGEST: usize = 64;

/// Returns a name for one file or directory: never a path, never `.` or `..`, and different for different texts.
///
/// Characters other than letters, digits, `-`, `_` and an inner `.` become `%` and two digits. A long name is truncated and
/// ends in `%%` and a hash of the complete text, which no short name does. On a file system that ignores case, texts that
/// differ only in case have the same name.
pub(crate) fn file_name(text: &str) -> String {
    let mut name = escaped(text);
    if name.len() > LONGEST {
        let hash = fnv(text.as_bytes());
        name.truncate(LONGEST - 18);
        _ = write!(name, "%%{hash:016x}");
    }
    name
}

/// Returns the same without truncation, from which the text can be recovered.
pub(crate) fn escaped(text: &str) -> String {
    let mut name = String::with_capacity(text.len());
    let last = text.len().saturating_sub(1);
    for (index, byte) in text.bytes().enumerate() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => name.push(byte as char),
            // Windows drops a dot at the end.
            b'.' if index > 0 && index < last => name.push('.'),
            other => _ = write!(name, "%{other:02x}"),
        }
    }
    if name.is_empty() {
        return "%".to_owned();
    }
    name
}

/// Returns the same for a text that is not unique, with a hash of further texts that make it unique.
pub(crate) fn unique_file_name(text: &str, by: &[&str]) -> String {
    format!("{}-{:016x}", file_name(text), fnv(by.join("\0").as_bytes()))
}

/// Returns a short name of a space of process numbers: eight digits, or `0` where the system does not report it.
pub(crate) fn name_of_space(space: &PidSpace) -> String {
    if space.boot.is_empty() {
        return "0".to_owned();
    }
    let hash = fnv(format!("{}\0{}", space.boot, space.namespace).as_bytes());
    format!("{:08x}", hash >> 32)
}

/// FNV-1a: the same on every machine and in every build.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::path::{Component, Path};

    #[test]
    fn plain_names_are_unchanged_and_hostile_ones_are_escaped() {
        for (text, name) in [
            ("w0", "w0"),
            ("j2.w0", "j2.w0"),
            ("1f6c9b52-9b0c-4c43", "1f6c9b52-9b0c-4c43"),
            ("", "%"),
            ("%", "%25"),
            (".", "%2e"),
            ("..", "%2e%2e"),
            (".hidden", "%2ehidden"),
            ("end.", "end%2e"),
            ("../../etc/passwd", "%2e.%2f..%2fetc%2fpasswd"),
            ("a/b", "a%2fb"),
            ("a\\b", "a%5cb"),
            ("C:", "C%3a"),
            ("a\0b\nc", "a%00b%0ac"),
            ("é", "%c3%a9"),
            ("a b", "a%20b"),
        ] {
            assert_eq!(file_name(text), name, "{text:?}");
        }
    }

    #[test]
    fn long_names_that_begin_alike_differ() {
        let (one, other) = ("x".repeat(300) + "1", "x".repeat(300) + "2");
        assert_ne!(file_name(&one), file_name(&other));
        assert_eq!(file_name(&one).len(), LONGEST);
    }

    #[test]
    fn a_short_text_never_has_the_name_of_a_long_one() {
        let long = file_name(&"x".repeat(300));
        assert_ne!(file_name(&long), long);
    }

    /// Ordinary, hostile and arbitrary names.
    fn text() -> impl Strategy<Value = String> {
        prop_oneof![
            any::<String>(),
            "[./\\\\%a]{0,12}",
            "[ -~]{0,200}",
            "%[0-9a-f]{2}{0,8}",
        ]
    }

    proptest! {
        #[test]
        fn a_name_is_one_plain_component_of_bounded_length(text in text()) {
            let name = file_name(&text);
            let parts: Vec<_> = Path::new(&name).components().collect();
            prop_assert!(matches!(parts.as_slice(), [Component::Normal(part)] if *part == name.as_str()));
            prop_assert!(name.len() <= LONGEST);
            prop_assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.%".contains(&byte)));
            prop_assert!(!name.starts_with('.') && !name.ends_with('.'));
        }

        #[test]
        fn different_texts_get_different_names(one in text(), other in text()) {
            prop_assert_eq!(one == other, file_name(&one) == file_name(&other));
        }

        #[test]
        fn a_short_text_can_be_recovered_from_its_name(text in "[./%a\u{e9}]{0,10}") {
            let name = file_name(&text);
            let mut bytes = Vec::new();
            let mut rest = name.strip_prefix('%').filter(|rest| rest.is_empty()).unwrap_or(&name);
            while let Some(first) = rest.chars().next() {
                let (byte, length) = match first {
                    '%' => (u8::from_str_radix(&rest[1..3], 16).unwrap(), 3),
                    plain => (plain as u8, 1),
                };
                bytes.push(byte);
                rest = &rest[length..];
            }
            prop_assert_eq!(String::from_utf8(bytes).unwrap(), text);
        }
    }
}
