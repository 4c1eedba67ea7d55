//! A fixture's handle on disk, and what of the fixture each test process has to know besides.
//!
//! Two lines of JSON: what it is, then the handle as it was serialised. The file gets its name when the keeper has
//! kept the fixture, so who finds it there under a keeper that lives need not ask.

use super::keeper::{self, Definition};
use crate::event::Event;
use crate::resource::{Access, Resource};
use crate::sys::file_size::Limited;
use crate::sys::{clock, process};
use crate::worker::{Worker, seat};
use serde_core::de::DeserializeOwned;
use serde_json::{Value, json};
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// The version of the file that this build writes, and the only one that it reads: both are of one run.
const VERSION: u64 = 1;

/// A claim that a fixture makes for all who use it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Declared {
    pub(super) resource: Resource,
    pub(super) access: Access,
    /// What all who come by the fixture have in common.
    pub(super) guard: String,
    pub(super) place: String,
}

impl Declared {
    /// Says that the worker's test uses it.
    pub(super) fn record(&self, worker: &Worker) {
        worker.record(|| {
            let mut guards = seat::guards(self.access);
            guards.push(self.guard.clone());
            Event::Claimed {
                execution: worker.life(),
                claim: clock::unique(),
                instance: 0,
                resource: self.resource.clone(),
                access: self.access,
                guards,
                place: self.place.clone(),
            }
        });
    }

    fn to_json(&self) -> Value {
        let (access, guard) = (self.access.to_string(), &self.guard);
        json!({ "resource": self.resource.to_text(), "access": access, "guard": guard, "place": self.place })
    }

    fn from_json(value: &Value) -> Option<Self> {
        let text = |name: &str| value[name].as_str();
        Some(Self {
            resource: Resource::from_text(text("resource")?)?,
            access: Access::from_word(text("access")?)?,
            guard: text("guard")?.to_owned(),
            place: text("place")?.to_owned(),
        })
    }
}

/// Writes it, for the keeper to give it its name.
pub(super) fn write(
    folder: &Path,
    definition: &Definition,
    processes: &[Vec<u32>],
    claims: &[Declared],
    handle: &[u8],
) -> Result<(), String> {
    let about = json!({
        "version": VERSION,
        "place": definition.place,
        "type": definition.handle,
        "processes": processes,
        "claims": claims.iter().map(Declared::to_json).collect::<Vec<_>>(),
    });
    let text = [about.to_string().as_bytes(), b"\n", handle, b"\n"].concat();
    let path = folder.join(keeper::OFFERED);
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(&path);
    file.and_then(|file| Limited(&file).write_all(&text))
        .map_err(|error| format!("could not write {}: {error}", path.display()))
}

/// What stands in the file.
pub(super) struct Told {
    pub(super) path: PathBuf,
    about: Value,
    handle: Vec<u8>,
}

impl Told {
    pub(super) fn read(folder: &Path) -> io::Result<Self> {
        let path = folder.join(keeper::HANDLE);
        let mut about = std::fs::read(&path)?;
        let end = about.iter().position(|byte| *byte == b'\n');
        let handle = about.split_off(end.map_or(about.len(), |end| end + 1));
        Ok(Self {
            path,
            about: serde_json::from_slice(&about).unwrap_or_default(),
            handle,
        })
    }

    /// Whether it is what is meant here, and its processes are there. If not, the keeper knows more.
    pub(super) fn stands(&self, definition: &Definition) -> bool {
        let is_it = self.is_readable()
            && self.about["place"] == definition.place.as_str()
            && self.about["type"] == definition.handle.as_str();
        // Nobody else gets their numbers: the keeper waits for them in the end only.
        is_it
            && self
                .processes()
                .iter()
                .all(|group| group.iter().any(|pid| process::is_running(*pid)))
    }

    /// The processes of the fixture, in groups of which one at least has to be there.
    pub(super) fn processes(&self) -> Vec<Vec<u32>> {
        let groups = self.about["processes"].as_array().into_iter().flatten();
        let pid = |pid: &Value| pid.as_u64().and_then(|pid| u32::try_from(pid).ok());
        let group = |group: &Value| group.as_array().into_iter().flatten().filter_map(pid).collect();
        groups.map(group).collect()
    }

    fn is_readable(&self) -> bool {
        self.about["version"] == VERSION
    }

    pub(super) fn claims(&self) -> Vec<Declared> {
        let claims = self.about["claims"].as_array().into_iter().flatten();
        claims.filter_map(Declared::from_json).collect()
    }

    /// The handle, or why it cannot be had.
    pub(super) fn handle<H: DeserializeOwned>(&self) -> Result<H, String> {
        if !self.is_readable() {
            return Err("the file is of another version of cofferdam".to_owned());
        }
        serde_json::from_slice(&self.handle).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition() -> Definition {
        Definition {
            key: "pg".to_owned(),
            place: "tests/a.rs:1:1".to_owned(),
            handle: "Pg".to_owned(),
        }
    }

    fn written(processes: &[Vec<u32>], claims: &[Declared], handle: &str) -> (tempfile::TempDir, Told) {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &definition(), processes, claims, handle.as_bytes()).unwrap();
        let named = folder.path().join(keeper::HANDLE);
        std::fs::rename(folder.path().join(keeper::OFFERED), named).unwrap();
        let told = Told::read(folder.path()).unwrap();
        (folder, told)
    }

    #[test]
    fn what_was_written_comes_back() {
        let claims = [Access::Read, Access::Write].map(|access| Declared {
            resource: Resource::port(5432),
            access,
            guard: "fixture pg of run r".to_owned(),
            place: "tests/a.rs:7:7".to_owned(),
        });
        let (_folder, told) = written(&[], &claims, "[1,\"two\\nlines\"]");
        assert!(told.stands(&definition()));
        assert_eq!(told.claims(), claims);
        assert_eq!(told.handle(), Ok((1, "two\nlines".to_owned())));
    }

    #[test]
    fn who_means_something_else_has_to_ask() {
        let (_folder, told) = written(&[], &[], "1");
        for (place, handle) in [("tests/b.rs:1:1", "Pg"), ("tests/a.rs:1:1", "Url")] {
            let (place, handle) = (place.to_owned(), handle.to_owned());
            assert!(!told.stands(&Definition {
                place,
                handle,
                ..definition()
            }));
        }
    }

    #[cfg(all(target_os = "linux", not(miri)))]
    #[test]
    fn a_fixture_whose_process_is_gone_has_to_be_asked_for() {
        let (_folder, told) = written(&[vec![u32::MAX, process::id()]], &[], "1");
        assert!(told.stands(&definition()));
        // No process has that number: it is above the highest.
        let (_folder, told) = written(&[vec![process::id()], vec![u32::MAX]], &[], "1");
        assert!(!told.stands(&definition()));
    }

    #[test]
    fn what_another_version_wrote_is_not_guessed_at() {
        let (folder, told) = written(&[], &[], "{\"url\":1}");
        let error = told.handle::<String>().unwrap_err();
        assert!(error.contains("expected a string"), "{error}");
        for text in ["", "\n", "7\n1\n", "{\"version\":2}\n1\n", "\"mem://7\""] {
            std::fs::write(folder.path().join(keeper::HANDLE), text).unwrap();
            let told = Told::read(folder.path()).unwrap();
            assert!(!told.stands(&definition()), "{text:?}");
            let error = told.handle::<u64>().unwrap_err();
            assert!(error.contains("another version"), "{text:?}: {error}");
        }
    }
}
