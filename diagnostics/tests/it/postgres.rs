//! `examples/postgres` with a real server and real sessions, from the first test until everything is removed.

use crate::recording::CommandOutput;
use crate::suites::{finds_nothing, has_nextest, in_example};
use serde_json::Value;
use std::fs::{File, Permissions};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

const EXAMPLE: &str = "postgres";

#[expect(clippy::disallowed_methods, reason = "tools that are outside")]
fn tool(program: &str) -> Command {
    Command::new(program)
}

/// Returns whether a server is installed; prints a note if not.
fn is_installed() -> bool {
    let is_here = |program: &str| {
        let output = tool("sh").args(["-c", &format!("command -v {program}")]).output();
        output.unwrap().status.success()
    };
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let packaged = versions
        .flatten()
        .any(|version| version.path().join("bin/initdb").exists());
    let installed = is_here("psql") && (packaged || is_here("initdb"));
    if !installed {
        // Not with the print macros, whose output is shown only for failing tests.
        let note = "\nSKIPPED, NOT TESTED: PostgreSQL is not installed (`apt-get install postgresql`)\n";
        std::io::stderr().write_all(note.as_bytes()).unwrap();
    }
    installed
}

/// The directory of a run of the example; nothing of the fixtures must be left in it at the end.
struct Ground {
    base: TempDir,
    temp: TempDir,
}

impl Ground {
    fn new() -> Self {
        let (base, temp) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        // Under root the server runs as another user, and its directory is in here.
        std::fs::set_permissions(temp.path(), Permissions::from_mode(0o711)).unwrap();
        Self { base, temp }
    }

    fn on(&self, mut command: Command) -> Command {
        command
            .env("COFFERDAM_DIR", self.base.path())
            .env("TMPDIR", self.temp.path());
        command
    }

    /// Returns the binary, to run in the example.
    fn run(&self, command: &[&str]) -> Command {
        self.on(in_example(EXAMPLE, &[&["run", "--"], command].concat()))
    }

    /// Returns the runner alone.
    fn cargo(&self, args: &[&str]) -> Command {
        let run = in_example(EXAMPLE, &[]);
        let mut command = tool("cargo");
        command.args(args).current_dir(run.get_current_dir().unwrap());
        for (name, value) in run.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        self.on(command)
    }

    /// Returns the script that asks `psql` which tests used which database.
    fn databases(&self) -> Command {
        let mut command = tool("sh");
        let run = in_example(EXAMPLE, &[]);
        command
            .arg("databases.sh")
            .current_dir(run.get_current_dir().unwrap());
        self.on(command)
    }

    /// Returns the directory of the only run so far, if it exists.
    fn the_run(&self) -> Option<PathBuf> {
        let runs = std::fs::read_dir(self.base.path().join("runs")).ok()?;
        // The accounts of sessions are beside the runs.
        let runs = runs.map(|run| run.unwrap().path()).filter(|path| path.is_dir());
        let mut runs: Vec<_> = runs.collect();
        assert!(runs.len() < 2, "{runs:?}");
        runs.pop()
    }

    /// Returns the file that the keeper locks while it runs; `None` after its directory was removed.
    fn keeper(&self) -> Option<File> {
        File::open(self.the_run()?.join("keeper/lock")).ok()
    }

    /// Waits until nothing is left of the server.
    fn is_cleared(&self, keeper: Option<File>) {
        #[expect(clippy::disallowed_methods, reason = "free when the keeper is gone")]
        if let Some(keeper) = keeper {
            keeper.lock().unwrap();
        }
        if let Some(run) = self.the_run() {
            assert!(!run.join("fixtures").exists(), "{}", run.display());
        }
        // Lock files of leased ports stay, as those of all locks do.
        let left = std::fs::read_dir(self.temp.path()).unwrap().flatten();
        let left: Vec<_> = left
            .map(|entry| entry.file_name().into_string().unwrap())
            .collect();
        assert!(left.iter().all(|name| name.starts_with("cofferdam-")), "{left:?}");
        let here = [&self.base, &self.temp].map(|dir| dir.path().to_str().unwrap());
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            assert!(!here.iter().any(|dir| line.contains(dir)), "still there: {line}");
        }
    }
}

/// `psql` as a script would use it: values only, and a failure is an exit code.
fn psql(url: &str) -> Command {
    let mut command = tool("psql");
    command.args([
        "--no-psqlrc",
        "--tuples-only",
        "--no-align",
        "--set=ON_ERROR_STOP=1",
        url,
    ]);
    command
}

fn asked(url: &str) -> CommandOutput {
    psql(url).args(["--command", "SELECT 1"]).output().unwrap().into()
}

