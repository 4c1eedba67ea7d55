//! Tests of the program: it inherits variables and the working directory from the test's own process.

use assert_cmd::Command;
use cofferdam::{Worker, isolated, lease};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};

const NOTES: &str = env!("CARGO_BIN_EXE_notes");

fn notes(args: &[&str]) -> Command {
    let mut command = Command::new(NOTES);
    command.args(args);
    command
}

/// A running `notes serve`.
struct Server(Child);

impl Server {
    fn start() -> Self {
        let mut command = std::process::Command::new(NOTES);
        let mut child = command.arg("serve").stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert!(line.starts_with("listening on port "), "{line:?}");
        Self(child)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free_port() -> String {
    // As an argument of `isolated` it is called in the test process, which keeps the port until the test has ended.
    lease::port().unwrap().number().to_string()
}

#[test]
#[isolated(env(NOTES_DIR = tmp))]
fn notes_are_listed_in_the_order_in_which_they_were_added() {
    notes(&["list"]).assert().success().stdout("");
    notes(&["add", "buy tea"]).assert().success().stdout("");
    notes(&["add", "mend lamp"]).assert().success();
    notes(&["list"]).assert().success().stdout("buy tea\nmend lamp\n");
}

#[test]
#[isolated(env_remove(NOTES_DIR), dir = tmp)]
fn without_a_variable_the_notes_are_in_the_working_directory() {
    notes(&["add", "buy tea"]).assert().success();
    assert!(Path::new("notes.txt").exists());
}

#[test]
#[isolated(env(NOTES_DIR = tmp, NOTES_PORT = free_port()))]
fn a_server_sends_the_notes() {
    notes(&["add", "buy tea"]).assert().success();
    let _server = Server::start();
    notes(&["fetch"]).assert().success().stdout("buy tea\n");
    notes(&["add", "mend lamp"]).assert().success();
    notes(&["fetch"])
        .assert()
        .success()
        .stdout("buy tea\nmend lamp\n");
}

#[test]
#[isolated(env(NOTES_DIR = tmp, NOTES_PORT = free_port()))]
fn a_second_server_is_refused_the_port() {
    let _server = Server::start();
    let port = std::env::var("NOTES_PORT").unwrap();
    let error = format!("notes: port {port} is in use\n");
    notes(&["serve"]).assert().code(1).stderr(error);
}

/// Variables of a single command need no process of the test's own.
#[test]
fn a_note_without_a_text_is_refused() {
    let dir = Worker::current().test_dir().unwrap();
    let mut command = notes(&["add", ""]);
    command.env("NOTES_DIR", &dir);
    command.assert().code(1).stderr("notes: a note needs a text\n");
    assert!(!dir.join("notes.txt").exists());
}
