//! Sandboxes: each job's own folders and log, and the variables that point to them.

use super::job::Job;
use super::log_file::{self, LogFile};
use super::options::JobDirs;
use std::ffi::OsStr;
use std::fs::Permissions;
use std::path::{Path, PathBuf};
use std::{fmt, fs, io};

/// Creates sandboxes, and reuses the unused folders and logs of earlier ones.
///
/// Creating and removing two folders and a file costs more than many a short job, and the cost grows: a file system
/// searches for an inode number that was not in use lately. Renaming is cheap.
#[derive(Debug)]
pub(super) struct Sandboxes {
    dirs: JobDirs,
    temp: Vec<OwnedDir>,
    output: Vec<OwnedDir>,
    logs: Vec<LogFile>,
}

/// The folders and the log of one attempt.
#[derive(Debug)]
pub(super) struct Sandbox {
    /// The prefix of its tests' worker names.
    pub(super) name: String,
    /// `None` if the job inherits the temporary folder of this process.
    temp: Option<OwnedDir>,
    output: OwnedDir,
    pub(super) log: LogFile,
}

/// A folder that this module created.
#[derive(Debug)]
struct OwnedDir {
    path: PathBuf,
    /// The permissions after its creation.
    permissions: Permissions,
}

impl Sandboxes {
    pub(super) fn new(dirs: &JobDirs) -> Self {
        Self {
            dirs: dirs.clone(),
            temp: Vec::new(),
            output: Vec::new(),
            logs: Vec::new(),
        }
    }

    pub(super) fn make(&mut self, job: &Job, attempt: u32) -> Result<Sandbox, SandboxError> {
        let own = job.id.to_string();
        let name = log_file::name(job.id, attempt);
        let log = self.logs.pop();
        let log = log.and_then(|log| log.rename(&self.dirs.logs, &name).ok());
        let temp = (!job.inherits_temp).then(|| OwnedDir::make(self.temp.pop(), self.dirs.temp.join(&own)));
        Ok(Sandbox {
            name: format!("{}{own}", self.dirs.prefix),
            temp: temp.transpose()?,
            output: OwnedDir::make(self.output.pop(), self.dirs.output.join(&own))?,
            log: match log {
                Some(log) => log,
                None => LogFile::create(&self.dirs.logs, &name)
                    .map_err(SandboxError::by("create a log in", &self.dirs.logs))?,
            },
        })
    }

    /// Keeps the job's log and output, and removes its temporary files. Unused parts are reused if `is_deserted`: no
    /// surviving process of the job can write to them. Returns the log's path and size.
    pub(super) fn close(&mut self, sandbox: Sandbox, is_deserted: bool) -> (Option<PathBuf>, u64) {
        let Sandbox {
            temp, output, log, ..
        } = sandbox;
        match temp {
            None => {}
            Some(temp) if temp.is_unused() && is_deserted => self.temp.push(temp),
            // Files that a surviving process still creates are removed with the session's folder.
            Some(temp) => _ = fs::remove_dir_all(&temp.path),
        }
        match (output.is_unused(), is_deserted) {
            (true, true) => self.output.push(output),
            // This removes the folder only if it is empty.
            _ => _ = fs::remove_dir(&output.path),
        }
        match log.bytes() {
            0 if is_deserted => self.logs.push(log),
            0 => log.remove(),
            bytes => return (Some(log.path), bytes),
        }
        (None, 0)
    }
}

impl Drop for Sandboxes {
    fn drop(&mut self) {
        for dir in self.temp.drain(..).chain(self.output.drain(..)) {
            let _ = fs::remove_dir(&dir.path);
        }
        for log in self.logs.drain(..) {
            log.remove();
        }
    }
}

impl Sandbox {
    pub(super) fn variables(&self) -> impl Iterator<Item = (&'static str, &OsStr)> {
        let temp = self.temp.iter();
        let temp = temp.flat_map(|temp| TEMPORARY.iter().map(|name| (*name, temp.path.as_os_str())));
        temp.chain([
            ("COFFERDAM_JOB", OsStr::new(&self.name)),
            ("COFFERDAM_RUN_DIR", self.output.path.as_os_str()),
        ])
    }
}

