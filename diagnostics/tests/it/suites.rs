//! Real suites under real runners: the examples, which are workspaces of their own.

use crate::recording::CommandOutput;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// Returns the binary, run in an example as a user would.
pub(crate) fn in_example(example: &str, args: &[&str]) -> Command {
    #[expect(clippy::disallowed_methods, reason = "the program under test")]
    let mut command = Command::new(env!("CARGO_BIN_EXE_cargo-cofferdam"));
    command
        .args(args)
        .current_dir(root().join("examples").join(example))
        .env("CARGO_TARGET_DIR", built(example));
    for variable in [
        "COFFERDAM_DIR",
        "COFFERDAM_RECORD",
        "COFFERDAM_WORKER",
        "COFFERDAM_RUN_ID",
        "NO_COLOR",
        "GITHUB_ACTIONS",
    ] {
        command.env_remove(variable);
    }
    command
}

/// Returns the target directory of an example. Each has its own, because the two packages have one name and cargo
/// would confuse their tests.
fn built(example: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(example)
}

fn run(example: &str, command: &[&str]) -> CommandOutput {
    let args: Vec<&str> = ["run", "--"].iter().chain(command).copied().collect();
    in_example(example, &args).output().unwrap().into()
}

/// Returns `is_there`, and prints that a test, or a part of it, is skipped where something that it needs is missing.
pub(crate) fn has(is_there: bool, what: &str) -> bool {
    #[expect(
        clippy::print_stderr,
        reason = "a test that did not look must not look as if it had"
    )]
    if !is_there {
        let test = std::thread::current();
        eprintln!("skipped: {}: no {what} here", test.name().unwrap_or("a test"));
    }
    is_there
}

pub(crate) fn has_nextest() -> bool {
    #[expect(clippy::disallowed_methods, reason = "the tool is looked for")]
    let found = Command::new("cargo").args(["nextest", "--version"]).output();
    has(found.is_ok_and(|output| output.status.success()), "nextest")
}

/// Returns whether system calls past libc and statics are observed.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(crate) fn observes_past_libc() -> bool {
    has(cfg!(target_arch = "x86_64"), "observation past libc")
}

/// Returns whether the tests run without qemu, which lacks some kinds of `clone`, and where the programs of the system are for
/// another processor.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(crate) fn is_native() -> bool {
    let processor = |path: &Path| {
        let mut head = [0; 20];
        let mut file = std::fs::File::open(path).unwrap();
        std::io::Read::read_exact(&mut file, &mut head).unwrap();
        [head[18], head[19]]
    };
    has(
        processor(Path::new(env!("CARGO_BIN_EXE_cargo-cofferdam"))) == processor(Path::new("/bin/sh")),
        "native processor",
    )
}

/// Returns whether file systems can be mounted that no other process sees.
#[cfg(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu"))]
pub(crate) fn can_mount() -> bool {
    #[expect(clippy::disallowed_methods, reason = "the tool is looked for")]
    let can = Command::new("unshare")
        .args(["-m", "mount", "-t", "tmpfs", "none", "/mnt"])
        .output();
    has(
        can.is_ok_and(|output| output.status.success()),
        "right to mount file systems",
    )
}

/// The conflicts planted in `examples/conflicted` that show under every runner.
const PLANTED: [&str; 3] = [
    "target/report.csv is used by ",
    "conflict: port ",
    "conflict: name queue orders is used by ",
];

fn names_what_is_planted(output: &CommandOutput) {
    assert_eq!(output.code, Some(1), "{}{}", output.out, output.err);
    for planted in PLANTED {
        let from = output
            .out
            .find(planted)
            .unwrap_or_else(|| panic!("no {planted:?} in {}", output.out));
        let block: Vec<&str> = output.out[from..]
            .lines()
            .take_while(|line| !line.is_empty())
            .collect();
        let parties = block
            .iter()
            .filter(|line| line.contains(" in order") || line.contains(" in back_office"));
        assert!(parties.count() >= 2, "{block:?}");
        assert!(block.iter().any(|line| line.starts_with("  help: ")), "{block:?}");
    }
    assert!(
        output
            .out
            .lines()
            .last()
            .unwrap()
            .contains(" conflicts in what was watched: "),
        "{}",
        output.out
    );
}

pub(crate) fn finds_nothing(output: &CommandOutput) {
    assert_eq!(output.code, Some(0), "{}{}", output.out, output.err);
    let last = output.out.lines().last().unwrap();
    assert!(
        last.starts_with("cofferdam: no conflict in what was watched: "),
        "{last}"
    );
}

