//! What a job has for itself: folders, a place for its output, and the variables that tell it of them.

use super::job::Job;
use super::options::Folders;
use super::output::{self, Output};
use std::ffi::OsStr;
use std::fs::Permissions;
use std::path::{Path, PathBuf};
use std::{fmt, fs, io};

/// Makes what each job has for itself, of what the ones before it did not use.
///
/// To make and remove two folders and a file for each of very many jobs costs more than many a job, and the more the
/// longer it goes on: a file system looks for a number that was not in use lately. To rename them costs little.
#[derive(Debug)]
pub(super) struct Sandboxes {
    folders: Folders,
    temp: Vec<Folder>,
    output: Vec<Folder>,
    logs: Vec<Output>,
}

/// The folders of one attempt.
#[derive(Debug)]
pub(super) struct Sandbox {
    /// What prefixes the lanes of its tests.
    pub(super) name: String,
    /// `None` where it keeps ours.
    temp: Option<Folder>,
    output: Folder,
    pub(super) log: Output,
}

/// A folder that we made.
#[derive(Debug)]
struct Folder {
    path: PathBuf,
    /// As it was made.
    permissions: Permissions,
}

impl Sandboxes {
    pub(super) fn new(folders: &Folders) -> Self {
        Self {
            folders: folders.clone(),
            temp: Vec::new(),
            output: Vec::new(),
            logs: Vec::new(),
        }
    }

    pub(super) fn make(&mut self, job: &Job, attempt: u32) -> Result<Sandbox, NotMade> {
        let own = job.id.to_string();
        let name = output::name(job.id, attempt);
        let log = self.logs.pop();
        let log = log.and_then(|log| log.rename(&self.folders.logs, &name).ok());
        let temp = (!job.keeps_temp).then(|| Folder::make(self.temp.pop(), self.folders.temp.join(&own)));
        Ok(Sandbox {
            name: format!("{}{own}", self.folders.prefix),
            temp: temp.transpose()?,
            output: Folder::make(self.output.pop(), self.folders.output.join(&own))?,
            log: match log {
                Some(log) => log,
                None => Output::create(&self.folders.logs, &name)
                    .map_err(NotMade::by("create a log in", &self.folders.logs))?,
            },
        })
    }

    /// Its output stays, and what it put into its output folder; what was in its temporary folder goes. What it did
    /// not use is used again if `alone`: nothing that it left behind can write there. Returns where the output is, and
    /// how much.
    pub(super) fn close(&mut self, sandbox: Sandbox, alone: bool) -> (Option<PathBuf>, u64) {
        let Sandbox {
            temp, output, log, ..
        } = sandbox;
        match temp {
            None => {}
            Some(temp) if temp.is_unused() && alone => self.temp.push(temp),
            // What stays, because somebody still writes there, goes with the session's folder.
            Some(temp) => _ = fs::remove_dir_all(&temp.path),
        }
        match (output.is_unused(), alone) {
            (true, true) => self.output.push(output),
            // Only if nothing was put there.
            _ => _ = fs::remove_dir(&output.path),
        }
        match log.written() {
            0 if alone => self.logs.push(log),
            0 => log.remove(),
            written => return (Some(log.path), written),
        }
        (None, 0)
    }
}

impl Drop for Sandboxes {
    fn drop(&mut self) {
        for folder in self.temp.drain(..).chain(self.output.drain(..)) {
            let _ = fs::remove_dir(&folder.path);
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

impl Folder {
    /// Of another one that nobody used, or anew. One that is there is what an earlier attempt left.
    fn make(spare: Option<Self>, path: PathBuf) -> Result<Self, NotMade> {
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
            made => made.map_err(NotMade::by("create", &path))?,
        }
        let permissions = fs::metadata(&path).map_err(NotMade::by("look at", &path))?;
        let permissions = permissions.permissions();
        Ok(Self { path, permissions })
    }

    /// Whether it is as it was made.
    fn is_unused(&self) -> bool {
        let is_as_made = |found: fs::Metadata| found.is_dir() && found.permissions() == self.permissions;
        fs::symlink_metadata(&self.path).is_ok_and(is_as_made)
            && fs::read_dir(&self.path).is_ok_and(|mut entries| entries.next().is_none())
    }
}

#[cfg(unix)]
const TEMPORARY: [&str; 1] = ["TMPDIR"];
#[cfg(not(unix))]
const TEMPORARY: [&str; 2] = ["TMP", "TEMP"];

/// A folder or a file of a job could not be made.
#[derive(Debug)]
pub(super) struct NotMade {
    tried: &'static str,
    path: PathBuf,
    pub(super) source: io::Error,
}

impl NotMade {
    fn by(tried: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self { tried, path, source }
    }
}

impl fmt::Display for NotMade {
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
            keeps_temp: false,
        }
    }

    fn folders(dir: &Path) -> Folders {
        let folder = |name: &str| {
            let path = dir.join(name);
            fs::create_dir(&path).unwrap();
            path
        };
        Folders {
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
    fn a_job_has_folders_of_its_own_and_only_what_it_put_out_stays() {
        let dir = tempfile::tempdir().unwrap();
        let folders = folders(dir.path());
        let mut all = Sandboxes::new(&folders);
        for (number, puts_out) in [(1, false), (2, true), (3, false)] {
            let job = JobId(number);
            let mut sandbox = all.make(&self::job(number), 1).unwrap();
            let told: Vec<_> = sandbox.variables().collect();
            assert!(
                told.contains(&("COFFERDAM_JOB", OsStr::new(&format!("j9.{job}")))),
                "{told:?}"
            );
            assert_eq!(names(&folders.temp), [job.to_string()]);
            if puts_out {
                fs::write(sandbox.temp.as_ref().unwrap().path.join("scratch"), "").unwrap();
                fs::write(sandbox.output.path.join("report"), "").unwrap();
                sandbox.log.file.write_all(b"hello").unwrap();
            }
            assert_eq!(all.close(sandbox, true).1, if puts_out { 5 } else { 0 });
        }
        drop(all);
        assert_eq!(
            (names(&folders.temp).len(), names(&folders.output)),
            (0, vec!["j2".to_owned()])
        );
        assert_eq!(names(&folders.logs), ["j2.log"]);
    }

    #[test]
    fn what_somebody_may_still_write_to_is_not_handed_on() {
        let dir = tempfile::tempdir().unwrap();
        let folders = folders(dir.path());
        let mut all = Sandboxes::new(&folders);
        let first = all.make(&job(1), 1).unwrap();
        let mut kept = first.log.file.try_clone().unwrap();
        all.close(first, false);
        let second = all.make(&job(2), 1).unwrap();
        kept.write_all(b"of the first").unwrap();
        assert_eq!(all.close(second, true), (None, 0));
    }

    #[cfg(unix)]
    #[test]
    fn a_folder_whose_rights_were_changed_is_not_handed_on() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let mut all = Sandboxes::new(&folders(dir.path()));
        let first = all.make(&job(1), 1).unwrap();
        fs::set_permissions(&first.temp.as_ref().unwrap().path, Permissions::from_mode(0o500)).unwrap();
        all.close(first, true);
        let second = all.make(&job(2), 1).unwrap();
        fs::write(second.temp.as_ref().unwrap().path.join("scratch"), "").unwrap();
    }
}
