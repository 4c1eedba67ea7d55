//! Handwritten journals, and the binary run on them.

use serde_json::{Value, json};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The journal of one process in one lane.
pub(crate) struct Journal {
    worker: String,
    pid: u32,
    text: String,
    at: u64,
}

impl Journal {
    pub(crate) fn new(run: &str, session: &str, worker: &str, pid: u32) -> Self {
        let mut journal = Self {
            worker: worker.to_owned(),
            pid,
            text: "\n".to_owned(),
            at: 0,
        };
        journal.event(
            1,
            json!({
                "event": "process", "version": 1, "run": run, "session": session, "runner": "cargo",
                "binary": "shop", "worker": worker, "started": pid, "boot": "machine",
            }),
        );
        journal
    }

    /// Adds a line at this microsecond.
    pub(crate) fn event(&mut self, at: u64, mut event: Value) -> &mut Self {
        self.at = at;
        event["at"] = json!(at);
        event["pid"] = json!(self.pid);
        writeln!(self.text, "{event}").unwrap();
        self
    }

    /// Adds a test that writes to `resource` from `begin` to `end`.
    pub(crate) fn test(
        &mut self,
        execution: u64,
        test: &str,
        resource: &str,
        begin: u64,
        end: u64,
    ) -> &mut Self {
        self.event(
            begin,
            json!({"event": "test", "execution": execution, "test": test, "attempt": 1}),
        )
        .event(
            begin,
            json!({
                "event": "claimed", "execution": execution, "claim": execution, "instance": 0,
                "resource": resource, "access": "write", "guards": [], "place": "tests/shop.rs:7",
            }),
        )
        .event(end, json!({"event": "end", "execution": execution}))
    }

    pub(crate) fn write(&self, run_folder: &Path) -> PathBuf {
        let folder = run_folder.join("workers").join(&self.worker);
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("journal.ndjson");
        std::fs::write(&path, &self.text).unwrap();
        path
    }
}

/// Returns the number of this process's PID namespace; 0 if there is none.
pub(crate) fn pid_namespace() -> u64 {
    let link = std::fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    let digits: String = link
        .to_string_lossy()
        .chars()
        .filter(char::is_ascii_digit)
        .collect();
    digits.parse().unwrap_or(0)
}

/// Creates the directory of a run that was recorded for `session`, with its description.
pub(crate) fn run_folder(base: &Path, run: &str, session: &str, at: u64) -> PathBuf {
    let folder = base.join("runs").join(run);
    std::fs::create_dir_all(&folder).unwrap();
    let description = json!({
        "version": 1, "run": run, "runner": "cargo", "session": session, "at": at,
        "anchor": {"pid": 1, "started": 1}, "boot": "machine", "namespace": pid_namespace(),
    });
    std::fs::write(folder.join("run.json"), description.to_string()).unwrap();
    folder
}

/// Makes a run belong to this boot and PID namespace, in which its runner can be looked for.
pub(crate) fn of_this_machine(run_folder: &Path) {
    let file = run_folder.join("run.json");
    let mut description: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let namespace = std::fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    let namespace = namespace.to_string_lossy().replace("pid:[", "").replace(']', "");
    description["boot"] = json!(boot.trim());
    description["namespace"] = json!(namespace.parse::<u64>().unwrap_or(0));
    std::fs::write(&file, description.to_string()).unwrap();
}

/// Creates a run in which two tests on two workers wrote one file at the same time.
pub(crate) fn conflicted(base: &Path, run: &str, session: &str, at: u64) -> PathBuf {
    let folder = run_folder(base, run, session, at);
    Journal::new(run, session, "w0", 10)
        .test(1, "orders::stores_one", "file:/shop/report.csv", 10, 30)
        .write(&folder);
    Journal::new(run, session, "w1", 10)
        .test(2, "reports::exports_all", "file:/shop/report.csv", 20, 40)
        .write(&folder);
    folder
}

