//! Source places as they are told.

use std::borrow::Cow;

/// `#[path]` makes the compiler say `src/../tests/a.rs` of what others call `tests/a.rs`.
pub(super) fn plain(place: &str) -> Cow<'_, str> {
    if !place.contains("/../") {
        return place.into();
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in place.split('/') {
        let is_child = |parent: &&str| !matches!(*parent, "" | "." | "..");
        if part == ".." && parts.last().is_some_and(is_child) {
            parts.pop();
        } else {
            parts.push(part);
        }
    }
    parts.join("/").into()
}

#[cfg(test)]
mod tests {
    use super::plain;
    use crate::sys::clock;

    #[test]
    fn a_place_is_the_same_however_its_folders_are_written() {
        for (written, known) in [
            ("src/../tests/a.rs:1", "tests/a.rs:1"),
            ("a/b/../../c.rs", "c.rs"),
            ("/a/../c.rs", "/c.rs"),
            ("../../c.rs", "../../c.rs"),
            ("/../c.rs", "/../c.rs"),
            ("./../c.rs", "./../c.rs"),
            ("a//../c.rs", "a//../c.rs"),
            ("c.rs", "c.rs"),
        ] {
            assert_eq!(plain(written), known);
        }
    }

    #[test]
    fn a_place_as_long_as_a_line_is_plain_at_once() {
        let began = clock::micros();
        assert_eq!(plain(&"a/../".repeat(200_000)), "");
        let took = clock::micros() - began;
        assert!(took < 1_000_000, "{took} µs");
    }
}