#[test]
fn the_suite_with_a_server_has_no_conflict_and_leaves_nothing_under_any_runner() {
    if !is_installed() {
        return;
    }
    for runner in [&["cargo", "test"][..], &["cargo", "nextest", "run"]] {
        if runner.contains(&"nextest") && !has_nextest() {
            continue;
        }
        let ground = Ground::new();
        let output: CommandOutput = ground.run(runner).output().unwrap().into();
        finds_nothing(&output);
        assert!(
            output.out.contains("what was watched: 12 tests"),
            "{}",
            output.out
        );
        ground.is_cleared(ground.keeper());
    }
}

/// A kept server can be inspected after the run: which tests were in which database.
#[test]
fn psql_finds_each_workers_tests_in_a_database_of_their_own_until_all_are_removed() {
    if !is_installed() {
        return;
    }
    let ground = Ground::new();
    let mut suite = ground.cargo(&["test", "--test", "bookings", "--", "--test-threads=2"]);
    let output: CommandOutput = suite.env("COFFERDAM_KEEP", "1").output().unwrap().into();
    assert_eq!(output.code, Some(0), "{}{}", output.out, output.err);

    let output: CommandOutput = ground.databases().output().unwrap().into();
    assert_eq!(output.code, Some(0), "{}", output.err);
    let lines: Vec<Vec<&str>> = output.out.lines().map(|line| line.split(' ').collect()).collect();
    assert_eq!(lines.len(), 2, "{}", output.out);
    for (index, line) in lines.iter().enumerate() {
        let [database, worker, ..] = line[..] else {
            panic!("{}", output.out)
        };
        assert_eq!(worker, format!("w{index}"), "{}", output.out);
        assert!(
            database.starts_with(&format!("rooms_{worker}_")),
            "{}",
            output.out
        );
    }
    let tests: usize = lines.iter().map(|line| line[2].parse::<usize>().unwrap()).sum();
    assert_eq!(tests, 4, "{}", output.out);

    let run = ground.the_run().unwrap();
    let handle = std::fs::read_to_string(run.join("fixtures/postgres/handle.jsonl")).unwrap();
    let handle: Value = serde_json::from_str(handle.lines().last().unwrap()).unwrap();
    let url = format!("{}/postgres", handle["url"].as_str().unwrap());
    assert_eq!(asked(&url).code, Some(0));
    let removed = ground.on(in_example(EXAMPLE, &["clean"])).status().unwrap();
    assert!(removed.success());
    assert_eq!(asked(&url).code, Some(2), "psql could connect");
    assert_eq!(ground.the_run(), None);
    ground.is_cleared(None);
}

/// A run that waits in the middle, with a session of `psql` in its database.
struct Open {
    runner: Child,
    output: BufReader<std::process::ChildStdout>,
    session: Child,
}

fn open(ground: &Ground, args: &[&str]) -> Open {
    let mut suite = ground.cargo(args);
    // The waiting test loses its server, and reports that.
    let errors = ground.base.path().join("errors");
    let mut runner = suite
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(File::create(&errors).unwrap())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(runner.stdout.take().unwrap());
    let mut printed = String::new();
    let url = loop {
        let begin = printed.len();
        if output.read_line(&mut printed).unwrap() == 0 {
            panic!("{printed}{}", std::fs::read_to_string(&errors).unwrap());
        }
        if let Some((_, url)) = printed[begin..].split_once("READY psql ") {
            break url.trim().to_owned();
        }
    };
    let mut session = psql(&url)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut input = session.stdin.take().unwrap();
    input.write_all(b"SELECT current_database();\n").unwrap();
    let mut answers = BufReader::new(session.stdout.take().unwrap());
    answers.read_line(&mut line).unwrap();
    assert!(line.starts_with("rooms_w0_"), "{line}");
    // It ends when the server does, which is waited for below.
    input.write_all(b"SELECT pg_sleep(3600);\n").unwrap();
    Open {
        runner,
        output,
        session,
    }
}

fn killed(args: &[&str]) {
    let ground = Ground::new();
    let mut open = open(&ground, args);
    let keeper = ground.keeper();
    assert!(keeper.is_some());
    open.runner.kill().unwrap();
    open.runner.wait().unwrap();
    assert_eq!(
        open.session.wait().unwrap().code(),
        Some(2),
        "its connection was to be lost"
    );
    // The test has lost its server too, and ends.
    open.output.read_to_end(&mut Vec::new()).unwrap();
    ground.is_cleared(keeper);
}

#[test]
fn a_runner_that_is_killed_leaves_no_server_and_no_data() {
    if !is_installed() {
        return;
    }
    killed(&["test", "--test", "look_around", "--", "--ignored", "--nocapture"]);
    if has_nextest() {
        killed(&["nextest", "run", "--run-ignored=only", "--no-capture"]);
    }
}
