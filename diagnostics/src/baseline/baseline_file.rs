//! The format of the baseline: TOML, with `[[known]]` written by `--update-baseline` and `[[allowed]]` written by hand.

use serde::Deserialize;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{fmt, io};
use toml::Spanned;
use toml::value::Datetime;
use toml_edit::{Array, ArrayOfTables, DocumentMut, Item, Table, value};

/// The version that this build writes and reads.
const VERSION: u64 = 1;

const HEAD: &str = "\
# Known conflicts between tests: only other conflicts fail. `cargo cofferdam observe --baseline` reads this file, and
# --update-baseline rewrites [[known]]. Add conflicts that are accepted for now to [[allowed]] by hand, with a reason and
# the last day of the allowance:
#
# [[allowed]]
# conflict = \"port 27481\"
# reason = \"the simulator has one port\"
# until = 2027-01-31
";

/// The content of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Baseline {
    pub(crate) known: Vec<Known>,
    pub(crate) allowed: Vec<Allowed>,
}

/// A conflict by its key, which is the same in every run.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Known {
    /// The resource, or whatever else the tests share.
    pub(crate) conflict: String,
    /// The tests with their programs. An entry without tests is for all tests.
    #[serde(default)]
    pub(crate) tests: BTreeSet<String>,
}

/// A conflict that is allowed until the end of a day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Allowed {
    pub(crate) conflict: String,
    pub(crate) tests: BTreeSet<String>,
    pub(crate) reason: String,
    /// The last day, like `2027-01-31`.
    pub(crate) until: String,
}

/// The file as it is written, with positions for error messages.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    version: Spanned<u64>,
    #[serde(default)]
    known: Vec<Known>,
    #[serde(default)]
    allowed: Vec<WrittenAllowed>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenAllowed {
    conflict: String,
    #[serde(default)]
    tests: BTreeSet<String>,
    reason: Spanned<String>,
    until: Spanned<Datetime>,
}

/// The reason the file cannot be used.
#[derive(Debug)]
pub(crate) enum BaselineError {
    Missing(PathBuf),
    Io(PathBuf, io::Error),
    /// The line of an error and its description.
    Shape(PathBuf, usize, String),
}

impl fmt::Display for BaselineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(path) => write!(
                f,
                "the baseline {} does not exist; nothing was run. `--update-baseline` writes it",
                path.display()
            ),
            Self::Io(path, error) => write!(
                f,
                "could not read or write the baseline {}: {error}",
                path.display()
            ),
            Self::Shape(path, line, what) => {
                write!(
                    f,
                    "{}:{line}: {what}; nothing was run. docs/observe/baseline.md describes the format",
                    path.display()
                )
            }
        }
    }
}

impl std::error::Error for BaselineError {}

impl Baseline {
    /// Reads the file, or returns `None` if it does not exist.
    pub(crate) fn read(path: &Path) -> Result<Option<(String, Self)>, BaselineError> {
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(&text, path).map(|baseline| Some((text, baseline))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(BaselineError::Io(path.to_owned(), error)),
        }
    }

