//! Declared fixtures that stay running between commands, and their variables.

use crate::observe::package::Package;
use crate::recording::{CommandOutput, copy_variables, make_pipe};
use crate::suites::has_nextest;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use serde_json::Value;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The suite reports the fixture to the test that runs it, and waits for its end.
const MEETS: &str = r#"
#[test]
fn meets() {
    use std::io::{Read as _, Write as _};
    let mut outside = std::net::TcpStream::connect(std::env::var("MEET").unwrap()).unwrap();
    writeln!(outside, "{}", std::env::var("SHOP_DIR").unwrap()).unwrap();
    outside.read(&mut [0]).unwrap();
}
"#;

/// A package with one fixture, whose starts and teardowns are counted.
struct Shop {
    package: Package,
}

impl Shop {
    fn new(name: &str) -> Self {
        let shop = Self {
            package: Package::new(name, MEETS),
        };
        shop.declare("");
        shop
    }

    /// Declares the fixture, with further lines.
    fn declare(&self, more: &str) {
        let (starts, torn_down) = (self.path("starts"), self.path("torn-down"));
        let text = format!(
            r#"
[fixtures.shop]
before = [["sh", "-c", "echo started >> $0", {starts:?}]]
start = ["sh", "-c", "echo $$ > {{dir}}/pid; echo listening; exec sleep 600"]
ready = {{ log = "listening" }}
teardown = [["sh", "-c", "echo torn down >> $0", {torn_down:?}]]
env = {{ SHOP_DIR = "{{dir}}" }}
{more}
"#
        );
        self.package.write("cofferdam.toml", &text);
    }

    fn path(&self, name: &str) -> PathBuf {
        self.package.path().join(name)
    }

    fn output_of(&self, words: &[&str]) -> CommandOutput {
        self.package.without_command(words).output().unwrap().into()
    }

    /// Returns the directory of the fixture, as a test or shell gets it.
    fn env(&self, words: &[&str]) -> PathBuf {
        let output = self.output_of(&[&["env", "--format", "json"], words].concat());
        assert_eq!(output.code, Some(0), "{}", output.err);
        let report: Value = serde_json::from_str(&output.out).unwrap();
        assert_eq!(report["version"], 1);
        PathBuf::from(report["variables"]["SHOP_DIR"].as_str().unwrap())
    }

    fn count(&self, file: &str) -> usize {
        fs::read_to_string(self.path(file))
            .unwrap_or_default()
            .lines()
            .count()
    }

    /// Ends the fixture, and checks that it is torn down and that nothing is left of it.
    fn clean(&self) {
        let output = self.output_of(&["clean"]);
        assert_eq!(output.code, Some(0), "{}{}", output.out, output.err);
        assert!(output.out.contains("ended fixture shop\n"), "{}", output.out);
        let warm = self.package.built().join("cofferdam/warm");
        assert_eq!(fs::read_dir(warm).unwrap().count(), 0);
        assert!(self.host().is_none());
    }

    /// Returns the process of the host, by its lock. One that a failed run of the test left has another directory.
    fn host(&self) -> Option<Pid> {
        let dir = self.package.path().canonicalize().unwrap();
        let output = self.output_of(&["locks", "--format", "json"]);
        let report: Value = serde_json::from_str(&output.out).unwrap();
        let mut locks = report["locks"].as_array().unwrap().iter();
        let held = locks.find(|lock| {
            let name = lock["name"].as_str().unwrap();
            let works_in = fs::read_link(format!("/proc/{}/cwd", lock["holder"]["pid"]));
            name.starts_with("fixture shop kept warm (")
                && lock["state"] == "exclusive"
                && works_in.is_ok_and(|works_in| works_in == dir)
        })?;
        let pid = held["holder"]["pid"].as_i64().unwrap();
        Pid::from_raw(pid.try_into().unwrap())
    }
}

/// Kills a process that is no child of this one, and waits for its end.
fn kill(pid: Pid) {
    let handle = pidfd_open(pid, PidfdFlags::empty()).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
    poll(&mut [PollFd::new(&handle, PollFlags::IN)], None).unwrap();
}

/// Runs a command on a thread. At its end it joins those that the listener waits for, so that a failure does not hang.
fn beside(mut command: Command, address: std::net::SocketAddr) -> std::thread::JoinHandle<CommandOutput> {
    std::thread::spawn(move || {
        let output: CommandOutput = command.env("MEET", address.to_string()).output().unwrap().into();
        let _ = TcpStream::connect(address).map(|mut stream| stream.write_all(b"over\n"));
        output
    })
}

