//! An observation as a file that other commands read; docs/reference/findings.md describes it.

use super::{Observation, Program};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};
use std::{fmt, fs, io};

/// The version of the file that this build writes and reads.
pub(crate) const VERSION: u64 = 5;
/// Where the files are, below cofferdam's own folder.
const FOLDER: &str = "observed";
/// The name of the newest.
const LAST: &str = "last.json";
/// The number of sessions that stay, the newest.
const KEPT: usize = 10;

/// The file cannot be used.
#[derive(Debug)]
pub(crate) enum ObservationError {
    /// No observation was kept yet.
    Nothing(PathBuf),
    Io(PathBuf, io::Error),
    /// The file does not hold an observation.
    Shape(PathBuf, serde_json::Error),
    /// Another version of cargo-cofferdam wrote it.
    Version(PathBuf, u64),
    /// It saw no test, so an earlier one remains the newest.
    NoTests(PathBuf),
}

impl fmt::Display for ObservationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing(path) => write!(
                f,
                "{} does not exist: nothing was observed yet; `cargo cofferdam observe -- cargo test` writes it",
                path.display()
            ),
            Self::Io(path, error) => write!(f, "could not read or write {}: {error}", path.display()),
            Self::Shape(path, error) => {
                write!(f, "{} is no result of `observe`: {error}", path.display())
            }
            Self::Version(path, version) => write!(
                f,
                "{} has format version {version}, and this build reads {VERSION}: run `observe` again, with this version of \
                 cargo-cofferdam",
                path.display()
            ),
            Self::NoTests(path) => write!(
                f,
                "this observation saw no test, so {} remains that of an earlier one",
                path.display()
            ),
        }
    }
}

impl std::error::Error for ObservationError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(_, error) => Some(error),
            Self::Shape(_, error) => Some(error),
            Self::Nothing(_) | Self::Version(..) | Self::NoTests(_) => None,
        }
    }
}

impl Observation {
    /// Returns the path of the newest below cofferdam's folder `base`.
    pub(crate) fn last(base: &Path) -> PathBuf {
        base.join(FOLDER).join(LAST)
    }

    /// Writes it below `base`, as its session's and as the newest, and removes the oldest.
    ///
    /// # Errors
    ///
    /// A file cannot be written, or it saw no test and an earlier one remains the newest. The first one becomes the newest in any
    /// case.
    pub(crate) fn write(&self, base: &Path) -> Result<PathBuf, ObservationError> {
        let folder = base.join(FOLDER);
        let path = folder.join(format!("{}.json", self.session));
        let bytes = self
            .to_bytes()
            .map_err(|error| ObservationError::Shape(path.clone(), error))?;
        cofferdam::diagnostics::private_dir(base, FOLDER)
            .map_err(|error| ObservationError::Io(folder.clone(), io::Error::other(error)))?;
        let last = folder.join(LAST);
        // `fix` could do nothing with it.
        let is_newest = self.tests > 0 || !last.exists();
        for path in [&path].into_iter().chain(is_newest.then_some(&last)) {
            // A link that was planted before the folder became private would lead to another file.
            if path.is_symlink() {
                fs::remove_file(path).map_err(|error| ObservationError::Io(path.clone(), error))?;
            }
            cofferdam::file::write_atomic(path, &bytes)
                .map_err(|error| ObservationError::Io(path.clone(), io::Error::other(error)))?;
        }
        forget_old(&folder);
        if is_newest {
            Ok(path)
        } else {
            Err(ObservationError::NoTests(last))
        }
    }

    fn to_bytes(&self) -> Result<Vec<u8>, serde_json::Error> {
        let mut bytes = serde_json::to_vec_pretty(self)?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// Reads such a file: one of a session, or the newest.
    pub(crate) fn read(path: &Path) -> Result<Self, ObservationError> {
        let bytes = fs::read(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => ObservationError::Nothing(path.to_owned()),
            _ => ObservationError::Io(path.to_owned(), error),
        })?;
        Self::from_bytes(&bytes, path)
    }

