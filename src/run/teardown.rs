//! The failed commands of teardowns, as lines of a file.

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