#[test]
fn two_runs_at_once_share_a_fixture_that_outlives_both_until_clean_ends_it() {
    let shop = Shop::new("warm_shared");
    let cargo = ["cargo", "test", "--offline", "--tests"];
    let mut commands = vec![(&["observe"][..], &cargo[..])];
    if has_nextest() {
        commands.push((
            &["run", "--no-records", "pass"],
            &["cargo", "nextest", "run", "--offline"],
        ));
    } else {
        commands.push((&["run", "--no-records", "pass"], &cargo));
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let running: Vec<_> = commands
        .into_iter()
        .map(|(words, command)| {
            let words = [words, &["--keep-warm", "10m"]].concat();
            beside(shop.package.cofferdam(&words, command), address)
        })
        .collect();
    let mut met = Vec::new();
    for _ in 0..2 {
        let mut stream = BufReader::new(listener.accept().unwrap().0);
        let mut line = String::new();
        stream.read_line(&mut line).unwrap();
        met.push((line, stream));
    }
    let used = [&["clean", "--dry-run"][..], &["clean"]].map(|words| shop.output_of(words));
    drop(listener);
    assert_eq!(met[0].0, met[1].0);
    assert!(shop.host().is_some());
    drop(met);
    for run in running {
        let output = run.join().unwrap();
        assert_eq!(output.code, Some(0), "{}{}", output.out, output.err);
    }
    for used in used {
        let kept = "kept    fixture shop: a command uses it\n";
        assert!(used.out.contains(kept), "{}", used.out);
    }
    let planned = shop.output_of(&["clean", "--dry-run"]);
    assert!(
        planned.out.contains("would end fixture shop\n"),
        "{}",
        planned.out
    );
    assert_eq!((shop.count("starts"), shop.count("torn-down")), (1, 0));
    shop.clean();
    assert_eq!(shop.count("torn-down"), 1);
}

#[test]
fn a_fixture_ends_some_time_after_its_last_use_and_the_next_use_starts_it_anew() {
    let shop = Shop::new("warm_deadline");
    make_pipe(&shop.path("torn-down"));
    for starts in 1..=2 {
        shop.env(&["--keep-warm", "50ms"]);
        // Waits for the teardown.
        assert_eq!(fs::read_to_string(shop.path("torn-down")).unwrap(), "torn down\n");
        assert_eq!(shop.count("starts"), starts);
    }
}

#[test]
fn a_teardown_that_failed_when_no_command_waited_is_reported_by_the_next() {
    let package = Package::new("warm_teardown", "#[test]\nfn passes() {}\n");
    let torn_down = package.path().join("torn-down");
    let script = format!("echo no such shop; echo > {}; exit 7", torn_down.display());
    let text = format!("[fixtures.shop]\nstart = ['sleep', '600']\nteardown = [['sh', '-c', '{script}']]\n");
    package.write("cofferdam.toml", &text);
    let env = |keep: &str| {
        let output: CommandOutput = package
            .without_command(&["env", "--keep-warm", keep])
            .output()
            .unwrap()
            .into();
        assert_eq!(output.code, Some(0), "{}", output.err);
    };
    let ends_unattended = || {
        let _ = fs::remove_file(&torn_down);
        make_pipe(&torn_down);
        env("1ms");
        assert_eq!(fs::read_to_string(&torn_down).unwrap(), "\n");
        fs::remove_file(&torn_down).unwrap();
    };
    let clean = || -> CommandOutput { package.without_command(&["clean"]).output().unwrap().into() };

    ends_unattended();
    let report =
        "the teardown of fixture shop failed: its command sh ended with exit code 7\n  | no such shop\n";
    let command = ["cargo", "test", "--offline", "--tests"];
    // The next host waits until this one has ended.
    for (code, is_reported) in [(1, true), (0, false)] {
        let output: CommandOutput = package
            .cofferdam(&["observe", "--keep-warm", "10m"], &command)
            .output()
            .unwrap()
            .into();
        assert_eq!(output.code, Some(code), "{}{}", output.out, output.err);
        assert_eq!(output.out.contains(report), is_reported, "{}", output.out);
    }
    let failed = "failed  fixture shop: sh ended with exit code 7\n";
    let output = clean();
    assert_eq!(
        (output.code, output.out.matches(failed).count()),
        (Some(3), 1),
        "{}",
        output.out
    );

    ends_unattended();
    env("10m");
    let output = clean();
    assert_eq!(
        (output.code, output.out.matches(failed).count()),
        (Some(3), 2),
        "{}",
        output.out
    );
    assert_eq!(clean().code, Some(0));
}

#[test]
fn a_changed_declaration_starts_the_fixture_anew_and_ends_the_old_one() {
    let shop = Shop::new("warm_changed");
    make_pipe(&shop.path("torn-down"));
    let first = shop.env(&["--keep-warm", "10m"]);
    shop.declare("keep-warm = '20m'");
    assert_eq!(shop.env(&[]), first, "the time is no change");
    shop.declare("grace = '1s'");
    assert_ne!(shop.env(&["--keep-warm", "10m"]), first);
    assert_eq!(fs::read_to_string(shop.path("torn-down")).unwrap(), "torn down\n");
    assert_eq!(shop.count("starts"), 2);
    fs::remove_file(shop.path("torn-down")).unwrap();
    shop.clean();
}

#[test]
fn a_killed_host_takes_its_fixture_along_and_the_next_use_starts_both_anew() {
    let shop = Shop::new("warm_killed");
    make_pipe(&shop.path("torn-down"));
    let first = shop.env(&["--keep-warm", "10m"]);
    kill(shop.host().unwrap());
    assert_eq!(fs::read_to_string(shop.path("torn-down")).unwrap(), "torn down\n");
    fs::remove_file(shop.path("torn-down")).unwrap();
    let output = shop.output_of(&["env"]);
    assert_eq!(output.code, Some(2), "{}", output.out);
    assert_ne!(shop.env(&["--keep-warm", "10m"]), first);
    shop.clean();
    assert_eq!(shop.count("starts"), 2);
}

#[test]
fn a_server_that_ended_by_itself_is_started_anew_by_the_next_use() {
    let shop = Shop::new("warm_crashed");
    let first = shop.env(&["--keep-warm", "10m"]);
    let pid: i32 = fs::read_to_string(first.join("pid"))
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    kill(Pid::from_raw(pid).unwrap());
    assert_ne!(shop.env(&["--keep-warm", "10m"]), first);
    assert_eq!((shop.count("starts"), shop.count("torn-down")), (2, 1));
    shop.clean();
}

#[test]
fn a_fixture_that_does_not_start_is_reported_by_the_command_that_keeps_it() {
    let package = Package::new("warm_failing", MEETS);
    package.write(
        "cofferdam.toml",
        "[fixtures.shop]\nstart = ['sh', '-c', 'echo no disk; exit 1']\nready = { log = 'x' }\nkeep-warm = '10m'\n",
    );
    for mut command in [
        package.without_command(&["env"]),
        package.cofferdam(&["observe"], &["cargo", "test"]),
    ] {
        let output: CommandOutput = command.output().unwrap().into();
        assert_eq!(output.code, Some(3), "{}", output.err);
        assert!(
            output.err.contains("fixture `shop` could not be started"),
            "{}",
            output.err
        );
        assert!(
            output.err.contains("\ncofferdam:     no disk\n"),
            "{}",
            output.err
        );
    }
}

#[test]
fn env_refuses_a_fixture_that_nothing_keeps_running() {
    let shop = Shop::new("warm_cold");
    let cold = "fixture `shop` is not running: `--keep-warm 10m` starts it and keeps it for that time after its last use, \
                `cargo cofferdam run -- COMMAND` starts it for one command";
    shop.declare("keep-warm = '10m'");
    for (words, reason) in [
        (&["env", "--keep-warm", "0s"][..], cold),
        (
            &["env", "bar"],
            "fixture `bar` is not declared; declared are shop",
        ),
    ] {
        let output = shop.output_of(words);
        assert_eq!(output.code, Some(2), "{}", output.out);
        assert!(output.err.contains(reason), "{}", output.err);
    }
    assert_eq!(shop.count("starts"), 0);
    let output = shop.output_of(&["env", "shop"]);
    assert_eq!(output.code, Some(0), "{}", output.err);
    // A directory of this test has no characters that need quotes.
    let dir = shop.env(&["--keep-warm", "0s"]);
    assert_eq!(output.out, format!("export SHOP_DIR={}\n", dir.display()));
    shop.clean();
    fs::remove_file(shop.path("cofferdam.toml")).unwrap();
    let output = shop.output_of(&["env"]);
    assert!(output.err.contains("no fixture is declared"), "{}", output.err);
}

#[expect(clippy::disallowed_methods, reason = "a tool that is outside")]
fn git(dir: &Path, args: &[&str]) {
    let status = Command::new("git").args(args).current_dir(dir).status();
    assert!(status.unwrap().success());
}

#[test]
fn variables_are_written_to_a_private_file_that_git_does_not_take_in() {
    let shop = Shop::new("warm_file");
    shop.declare("keep-warm = '10m'");
    let file = shop.path(".env");
    let written = || {
        let mode = fs::metadata(&file).unwrap().permissions().mode();
        (mode & 0o777, fs::read_to_string(&file).unwrap())
    };
    let refused = |reason: &str| {
        let output = shop.output_of(&["env", "--env-file", ".env"]);
        assert_eq!(output.code, Some(2), "{}", output.out);
        assert!(output.err.contains(reason), "{}", output.err);
    };
    // Outside of a repository, and over a file that others can read.
    fs::write(&file, "OLD=1\n").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let output = shop.output_of(&["env", "--env-file", ".env"]);
    assert_eq!(
        (output.code, output.out.as_str()),
        (Some(0), ""),
        "{}",
        output.err
    );
    let line = format!("SHOP_DIR={}\n", shop.env(&[]).display());
    assert_eq!(written(), (0o600, line));

    git(shop.package.path(), &["init", "--quiet"]);
    fs::remove_file(&file).unwrap();
    refused("Git would add it, with its values, to a commit. Add this line to ");
    refused(".gitignore: /.env\n");
    assert!(!file.exists());
    fs::write(shop.path(".gitignore"), "/.env\n").unwrap();
    let output = shop.output_of(&["env", "--env-file", ".env"]);
    assert_eq!(output.code, Some(0), "{}", output.err);
    assert_eq!(written().0, 0o600);
    git(shop.package.path(), &["add", "--force", ".env"]);
    refused("Git tracks it, and the values would be in the next commit");

    // A repository that Git cannot read.
    fs::write(shop.path(".git/HEAD"), "").unwrap();
    refused("Git does not say whether it tracks the file: ");
    let entries = fs::read_dir(shop.package.path()).unwrap();
    let mut names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert!(names.all(|name| !name.starts_with(".cofferdam")));
    shop.clean();
}

#[test]
fn nextest_gets_the_variables_from_the_setup_script_that_env_prints() {
    if !has_nextest() {
        return;
    }
    let source = "#[test]\nfn has_variables() {\n    assert_eq!(std::env::var(\"PLAIN\").unwrap(), \"a 'b' \\\"$c\\\"\");\n    assert!(std::path::Path::new(&std::env::var(\"SHOP_DIR\").unwrap()).exists());\n}\n";
    let package = Package::new("warm_nextest", source);
    let text = "[fixtures.'the \"shop\"']\nstart = ['sleep', '600']\nenv = { SHOP_DIR = '{dir}', PLAIN = \"a 'b' \\\"$c\\\"\" }\n\
                [fixtures.unused]\nstart = ['false']\n";
    package.write("cofferdam.toml", text);
    let words = ["env", "--nextest-config", "--keep-warm", "90m", "the \"shop\""];
    let printed: CommandOutput = package.without_command(&words).output().unwrap().into();
    assert_eq!(printed.code, Some(0), "{}", printed.err);
    assert!(
        printed
            .out
            .contains("\"--keep-warm\", \"1h30m\", \"the \\\"shop\\\"\"]"),
        "{}",
        printed.out
    );
    package.write(".config/nextest.toml", &printed.out);

    #[expect(clippy::disallowed_methods, reason = "nextest, as an IDE starts it")]
    let mut nextest = Command::new("cargo");
    nextest
        .args(["nextest", "run", "--offline"])
        .current_dir(package.path());
    copy_variables(&package.without_command(&[]), &mut nextest);
    let installed = Path::new(env!("CARGO_BIN_EXE_cargo-cofferdam")).parent().unwrap();
    #[expect(clippy::disallowed_methods, reason = "this test's, with one more directory")]
    let path = std::env::var("PATH").unwrap();
    let output: CommandOutput = nextest
        .env("PATH", format!("{}:{path}", installed.display()))
        .output()
        .unwrap()
        .into();
    assert_eq!(output.code, Some(0), "{}", output.err);
    assert!(output.err.contains("1 test run: 1 passed"), "{}", output.err);
    let output: CommandOutput = package.without_command(&["clean"]).output().unwrap().into();
    assert!(
        output.out.contains("ended fixture the \"shop\"\n"),
        "{}",
        output.out
    );

    let output: CommandOutput = package
        .without_command(&["env", "--nextest-env"])
        .env_remove("NEXTEST_ENV")
        .output()
        .unwrap()
        .into();
    assert_eq!(output.code, Some(2), "{}", output.out);
    assert!(
        output.err.contains("`--nextest-config` prints such a script"),
        "{}",
        output.err
    );
}
