//! Test support for behavior of whole processes.
//!
//! A *role* is an `#[ignore]`d test that acts only when a variable is set. The test that needs it runs its own executable
//! again for that role, communicates over the standard streams, and checks how it ended. That works under `cargo test` and
//! nextest, and without sleeps.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};

const VARIABLE: &str = "COFFERDAM_TEST_ROLE";
/// Precedes the lines of a role, because libtest writes to the same stream.
const MARK: &str = "role says: ";

/// Returns a command that plays the role, the ignored test of that path, in a run of its own named `run`.
///
/// The variables that this process inherited from its runner are removed.
#[expect(clippy::disallowed_methods, reason = "tests run their own executable again")]
pub(crate) fn role(path: &str, run: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("a test has an executable"));
    for (name, _) in std::env::vars_os() {
        if ["NEXTEST", "COFFERDAM"]
            .iter()
            .any(|prefix| name.to_string_lossy().starts_with(prefix))
        {
            command.env_remove(name);
        }
    }
    command
        .args(["--exact", path, "--ignored", "--nocapture"])
        .env(VARIABLE, path)
        .env("COFFERDAM_RUN_ID", run);
    command
}

/// Returns whether this process was started for the role. If not, the ignored test has nothing to do.
#[expect(clippy::disallowed_methods, reason = "a role is selected by the environment")]
pub(crate) fn plays(path: &str) -> bool {
    std::env::var(VARIABLE).is_ok_and(|role| role == path)
}

/// Sends a line to the test that started this role.
pub(crate) fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("\n{MARK}{line}\n").as_bytes())
        .and_then(|()| out.flush())
        .expect("the test reads");
}

/// Waits for a line from the test that started this role, or for its end.
pub(crate) fn listen() {
    let _ = std::io::stdin().lock().read_line(&mut String::new());
}

/// Runs `child` in a fork of this process, with thread-local destructors and exit handlers, and returns its wait status.
#[cfg(unix)]
#[expect(unsafe_code, reason = "some roles test forks")]
pub(crate) fn fork(child: impl FnOnce()) -> i32 {
    // SAFETY: besides this thread, a role's process has only libtest's thread, which waits and holds no lock that the child
    // could need. Only the child exits, and the status outlives the wait.
    unsafe {
        let copy = libc::fork();
        if copy == 0 {
            child();
            libc::exit(0);
        }
        let mut status = -1;
        let waited = libc::waitpid(copy, &raw mut status, 0);
        assert_eq!(waited, copy, "another thread waited for the child");
        status
    }
}

/// A running role, killed on drop.
pub(crate) struct Player {
    child: Child,
    to: Option<ChildStdin>,
    from: BufReader<ChildStdout>,
}

/// The result of a role.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Starts the role. Its standard error is read at its end, so it must fit into a pipe.
pub(crate) fn play(command: &mut Command) -> Player {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("an executable that runs can be run again");
    let to = child.stdin.take();
    let from = BufReader::new(child.stdout.take().expect("it is piped"));
    Player { child, to, from }
}

impl Player {
    /// Waits for the next line of the role.
    pub(crate) fn hear(&mut self) -> String {
        loop {
            let mut line = String::new();
            if self.from.read_line(&mut line).expect("text") == 0 {
                panic!("the role ended early:\n{}", self.errors());
            }
            if let Some((_, said)) = line.split_once(MARK) {
                return said.trim_end().to_owned();
            }
        }
    }

    /// Lets it continue after [`listen`].
    pub(crate) fn answer(&mut self) {
        let to = self.to.as_mut().expect("it is kept until the end");
        to.write_all(b"go on\n").expect("the role reads");
    }

    pub(crate) fn kill(&mut self) {
        self.child
            .kill()
            .and_then(|()| self.child.wait())
            .expect("it is a child");
    }

    /// Closes its input and waits for its end.
    pub(crate) fn end(mut self) -> Ended {
        drop(self.to.take());
        let stderr = self.errors();
        let mut stdout = String::new();
        self.from.read_to_string(&mut stdout).expect("text");
        let status = self.child.wait().expect("it is a child");
        Ended {
            status,
            stdout,
            stderr,
        }
    }

    fn errors(&mut self) -> String {
        let mut text = String::new();
        if let Some(mut stderr) = self.child.stderr.take() {
            stderr.read_to_string(&mut text).expect("text");
        }
        text
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Ended {
    /// Panics with its output unless it passed.
    #[track_caller]
    pub(crate) fn passed(&self) -> &Self {
        assert!(
            self.status.success(),
            "{}\n{}\n{}",
            self.status,
            self.stdout,
            self.stderr
        );
        self
    }

    /// Returns the lines that the library wrote.
    pub(crate) fn warnings(&self) -> Vec<&str> {
        self.stderr
            .lines()
            .filter(|line| line.starts_with("cofferdam: "))
            .collect()
    }
}
