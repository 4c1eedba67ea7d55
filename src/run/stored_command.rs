//! Commands as plain data.

use std::ffi::OsString;
use std::path::PathBuf;

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
    use super::StoredCommand;
    use crate::sys::child::Handle;
    use crate::sys::clock::Deadline;
    use crate::sys::process;
    use serde_json::{Value, json};
    use std::ffi::{OsStr, OsString};
    use std::fs::OpenOptions;
    use std::io;
    use std::os::unix::ffi::OsStringExt as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    use std::path::Path;
    use std::process::{Child, Command, Stdio};
    use std::time::Duration;

    /// The time limit for the end of a killed process. One that takes longer hangs, and must not block the rest.
    const LAST: Duration = Duration::from_secs(5);

    impl StoredCommand {
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
}

#[cfg(all(target_os = "linux", not(miri)))]
pub(crate) use linux::{os_from_json, os_to_json, reap};