    /// Returns the programs with their tests of each kept observation below `base`, the newest first.
    pub(crate) fn programs_of_all(base: &Path) -> Vec<Vec<Program>> {
        #[derive(Deserialize)]
        struct Ran {
            ran: Vec<Program>,
        }
        newest(base).map(|ran: Ran| ran.ran).collect()
    }

    /// Returns the statics that the newest observation below `base` showed, if one did.
    #[cfg(has_observer)]
    pub(crate) fn newest_statics(base: &Path) -> Option<Vec<String>> {
        #[derive(Deserialize)]
        struct Shown {
            statics: Option<Vec<String>>,
        }
        newest(base).find_map(|shown: Shown| shown.statics)
    }

    fn from_bytes(bytes: &[u8], path: &Path) -> Result<Self, ObservationError> {
        /// The field that every version has.
        #[derive(Deserialize)]
        struct Versioned {
            version: u64,
        }
        let shape = |error| ObservationError::Shape(path.to_owned(), error);
        let Versioned { version } = serde_json::from_slice(bytes).map_err(shape)?;
        if version != VERSION {
            return Err(ObservationError::Version(path.to_owned(), version));
        }
        serde_json::from_slice(bytes).map_err(shape)
    }
}

/// Returns a part of each kept observation below `base`, the newest first. One that cannot be read is left out.
fn newest<T: DeserializeOwned>(base: &Path) -> impl Iterator<Item = T> {
    let sessions = sessions(&base.join(FOLDER)).into_iter().rev();
    sessions.filter_map(|path| serde_json::from_slice(&fs::read(path).ok()?).ok())
}

/// Returns the files of sessions, the oldest first: a session's name begins with its moment.
fn sessions(folder: &Path) -> Vec<PathBuf> {
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
    sessions.into_iter().map(|(_, path)| path).collect()
}

