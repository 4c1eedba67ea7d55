//! What a job has for itself: folders, a place for its output, and the variables that tell it of them.

use super::job::JobId;
use super::options::Folders;
use super::output::Output;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::{fs, io};

/// The folders of one attempt.
#[derive(Debug)]
pub(super) struct Sandbox {
    /// What prefixes the lanes of its tests.
    pub(super) name: String,
    temp: PathBuf,
    output: PathBuf,
    pub(super) log: Output,
}

impl Sandbox {
    pub(super) fn make(folders: &Folders, job: JobId, attempt: u32) -> io::Result<Self> {
        let own = job.to_string();
        let (temp, output) = (folders.temp.join(&own), folders.output.join(&own));
        for folder in [&temp, &output] {
            match fs::create_dir(folder) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                made => made.map_err(|error| said("create", folder, &error))?,
            }
        }
        let log = Output::create(&folders.logs, job, attempt)
            .map_err(|error| said("create a log in", &folders.logs, &error))?;
        Ok(Self {
            name: format!("{}{own}", folders.prefix),
            temp,
            output,
            log,
        })
    }

    pub(super) fn variables(&self) -> impl Iterator<Item = (&'static str, &OsStr)> {
        let temp = TEMPORARY.iter().map(|name| (*name, self.temp.as_os_str()));
        temp.chain([
            ("COFFERDAM_JOB", OsStr::new(&self.name)),
            ("COFFERDAM_RUN_DIR", self.output.as_os_str()),
        ])
    }

    /// Its output stays, and what it put into its output folder; what was in its temporary folder goes.
    pub(super) fn close(self) -> (Option<PathBuf>, u64) {
        // Mostly both are empty, and that is the quickest way to know.
        let _ = fs::remove_dir(&self.output);
        if fs::remove_dir(&self.temp).is_err() {
            // What stays, because somebody still writes there, goes with the session's folder.
            let _ = fs::remove_dir_all(&self.temp);
        }
        self.log.close()
    }
}

#[cfg(unix)]
const TEMPORARY: [&str; 1] = ["TMPDIR"];
#[cfg(not(unix))]
const TEMPORARY: [&str; 2] = ["TMP", "TEMP"];

fn said(tried: &str, path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("could not {tried} {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn a_job_has_folders_of_its_own_and_only_what_it_put_out_stays() {
        let dir = tempfile::tempdir().unwrap();
        let folder = |name: &str| {
            let path = dir.path().join(name);
            fs::create_dir(&path).unwrap();
            path
        };
        let folders = Folders {
            logs: folder("logs"),
            temp: folder("temp"),
            output: folder("output"),
            prefix: "j9.".to_owned(),
        };
        for (job, puts_out) in [(JobId(1), true), (JobId(2), false)] {
            let mut sandbox = Sandbox::make(&folders, job, 1).unwrap();
            let told: Vec<_> = sandbox.variables().collect();
            assert!(told.contains(&("COFFERDAM_JOB", OsStr::new(&format!("j9.{job}")))), "{told:?}");
            fs::write(sandbox.temp.join("scratch"), "").unwrap();
            if puts_out {
                fs::write(sandbox.output.join("report"), "").unwrap();
                sandbox.log.file.write_all(b"hello").unwrap();
            }
            assert_eq!(sandbox.close().1, if puts_out { 5 } else { 0 });
            let name = job.to_string();
            assert!(!folders.temp.join(&name).exists());
            assert_eq!(folders.output.join(&name).exists(), puts_out);
            assert_eq!(folders.logs.join(format!("{name}.log")).exists(), puts_out);
        }
    }
}
