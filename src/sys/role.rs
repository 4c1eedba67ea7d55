//! Claims about whole processes, tested with whole processes.
//!
//! A *role* is an `#[ignore]`d test that acts only when a variable says so. The test that needs it runs its own
//! executable again for exactly that role, talks to it over its standard streams and looks at how it ended. It
//! works the same under `cargo test` and nextest, and nobody sleeps.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};

const VARIABLE: &str = "COFFERDAM_TEST_ROLE";
/// Stands before what a role says, for libtest writes to the same stream.
const MARK: &str = "role says: ";

/// A command that plays the role, the ignored test of that path, in a run of its own called `run`.
///
/// What this process inherited from its runner is kept away from it.
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

/// Whether this process was started for the role; if not, the ignored test has nothing to do.
#[expect(clippy::disallowed_methods, reason = "a role is told by the environment")]
pub(crate) fn plays(path: &str) -> bool {
    std::env::var(VARIABLE).is_ok_and(|role| role == path)
}

/// Says a line to the test that started this role.
pub(crate) fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("\n{MARK}{line}\n").as_bytes())
        .and_then(|()| out.flush())
        .expect("the test listens");
}

/// Waits for the test that started this role to say something; its end counts.
pub(crate) fn listen() {
    let _ = std::io::stdin().lock().read_line(&mut String::new());
}

/// Runs `child` in a forked copy of this process and returns what `waitpid` says of its end, by way of
/// thread-local destructors and exit handlers.
#[cfg(unix)]
#[expect(unsafe_code, reason = "fork is what some roles are about")]
pub(crate) fn fork(child: impl FnOnce()) -> i32 {
    // SAFETY: a role's process has but libtest's own thread besides this one, which waits and holds no lock that
    // the copy could need. Only the copy ends, and the status lives until its end is known.
    unsafe {
        let copy = libc::fork();
        if copy == 0 {
            child();
            libc::exit(0);
        }
        let mut status = -1;
        let waited = libc::waitpid(copy, &raw mut status, 0);
        assert_eq!(waited, copy, "the copy was waited for by somebody else");
        status
    }
}

/// A role in play. Dropped, it is killed.
pub(crate) struct Player {
    child: Child,
    to: Option<ChildStdin>,
    from: BufReader<ChildStdout>,
}

/// How a role ended.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Starts the role; its standard error is had at its end, so it must fit into a pipe.
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
    /// The next line that it says.
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

    /// Lets it go on from [`listen`].
    pub(crate) fn answer(&mut self) {
        let to = self.to.as_mut().expect("it is kept until the end");
        to.write_all(b"go on\n").expect("the role listens");
    }

    pub(crate) fn kill(&mut self) {
        self.child
            .kill()
            .and_then(|()| self.child.wait())
            .expect("it is ours");
    }

    /// Waits for its end, with nothing left to listen to.
    pub(crate) fn end(mut self) -> Ended {
        drop(self.to.take());
        let stderr = self.errors();
        let mut stdout = String::new();
        self.from.read_to_string(&mut stdout).expect("text");
        let status = self.child.wait().expect("it is ours");
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
    /// Fails with all it wrote unless it passed.
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

    /// The lines that the library itself wrote.
    pub(crate) fn warnings(&self) -> Vec<&str> {
        self.stderr
            .lines()
            .filter(|line| line.starts_with("cofferdam: "))
            .collect()
    }
}
