//! Fixtures that `cofferdam.toml` declares: the suite knows nothing of cofferdam.

use crate::observe::package::Package;
use crate::recording::{CommandOutput, make_pipe};
use crate::suites::has_nextest;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// The suite reads one variable, and its build script fails if it sees it.
const SUITE: &str = "#[test]\nfn asks_the_server() {\n    let url = std::env::var(\"SHOP_URL\").expect(\"SHOP_URL\");\n    let (dir, port) = url.split_once(' ').unwrap();\n    assert_eq!(std::fs::read_to_string(format!(\"{dir}/made\")).unwrap(), \"before\\nafter\\n\");\n    assert!(port.parse::<u16>().unwrap() > 0);\n    assert_eq!(std::env::var(\"BRACES\").unwrap(), \"{}\");\n}\n";
const BUILD: &str =
    "fn main() {\n    assert!(std::env::var_os(\"SHOP_URL\").is_none(), \"the compiler sees it\");\n}\n";

fn settings(torn_down: &Path) -> String {
    format!(
        r#"
[fixtures.shop]
before = [["sh", "-c", "echo before > {{dir}}/made"]]
start = ["sh", "-c", "echo listening on {{port}}; exec sleep 600"]
ready = {{ log = "listening on" }}
after = [["sh", "-c", "echo after >> {{dir}}/made"]]
teardown = [["sh", "-c", "echo torn down > $0", {torn_down:?}]]
env = {{ SHOP_URL = "{{dir}} {{port}}", BRACES = "{{{{}}}}" }}
"#
    )
}

fn package(name: &str) -> Package {
    let package = Package::new(name, SUITE);
    package.write("build.rs", BUILD);
    package.write("cofferdam.toml", &settings(&package.path().join("torn-down")));
    package
}

#[test]
fn tests_get_the_variables_of_a_declared_fixture_and_the_compiler_does_not() {
    let package = package("declared");
    let torn_down = package.path().join("torn-down");
    let mut commands = vec![vec!["cargo", "test", "--offline"]];
    if has_nextest() {
        commands.push(vec!["cargo", "nextest", "run", "--offline"]);
    }
    for command in commands {
        for words in [&["run", "--no-records", "pass"][..], &["observe"], &["hunt"]] {
            let output = package.cofferdam(words, &command).output().unwrap();
            let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
            assert_eq!(output.status.code(), Some(0), "{words:?} {command:?}: {text}");
            assert!(text.contains("cofferdam: starting shop"), "{text}");
            assert_eq!(fs::read_to_string(&torn_down).unwrap(), "torn down\n");
            fs::remove_file(&torn_down).unwrap();
        }
    }
}

#[test]
fn a_teardown_that_fails_is_reported_with_its_output_and_the_exit_code_is_1() {
    let package = Package::new("declared_failing", "#[test]\nfn passes() {}\n");
    package.write(
        "cofferdam.toml",
        "[fixtures.shop]\nstart = ['sleep', '600']\nteardown = [['sh', '-c', 'echo no such shop; exit 7']]\n",
    );
    let mut commands = vec![vec!["cargo", "test", "--offline", "--tests"]];
    if has_nextest() {
        commands.push(vec!["cargo", "nextest", "run", "--offline"]);
    }
    let report =
        "the teardown of fixture shop failed: its command sh ended with exit code 7\n  | no such shop\n";
    for command in commands {
        let run =
            |words: &[&str]| -> CommandOutput { package.cofferdam(words, &command).output().unwrap().into() };
        for words in [
            &["run", "--no-records", "pass"][..],
            &["observe"],
            &["hunt"],
            &["rerun", "passes"],
            &["fix", "--apply", "--allow-no-vcs"],
        ] {
            let output = run(words);
            let text = format!("{}{}", output.out, output.err);
            assert_eq!(output.code, Some(1), "{words:?} {command:?}: {text}");
            assert!(text.contains(report), "{words:?} {command:?}: {text}");

            let json = run(&[words, &["--format", "json"]].concat()).report();
            let list = if json["conflicts"].is_array() {
                "conflicts"
            } else {
                "failed_teardowns"
            };
            assert_eq!(json[list][0]["kind"], "teardown-failed", "{words:?}: {json}");
            assert_eq!(json[list][0]["output"], "no such shop", "{words:?}: {json}");
        }
    }
}