    pub(crate) fn parse(text: &str, path: &Path) -> Result<Self, BaselineError> {
        let wrong = |at: usize, what: String| {
            let line = text.get(..at).unwrap_or_default().matches('\n').count() + 1;
            BaselineError::Shape(path.to_owned(), line, what)
        };
        let written: Written = toml::from_str(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            wrong(at, error.message().to_owned())
        })?;
        if *written.version.get_ref() != VERSION {
            let what = format!(
                "version {}, and this build reads {VERSION}",
                written.version.get_ref()
            );
            return Err(wrong(written.version.span().start, what));
        }
        let allowed = written.allowed.into_iter().map(|one| {
            if one.reason.get_ref().trim().is_empty() {
                return Err(wrong(one.reason.span().start, "the reason is empty".to_owned()));
            }
            let until = one.until.get_ref();
            match until.date.filter(|_| until.time.is_none()) {
                Some(date) => Ok(Allowed {
                    conflict: one.conflict,
                    tests: one.tests,
                    reason: one.reason.into_inner(),
                    until: date.to_string(),
                }),
                None => Err(wrong(
                    one.until.span().start,
                    "`until` must be a date like 2027-01-31".to_owned(),
                )),
            }
        });
        Ok(Self {
            allowed: allowed.collect::<Result<_, _>>()?,
            known: written.known,
        })
    }

    /// Returns the file's text with exactly these entries as known. All other text stays unchanged.
    pub(crate) fn updated(text: Option<&str>, known: &[Known], path: &Path) -> Result<String, BaselineError> {
        let mut document: DocumentMut =
            text.unwrap_or_default()
                .parse()
                .map_err(|error: toml_edit::TomlError| {
                    BaselineError::Shape(path.to_owned(), 1, error.message().to_owned())
                })?;
        if text.is_none() {
            document.insert("version", value(VERSION as i64));
            document.decor_mut().set_prefix(HEAD);
        }
        let mut tables = ArrayOfTables::new();
        for conflict in known {
            let mut table = Table::new();
            table.insert("conflict", value(conflict.conflict.as_str()));
            if !conflict.tests.is_empty() {
                let mut tests: Array = conflict.tests.iter().collect();
                for test in tests.iter_mut() {
                    test.decor_mut().set_prefix("\n    ");
                }
                tests.set_trailing_comma(true);
                tests.set_trailing("\n");
                table.insert("tests", value(tests));
            }
            tables.push(table);
        }
        document.remove("known");
        if !tables.is_empty() {
            document.insert("known", Item::ArrayOfTables(tables));
        }
        Ok(document.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        let error = Baseline::parse(text, Path::new("b.toml"))
            .unwrap_err()
            .to_string();
        error.split("; nothing was run").next().unwrap().to_owned()
    }

    #[test]
    fn errors_name_their_line() {
        for (text, expected) in [
            (
                "version = 1\nknown = 7\n",
                "b.toml:2: invalid type: integer `7`, expected a sequence",
            ),
            ("version = 2\n", "b.toml:1: version 2, and this build reads 1"),
            ("", "b.toml:1: missing field `version`"),
            ("version = 1\n\n[[known\n", "b.toml:3: "),
            (
                "version = 1\n[[known]]\nconflict = \"x\"\ntest = []\n",
                "b.toml:4: unknown field `test`",
            ),
            (
                "version = 1\n[[allowed]]\nconflict = \"x\"\nuntil = 2027-01-31\n",
                "b.toml:2: missing field `reason`",
            ),
            (
                "version = 1\n[[allowed]]\nconflict = \"x\"\nreason = \" \"\nuntil = 2027-01-31\n",
                "b.toml:4: the reason is empty",
            ),
            (
                "version = 1\n[[allowed]]\nconflict = \"x\"\nreason = \"y\"\nuntil = 2027-01-31T10:00:00\n",
                "b.toml:5: `until` must be a date",
            ),
            (
                "version = 1\n[[allowed]]\nconflict = \"x\"\nreason = \"y\"\nuntil = \"soon\"\n",
                "b.toml:5: ",
            ),
        ] {
            assert!(error(text).starts_with(expected), "{:?}", error(text));
        }
    }

    #[test]
    fn only_the_known_entries_are_rewritten() {
        let path = Path::new("b.toml");
        let known = |subject: &str, tests: &[&str]| Known {
            conflict: subject.to_owned(),
            tests: tests.iter().map(|test| (*test).to_owned()).collect(),
        };
        let first = Baseline::updated(
            None,
            &[known("file a", &["shop::one", "shop::two"]), known("env B", &[])],
            path,
        );
        let first = first.unwrap();
        assert_eq!(
            first.strip_prefix(HEAD).unwrap(),
            "version = 1\n\n[[known]]\nconflict = \"file a\"\ntests = [\n    \"shop::one\",\n    \"shop::two\",\n]\n\n\
             [[known]]\nconflict = \"env B\"\n"
        );
        let allowed =
            "\n# Mine.\n[[allowed]]\nconflict = \"port 1\" # this\nreason = \"x\"\nuntil = 2027-01-31\n";
        let second = Baseline::updated(Some(&(first + allowed)), &[known("file c", &[])], path).unwrap();
        assert!(second.starts_with(HEAD) && second.contains(allowed), "{second}");
        let read = Baseline::parse(&second, path).unwrap();
        assert_eq!(
            (
                read.known.len(),
                read.known[0].conflict.as_str(),
                read.allowed.len()
            ),
            (1, "file c", 1)
        );
        let empty = Baseline::updated(Some(&second), &[], path).unwrap();
        assert!(Baseline::parse(&empty, path).unwrap().known.is_empty());
    }
}