/// Creates a run in which each worker had its own file.
pub(crate) fn isolated(base: &Path, run: &str, session: &str, at: u64) -> PathBuf {
    let folder = run_folder(base, run, session, at);
    for (pid, worker) in [(10, "w0"), (11, "w1")] {
        Journal::new(run, session, worker, pid)
            .test(
                1,
                &format!("on_{worker}"),
                &format!("file:/shop/{worker}/report.csv"),
                10,
                30,
            )
            .write(&folder);
    }
    folder
}

/// Returns the binary with these arguments in `dir`, which is also its base folder.
pub(crate) fn cofferdam(dir: &Path, args: &[&str]) -> Command {
    #[expect(clippy::disallowed_methods, reason = "the program under test")]
    let mut command = Command::new(env!("CARGO_BIN_EXE_cargo-cofferdam"));
    command.current_dir(dir).args(args).env("COFFERDAM_DIR", dir);
    for variable in [
        "COFFERDAM_MACHINE_DIR",
        "COFFERDAM_JOB",
        "COFFERDAM_RECORD",
        "COFFERDAM_WORKER",
        "COFFERDAM_RUN_ID",
        "COFFERDAM_RUN_DIR",
        "COFFERDAM_RUN_LOCK",
        "COFFERDAM_RUN_NAMESPACE",
        "COFFERDAM_RUN_SUBDIR",
        "RUN_NAMESPACE",
        "NO_COLOR",
        "COFFERDAM_GITHUB",
        "GITHUB_ACTIONS",
        "GITHUB_STEP_SUMMARY",
        "CLICOLOR_FORCE",
    ] {
        command.env_remove(variable);
    }
    command
}

/// Returns the same command, started by another one that changes inherited settings.
pub(crate) fn by_way_of(before: &[&str], command: &Command) -> Command {
    #[expect(
        clippy::disallowed_methods,
        reason = "only another program sets what is inherited"
    )]
    let mut whole = Command::new(before[0]);
    whole
        .args(&before[1..])
        .arg(command.get_program())
        .args(command.get_args());
    if let Some(dir) = command.get_current_dir() {
        whole.current_dir(dir);
    }
    copy_variables(command, &mut whole);
    whole
}

/// Sets and removes the variables of the first command for the second.
pub(crate) fn copy_variables(from: &Command, to: &mut Command) {
    for (name, value) in from.get_envs() {
        match value {
            Some(value) => to.env(name, value),
            None => to.env_remove(name),
        };
    }
}

/// Creates a named pipe, whose reader waits for a writer.
#[cfg(unix)]
#[expect(clippy::disallowed_methods, reason = "std makes no named pipes")]
pub(crate) fn make_pipe(path: &Path) {
    let made = Command::new("mkfifo").arg(path).status();
    assert!(made.unwrap().success());
}

/// Returns the same command with default signal handling: `nohup` and background shells pass on ignored signals.
pub(crate) fn with_signals(command: &Command) -> Command {
    if cfg!(target_os = "linux") {
        by_way_of(&["env", "--default-signal=HUP,INT,QUIT,TERM"], command)
    } else {
        by_way_of(&["env"], command)
    }
}

/// The exit code and the text of a command that has ended.
pub(crate) struct CommandOutput {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl From<Output> for CommandOutput {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl CommandOutput {
    /// Returns the report that a command with `--format json` prints in its last line.
    pub(crate) fn report(&self) -> Value {
        let line = self.out.lines().last().unwrap_or_default();
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {}{}", self.out, self.err))
    }
}

/// Runs it and returns its output.
pub(crate) fn output_of(dir: &Path, args: &[&str]) -> CommandOutput {
    cofferdam(dir, args).output().unwrap().into()
}

/// Runs it with `--format json`, and returns its exit code and its report.
pub(crate) fn json_of(dir: &Path, args: &[&str]) -> (Option<i32>, Value) {
    let output = output_of(dir, args);
    (output.code, output.report())
}
