//! `run`: a role is an ignored test of this binary that acts only if the variable `ROLE` is set.

use crate::recording::{CommandOutput, by_way_of, cofferdam, conflicted, isolated, run_folder, with_signals};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub(crate) fn variable(name: &str) -> Option<String> {
    #[expect(
        clippy::disallowed_methods,
        reason = "what the role was handed is what is tested"
    )]
    std::env::var(name).ok()
}

/// The command that `run` starts in these tests: records and ends as the variables say.
#[test]
#[ignore = "a role, played for the tests below"]
fn role() {
    let Some(role) = variable("ROLE") else { return };
    let base = PathBuf::from(variable("COFFERDAM_DIR").unwrap());
    let session = variable("COFFERDAM_RECORD").unwrap_or_default();
    let mut out = std::io::stdout().lock();
    for word in role.split_whitespace() {
        match word {
            "conflicted" => _ = conflicted(&base, &format!("of-{session}"), &session, 100),
            "isolated" => _ = isolated(&base, &format!("of-{session}"), &session, 100),
            "joined" => {
                // A run of another session.
                let folder = conflicted(&base, "joined", "another", 100);
                let description = std::fs::read_to_string(folder.join("run.json")).unwrap();
                std::fs::write(
                    folder.join("run.json"),
                    description.replace("\"cargo\"", "\"named\""),
                )
                .unwrap();
            }
            "variables" => {
                for name in [
                    "CARGO_PKG_NAME",
                    "CARGO_MANIFEST_DIR",
                    "RUST_RECURSION_COUNT",
                    "LD_LIBRARY_PATH",
                    "KEPT",
                ] {
                    writeln!(out, "{name}={:?}", variable(name)).unwrap();
                }
                writeln!(out, "absolute={}", base.is_absolute()).unwrap();
            }
            "namespace" => {
                for name in ["COFFERDAM_RUN_NAMESPACE", "COFFERDAM_RUN_DIR"] {
                    writeln!(out, "{name}={}", variable(name).unwrap()).unwrap();
                }
                let output = PathBuf::from(variable("COFFERDAM_RUN_DIR").unwrap());
                assert!(output.is_dir());
                if base.join("write").exists() {
                    std::fs::write(output.join("report.csv"), session.as_str()).unwrap();
                }
            }
            "ready" => {
                writeln!(out, "READY").unwrap();
                out.flush().unwrap();
                // Waits until a signal ends this, or the test does.
                let _ = std::io::stdin().read(&mut [0]);
            }
            "claims" => {
                let queue = cofferdam::Resource::name("queue orders");
                drop(cofferdam::claim(queue, cofferdam::Access::Write));
            }
            "no-descriptors" => {
                let mut files = Vec::new();
                while let Ok(file) = std::fs::File::open("/dev/null") {
                    files.push(file);
                }
                std::mem::forget(files);
            }
            "no-files" => {
                let limit = rustix::process::Rlimit {
                    current: Some(0),
                    maximum: None,
                };
                rustix::process::setrlimit(rustix::process::Resource::Fsize, limit).unwrap();
            }
            // Like `cargo clean`.
            "removes" => std::fs::remove_dir_all(&base).unwrap(),
            "leaves" => {
                rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL)
                    .unwrap()
            }
            number => {
                #[expect(
                    clippy::disallowed_methods,
                    reason = "the role ends as a failing command does"
                )]
                std::process::exit(number.parse().unwrap());
            }
        }
    }
}

pub(crate) fn run(dir: &Path, role: &str, args: &[&str]) -> Command {
    let mut command = cofferdam(dir, &["run"]);
    #[expect(clippy::disallowed_methods, reason = "the role is a test of this binary")]
    let exe = std::env::current_exe().unwrap();
    command.args(args).arg("--").arg(exe);
    command
        .args(["--exact", "run::role", "--ignored", "--nocapture", "--quiet"])
        .env("ROLE", role);
    command
}

fn output_of(dir: &Path, role: &str, args: &[&str]) -> CommandOutput {
    run(dir, role, args).output().unwrap().into()
}

#[test]
fn conflicts_are_reported_after_the_output_of_the_command() {
    let base = tempfile::tempdir().unwrap();
    let output = output_of(base.path(), "conflicted", &[]);
    let ran = output.out.find("test result: ok").unwrap();
    let report = output.out.find("conflict: file /shop/report.csv").unwrap();
    assert!(ran < report, "{}", output.out);
    assert_eq!(output.code, Some(1));
}

