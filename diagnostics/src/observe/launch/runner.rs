//! The runner of test programs: prepares the observation and then executes the program. A project's own runner is started
//! first and starts this one again.

use super::instructions::{
    EXPORTS, Instructions, PREVIOUS_RUNNER, PROJECT_RUNNER, RUNNER, TestUnit, VARIABLE,
};
use super::saved_starts::SavedStarts;
use super::started_program::{StartedProgram, command, contains, is_test};
use super::{own_exe, test_groups};
use crate::cli::RUNNER_WORD;
use crate::fixtures::Exports;
use crate::observe::log::account_file;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::{env, fs, io, process};

/// The name of a file whose presence makes the runner write down how each program was started.
pub(super) const KEEP_STARTS: &str = "again";

/// Executes the program in place of this process, observed unless it only lists its tests. Returns only on failure, or if the
/// command is only to save how its programs are started.
pub(crate) fn exec_observed(words: &[OsString]) -> io::Result<()> {
    let project_runner: Option<Vec<String>> =
        variable(PROJECT_RUNNER).and_then(|words| serde_json::from_slice(words.as_bytes()).ok());
    if let Some((runner, arguments)) = project_runner.as_deref().and_then(<[_]>::split_first) {
        let error = exec_project_runner(runner, arguments, words);
        return Err(io::Error::new(
            error.kind(),
            format!("could not start the project's own runner {runner}: {error}"),
        ));
    }
    let Some((program, arguments)) = words.split_first() else {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "no program was named",
        ));
    };
    let mut child = command(program);
    child.args(arguments);
    child
        .env_remove(VARIABLE)
        .env_remove(PREVIOUS_RUNNER)
        .env_remove(EXPORTS);
    child.envs(exports()?);
    // A suite that runs cargo itself must find its own settings.
    match variable(PREVIOUS_RUNNER) {
        Some(runner) => child.env(RUNNER, runner),
        None => child.env_remove(RUNNER),
    };
    if variable(DOCTEST).is_none() && is_doctests(Path::new(program)) {
        child.env(DOCTEST, program);
    }
    let only_lists = arguments.iter().any(|argument| argument == "--list");
    if !only_lists && let Some(instructions) = variable(VARIABLE).and_then(|text| Instructions::parse(&text))
    {
        if let Some(starts) = SavedStarts::open(&instructions.dir)? {
            return starts.add(&start_of(program, arguments, &child)?);
        }
        prepare(&instructions, &mut child, program, arguments);
    }
    Err(child.exec())
}

/// Returns the variables of declared fixtures.
fn exports() -> io::Result<Exports> {
    let Some(file) = variable(EXPORTS) else {
        return Ok(Exports::new());
    };
    let text = fs::read(file)?;
    serde_json::from_slice(&text).map_err(io::Error::other)
}

/// rustdoc's variable that names the program to start for each of several doctests in one program.
const DOCTEST: &str = "RUSTDOC_DOCTEST_BIN_PATH";

/// Returns whether the program holds several doctests. rustdoc does not set its variable if there is a runner, and without
/// it all doctests would run in one process, unlike without observation.
fn is_doctests(program: &Path) -> bool {
    program.file_name().is_some_and(|name| name == "rust_out") && contains(program, DOCTEST.as_bytes())
}

/// Executes the project's own runner, which starts this one.
fn exec_project_runner(runner: &str, arguments: &[String], words: &[OsString]) -> io::Error {
    let own = match own_exe() {
        Ok(own) => own,
        Err(error) => return error,
    };
    let mut child = command(OsStr::new(runner));
    child.args(arguments).arg(own).arg(RUNNER_WORD).args(words);
    child.env_remove(PROJECT_RUNNER).exec()
}

/// Enters the program in the account and sets the variables that the observer needs.
fn prepare(instructions: &Instructions, child: &mut Command, program: &OsStr, arguments: &[OsString]) {
    #[expect(clippy::disallowed_methods, reason = "the program keeps this process's ID")]
    let pid = process::id();
    let nextest_test = variable("NEXTEST_TEST_NAME").filter(|name| is_test(name, arguments));
    let unit = match nextest_test {
        Some(_) => TestUnit::Process,
        None => instructions.unit,
    };
    let name = match (variable("NEXTEST_BINARY_ID"), nextest_test) {
        (Some(binary), Some(test)) => [binary.as_bytes(), test.as_bytes()].join(&b' '),
        _ => program.as_bytes().to_vec(),
    };
    let Some(slot) = account_file::enter(&instructions.dir, Path::new(program), &name) else {
        return;
    };
    // The observer also records system calls past libc.
    let raw = 1;
    let mut observe = OsString::from(format!(
        "{slot:08};{pid};{};{raw};{};",
        instructions.frames, unit as u8
    ));
    observe.push(&instructions.dir);
    let mut preload = fs::read_link(instructions.dir.join("library"))
        .unwrap_or_default()
        .into_os_string();
    if let Some(own) = variable("LD_PRELOAD").filter(|own| !own.is_empty()) {
        preload.push(":");
        preload.push(own);
    }
    if let (TestUnit::Process, Some(group)) = (unit, variable("NEXTEST_TEST_GROUP")) {
        let workspace = variable("NEXTEST_WORKSPACE_ROOT").unwrap_or_default();
        // On failure the test is reported as if it were in no group.
        let _ = test_groups::save(&instructions.dir, pid, &group, &workspace);
    }
    if unit != TestUnit::Process || instructions.dir.join(KEEP_STARTS).exists() {
        // Needed to rerun tests and to list them. On failure only the threads' own names count.
        let _ = start_of(program, arguments, child).and_then(|started| started.save(&instructions.dir, pid));
    }
    child.env("COFFERDAM_OBSERVE", observe).env("LD_PRELOAD", preload);
}

fn start_of(program: &OsStr, arguments: &[OsString], child: &Command) -> io::Result<StartedProgram> {
    #[expect(
        clippy::disallowed_methods,
        reason = "a later start of the program needs the same directory and variables"
    )]
    let (working_dir, variables) = (env::current_dir()?, env::vars_os());
    let changed: Vec<&OsStr> = child.get_envs().map(|(name, _)| name).collect();
    let exports = exports()?
        .into_iter()
        .map(|(name, value)| (name.into(), value.into()));
    Ok(StartedProgram {
        program: working_dir.join(program).into_os_string(),
        arguments: arguments.to_vec(),
        dir: working_dir,
        variables: variables
            .filter(|(name, _)| !changed.contains(&name.as_os_str()))
            .chain(exports)
            .collect(),
    })
}

fn variable(name: &str) -> Option<OsString> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the launch passes its instructions in variables"
    )]
    env::var_os(name)
}
