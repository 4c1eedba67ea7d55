//! Lines of the checkout, quoted around a place.

use super::source_place;
use std::cell::RefCell;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::UNIX_EPOCH;

/// The number of lines before a quoted line, and after it.
const AROUND: usize = 2;
/// The longest file that is quoted, in bytes, and the longest quoted line, in characters.
const LONGEST_FILE: u64 = 4 << 20;
const LONGEST_LINE: usize = 240;

/// Lines of a source file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Quote {
    /// The number of the first line.
    pub(super) first: usize,
    /// The number of the line that is meant.
    pub(super) line: usize,
    pub(super) lines: Vec<String>,
    /// Whether the file was changed after the moment for which it is quoted.
    pub(super) is_newer: bool,
}

/// The source files of a checkout, each read once.
#[derive(Debug)]
pub(super) struct SourceQuotes {
    /// The directory that places are relative to.
    dir: PathBuf,
    /// The directory that quoted files are in.
    root: Option<PathBuf>,
    files: RefCell<HashMap<String, Option<Rc<SourceFile>>>>,
}

#[derive(Debug)]
struct SourceFile {
    lines: Vec<String>,
    /// The time of its last change, in microseconds since 1970.
    changed: u64,
}

impl SourceQuotes {
    /// Creates quotes of places relative to `dir`. The checkout is the nearest directory with a `Cargo.lock`, or else
    /// this one.
    pub(super) fn new(dir: &Path) -> Self {
        let root = dir.ancestors().find(|above| above.join("Cargo.lock").is_file());
        Self {
            dir: dir.to_owned(),
            root: root.unwrap_or(dir).canonicalize().ok(),
            files: RefCell::default(),
        }
    }

    /// Returns the lines around a place (`FILE:LINE`), as they are now; `None` if the file is no source file of the checkout. A
    /// recording may come from elsewhere, so it must not be able to name any other file. `at` is the moment of the use.
    pub(super) fn quote(&self, place: &str, at: u64) -> Option<Quote> {
        let (name, line) = source_place::split(place)?;
        let file = self.file(name)?;
        let line = line as usize;
        let index = line.checked_sub(1)?;
        file.lines.get(index)?;
        let first = index.saturating_sub(AROUND);
        let last = (index + AROUND).min(file.lines.len() - 1);
        Some(Quote {
            first: first + 1,
            line,
            lines: file.lines[first..=last].to_vec(),
            is_newer: file.changed > at,
        })
    }

    /// Returns one line of a source file of the checkout, with spaces for tabs.
    pub(super) fn line(&self, file: &str, line: u32) -> Option<String> {
        let index = (line as usize).checked_sub(1)?;
        self.file(file)?.lines.get(index).cloned()
    }

    fn file(&self, name: &str) -> Option<Rc<SourceFile>> {
        let mut files = self.files.borrow_mut();
        let file = files.entry(name.to_owned());
        file.or_insert_with(|| self.read(name).map(Rc::new)).clone()
    }

    fn read(&self, name: &str) -> Option<SourceFile> {
        let root = self.root.as_ref()?;
        let found = [&self.dir, root]
            .into_iter()
            .find_map(|dir| dir.join(name).canonicalize().ok());
        // Links are resolved: what they lead to has to be in the checkout, too.
        let path =
            found.filter(|path| path.starts_with(root) && path.extension().is_some_and(|end| end == "rs"))?;
        let meta = path
            .metadata()
            .ok()
            .filter(|meta| meta.is_file() && meta.len() <= LONGEST_FILE)?;
        let changed = meta.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
        let text = std::fs::read_to_string(path).ok()?;
        let shortened = |line: &str| line.replace('\t', "    ").chars().take(LONGEST_LINE).collect();
        Some(SourceFile {
            lines: text.lines().map(shortened).collect(),
            changed: u64::try_from(changed.as_micros()).unwrap_or(u64::MAX),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn the_lines_around_a_place_are_quoted() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a.rs"), "one\ntwo\n\tthree\nfour\nfive\nsix\n").unwrap();
        let quotes = SourceQuotes::new(dir.path());
        let quoted = |place: &str| {
            let quote = quotes.quote(place, u64::MAX)?;
            Some((quote.first, quote.line, quote.lines.join("|")))
        };
        assert_eq!(
            quoted("a.rs:3:7"),
            Some((1, 3, "one|two|    three|four|five".to_owned()))
        );
        assert_eq!(quoted("a.rs:1"), Some((1, 1, "one|two|    three".to_owned())));
        assert_eq!(quoted("a.rs:6"), Some((4, 6, "four|five|six".to_owned())));
        for place in ["a.rs:0", "a.rs:7", "b.rs:1", "a.rs", ""] {
            assert_eq!(quoted(place), None, "{place}");
        }
        assert!(quotes.quote("a.rs:1", 5).unwrap().is_newer);
        assert_eq!(quotes.line("a.rs", 3).as_deref(), Some("    three"));
        assert_eq!((quotes.line("a.rs", 0), quotes.line("a.rs", 7)), (None, None));
    }

    #[test]
    fn a_recording_cannot_name_a_file_outside_of_the_checkout_or_one_that_is_no_source() {
        let dir = tempfile::tempdir().unwrap();
        let checkout = dir.path().join("checkout");
        fs::create_dir(&checkout).unwrap();
        for file in [
            "secret.rs",
            "checkout/token.txt",
            "checkout/.env",
            "checkout/a.rs",
        ] {
            fs::write(dir.path().join(file), "a secret\n").unwrap();
        }
        #[cfg(unix)]
        std::os::unix::fs::symlink(dir.path().join("secret.rs"), checkout.join("link.rs")).unwrap();
        let quotes = SourceQuotes::new(&checkout);
        let absolute = |file: &str| format!("{}:1", dir.path().join(file).display());
        for place in [
            "../secret.rs:1".to_owned(),
            "link.rs:1".to_owned(),
            "token.txt:1".to_owned(),
            ".env:1".to_owned(),
            absolute("secret.rs"),
            "/etc/passwd:1".to_owned(),
        ] {
            assert_eq!(quotes.quote(&place, 0), None, "{place}");
        }
        assert!(quotes.quote(&absolute("checkout/a.rs"), 0).is_some());
    }
}
