//! The messages as users see them: in full in messages.txt, by their beginnings in docs/reference/errors.md.

/// Returns the part of a file under this title; without a title the part about [`Error`](super::Error), which is the first.
/// The reader of recordings checks its own part.
fn part<'a>(text: &'a str, title: Option<&str>) -> &'a str {
    let Some(title) = title else {
        return text.split("\n## Fixtures\n").next().unwrap_or_default();
    };
    let (_, rest) = text
        .split_once(&format!("\n## {title}\n"))
        .expect("a part with this title");
    rest.split("\n## ").next().unwrap_or_default()
}

fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The texts in backticks with which headings and items begin: `lock … was not free`.
fn patterns(page: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for line in page.lines() {
        let Some(line) = ["## `", "- `"].iter().find_map(|start| line.strip_prefix(start)) else {
            continue;
        };
        // Some name two: `a …`, `b …`: what it means.
        found.extend(line.split("`, `").filter_map(|text| text.split('`').next()));
    }
    found
}

/// Returns whether the message begins with the pattern, in which `…` matches any text.
fn begins_like(message: &str, pattern: &str) -> bool {
    let mut pieces = pattern.split('…');
    let Some(mut rest) = message.strip_prefix(pieces.next().unwrap_or_default()) else {
        return false;
    };
    pieces.all(|piece| {
        let found = rest.split_once(piece).map(|(_, after)| after);
        rest = found.unwrap_or(rest);
        found.is_some()
    })
}

/// Fails unless the messages are those of messages.txt, and the page lists their beginnings and no others.
#[track_caller]
pub(crate) fn hold(messages: &[String], title: Option<&str>) {
    let wanted = part(include_str!("messages.txt"), title);
    let wanted: Vec<_> = wanted.trim().split("\n\n").map(words).collect();
    let found: Vec<_> = messages.iter().map(|text| words(text)).collect();
    assert_eq!(
        found,
        wanted,
        "src/error/messages.txt should list:\n\n{}",
        messages.join("\n\n")
    );
    let patterns = patterns(part(include_str!("../../docs/reference/errors.md"), title));
    for message in &found {
        let is_listed = patterns.iter().any(|pattern| begins_like(message, pattern));
        assert!(is_listed, "docs/reference/errors.md does not list: {message}");
    }
    for pattern in patterns {
        let exists = found.iter().any(|message| begins_like(message, pattern));
        assert!(
            exists,
            "docs/reference/errors.md lists `{pattern}`, and no message begins so"
        );
    }
}