fn forget_old(folder: &Path) {
    let mut sessions = sessions(folder);
    let old = sessions.len().saturating_sub(KEPT);
    for path in sessions.drain(..old) {
        // What cannot be removed now is tried again by the next session.
        let _ = fs::remove_file(path);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Account, PausedAt, ReproducedClass, Reproduction, SharedUse};
    use super::*;
    use crate::rates::FailureRate;
    use crate::scene::{Arrangement, Scene, TestId};
    use cofferdam::{Access, Resource};
    use cofferdam_conflicts::{Conflict, Grade, Kind, Pair, Runner, Test, Use};

    fn test_id(name: &str) -> TestId {
        TestId {
            binary: "shop".to_owned(),
            name: name.to_owned(),
        }
    }

    fn observation(session: &str) -> Observation {
        let test = |name: &str, access| Test {
            run: session.to_owned(),
            worker: String::new(),
            pid: 7,
            binary: "shop".to_owned(),
            package: "/w/shop".to_owned(),
            runner: Some(Runner::CargoTest),
            name: Some(name.to_owned()),
            attempt: 1,
            grade: Some(Grade::Unguarded),
            fails_alone: false,
            uses: vec![Use {
                access: Some(access),
                service: None,
                place: Some("tests/shop.rs:7".to_owned()),
                test_place: Some("tests/shop.rs:20".to_owned()),
                from: 1,
                to: 2,
            }],
        };
        Observation {
            version: VERSION,
            session: session.to_owned(),
            dir: "/w".to_owned(),
            confirmed: true,
            tests: 2,
            command: 0,
            ended_early: false,
            account: Account::default(),
            failed: Vec::new(),
            conflicts: vec![Conflict {
                kind: Kind::SharedResource,
                resource: Some(Resource::file("/w/report.csv")),
                service: None,
                grade: Some(Grade::Unguarded),
                overlapped: false,
                between_runs: false,
                message: "two tests use it".to_owned(),
                help: "another file".to_owned(),
                output: None,
                name_parts: None,
                static_facts: None,
                tests: vec![test("a", Access::Write), test("b", Access::Read)],
                use_count: 2,
                pairs: vec![Pair {
                    tests: [0, 1],
                    grade: Grade::Unguarded,
                    tries: 1,
                    reason: "they met".to_owned(),
                }],
                pair_count: 1,
            }],
            locked: Vec::new(),
            reproductions: vec![Reproduction {
                class: ReproducedClass::Race,
                test: test_id("b"),
                culprits: vec![test_id("a")],
                uses: vec![SharedUse {
                    resource: Resource::file("/w/report.csv"),
                    culprit_place: Some("tests/shop.rs:7".to_owned()),
                    culprit_writes: true,
                    test_writes: false,
                    test_place: None,
                    help: String::new(),
                }],
                scene: Scene::of(vec![test_id("a"), test_id("b")], Arrangement::Parallel),
                paused: Some(PausedAt {
                    resources: vec![Resource::file("/w/report.csv"), Resource::cwd()],
                    first: 80,
                    others: 20,
                    within: None,
                }),
                with: FailureRate { failed: 4, runs: 4 },
                without: FailureRate { failed: 0, runs: 10 },
            }],
            statics: None,
            ran: Vec::new(),
        }
    }

    #[test]
    fn an_observation_is_read_by_its_session_and_as_the_newest() {
        let base = tempfile::tempdir().unwrap();
        let written = observation("1-1");
        let path = written.write(base.path()).unwrap();
        assert_eq!(Observation::read(&path).unwrap(), written);
        assert_eq!(
            Observation::read(&Observation::last(base.path())).unwrap(),
            written
        );
    }

    #[test]
    fn an_observation_without_tests_becomes_the_newest_only_if_there_is_none() {
        let base = tempfile::tempdir().unwrap();
        let without_tests = |session| Observation {
            tests: 0,
            ..observation(session)
        };
        without_tests("1-1").write(base.path()).unwrap();
        let newest = || {
            Observation::read(&Observation::last(base.path()))
                .unwrap()
                .session
        };
        assert_eq!(newest(), "1-1");
        observation("2-1").write(base.path()).unwrap();
        let error = without_tests("3-1").write(base.path()).unwrap_err().to_string();
        assert!(
            error.starts_with("this observation saw no test, so ") && error.ends_with(" of an earlier one"),
            "{error}"
        );
        assert_eq!(newest(), "2-1");
        assert!(base.path().join("observed/3-1.json").exists());
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
        let page = include_str!("../../../docs/reference/findings.md");
        let (_, rest) = page.split_once("```json\n").unwrap();
        let (example, _) = rest.split_once("\n```").unwrap();
        let shown: serde_json::Value = serde_json::from_str(example).unwrap();
        let read =
            Observation::from_bytes(example.as_bytes(), Path::new("docs/reference/findings.md")).unwrap();
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
        let message = |text: &str| {
            Observation::from_bytes(text.as_bytes(), path)
                .unwrap_err()
                .to_string()
        };
        assert!(message("{").starts_with("/o/last.json is no result of `observe`: "));
        assert!(message(r#"{"version":5}"#).starts_with("/o/last.json is no result of `observe`: "));
        assert!(message(r#"{"version":9}"#).starts_with("/o/last.json has format version 9, "));
        let base = tempfile::tempdir().unwrap();
        let error = Observation::read(&Observation::last(base.path()))
            .unwrap_err()
            .to_string();
        assert!(error.contains("nothing was observed yet"), "{error}");
    }

    #[test]
    fn a_planted_link_is_replaced_and_not_followed() {
        let base = tempfile::tempdir().unwrap();
        let victim = base.path().join("victim");
        fs::write(&victim, "kept").unwrap();
        let last = Observation::last(base.path());
        cofferdam::diagnostics::private_dir(base.path(), FOLDER).unwrap();
        std::os::unix::fs::symlink(&victim, &last).unwrap();
        observation("1-1").write(base.path()).unwrap();
        assert_eq!(fs::read_to_string(&victim).unwrap(), "kept");
        assert!(!last.is_symlink() && Observation::read(&last).is_ok());
    }

    #[test]
    fn the_ten_newest_sessions_stay() {
        let base = tempfile::tempdir().unwrap();
        for moment in 8..20 {
            observation(&format!("{moment}-1")).write(base.path()).unwrap();
        }
        let there = |moment: u32| base.path().join(format!("observed/{moment}-1.json")).exists();
        assert!(!there(8) && !there(9) && there(10) && there(19));
        assert!(Observation::last(base.path()).exists());
    }
}
