//! Commands as plain data, and the stored commands of a fixture's teardown.

use std::ffi::OsString;
use std::path::PathBuf;

/// Returns the last lines of a log for a message: at most 20, and 2,000 bytes.
pub(crate) fn last_lines(log: &[u8]) -> String {
    const LONGEST: usize = 2000;
    let text = String::from_utf8_lossy(&log[log.len().saturating_sub(LONGEST)..]);
    let lines: Vec<_> = text.trim_end().lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

/// A command of a teardown that failed.
#[cfg(all(target_os = "linux", not(miri)))]
pub(crate) struct FailedCommand {
    /// Its end: `exit code 1`.
    pub(crate) how: String,
    /// The last lines of its output.
    pub(crate) output: String,
}

/// A command as plain data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredCommand {
    pub(crate) program: OsString,
    pub(crate) args: Vec<OsString>,
    /// The complete environment.
    pub(crate) env: Vec<(OsString, OsString)>,
    pub(crate) dir: PathBuf,
}

#[cfg(all(target_os = "linux", not(miri)))]
mod linux {
    use super::{FailedCommand, StoredCommand, last_lines};
    use crate::run;
    use crate::sys::child::Handle;
    use crate::sys::clock::Deadline;
    use crate::sys::{family, file_lock, process};
    use serde_json::{Value, json};
    use std::ffi::{OsStr, OsString};
    use std::fs::OpenOptions;
    use std::io::{self, Read as _};
    use std::os::unix::ffi::OsStringExt as _;
    use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
    use std::path::{Path, PathBuf};
    use std::process::{Child, Command, Stdio};
    use std::time::Duration;

    /// The time limit of one command of a teardown.
    const LIMIT: Duration = Duration::from_secs(20);
    /// The time limit for the end of a killed process. One that takes longer hangs, and must not block the rest.
    const LAST: Duration = Duration::from_secs(5);

    /// Returns the file with the commands of a teardown, in the fixture's directory. Its name identifies the machine, because a
    /// CI cache may restore a directory of another machine, whose commands must not run on this one.
    pub(crate) fn teardown_file(fixture: &Path) -> PathBuf {
        fixture.join(format!(
            "teardown-{}.jsonl",
            run::name_of_space(&run::facts().space)
        ))
    }

    /// Runs the commands in the fixture's teardown file, last first, if its keeper could not.
    pub(crate) fn run_teardown(fixture: &Path) {
        let mut commands = String::new();
        let Ok(mut file) = file_lock::read(&teardown_file(fixture)) else {
            return;
        };
        // Its commands run as this user, so no other user may be able to write to it.
        let is_private = file.metadata().is_ok_and(|found| {
            found.is_file() && found.uid() == process::user() && found.mode() & 0o022 == 0
        });
        if !is_private || file.read_to_string(&mut commands).is_err() {
            return;
        }
        for line in commands.lines().rev() {
            if let Some(command) = StoredCommand::from_teardown_line(line) {
                // No session is recorded any more, whose report would name it.
                let _ = command.run(&fixture.join("log"));
            }
        }
    }

    impl StoredCommand {
        /// Returns the line in a teardown file.
        pub(crate) fn to_teardown_line(&self) -> String {
            format!("{}\n", json!({ "teardown": self.to_json() }))
        }

        fn from_teardown_line(line: &str) -> Option<Self> {
            let value: Value = serde_json::from_str(line).ok()?;
            Self::from_json(&value["teardown"])
        }

        /// Returns the command with this log as its output.
        pub(crate) fn to_command(&self, log: &Path) -> io::Result<Command> {
            let log = OpenOptions::new()
                .create(true)
                .append(true)
                .mode(0o600)
                .open(log)
                // If the folder was deleted, the teardown has to work without a log.
                .or_else(|_| OpenOptions::new().write(true).open("/dev/null"))?;
            let mut command = process::command(&self.program);
            command
                .args(&self.args)
                .env_clear()
                .envs(self.env.iter().map(|(name, value)| (name, value)))
                .current_dir(&self.dir)
                .stdin(Stdio::null())
                .stdout(log.try_clone()?)
                .stderr(log);
            Ok(command)
        }