#[test]
fn a_keeper_that_was_killed_is_a_teardown_that_failed() {
    // The parent of a fixture's commands is the keeper.
    let source = "#[test]\nfn kills() {\n    let keeper = std::fs::read_to_string(std::env::var(\"KEEPER\").unwrap()).unwrap();\n    let kill = std::process::Command::new(\"kill\").args([\"-9\", keeper.trim()]).status();\n    assert!(kill.unwrap().success());\n}\n";
    let package = Package::new("declared_keeper", source);
    package.write(
        "cofferdam.toml",
        "[fixtures.shop]\nbefore = [['sh', '-c', 'echo $PPID > {dir}/keeper']]\nstart = ['sleep', '600']\nenv = { KEEPER = '{dir}/keeper' }\n",
    );
    let command = ["cargo", "test", "--offline", "--tests"];
    let output: CommandOutput = package.cofferdam(&["observe"], &command).output().unwrap().into();
    let text = format!("{}{}", output.out, output.err);
    assert_eq!(output.code, Some(1), "{text}");
    let report = "the teardown of fixture shop failed: its keeper was killed, or takes longer than 60 s\n";
    assert!(text.contains(report), "{text}");
}

#[test]
fn a_killed_command_takes_its_declared_fixtures_along() {
    let source = "#[test]\nfn hangs() {\n    std::fs::write(\"up\", std::env::var(\"SHOP_URL\").unwrap()).unwrap();\n    std::fs::read(\"hold\").unwrap();\n}\n";
    let package = package("declared_killed");
    package.write("tests/declared_killed.rs", source);
    let command = ["cargo", "test", "--offline", "--test", "declared_killed"];
    let hold = package.path().join("hold");
    let torn_down = package.path().join("torn-down");
    for path in [&package.path().join("up"), &hold, &torn_down] {
        make_pipe(path);
    }
    let mut child = package.cofferdam(&["run"], &command);
    // What the killed command started goes on writing.
    child.stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = child.spawn().unwrap();
    assert_ne!(fs::read_to_string(package.path().join("up")).unwrap(), "");
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(fs::read_to_string(torn_down).unwrap(), "torn down\n");
    // Lets the test end, whose runner was killed.
    fs::write(hold, "").unwrap();
}

#[test]
fn an_unusable_declaration_is_refused_before_anything_starts() {
    let package = package("undeclared");
    for (text, reason) in [
        (
            "[fixtures.shop]\n",
            "fixture `shop`: a fixture has either `start` or `container`",
        ),
        ("[fixtures.shop]\nbegin = []\n", ":2: unknown field `begin`"),
        ("[fixtures.shop]\nstart = ['a', '{x}']\n", "write it twice"),
        (
            "[fixtures.a]\nstart = ['a']\nenv = { X = '1' }\n[fixtures.b]\nstart = ['b']\nenv = { X = '2' }\n",
            "fixtures `a` and `b` both set X: rename one",
        ),
    ] {
        package.write("cofferdam.toml", text);
        let output = package
            .cofferdam(&["observe"], &["cargo", "test"])
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{errors}");
        assert!(errors.contains(reason), "{errors}");
    }
    package.write(
        "cofferdam.toml",
        "[fixtures.shop]\nstart = ['sh', '-c', 'echo no disk; exit 1']\nready = { log = 'x' }\n",
    );
    let output = package
        .cofferdam(&["observe"], &["cargo", "test"])
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{errors}");
    assert!(errors.contains("fixture `shop` could not be started"), "{errors}");
    assert!(errors.contains("\ncofferdam:     no disk\n"), "{errors}");
}

/// As in a repository with several workspaces, and a `cargo cofferdam` that was installed.
#[test]
fn a_file_above_the_workspace_serves_it_from_a_program_outside_of_target_directories() {
    let package = package("declared_above");
    let workspace = package.path().join("backend");
    fs::create_dir(&workspace).unwrap();
    for entry in ["Cargo.toml", "build.rs", "src", "tests"] {
        fs::rename(package.path().join(entry), workspace.join(entry)).unwrap();
    }
    let installed = tempfile::tempdir().unwrap();
    let program = installed.path().join("cargo-cofferdam");
    fs::copy(env!("CARGO_BIN_EXE_cargo-cofferdam"), &program).unwrap();
    let described = package.cofferdam(&["observe"], &["cargo", "test", "--offline"]);
    #[expect(clippy::disallowed_methods, reason = "the program under test")]
    let mut command = Command::new(program);
    command.args(described.get_args()).current_dir(workspace);
    for (name, value) in described.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert_eq!(output.status.code(), Some(0), "{text}");
}
