//! What was found, as a file that other commands read; docs/observe.md describes it.

use super::Findings;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::{fmt, fs, io};

/// The version of the file that this build writes, and the newest that it reads.
pub(crate) const VERSION: u64 = 3;
/// Where the files are, below cofferdam's own folder.
const FOLDER: &str = "observed";
/// What the newest is found by.
const LAST: &str = "last.json";
/// As many sessions stay, the newest.
const KEPT: usize = 10;

/// The file cannot be used.
#[derive(Debug)]
pub(crate) enum FindingsError {
    /// Nothing was observed yet.
    Nothing(PathBuf),
    Io(PathBuf, io::Error),
    /// It is no such file.
    Shape(PathBuf, serde_json::Error),
    /// A newer build wrote it.
    Version(PathBuf, u64),
}

impl fmt::Display for FindingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing(path) => write!(
                f,
                "{} does not exist: nothing was observed yet; `cargo cofferdam observe -- cargo test` writes it",
                path.display()
            ),
            Self::Io(path, error) => write!(f, "could not read or write {}: {error}", path.display()),
            Self::Shape(path, error) => {
                write!(
                    f,
                    "{} does not hold what `observe` found: {error}",
                    path.display()
                )
            }
            Self::Version(path, version) => write!(
                f,
                "{} is of version {version}, and this build reads up to {VERSION}: update cargo-cofferdam",
                path.display()
            ),
        }
    }
}

impl std::error::Error for FindingsError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(_, error) => Some(error),
            Self::Shape(_, error) => Some(error),
            Self::Nothing(_) | Self::Version(..) => None,
        }
    }
}

impl Findings {
    /// Where the newest is found below cofferdam's folder `base`.
    pub(crate) fn last(base: &Path) -> PathBuf {
        base.join(FOLDER).join(LAST)
    }

    /// Writes it below `base`, as its session's and as the newest, and removes the oldest.
    pub(crate) fn write(&self, base: &Path) -> Result<PathBuf, FindingsError> {
        let folder = base.join(FOLDER);
        let path = folder.join(format!("{}.json", self.session));
        let bytes = self
            .to_bytes()
            .map_err(|error| FindingsError::Shape(path.clone(), error))?;
        cofferdam::diagnostics::private_dir(base, FOLDER)
            .map_err(|error| FindingsError::Io(folder.clone(), io::Error::other(error)))?;
        for path in [&path, &folder.join(LAST)] {
            cofferdam::file::write_atomic(path, &bytes)
                .map_err(|error| FindingsError::Io(path.clone(), io::Error::other(error)))?;
        }
        forget_old(&folder);
        Ok(path)
    }

    fn to_bytes(&self) -> Result<Vec<u8>, serde_json::Error> {
        let mut bytes = serde_json::to_vec_pretty(self)?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// Reads such a file: one of a session, or the newest.
    pub(crate) fn read(path: &Path) -> Result<Self, FindingsError> {
        let bytes = fs::read(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => FindingsError::Nothing(path.to_owned()),
            _ => FindingsError::Io(path.to_owned(), error),
        })?;
        Self::from_bytes(&bytes, path)
    }

    fn from_bytes(bytes: &[u8], path: &Path) -> Result<Self, FindingsError> {
        /// The one thing that stays as it is.
        #[derive(Deserialize)]
        struct Versioned {
            version: u64,
        }
        let shape = |error| FindingsError::Shape(path.to_owned(), error);
        let Versioned { version } = serde_json::from_slice(bytes).map_err(shape)?;
        if version > VERSION {
            return Err(FindingsError::Version(path.to_owned(), version));
        }
        serde_json::from_slice(bytes).map_err(shape)
    }
}

