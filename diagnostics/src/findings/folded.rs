//! Names without the parts that differ in every run: random words, process IDs, timestamps, counters.

/// The parts of a name to replace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fold {
    /// Random names, as tempfile, mktemp and UUIDs are.
    Random,
    /// Those, and numbers of at least three digits: in a temporary directory they are a process ID or a clock.
    Temporary,
    /// Those, and all digits.
    Digits,
}

/// Returns `path` with `*` for each replaced part.
pub(crate) fn folded(path: &str, fold: Fold) -> String {
    let parts = path.split('/').map(|part| match random_prefix(part) {
        Some(prefix) => format!("{prefix}*"),
        None => folded_words(&without_uuids(part), fold),
    });
    parts.collect::<Vec<_>>().join("/")
}

/// Whether a file's name was made at random, so that no other test can make the same.
#[cfg(has_observer)]
pub(crate) fn is_random_name(name: &str) -> bool {
    let is_mixed = |word: &str| {
        let has = |is: fn(&u8) -> bool| word.bytes().any(|byte| is(&byte));
        word.len() >= 6
            && has(u8::is_ascii_digit)
            && has(u8::is_ascii_lowercase)
            && has(u8::is_ascii_uppercase)
    };
    random_prefix(name).is_some()
        || without_uuids(name) != name
        || words(name).any(|word| is_mixed(word) || is_random(word, Fold::Random))
}

/// Returns whether a part of a path has a name that tempfile or mktemp chose at random.
pub(crate) fn has_random_part(path: &str) -> bool {
    path.split('/').any(|part| random_prefix(part).is_some())
}

/// Returns what [`Fold::Digits`] replaces in a file's name, from left to right.
#[cfg(has_observer)]
pub(crate) fn numbers(name: &str) -> Vec<&str> {
    words(name)
        .flat_map(|word| {
            let is_whole = is_random(word, Fold::Digits);
            let digits = word.split(|letter: char| !letter.is_ascii_digit());
            let digits = digits.filter(move |digits| !is_whole && !digits.is_empty());
            is_whole.then_some(word).into_iter().chain(digits)
        })
        .collect()
}

/// The beginning that tempfile or mktemp gave a random name.
fn random_prefix(part: &str) -> Option<&'static str> {
    [".tmp", "tmp."].into_iter().find(|prefix| {
        part.strip_prefix(prefix)
            .is_some_and(|rest| rest.len() >= 6 && rest.bytes().all(|byte| byte.is_ascii_alphanumeric()))
    })
}

#[cfg(has_observer)]
fn words(name: &str) -> impl Iterator<Item = &str> {
    name.split(|letter: char| !letter.is_ascii_alphanumeric())
}

fn folded_words(part: &str, fold: Fold) -> String {
    let mut text = String::new();
    let mut rest = part;
    while !rest.is_empty() {
        let end = rest
            .find(|letter: char| !letter.is_ascii_alphanumeric())
            .unwrap_or(rest.len());
        let (word, behind) = rest.split_at(end);
        if is_random(word, fold) {
            text.push('*');
        } else if fold == Fold::Digits {
            push_without_digits(&mut text, word);
        } else {
            text.push_str(word);
        }
        let next = behind.chars().next().map_or(0, char::len_utf8);
        text.push_str(&behind[..next]);
        rest = &behind[next..];
    }
    text
}

fn push_without_digits(text: &mut String, word: &str) {
    let mut in_digits = false;
    for letter in word.chars() {
        let is_digit = letter.is_ascii_digit();
        if !is_digit {
            text.push(letter);
        } else if !in_digits {
            text.push('*');
        }
        in_digits = is_digit;
    }
}

fn is_random(word: &str, fold: Fold) -> bool {
    let has = |is: fn(&u8) -> bool| word.bytes().any(|byte| is(&byte));
    let (digits, lower, upper) = (
        has(u8::is_ascii_digit),
        has(u8::is_ascii_lowercase),
        has(u8::is_ascii_uppercase),
    );
    let is_hex = word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_number = digits && !lower && !upper;
    match fold {
        Fold::Random => is_hex && digits && word.len() >= 16,
        Fold::Temporary => {
            let is_mixed = word.len() >= 6 && (digits && (lower || upper) || upper && lower);
            is_hex && digits && word.len() >= 16 || is_number && word.len() >= 3 || is_mixed
        }
        // A process ID, a thread ID or a clock as hexadecimal digits.
        Fold::Digits => is_number || is_hex && digits && word.len() >= 4,
    }
}

/// `8-4-4-4-12` hexadecimal digits are one word.
fn without_uuids(part: &str) -> String {
    const LENGTH: usize = 36;
    let is_uuid = |text: &str| {
        text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
    };
    let mut rest = part;
    let mut text = String::new();
    while let Some(first) = rest.chars().next() {
        match rest.get(..LENGTH) {
            Some(uuid) if is_uuid(uuid) => {
                text.push('*');
                rest = &rest[LENGTH..];
            }
            _ => {
                text.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
    }
    text
}

#[cfg(all(test, has_observer))]
mod tests {
    use super::*;

    #[test]
    fn digits_are_folded_wherever_they_are_and_words_are_not() {
        for (name, pattern, found) in [
            (
                "shop-4711-1700000000123",
                "shop-*-*",
                &["4711", "1700000000123"][..],
            ),
            ("conn12.sock", "conn*.sock", &["12"]),
            ("run-18c5fa3e", "run-*", &["18c5fa3e"]),
            ("v2-ThreadId(3)", "v*-ThreadId(*)", &["2", "3"]),
            ("decade", "decade", &[]),
            ("report.csv", "report.csv", &[]),
        ] {
            assert_eq!(folded(name, Fold::Digits), pattern);
            assert_eq!(numbers(name), found, "{name}");
            assert_eq!(
                folded(pattern, Fold::Digits),
                pattern,
                "folding twice changes nothing"
            );
        }
    }

    #[test]
    fn a_random_name_is_distinguished_from_a_fixed_one() {
        for (name, wanted) in [
            (".tmpAbC12x", true),
            ("tmp.a1B2c3D4e5", true),
            ("shop-3f2504e0-4f89-11d3-9a0c-0305e82c3301.db", true),
            ("shop-kT3xQ9", true),
            ("0123456789abcdef0123", true),
            ("shop-4711", false),
            ("README", false),
            ("report_2024.csv", false),
        ] {
            assert_eq!(is_random_name(name), wanted, "{name}");
        }
    }
}