#[test]
fn a_failed_command_keeps_its_exit_code_and_failure_and_conflicts_are_reported() {
    let base = tempfile::tempdir().unwrap();
    let output = output_of(base.path(), "conflicted 42", &["--format", "json"]);
    assert_eq!(
        output.report()["exit_code"],
        serde_json::json!({"process": 42, "command": 42, "verdict": 1})
    );
    assert_eq!(output.code, Some(42));
}

#[test]
fn a_command_without_conflicts_ends_with_0() {
    let base = tempfile::tempdir().unwrap();
    let output = output_of(base.path(), "isolated", &[]);
    assert!(
        output.out.contains("no conflict in what was watched: 2 tests"),
        "{}",
        output.out
    );
    assert_eq!(output.code, Some(0));
}

#[test]
fn nothing_recorded_is_judged_by_the_policy() {
    let base = tempfile::tempdir().unwrap();
    for (args, code) in [
        (&[][..], 0),
        (&["--no-records", "pass"], 0),
        (&["--no-records", "warn"], 0),
        (&["--no-records", "fail"], 3),
    ] {
        let output = output_of(base.path(), "", args);
        // An empty role does nothing, so the command ends at once.
        assert_eq!(output.code, Some(code), "{args:?}: {}", output.out);
        assert!(output.out.contains("nothing was recorded"), "{}", output.out);
    }
}

#[test]
fn only_recordings_of_this_session_are_reported() {
    let base = tempfile::tempdir().unwrap();
    conflicted(base.path(), "old", "s1", u64::MAX);
    let isolated = output_of(base.path(), "isolated", &[]);
    assert!(
        isolated.out.contains("2 tests, 2 workers, 1 run"),
        "{}",
        isolated.out
    );
    // The directory is read, because several sessions may have joined the run, but its journals belong to another
    // session.
    let joined = output_of(base.path(), "joined", &["--no-records", "fail"]);
    assert_eq!(joined.code, Some(3), "{}", joined.out);
}

#[test]
fn a_command_that_is_not_there_is_an_error_that_says_so() {
    let base = tempfile::tempdir().unwrap();
    let output: CommandOutput = cofferdam(base.path(), &["run", "--", "no-such-command-here"])
        .output()
        .unwrap()
        .into();
    assert!(
        output
            .err
            .contains("\ncofferdam: could not start \"no-such-command-here\""),
        "{}",
        output.err
    );
    assert_eq!((output.code, output.out.as_str()), (Some(3), ""));
}

#[test]
fn variables_of_cargo_are_removed_and_the_others_passed_on() {
    let base = tempfile::tempdir().unwrap();
    let mut command = run(base.path(), "variables", &[]);
    let built = Path::new(env!("CARGO_BIN_EXE_cargo-cofferdam"))
        .parent()
        .unwrap()
        .join("deps");
    let paths = std::env::join_paths([built.as_path(), Path::new("/opt/lib")]).unwrap();
    command
        .env("CARGO_PKG_NAME", "cargo-cofferdam")
        .env("CARGO_MANIFEST_DIR", "/elsewhere")
        .env("RUST_RECURSION_COUNT", "1")
        .env("LD_LIBRARY_PATH", paths)
        .env("KEPT", "yes")
        .env("COFFERDAM_DIR", ".");
    let output: CommandOutput = command.output().unwrap().into();
    for line in [
        "CARGO_PKG_NAME=None",
        "CARGO_MANIFEST_DIR=None",
        "RUST_RECURSION_COUNT=None",
        "LD_LIBRARY_PATH=Some(\"/opt/lib\")",
        "KEPT=Some(\"yes\")",
        "absolute=true",
    ] {
        assert!(
            output.out.lines().any(|said| said == line),
            "{line} in {}",
            output.out
        );
    }
}

