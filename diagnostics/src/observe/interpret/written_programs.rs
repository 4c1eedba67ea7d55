//! Programs that tests write and execute.
//!
//! A process that starts while a program is open for writing inherits the open file. Until it executes a program of its
//! own, executing the written one fails with `ETXTBSY`, whether its name has changed since or not.

use super::paths::{Links, absolute};
use super::{Effect, FileAccess};
use crate::observe::format::Kind;
use crate::observe::log::{Log, Record};
use cofferdam::format::ResourceKind;
use cofferdam::{Access, Resource};
use std::collections::HashSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// Returns the resource that the programs of a process are together.
pub(crate) fn executables() -> Resource {
    Resource::new(ResourceKind::Executable, "")
}

/// The programs that the processes of tests have executed, by process, and the files that were renamed.
#[derive(Debug, Default)]
pub(crate) struct WrittenPrograms {
    executed: HashSet<(u32, PathBuf)>,
    renamed: HashSet<(PathBuf, PathBuf)>,
}

impl WrittenPrograms {
    /// First pass: notes a program that is executed, or a file that is renamed.
    pub(crate) fn add(&mut self, log: &Log, record: &Record<'_>, folder: Option<&Path>, links: &mut Links) {
        if !log.is_test() || record.failed() {
            return;
        }
        let mut path = |text| Some(links.resolve(absolute(folder, Path::new(OsStr::from_bytes(text)))?));
        match record.kind {
            Kind::Execute => {
                if let Some(path) = path(record.text) {
                    let target = links.target(&path).map(Path::to_owned);
                    self.executed.insert((log.pid(), target.unwrap_or(path)));
                }
            }
            Kind::Rename => self.renamed.extend(path(record.text).zip(path(record.second))),
            _ => {}
        }
    }

    /// Returns the further effect of an access of the process: a program is opened for writing.
    pub(crate) fn effect(&self, pid: u32, record: &Record<'_>, effect: &Effect) -> Option<Effect> {
        let Effect::File(path, FileAccess::Write | FileAccess::AddOrRemove) = effect else {
            return None;
        };
        let is_open_for_writing = record.kind == Kind::Open && record.value & 3 != 0 && !record.failed();
        (is_open_for_writing && self.is_executed(pid, path))
            .then(|| Effect::Other(executables(), Access::Write))
    }

    /// Returns whether the process executes the file, under its name or the next one.
    fn is_executed(&self, pid: u32, path: &Path) -> bool {
        let is_executed = |path: &Path| self.executed.contains(&(pid, path.to_owned()));
        !self.executed.is_empty()
            && (is_executed(path)
                || self
                    .renamed
                    .iter()
                    .any(|(from, to)| from == path && is_executed(to)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::log::test_log::LogBuilder;
    use Kind as K;

    fn is_written_after(records: &[(Kind, u64, &str, &str)]) -> bool {
        let mut made = LogBuilder::new(7, 1, true);
        made.record(1, 1, K::Execute, 0, "/d/tool", b"");
        for (kind, value, text, second) in records {
            made.record(1, 1, *kind, *value, text, second.as_bytes());
        }
        let log = made.log();
        let (mut programs, mut links) = (WrittenPrograms::default(), Links::default());
        for record in log.records() {
            programs.add(&log, &record, None, &mut links);
        }
        log.records().any(|record| {
            let effects = super::super::effects(&record, None, true);
            let written = |effect| programs.effect(7, &record, effect);
            assert!(
                effects
                    .iter()
                    .all(|effect| programs.effect(8, &record, effect).is_none())
            );
            effects.iter().any(|effect| written(effect).is_some())
        })
    }

    #[test]
    fn a_program_is_written_where_it_is_opened_for_writing_under_any_of_its_names() {
        assert!(is_written_after(&[(K::Open, 0o1101, "/d/tool", "")]));
        assert!(is_written_after(&[
            (K::Open, 0o301, "/d/new", ""),
            (K::Rename, 0, "/d/new", "/d/tool")
        ]));
        for record in [
            (K::Open, 0, "/d/tool", ""),
            (K::Open, 0o100, "/d/tool", ""),
            (K::Open, 0o1101, "/d/other", ""),
            (K::Change, 0, "/d/tool", ""),
            (K::Rename, 0, "/d/other", "/d/tool"),
        ] {
            assert!(!is_written_after(&[record]), "{record:?}");
        }
    }
}
