//! What makes a conflict the same one in the next run, on another machine and under the other runner.

use cofferdam::ResourceKind;
use cofferdam::diagnostics::Conflict;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// A conflict by what does not change.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Identity {
    /// What tests meet on.
    pub(crate) subject: String,
    /// Who meets there, with the program; in an entry nothing where that is chance.
    pub(crate) tests: BTreeSet<String>,
}

/// The folders that are elsewhere on another machine.
#[derive(Clone, Debug)]
pub(crate) struct Roots {
    pub(crate) workspace: PathBuf,
    pub(crate) temporary: PathBuf,
}

impl Identity {
    pub(crate) fn of(told: &Conflict, roots: &Roots) -> Self {
        let subject = match (&told.resource, &told.service) {
            (Some(resource), _) => match resource.kind() {
                ResourceKind::File => format!("file {}", roots.path(resource.as_str())),
                ResourceKind::Name => format!("name {}", folded(resource.as_str(), true)),
                _ => resource.to_string(),
            },
            (None, Some(service)) => format!("{} {service}", told.kind),
            (None, None) => told.kind.to_string(),
        };
        let tests = told
            .parties
            .iter()
            .filter_map(|party| Some(test(&party.binary, party.test.as_deref()?)));
        Self {
            subject,
            tests: tests.collect(),
        }
    }
}

/// The same for both runners: nextest says `order-desk::customers` where cargo says `customers`.
fn test(binary: &str, name: &str) -> String {
    let last = binary.rsplit_once("::").map_or(binary, |(_, last)| last);
    let last = last.rsplit_once('/').map_or(last, |(_, last)| last);
    format!("{}::{name}", last.replace('-', "_"))
}

impl Roots {
    fn path(&self, path: &str) -> String {
        let path = Path::new(path);
        if let Ok(rest) = path.strip_prefix(&self.workspace) {
            return slashes(rest, false);
        }
        if let Ok(rest) = path.strip_prefix(&self.temporary) {
            return format!("<tmp>/{}", slashes(rest, true));
        }
        slashes(path, false)
    }
}

fn slashes(path: &Path, is_temporary: bool) -> String {
    folded(&path.to_string_lossy().replace('\\', "/"), is_temporary)
}

/// With `*` for what is made up anew each time. Where names are temporary, also for numbers and short ones.
fn folded(path: &str, is_temporary: bool) -> String {
    let parts = path.split('/').map(|part| {
        let made_up = |prefix: &str| {
            part.strip_prefix(prefix)
                .is_some_and(|rest| rest.len() >= 6 && is_word(rest))
        };
        // As tempfile and mktemp name them.
        for prefix in [".tmp", "tmp."] {
            if made_up(prefix) {
                return format!("{prefix}*");
            }
        }
        let mut folded = String::new();
        let part = without_uuids(part);
        let mut rest = part.as_str();
        while !rest.is_empty() {
            let end = rest
                .find(|letter: char| !letter.is_ascii_alphanumeric())
                .unwrap_or(rest.len());
            let (word, behind) = rest.split_at(end);
            folded.push_str(if is_random(word, is_temporary) { "*" } else { word });
            let next = behind.chars().next().map_or(0, char::len_utf8);
            folded.push_str(&behind[..next]);
            rest = &behind[next..];
        }
        folded
    });
    parts.collect::<Vec<_>>().join("/")
}

fn is_word(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

fn is_random(word: &str, is_temporary: bool) -> bool {
    let has = |is: fn(&u8) -> bool| word.bytes().any(|byte| is(&byte));
    let (digits, lower, upper) = (
        has(u8::is_ascii_digit),
        has(u8::is_ascii_lowercase),
        has(u8::is_ascii_uppercase),
    );
    let is_hex = word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_number = digits && !lower && !upper;
    let is_mixed = word.len() >= 6 && (digits && (lower || upper) || upper && lower);
    is_hex && digits && word.len() >= 16 || is_temporary && (is_number && word.len() >= 3 || is_mixed)
}

/// `8-4-4-4-12` hexadecimal digits are one thing.
fn without_uuids(part: &str) -> String {
    const LENGTH: usize = 36;
    let is_uuid = |text: &str| {
        text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
    };
    let mut rest = part;
    let mut folded = String::new();
    while let Some(first) = rest.chars().next() {
        match rest.get(..LENGTH) {
            Some(text) if is_uuid(text) => {
                folded.push('*');
                rest = &rest[LENGTH..];
            }
            _ => {
                folded.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
    }
    folded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_called_the_same_on_every_machine_and_in_every_run() {
        let roots = Roots {
            workspace: PathBuf::from("/w/shop"),
            temporary: PathBuf::from("/tmp"),
        };
        for (path, name) in [
            ("/w/shop/target/report.csv", "target/report.csv"),
            ("/w/shop/data/2024/07.csv", "data/2024/07.csv"),
            ("/w/shop/.tmpAbC12x/a.db", ".tmp*/a.db"),
            ("/tmp/.tmpAbC12x/a.db", "<tmp>/.tmp*/a.db"),
            ("/tmp/tmp.a1B2c3D4e5/x", "<tmp>/tmp.*/x"),
            ("/tmp/shop-4711/socket", "<tmp>/shop-*/socket"),
            ("/tmp/shop.lock", "<tmp>/shop.lock"),
            (
                "/tmp/shop-3f2504e0-4f89-11d3-9a0c-0305e82c3301.db",
                "<tmp>/shop-*.db",
            ),
            ("/w/shop/0123456789abcdef0123/x", "*/x"),
            ("/var/lib/x", "/var/lib/x"),
            ("/w/shop-2/x", "/w/shop-2/x"),
        ] {
            assert_eq!(roots.path(path), name, "{path}");
        }
    }

    #[test]
    fn a_test_is_called_the_same_under_both_runners() {
        for (binary, name) in [
            ("order_desk", "order_desk::a::b"),
            ("order-desk", "order_desk::a::b"),
            ("order-desk::customers", "customers::a::b"),
            ("order-desk::bin/order-desk", "order_desk::a::b"),
        ] {
            assert_eq!(test(binary, "a::b"), name);
        }
    }
}