/// A session's name begins with its moment.
fn forget_old(folder: &Path) {
    let mut sessions: Vec<(u64, PathBuf)> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name();
            let (moment, _) = name.to_str()?.strip_suffix(".json")?.split_once('-')?;
            Some((moment.parse().ok()?, entry.path()))
        })
        .collect();
    sessions.sort();
    let old = sessions.len().saturating_sub(KEPT);
    for (_, path) in sessions.drain(..old) {
        // What cannot be removed now is tried again by the next session.
        let _ = fs::remove_file(path);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Access, Account, Finding, Grade, Kind, Pair, Runner, Test, Use};
    use super::*;
    use cofferdam::Resource;

    fn found(session: &str) -> Findings {
        let test = |name: &str, access| Test {
            name: name.to_owned(),
            binary: "shop".to_owned(),
            package: "/w/shop".to_owned(),
            runner: Runner::CargoTest,
            grade: Grade::Unguarded,
            uses: vec![Use {
                access,
                place: Some("tests/shop.rs:7".to_owned()),
                test_place: Some("tests/shop.rs:20".to_owned()),
            }],
        };
        Findings {
            version: VERSION,
            session: session.to_owned(),
            dir: "/w".to_owned(),
            confirmed: true,
            tests: 2,
            command: 0,
            account: Account::default(),
            findings: vec![Finding {
                kind: Kind::SharedResource,
                resource: Resource::file("/w/report.csv"),
                grade: Grade::Unguarded,
                overlapped: false,
                origin: None,
                tests: vec![test("a", Access::Write), test("b", Access::Read)],
                pairs: vec![Pair {
                    tests: [0, 1],
                    grade: Grade::Unguarded,
                    tries: 1,
                    why: "they met".to_owned(),
                }],
                pairs_in_all: 1,
                help: "another file".to_owned(),
            }],
            locked: Vec::new(),
            ran: Vec::new(),
        }
    }

    #[test]
    fn what_was_written_is_read_by_its_session_and_as_the_newest() {
        let base = tempfile::tempdir().unwrap();
        let findings = found("1-1");
        let path = findings.write(base.path()).unwrap();
        assert_eq!(Findings::read(&path).unwrap(), findings);
        assert_eq!(Findings::read(&Findings::last(base.path())).unwrap(), findings);
    }

    /// All names of fields in it, with where they stand.
    fn fields(value: &serde_json::Value, at: &str, into: &mut std::collections::BTreeSet<String>) {
        match value {
            serde_json::Value::Object(map) => {
                for (name, value) in map {
                    let at = format!("{at}/{name}");
                    fields(value, &at, into);
                    into.insert(at);
                }
            }
            serde_json::Value::Array(all) => all.iter().for_each(|value| fields(value, at, into)),
            _ => {}
        }
    }

    #[test]
    fn the_file_is_what_its_page_shows() {
        let page = include_str!("../../../docs/observe.md");
        let (_, rest) = page.split_once("```json\n").unwrap();
        let (example, _) = rest.split_once("\n```").unwrap();
        let shown: serde_json::Value = serde_json::from_str(example).unwrap();
        let read = Findings::from_bytes(example.as_bytes(), Path::new("docs/observe.md")).unwrap();
        let written = serde_json::to_value(&read).unwrap();
        let of = |value| {
            let mut into = std::collections::BTreeSet::new();
            fields(value, "", &mut into);
            into
        };
        assert_eq!(of(&shown), of(&written));
    }

    #[test]
    fn a_file_that_is_none_or_newer_or_not_there_is_an_error_that_says_so() {
        let path = Path::new("/o/last.json");
        let told = |text: &str| {
            Findings::from_bytes(text.as_bytes(), path)
                .unwrap_err()
                .to_string()
        };
        assert!(told("{").starts_with("/o/last.json does not hold what `observe` found: "));
        assert!(told(r#"{"version":1}"#).starts_with("/o/last.json does not hold what `observe` found: "));
        assert!(told(r#"{"version":9}"#).starts_with("/o/last.json is of version 9, "));
        let base = tempfile::tempdir().unwrap();
        let error = Findings::read(&Findings::last(base.path()))
            .unwrap_err()
            .to_string();
        assert!(error.contains("nothing was observed yet"), "{error}");
    }

    #[test]
    fn the_ten_newest_sessions_stay() {
        let base = tempfile::tempdir().unwrap();
        for moment in 8..20 {
            found(&format!("{moment}-1")).write(base.path()).unwrap();
        }
        let there = |moment: u32| base.path().join(format!("observed/{moment}-1.json")).exists();
        assert!(!there(8) && !there(9) && there(10) && there(19));
        assert!(Findings::last(base.path()).exists());
    }
}