impl OwnedDir {
    /// Renames the spare folder, or creates a new one. A folder that exists is the one of an earlier attempt.
    fn make(spare: Option<Self>, path: PathBuf) -> Result<Self, SandboxError> {
        if let Some(Self {
            path: old,
            permissions,
        }) = spare
        {
            if old == path || fs::rename(&old, &path).is_ok() {
                return Ok(Self { path, permissions });
            }
            let _ = fs::remove_dir(&old);
        }
        match fs::create_dir(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => made.map_err(SandboxError::by("create", &path))?,
        }
        let metadata = fs::metadata(&path).map_err(SandboxError::by("look at", &path))?;
        let permissions = metadata.permissions();
        Ok(Self { path, permissions })
    }

    /// Returns whether the folder is empty and has its original permissions.
    fn is_unused(&self) -> bool {
        let is_unchanged = |found: fs::Metadata| found.is_dir() && found.permissions() == self.permissions;
        fs::symlink_metadata(&self.path).is_ok_and(is_unchanged)
            && fs::read_dir(&self.path).is_ok_and(|mut entries| entries.next().is_none())
    }
}

#[cfg(unix)]
const TEMPORARY: [&str; 1] = ["TMPDIR"];
#[cfg(not(unix))]
const TEMPORARY: [&str; 2] = ["TMP", "TEMP"];

/// A folder or log of a job that could not be created.
#[derive(Debug)]
pub(super) struct SandboxError {
    tried: &'static str,
    path: PathBuf,
    pub(super) source: io::Error,
}

impl SandboxError {
    fn by(tried: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self { tried, path, source }
    }
}

impl fmt::Display for SandboxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tried, path, source } = self;
        write!(f, "could not {tried} {}: {source}", path.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executor::job::JobId;
    use std::io::Write as _;

    fn job(number: u64) -> Job {
        Job {
            id: JobId(number),
            name: String::new(),
            group: None,
            command: vec!["true".into()],
            env: Vec::new(),
            cwd: None,
            timeout: None,
            retries: None,
            inherits_temp: false,
        }
    }

    fn dirs(dir: &Path) -> JobDirs {
        let folder = |name: &str| {
            let path = dir.join(name);
            fs::create_dir(&path).unwrap();
            path
        };
        JobDirs {
            logs: folder("logs"),
            temp: folder("temp"),
            output: folder("output"),
            prefix: "j9.".to_owned(),
        }
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_job_has_its_own_folders_and_only_its_output_stays() {
        let dir = tempfile::tempdir().unwrap();
        let dirs = dirs(dir.path());
        let mut all = Sandboxes::new(&dirs);
        for (number, has_output) in [(1, false), (2, true), (3, false)] {
            let job = JobId(number);
            let mut sandbox = all.make(&self::job(number), 1).unwrap();
            let variables: Vec<_> = sandbox.variables().collect();
            assert!(
                variables.contains(&("COFFERDAM_JOB", OsStr::new(&format!("j9.{job}")))),
                "{variables:?}"
            );
            assert_eq!(names(&dirs.temp), [job.to_string()]);
            if has_output {
                fs::write(sandbox.temp.as_ref().unwrap().path.join("scratch"), "").unwrap();
                fs::write(sandbox.output.path.join("report"), "").unwrap();
                sandbox.log.file.write_all(b"hello").unwrap();
            }
            assert_eq!(all.close(sandbox, true).1, if has_output { 5 } else { 0 });
        }
        drop(all);
        assert_eq!(
            (names(&dirs.temp).len(), names(&dirs.output)),
            (0, vec!["j2".to_owned()])
        );
        assert_eq!(names(&dirs.logs), ["j2.log"]);
    }

    #[test]
    fn a_log_that_a_process_may_still_write_to_is_not_reused() {
        let dir = tempfile::tempdir().unwrap();
        let dirs = dirs(dir.path());
        let mut all = Sandboxes::new(&dirs);
        let first = all.make(&job(1), 1).unwrap();
        let mut kept = first.log.file.try_clone().unwrap();
        all.close(first, false);
        let second = all.make(&job(2), 1).unwrap();
        kept.write_all(b"of the first").unwrap();
        assert_eq!(all.close(second, true), (None, 0));
    }

    #[cfg(unix)]
    #[test]
    fn a_folder_with_changed_permissions_is_not_reused() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let mut all = Sandboxes::new(&dirs(dir.path()));
        let first = all.make(&job(1), 1).unwrap();
        fs::set_permissions(&first.temp.as_ref().unwrap().path, Permissions::from_mode(0o500)).unwrap();
        all.close(first, true);
        let second = all.make(&job(2), 1).unwrap();
        fs::write(second.temp.as_ref().unwrap().path.join("scratch"), "").unwrap();
    }
}
