//! Reads snapshots.

use crate::read_error::ReadError;
use cofferdam::format::{
    Cache, Claim, Entry, EntryState, Process, SNAPSHOT_MARK, SNAPSHOT_VERSION, Snapshot,
};
use cofferdam::{Access, Resource};
use serde_json::Value;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

/// The maximum length in bytes. Ten thousand instances have a few megabytes.
const LONGEST: u64 = 256 << 20;

/// Reads a snapshot that the library wrote.
///
/// # Errors
/// When the file cannot be read, is no snapshot, is damaged, or was written by a newer version.
pub fn read_snapshot(path: impl AsRef<Path>) -> Result<Snapshot, ReadError> {
    let path = path.as_ref();
    match read_if_ours(path)? {
        Some(snapshot) => Ok(snapshot),
        None => Err(ReadError::unreadable(path, None, "this is no snapshot of ours")),
    }
}

/// Returns `None` for a file that does not begin as a snapshot does; it is not read to its end.
pub(crate) fn read_if_ours(path: &Path) -> Result<Option<Snapshot>, ReadError> {
    read_up_to(LONGEST, path)
}

fn read_up_to(longest: u64, path: &Path) -> Result<Option<Snapshot>, ReadError> {
    let failed = |source| ReadError::io("read", path, source);
    let file = File::open(path).map_err(failed)?;
    let mut text = Vec::new();
    (&file).take(256).read_to_end(&mut text).map_err(failed)?;
    let head: Vec<u8> = text
        .iter()
        .copied()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    if !head.starts_with(SNAPSHOT_MARK.as_bytes()) {
        return Ok(None);
    }
    let mut rest = file.take((longest + 1).saturating_sub(text.len() as u64));
    rest.read_to_end(&mut text).map_err(failed)?;
    if text.len() as u64 > longest {
        let reason = format!("the file is longer than {longest} bytes, so this is no snapshot of ours");
        return Err(ReadError::unreadable(path, None, reason));
    }
    parse(&text, path).map(Some)
}

fn parse(text: &[u8], file: &Path) -> Result<Snapshot, ReadError> {
    let value: Value = serde_json::from_slice(text).map_err(|error| {
        // A snapshot is one line, so the column is what helps.
        let reason = if error.is_eof() {
            "the snapshot ends in the middle".to_owned()
        } else {
            format!("not JSON: {error}")
        };
        ReadError::unreadable(file, Some(error.line() as u64), reason)
    })?;
    match value["version"].as_u64() {
        Some(version) if version > SNAPSHOT_VERSION => {
            return Err(ReadError::newer(file, version, SNAPSHOT_VERSION));
        }
        Some(version) if version > 0 => {}
        _ => return Err(ReadError::unreadable(file, None, "the snapshot has no version")),
    }
    snapshot(At {
        value: &value,
        path: "",
    })
    .map_err(|reason| ReadError::unreadable(file, None, reason))
}

fn snapshot(at: At<'_>) -> Result<Snapshot, String> {
    let process = at.get("process");
    Ok(Snapshot {
        taken_at: at.number("taken_at")?,
        run: at.text("run")?,
        session: at.optional("session", At::text)?,
        process: Process {
            pid: u32::try_from(process.number("pid")?)
                .map_err(|_| process.wrong("pid", "a process number"))?,
            started: process.number("started")?,
            boot: process.text("boot")?,
            binary: process.text("binary")?,
            memory: process.optional("memory", At::number)?,
        },
        caches: at.list("caches", |at| {
            Ok(Cache {
                locator: at.text("locator")?,
                worker: at.text("worker")?,
                capacity: at.optional("capacity", At::number)?,
                epoch: at.number("epoch")?,
                hits: at.number("hits")?,
                misses: at.number("misses")?,
                builds: at.number("builds")?,
                evictions: at.number("evictions")?,
                entries: at.list("entries", read_entry)?,
            })
        })?,
    })
}

fn read_entry(at: At<'_>) -> Result<Entry, String> {
    let word = at.text("state")?;
    let state = EntryState::ALL
        .iter()
        .copied()
        .find(|state| state.as_str() == word);
    Ok(Entry {
        service: at.text("service")?,
        type_name: at.text("type")?,
        instance: at.number("instance")?,
        shared: at
            .get("shared")
            .value
            .as_bool()
            .ok_or_else(|| at.wrong("shared", "true or false"))?,
        state: state.ok_or_else(|| at.wrong("state", "a known state"))?,
        built_at: at.number("built_at")?,
        used_at: at.number("used_at")?,
        build_micros: at.number("build_micros")?,
        hits: at.number("hits")?,
        misses: at.number("misses")?,
        holders: at.number("holders")?,
        asked: at.texts("asked")?,
        claims: at.list("claims", |at| {
            let resource = Resource::from_text(&at.text("resource")?);
            let access = Access::from_word(&at.text("access")?);
            Ok(Claim {
                resource: resource.ok_or_else(|| at.wrong("resource", "`kind:name`"))?,
                access: access.ok_or_else(|| at.wrong("access", "`list`, `read` or `write`"))?,
                guards: at.texts("guards")?,
            })
        })?,
        place: at.text("place")?,
        epoch: at.number("epoch")?,
    })
}

/// A value and its name, for errors.
#[derive(Clone, Copy)]
struct At<'a> {
    value: &'a Value,
    path: &'a str,
}

