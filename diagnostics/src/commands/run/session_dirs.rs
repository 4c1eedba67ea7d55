//! The namespace and the folders of a session.

use super::super::here;
use cofferdam::Error;
use cofferdam::namespace::{Namespace, NamespaceHold};
use cofferdam_batch::ledger;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::{env, io};

/// Returns the requested namespace, else that of the environment, else one of the session's own.
pub(super) fn namespace(requested: Option<&str>, session: &str) -> Result<Namespace, Error> {
    match requested {
        Some(name) => Namespace::named(name),
        None => match Namespace::from_environment()? {
            Some(namespace) => Ok(namespace),
            None => Namespace::named(session),
        },
    }
}

/// The output folder of a session's namespace.
pub(super) struct OutputDir {
    pub(super) namespace: Namespace,
    pub(super) path: PathBuf,
    hold: Option<NamespaceHold>,
}

impl OutputDir {
    pub(super) fn take(namespace: Namespace, base: &Path) -> Result<Self, Error> {
        let hold = if is_nested() {
            None
        } else {
            Some(namespace.hold(base)?)
        };
        Ok(Self {
            path: namespace.output_dir(base)?,
            namespace,
            hold,
        })
    }
}

impl Drop for OutputDir {
    fn drop(&mut self) {
        if self.hold.is_some() {
            // This removes the folder only if it is empty.
            let _ = std::fs::remove_dir(&self.path);
        }
    }
}

/// Returns whether this session may run beside another one in its namespace: because its user asked for that, or because
/// it is part of a command of that session.
pub(super) fn is_concurrent() -> bool {
    is_nested() || variable("COFFERDAM_RUN_LOCK").is_some_and(|lock| lock == "off")
}

/// Returns whether another session started this process.
fn is_nested() -> bool {
    variable("COFFERDAM_RECORD").is_some()
}

/// Returns the value of a variable; an empty one counts as unset.
fn variable(name: &str) -> Option<OsString> {
    #[expect(
        clippy::disallowed_methods,
        reason = "an outer session sets variables for its commands, and users set them for this one"
    )]
    env::var_os(name).filter(|value| !value.is_empty())
}

/// The folders for the jobs of a session. The temporary one is removed on drop.
pub(super) struct SessionDirs {
    /// The logs, which only this user can read.
    pub(super) logs: PathBuf,
    pub(super) temp: tempfile::TempDir,
}

impl SessionDirs {
    pub(super) fn create(base: &Path, session: &str, output: &Path) -> Result<Self, io::Error> {
        let logs = ledger::folder(base, session);
        let below = logs.strip_prefix(base).unwrap_or(&logs);
        here::create_dir(base, below)?;
        let failed = |path: &Path, error: &io::Error| {
            io::Error::new(
                error.kind(),
                format!("could not create {}: {error}", path.display()),
            )
        };
        std::fs::create_dir_all(output).map_err(|error| failed(output, &error))?;
        // Not below the base folder: jobs put sockets there, and the paths of sockets have to be short.
        let temp = tempfile::Builder::new().prefix("cofferdam-").tempdir();
        let temp = temp.map_err(|error| failed(&env::temp_dir(), &error))?;
        Ok(Self { logs, temp })
    }

    /// Returns the variable for the folder of machine-wide locks. Jobs have temporary folders of their own, and would
    /// otherwise not see each other's locks. A nested session keeps the folder that it was given.
    pub(super) fn host_dir(&self) -> Option<(OsString, OsString)> {
        const NAME: &str = "COFFERDAM_MACHINE_DIR";
        variable(NAME)
            .is_none()
            .then(|| (NAME.into(), env::temp_dir().into()))
    }
}

/// Returns the prefix of job names: the job that this session runs in, if any.
pub(super) fn job_prefix() -> String {
    let job = variable("COFFERDAM_JOB");
    job.map_or_else(String::new, |job| format!("{}.", job.to_string_lossy()))
}
