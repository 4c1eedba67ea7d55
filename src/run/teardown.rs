//! A command as plain data, and the commands that a fixture left for its end.

use std::ffi::OsString;
use std::path::PathBuf;

/// A command as plain data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Order {
    pub(crate) program: OsString,
    pub(crate) args: Vec<OsString>,
    /// The whole environment.
    pub(crate) env: Vec<(OsString, OsString)>,
    pub(crate) dir: PathBuf,
}

#[cfg(all(target_os = "linux", not(miri)))]
mod linux {
    use super::Order;
    use crate::run;
    use crate::sys::child::{self, Handle};
    use crate::sys::clock::Deadline;
    use crate::sys::{file_lock, process};
    use serde_json::{Value, json};
    use std::ffi::{OsStr, OsString};
    use std::fs::OpenOptions;
    use std::io::{self, Read as _};
    use std::os::unix::ffi::OsStringExt as _;
    use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
    use std::path::{Path, PathBuf};
    use std::process::{Child, Command, Stdio};
    use std::time::Duration;

    /// The time that one command of a teardown may take.
    const LIMIT: Duration = Duration::from_secs(20);
    /// The time that a killed process may take. One that takes longer hangs, and the rest must not wait for it.
    const LAST: Duration = Duration::from_secs(5);

    /// The file with the commands of a teardown, in the fixture's folder. A cache may bring the folder of another machine,
    /// whose commands are not for this one, so the name says where its processes were.
    pub(crate) fn teardown_file(fixture: &Path) -> PathBuf {
        fixture.join(format!("teardown-{}.jsonl", run::of_space(&run::facts().space)))
    }

    /// Runs what stands in the fixture's teardown file, the last command first: its keeper was killed before it could.
    pub(crate) fn run_teardown(fixture: &Path) {
        let mut left = String::new();
        let Ok(mut file) = file_lock::read(&teardown_file(fixture)) else {
            return;
        };
        // Whoever may write to it has its commands run in this user's name.
        let is_ours = file.metadata().is_ok_and(|found| {
            found.is_file() && found.uid() == process::user() && found.mode() & 0o022 == 0
        });
        if !is_ours || file.read_to_string(&mut left).is_err() {
            return;
        }
        for line in left.lines().rev() {
            if let Some(order) = Order::from_teardown_line(line) {
                order.run(&fixture.join("log"));
            }
        }
    }

    impl Order {
        /// The line of a teardown file.
        pub(crate) fn to_teardown_line(&self) -> String {
            format!("{}\n", json!({ "teardown": self.to_json() }))
        }

        fn from_teardown_line(line: &str) -> Option<Self> {
            let value: Value = serde_json::from_str(line).ok()?;
            Self::from_json(&value["teardown"])
        }

        /// The command, with this log as its output.
        pub(crate) fn command(&self, log: &Path) -> io::Result<Command> {
            let log = OpenOptions::new()
                .create(true)
                .append(true)
                .mode(0o600)
                .open(log)
                // Where the folder was deleted a teardown has to go on without.
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

        /// Runs it as a command of a teardown, for 20 s at most.
        pub(crate) fn run(&self, log: &Path) {
            let Ok(mut child) = self.command(log).and_then(|mut command| command.spawn()) else {
                return;
            };
            if let Ok(handle) = Handle::open(child.id()) {
                handle.ended(Deadline::after(LIMIT));
            }
            child::signal_group(child.id(), libc::SIGKILL);
            bury(&mut child);
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

    /// Waits for a child that was killed.
    pub(crate) fn bury(child: &mut Child) {
        if Handle::open(child.id()).is_ok_and(|handle| handle.ended(Deadline::after(LAST))) {
            let _ = child.wait();
        }
    }

    /// Text where it is text; else its bytes, for names and arguments need not be Unicode.
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
        fn a_teardown_file_that_another_user_may_have_written_is_not_run() {
            let dir = tempfile::tempdir().unwrap();
            let (file, ran) = (teardown_file(dir.path()), dir.path().join("ran"));
            let order = Order {
                program: "/usr/bin/env".into(),
                args: vec!["touch".into(), ran.clone().into()],
                env: vec![("PATH".into(), "/usr/bin:/bin".into())],
                dir: dir.path().to_owned(),
            };
            fs::write(&file, order.to_teardown_line()).unwrap();
            fs::set_permissions(&file, Permissions::from_mode(0o620)).unwrap();
            run_teardown(dir.path());
            assert!(!ran.exists());
            fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
            // Only root may give files away.
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
pub(crate) use linux::{bury, os_from_json, os_to_json, run_teardown, teardown_file};