#[cfg(unix)]
#[test]
fn a_signal_reaches_the_command_and_the_report_still_comes() {
    let base = tempfile::tempdir().unwrap();
    for (signal, number) in [("-TERM", 15), ("-INT", 2)] {
        let command = run(base.path(), "conflicted ready", &[]);
        let mut child = with_signals(&command)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        while !line.ends_with("READY\n") {
            assert_ne!(out.read_line(&mut line).unwrap(), 0, "{line}");
        }
        #[expect(clippy::disallowed_methods, reason = "the signal comes from outside")]
        let sent = Command::new("kill")
            .args([signal, &child.id().to_string()])
            .status()
            .unwrap();
        assert!(sent.success());
        let mut rest = String::new();
        out.read_to_string(&mut rest).unwrap();
        assert!(rest.contains("conflict: file /shop/report.csv"), "{rest}");
        let ending = format!(
            "; the command was ended by signal {number} (exit code {})\n",
            128 + number
        );
        assert!(rest.ends_with(&ending), "{rest}");
        assert_eq!(child.wait().unwrap().code(), Some(128 + number));
    }
}

#[test]
fn ten_sessions_stay_and_older_ones_go_when_their_runs_are_over() {
    let base = tempfile::tempdir().unwrap();
    for number in 1..=12u64 {
        let folder = run_folder(base.path(), &format!("r{number}"), &format!("s{number}"), number);
        // The run of another machine stays, whatever its age.
        if number != 2 {
            crate::recording::of_this_machine(&folder);
        }
    }
    output_of(base.path(), "isolated", &[]);
    let left = |number: u64| base.path().join("runs").join(format!("r{number}")).exists();
    let gone: Vec<u64> = (1..=12).filter(|number| !left(*number)).collect();
    if cfg!(target_os = "linux") {
        assert_eq!(gone, [1, 3]);
    }
}

#[test]
fn no_report_contains_a_value_of_the_environment_or_an_argument() {
    let base = tempfile::tempdir().unwrap();
    for format in ["human", "json"] {
        let mut command = run(
            base.path(),
            "conflicted",
            &["--format", format, "--github", "always"],
        );
        let output: CommandOutput = command
            .env("PASSWORD", "hunter2")
            .arg("--skip=hunter2")
            .output()
            .unwrap()
            .into();
        assert!(
            !output.out.contains("hunter2") && !output.err.contains("hunter2"),
            "{}{}",
            output.out,
            output.err
        );
        assert_eq!(output.code, Some(1));
    }
    let failed: CommandOutput = cofferdam(base.path(), &["run", "--", "no-such-command-here", "hunter2"])
        .output()
        .unwrap()
        .into();
    assert!(!failed.err.contains("hunter2"), "{}", failed.err);
}

#[test]
fn the_advice_for_an_empty_recording_depends_on_the_cause() {
    let dir = tempfile::tempdir().unwrap();
    let args = ["run", "--no-records", "fail", "--"];
    let run = |command: &str| crate::recording::output_of(dir.path(), &[&args[..], &[command]].concat()).out;
    assert!(run("false").contains("no test used cofferdam before the command failed"));
    for (package, what) in [
        ("shop", "nothing here depends on it: add it as a dev-dependency"),
        (
            "cofferdam",
            "cofferdam is a dependency here, but no test that ran asked it",
        ),
    ] {
        let lock = format!("[[package]]\nname = \"{package}\"\n");
        std::fs::write(dir.path().join("Cargo.lock"), lock).unwrap();
        let out = run("true");
        assert!(out.contains(what), "{out}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_limit_of_file_sizes_is_an_error_of_ours_and_the_command_s_own_affair() {
    let dir = tempfile::tempdir().unwrap();
    // In blocks of 512 bytes, with enough room for the files that a session creates beforehand.
    let limited = ["sh", "-c", "ulimit -c 0; ulimit -f 2000; exec \"$@\"", "sh"];
    // The command has default signal handling and ends by the signal, which a shell reports as 128 plus its number.
    let script = "(head -c 2M /dev/zero >here); test $? = 153 && echo ended by it";
    let command = cofferdam(dir.path(), &["run", "--", "sh", "-c", script]);
    let output = by_way_of(&limited, &command).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.code().is_some(), "{output:?}");
    assert!(text.contains("ended by it"), "{output:?}");
}

#[cfg(unix)]
#[test]
fn a_link_at_the_ledger_s_place_is_refused_and_nothing_is_made_where_it_leads() {
    let (dir, victim) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let made = victim.path().join("made");
    std::os::unix::fs::symlink(&made, dir.path().join("ledger.sqlite3")).unwrap();
    let refused: CommandOutput = cofferdam(dir.path(), &["run", "--", "true"])
        .output()
        .unwrap()
        .into();
    assert!(refused.err.contains("is a symbolic link"), "{}", refused.err);
    assert!(!made.exists());
}
