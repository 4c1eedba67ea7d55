//! Batches. Jobs are shell commands; a job that a test waits for writes to a pipe.

mod beside;
mod ending;
mod events;
mod killed;
mod limits;
mod rounds;
mod sandbox;
mod signals;
mod sources;
mod submitting;

use crate::recording::{CommandOutput, cofferdam, make_pipe, with_signals};
use serde_json::Value;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Writes a file with one job per line.
fn jobs(dir: &Path, lines: &[&str]) -> PathBuf {
    let path = dir.join("jobs.txt");
    std::fs::write(&path, lines.join("\n")).unwrap();
    path
}

/// Returns `run` with these jobs.
fn batch(dir: &Path, lines: &[&str], args: &[&str]) -> Command {
    let mut command = cofferdam(dir, &["run", "--from"]);
    command.arg(jobs(dir, lines)).args(args);
    command
}

fn output_of(dir: &Path, lines: &[&str], args: &[&str]) -> CommandOutput {
    batch(dir, lines, args).output().unwrap().into()
}

/// Returns every line of JSON: the events, then the report.
fn events(output: &CommandOutput) -> Vec<Value> {
    let value = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    output.out.lines().map(value).collect()
}

/// Returns the jobs in a JSON report.
fn report(dir: &Path, lines: &[&str], args: &[&str]) -> Value {
    let output = output_of(dir, lines, &[args, &["--json"]].concat());
    let last = events(&output).pop().unwrap_or_else(|| panic!("{}", output.err));
    last["jobs"].clone()
}

/// A named pipe. It ends when every process that opened it for writing has closed it.
struct Pipe {
    path: PathBuf,
}

impl Pipe {
    fn new(dir: &Path) -> Self {
        let path = dir.join("pipe");
        make_pipe(&path);
        Self { path }
    }

    /// Waits for this line, and returns the rest of the pipe.
    fn wait_for(&self, wanted: &str) -> BufReader<File> {
        let mut pipe = BufReader::new(File::open(&self.path).unwrap());
        let mut line = String::new();
        while line.trim_end() != wanted {
            line.clear();
            assert_ne!(pipe.read_line(&mut line).unwrap(), 0, "the pipe ended early");
        }
        pipe
    }
}

/// Waits until no process has the pipe open any more.
fn wait_for_end(mut pipe: BufReader<File>) {
    pipe.read_to_string(&mut String::new()).unwrap();
}

fn started(command: &Command) -> Child {
    with_signals(command)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn signal(child: &Child, signal: &str) {
    #[expect(clippy::disallowed_methods, reason = "the signal comes from outside")]
    let sent = Command::new("kill")
        .args([signal, &child.id().to_string()])
        .status();
    assert!(sent.unwrap().success());
}

fn ended(child: Child) -> CommandOutput {
    child.wait_with_output().unwrap().into()
}