impl<'a> At<'a> {
    fn get(self, name: &'a str) -> At<'a> {
        At {
            value: &self.value[name],
            path: name,
        }
    }

    fn wrong(self, name: &str, shape: &str) -> String {
        let within = if self.path.is_empty() {
            "the snapshot"
        } else {
            self.path
        };
        format!("field {name:?} of {within} should be {shape}")
    }

    fn number(self, name: &str) -> Result<u64, String> {
        self.value[name]
            .as_u64()
            .ok_or_else(|| self.wrong(name, "a number"))
    }

    fn text(self, name: &str) -> Result<String, String> {
        let text = self.value[name]
            .as_str()
            .ok_or_else(|| self.wrong(name, "text"))?;
        Ok(text.to_owned())
    }

    fn optional<T>(
        self,
        name: &str,
        read: impl Fn(Self, &str) -> Result<T, String>,
    ) -> Result<Option<T>, String> {
        match &self.value[name] {
            Value::Null => Ok(None),
            _ => read(self, name).map(Some),
        }
    }

    fn list<T>(self, name: &'a str, read: impl Fn(At<'a>) -> Result<T, String>) -> Result<Vec<T>, String> {
        let list = self.value[name]
            .as_array()
            .ok_or_else(|| self.wrong(name, "a list"))?;
        list.iter().map(|value| read(At { value, path: name })).collect()
    }

    fn texts(self, name: &str) -> Result<Vec<String>, String> {
        let wrong = || self.wrong(name, "a list of text");
        let list = self.value[name].as_array().ok_or_else(wrong)?;
        list.iter()
            .map(|text| text.as_str().map(str::to_owned).ok_or_else(wrong))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    pub(crate) fn example() -> Snapshot {
        let entry = Entry {
            service: "Repo \"x\"\n".into(),
            type_name: "app::Repo".into(),
            instance: 3,
            shared: false,
            state: EntryState::Hidden,
            built_at: 1,
            used_at: 2,
            build_micros: 3,
            hits: 4,
            misses: 5,
            holders: 6,
            asked: vec!["Db".into()],
            claims: vec![Claim {
                resource: Resource::port(80),
                access: Access::Write,
                guards: vec!["g".into()],
            }],
            place: "src/a.rs:1".into(),
            epoch: 7,
        };
        let cache = Cache {
            locator: "services".into(),
            worker: "w0".into(),
            capacity: Some(50),
            epoch: 8,
            hits: 9,
            misses: 10,
            builds: 11,
            evictions: 12,
            entries: vec![entry],
        };
        Snapshot {
            taken_at: u64::MAX,
            run: "r".into(),
            session: None,
            process: Process {
                pid: 1,
                started: 2,
                boot: "m".into(),
                binary: "b".into(),
                memory: Some(3),
            },
            caches: vec![
                Cache {
                    capacity: None,
                    entries: vec![],
                    ..cache.clone()
                },
                cache,
            ],
        }
    }

    #[test]
    fn a_snapshot_comes_back_from_its_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s.json");
        example().write(&path).unwrap();
        example().write(&path).unwrap();
        assert_eq!(read_snapshot(&path).unwrap(), example());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_snapshot_that_a_person_formatted_is_still_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s.json");
        let text = example()
            .to_json()
            .replace(":{", ": {\n  ")
            .replacen('{', "{\n  ", 1);
        std::fs::write(&path, text).unwrap();
        assert_eq!(read_snapshot(&path).unwrap(), example());
    }

    #[test]
    fn a_snapshot_cut_anywhere_is_an_error_and_no_panic() {
        let text = example().to_json();
        for end in 0..text.len() - 2 {
            let error = parse(&text.as_bytes()[..end], Path::new("s.json"))
                .unwrap_err()
                .to_string();
            assert!(
                error.starts_with("s.json:1: the snapshot ends in the middle"),
                "{end}: {error}"
            );
        }
    }

    #[test]
    fn each_missing_field_is_named() {
        let whole: Value = serde_json::from_str(&example().to_json()).unwrap();
        for path in [
            "/run",
            "/process/pid",
            "/caches/1/worker",
            "/caches/1/entries/0/claims/0/access",
        ] {
            let mut value = whole.clone();
            *value.pointer_mut(path).unwrap() = json!({});
            let error = parse(value.to_string().as_bytes(), Path::new("s.json")).unwrap_err();
            let name = path.rsplit('/').next().unwrap();
            assert!(
                error.to_string().contains(&format!("field {name:?} of ")),
                "{error}"
            );
        }
    }

    #[test]
    fn a_newer_or_foreign_file_is_an_error_that_says_so() {
        let newer = example().to_json().replace("\"version\":1", "\"version\":2");
        let error = parse(newer.as_bytes(), Path::new("s.json")).unwrap_err();
        assert!(error.to_string().contains("format version 2"), "{error}");
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("other.json");
        std::fs::write(&path, "{\"name\":1}").unwrap();
        assert!(read_if_ours(&path).unwrap().is_none());
        assert!(
            read_snapshot(&path)
                .unwrap_err()
                .to_string()
                .contains("no snapshot of ours")
        );
    }

    #[test]
    fn a_file_longer_than_any_snapshot_is_not_read_to_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s.json");
        example().write(&path).unwrap();
        let size = path.metadata().unwrap().len();
        assert!(read_up_to(size, &path).unwrap().is_some());
        let error = read_up_to(size - 1, &path).unwrap_err().to_string();
        assert!(
            error.contains(&format!("longer than {} bytes", size - 1)),
            "{error}"
        );
    }

    #[test]
    fn a_snapshot_into_a_missing_folder_is_an_error_that_names_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("not-there/s.json");
        let error = example().write(&path).unwrap_err().to_string();
        let expected = format!("could not write {}", path.display());
        assert!(error.starts_with(&expected), "{error}");
    }
}