        /// Runs the command as part of a teardown, for at most 20 s.
        pub(crate) fn run(&self, log: &Path) -> Result<(), FailedCommand> {
            let begin = std::fs::metadata(log).map_or(0, |log| log.len());
            self.run_to_end(log).map_err(|how| {
                let written = std::fs::read(log).unwrap_or_default();
                let own = written.get(begin as usize..).unwrap_or_default();
                FailedCommand {
                    how,
                    output: last_lines(own),
                }
            })
        }

        fn run_to_end(&self, log: &Path) -> Result<(), String> {
            let mut child = self
                .to_command(log)
                .and_then(|mut command| command.spawn())
                .map_err(|error| error.to_string())?;
            if let Ok(handle) = Handle::open(child.id()) {
                handle.ended(Deadline::after(LIMIT));
            }
            let how = family::how_it_ended(child.id());
            family::signal_group(child.id(), libc::SIGKILL);
            reap(&mut child);
            match how.as_deref() {
                Some("exit code 0") => Ok(()),
                Some(how) => Err(how.to_owned()),
                None => Err(format!("no end within {} s", LIMIT.as_secs())),
            }
        }

        pub(crate) fn to_json(&self) -> Value {
            json!({
                "program": os_to_json(&self.program),
                "args": self.args.iter().map(|arg| os_to_json(arg)).collect::<Vec<_>>(),
                "env": self.env.iter().map(|(name, value)| json!([os_to_json(name), os_to_json(value)]))
                    .collect::<Vec<_>>(),
                "dir": os_to_json(self.dir.as_os_str()),
            })
        }

        pub(crate) fn from_json(value: &Value) -> Option<Self> {
            let env = value["env"].as_array()?.iter();
            Some(Self {
                program: os_from_json(&value["program"])?,
                args: value["args"]
                    .as_array()?
                    .iter()
                    .map(os_from_json)
                    .collect::<Option<_>>()?,
                env: env
                    .map(|pair| Some((os_from_json(&pair[0])?, os_from_json(&pair[1])?)))
                    .collect::<Option<_>>()?,
                dir: os_from_json(&value["dir"])?.into(),
            })
        }
    }

    /// Waits for a killed child.
    pub(crate) fn reap(child: &mut Child) {
        if Handle::open(child.id()).is_ok_and(|handle| handle.ended(Deadline::after(LAST))) {
            let _ = child.wait();
        }
    }

    /// Encodes text as a string if it is Unicode, otherwise as bytes.
    pub(crate) fn os_to_json(text: &OsStr) -> Value {
        match text.to_str() {
            Some(text) => Value::from(text),
            None => Value::from(text.as_encoded_bytes()),
        }
    }

    pub(crate) fn os_from_json(value: &Value) -> Option<OsString> {
        if let Some(text) = value.as_str() {
            return Some(text.into());
        }
        let bytes = value
            .as_array()?
            .iter()
            .map(|byte| u8::try_from(byte.as_u64()?).ok());
        Some(OsString::from_vec(bytes.collect::<Option<_>>()?))
    }

    #[cfg(test)]
    mod tests {
        use super::*;
        use std::fs::{self, Permissions};
        use std::os::unix::fs::{PermissionsExt as _, chown};

        #[test]
        fn a_teardown_file_that_another_user_may_write_is_not_run() {
            let dir = tempfile::tempdir().unwrap();
            let (file, ran) = (teardown_file(dir.path()), dir.path().join("ran"));
            let command = StoredCommand {
                program: "/usr/bin/env".into(),
                args: vec!["touch".into(), ran.clone().into()],
                env: vec![("PATH".into(), "/usr/bin:/bin".into())],
                dir: dir.path().to_owned(),
            };
            fs::write(&file, command.to_teardown_line()).unwrap();
            fs::set_permissions(&file, Permissions::from_mode(0o620)).unwrap();
            run_teardown(dir.path());
            assert!(!ran.exists());
            fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
            // Only root may change the owner of a file.
            if chown(&file, Some(4711), None).is_ok() {
                run_teardown(dir.path());
                assert!(!ran.exists());
                chown(&file, Some(process::user()), None).unwrap();
            }
            run_teardown(dir.path());
            assert!(ran.exists());
        }
    }
}

#[cfg(all(target_os = "linux", not(miri)))]
pub(crate) use linux::{os_from_json, os_to_json, reap, run_teardown, teardown_file};
