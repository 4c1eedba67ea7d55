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
    use std::time::Instant;

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
        #[expect(clippy::disallowed_methods, reason = "the cost is what the test is about")]
        let began = Instant::now();
        assert_eq!(plain(&"a/../".repeat(200_000)), "");
        assert!(began.elapsed().as_secs() < 1);
    }
}
