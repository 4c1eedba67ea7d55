//! Teardowns of fixtures: their commands, as lines of a file, and the failed ones, as lines of another file.

use crate::json_value::Value;

/// The file with the commands of teardowns that failed, in the run's directory.
#[cfg(all(feature = "fixtures", target_os = "linux", not(miri)))]
pub(crate) const FAILURES: &str = "fixtures.teardown";

/// A command of a fixture's teardown that failed, as a line of the file `fixtures.teardown` in the run's directory. The file exists
/// only if one did in a recorded run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedTeardown {
    /// The session that the run was recorded for; empty if it was not recorded.
    pub session: String,
    /// The run; empty where it has no name for users.
    pub run: String,
    /// The fixture, with its worker if it is one per worker.
    pub fixture: String,
    /// The program, without its arguments; empty if the teardown was not complete.
    pub command: String,
    /// Its end: `exit code 1`.
    pub how: String,
    /// The last lines of its output.
    pub output: String,
    /// The time of the failure, in microseconds since 1970.
    pub at: u64,
}

impl FailedTeardown {
    /// Returns the line, without its newline.
    pub fn to_line(&self) -> String {
        let Self {
            session,
            run,
            fixture,
            command,
            how,
            output,
            at,
        } = self;
        let fields = vec![
            ("session", session.as_str().into()),
            ("run", run.as_str().into()),
            ("fixture", fixture.as_str().into()),
            ("command", command.as_str().into()),
            ("how", how.as_str().into()),
            ("output", output.as_str().into()),
            ("at", (*at).into()),
        ];
        Value::object(fields).to_line()
    }

    /// Returns the content of a line; `None` if it is malformed.
    pub fn from_line(line: &str) -> Option<Self> {
        let value = Value::read(line)?;
        let text = |name: &str| value.get(name).as_text().map(str::to_owned);
        Some(Self {
            session: text("session")?,
            run: text("run")?,
            fixture: text("fixture")?,
            command: text("command")?,
            how: text("how")?,
            output: text("output")?,
            at: value.get("at").as_number()?,
        })
    }
}

/// A command of a teardown that failed.
#[cfg(all(feature = "fixtures", target_os = "linux", not(miri)))]
pub(crate) struct FailedCommand {
    /// Its end: `exit code 1`.
    pub(crate) how: String,
    /// The last lines of its output.
    pub(crate) output: String,
}

#[cfg(all(feature = "fixtures", target_os = "linux", not(miri)))]
mod commands {
    use super::FailedCommand;
    use crate::run;
    use crate::run::log_end::last_lines;
    use crate::run::stored_command::{StoredCommand, reap};
    use crate::sys::child::Handle;
    use crate::sys::clock::Deadline;
    use crate::sys::{family, file_lock, process};
    use serde_json::{Value, json};
    use std::io::Read as _;
    use std::os::unix::fs::MetadataExt as _;
    use std::path::{Path, PathBuf};
    use std::time::Duration;

    /// The time limit of one command of a teardown.
    const LIMIT: Duration = Duration::from_secs(20);

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
            if let Some(command) = from_line(line) {
                // A failure is ignored: no session is recorded whose report could name it.
                let _ = run_command(&command, &fixture.join("log"));
            }
        }
    }

    /// Returns the line of a command in a teardown file.
    pub(crate) fn to_line(command: &StoredCommand) -> String {
        format!("{}\n", json!({ "teardown": command.to_json() }))
    }

    fn from_line(line: &str) -> Option<StoredCommand> {
        let value: Value = serde_json::from_str(line).ok()?;
        StoredCommand::from_json(&value["teardown"])
    }

    /// Runs a command of a teardown, for at most 20 s.
    pub(crate) fn run_command(command: &StoredCommand, log: &Path) -> Result<(), FailedCommand> {
        let begin = std::fs::metadata(log).map_or(0, |log| log.len());
        run_to_end(command, log).map_err(|how| FailedCommand {
            how,
            output: last_lines(log, begin),
        })
    }

    fn run_to_end(command: &StoredCommand, log: &Path) -> Result<(), String> {
        let mut child = command
            .to_command(log)
            .and_then(|mut command| command.spawn())
            .map_err(|error| error.to_string())?;
        let opened = Handle::open(child.id()).map(|handle| handle.ended(Deadline::after(LIMIT)));
        let how = family::how_it_ended(child.id());
        family::signal_group(child.id(), libc::SIGKILL);
        reap(&mut child);
        match (how.as_deref(), opened) {
            (Some("exit code 0"), _) => Ok(()),
            (Some(how), _) => Err(how.to_owned()),
            (None, Err(error)) => Err(format!("its end could not be awaited: {error}")),
            (None, Ok(_)) => Err(format!("no end within {} s", LIMIT.as_secs())),
        }
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
            fs::write(&file, to_line(&command)).unwrap();
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

#[cfg(all(feature = "fixtures", target_os = "linux", not(miri)))]
pub(crate) use commands::{run_command, run_teardown, teardown_file, to_line};