/// One test for all runners, because two concurrent runs of the suite would conflict on its fixed port and file.
#[test]
fn the_conflicted_suite_passes_and_its_planted_conflicts_are_named_under_every_runner() {
    let output = run("conflicted", &["cargo", "test"]);
    names_what_is_planted(&output);
    // Under nextest every test is a process, so no instance is in two tests.
    assert!(
        output
            .out
            .contains("conflict: one instance of Orders is in the caches of "),
        "{}",
        output.out
    );
    if !has_nextest() {
        return;
    }
    names_what_is_planted(&run("conflicted", &["cargo", "nextest", "run"]));

    // Tests of an archive run elsewhere, and are recorded where the report looks for them.
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("tests.tar.zst");
    let archive = archive.to_str().unwrap();
    let made = run(
        "conflicted",
        &["cargo", "nextest", "archive", "--archive-file", archive],
    );
    assert_eq!(made.code, Some(0), "{}", made.err);
    names_what_is_planted(&run(
        "conflicted",
        &["cargo", "nextest", "run", "--archive-file", archive],
    ));
}

/// The same from outside, without recording by the suite.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn observes_what_is_planted(command: &[&str], planted: &[&str]) {
    let args: Vec<&str> = ["observe", "--"].iter().chain(command).copied().collect();
    let output: CommandOutput = in_example("conflicted", &args).output().unwrap().into();
    assert_eq!(output.code, Some(1), "{}{}", output.out, output.err);
    let headlines: Vec<&str> = output
        .out
        .lines()
        .filter(|line| line.starts_with("conflict: "))
        .collect();
    let is_right = headlines.len() == planted.len()
        && headlines
            .iter()
            .zip(planted)
            .all(|(line, planted)| line.contains(planted));
    assert!(is_right, "{headlines:#?}");
    assert!(
        output.out.contains("src/report.rs:18") && output.out.contains("src/status.rs:"),
        "{}",
        output.out
    );
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[test]
fn exactly_the_planted_conflicts_are_observed() {
    let outside = ["target/report.csv: ", "conflict: port 27481: "];
    // Each process has its own, so only threads conflict there.
    let inside = ["conflict: cwd: ", "conflict: env SHOP_CURRENCY: "];
    observes_what_is_planted(&["cargo", "test"], &[inside, outside].concat());
    let isolated = |command: &[&str]| {
        let args: Vec<&str> = ["observe", "--"].iter().chain(command).copied().collect();
        finds_nothing(&in_example("isolated", &args).output().unwrap().into());
    };
    isolated(&["cargo", "test"]);
    if has_nextest() {
        observes_what_is_planted(&["cargo", "nextest", "run"], &outside);
        isolated(&["cargo", "nextest", "run"]);
    }
}

#[test]
fn the_isolated_suite_has_no_conflict_under_any_runner() {
    finds_nothing(&run("isolated", &["cargo", "test"]));
    if has_nextest() {
        finds_nothing(&run("isolated", &["cargo", "nextest", "run"]));
    }
}

const SECRET: &str = "planted-5ecret";

/// Returns all files below a directory as text, without those of the tests.
fn all_text(folder: &Path) -> String {
    let mut text = String::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("dir") {
            text.push_str(&all_text(&path));
        } else if let Ok(bytes) = std::fs::read(&path) {
            text.push_str(&String::from_utf8_lossy(&bytes));
        }
    }
    text
}

#[test]
fn no_value_of_a_variable_and_no_argument_is_written_down_or_reported() {
    let base = tempfile::tempdir().unwrap();
    let reports = ["json", "junit", "sarif", "perfetto"].map(|format| {
        let report = base.path().join(format);
        format!("--report={format}={}", report.display())
    });
    for format in ["human", "json"] {
        let args = ["run", "--format", format, "--github", "always"];
        let args = args
            .into_iter()
            .chain(reports.iter().map(String::as_str))
            .chain(["--"]);
        let args: Vec<&str> = args.collect();
        let suite = ["cargo", "test", "--", "--skip", SECRET];
        let mut command = in_example("isolated", &[&args[..], &suite[..]].concat());
        command
            .env("COFFERDAM_DIR", base.path())
            .env("GITHUB_STEP_SUMMARY", base.path().join("summary"))
            .env("SHOP_PASSWORD", SECRET);
        let output: CommandOutput = command.output().unwrap().into();
        assert_eq!(output.code, Some(0), "{}{}", output.out, output.err);
        assert!(
            !output.out.contains(SECRET) && !output.err.contains(SECRET),
            "{}{}",
            output.out,
            output.err
        );
    }
    let written = all_text(base.path());
    assert!(
        written.contains("\"event\":\"claimed\"") && written.contains("no conflict"),
        "{written}"
    );
    assert!(!written.contains(SECRET));
}
