//! Source places.

/// Returns file and line of `file:line` or `file:line:column`.
pub(super) fn split(place: &str) -> Option<(&str, u32)> {
    let (rest, last) = place.rsplit_once(':')?;
    let last: u32 = last.parse().ok()?;
    let inner = rest
        .rsplit_once(':')
        .and_then(|(file, line)| Some((file, line.parse().ok()?)));
    Some(inner.unwrap_or((rest, last)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_becomes_file_and_line() {
        assert_eq!(split("src/a.rs:12"), Some(("src/a.rs", 12)));
        assert_eq!(split("src/a.rs:12:5"), Some(("src/a.rs", 12)));
        assert_eq!(split("C:\\a.rs:12"), Some(("C:\\a.rs", 12)));
        assert_eq!(split("somewhere"), None);
        assert_eq!(split("a:b"), None);
    }
}
