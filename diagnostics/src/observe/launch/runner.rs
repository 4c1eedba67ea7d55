//! The cases that the runner (`runner/` beside `src/`) leaves to this program: a project's own runner, which is started
//! first and starts the runner again, doctests, and starts that are only saved.

use super::RUN;
use super::instructions::{Instructions, PREVIOUS_RUNNER, PROJECT_RUNNER, RUNNER, VARIABLE};
use super::saved_starts::SavedStarts;
use super::started_program::{StartedProgram, command, contains};
use crate::cli::RUNNER_WORD;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::{env, io};

/// The name of a file whose presence makes the runner write down how each program was started.
pub(super) const KEEP_STARTS: &str = "again";
/// The word before a program that the runner does not leave to this one again.
const CHECKED: &str = "__checked";

/// Executes the runner again in place of this process, or the project's own runner. Returns only on failure, or if the
/// command is only to save how its programs are started.
pub(crate) fn exec_observed(words: &[OsString]) -> io::Result<()> {
    let invalid = |what| io::Error::new(io::ErrorKind::InvalidInput, what);
    let instructions = variable(VARIABLE).and_then(|text| Instructions::parse(&text));
    let instructions = instructions.ok_or_else(|| invalid("the runner has no instructions"))?;
    let own = instructions.dir.join(RUN);
    let project_runner: Option<Vec<String>> =
        variable(PROJECT_RUNNER).and_then(|words| serde_json::from_slice(words.as_bytes()).ok());
    if let Some((runner, arguments)) = project_runner.as_deref().and_then(<[_]>::split_first) {
        let mut child = command(OsStr::new(runner));
        child.args(arguments).arg(own).arg(RUNNER_WORD).args(words);
        let error = child.env_remove(PROJECT_RUNNER).exec();
        return Err(io::Error::new(
            error.kind(),
            format!("could not start the project's own runner {runner}: {error}"),
        ));
    }
    let (program, arguments) = words
        .split_first()
        .ok_or_else(|| invalid("no program was named"))?;
    let only_lists = arguments.iter().any(|argument| argument == "--list");
    if let Some(starts) = SavedStarts::open(&instructions.dir)?.filter(|_| !only_lists) {
        return starts.add(&start_of(program, arguments)?);
    }
    let mut child = command(own.as_os_str());
    child.arg(CHECKED).args(words);
    if variable(DOCTEST).is_none() && is_doctests(Path::new(program)) {
        child.env(DOCTEST, program);
    }
    Err(child.exec())
}

/// rustdoc's variable that names the program to start for each of several doctests in one program.
const DOCTEST: &str = "RUSTDOC_DOCTEST_BIN_PATH";

/// Returns whether the program holds several doctests. rustdoc does not set its variable if there is a runner, and without
/// it all doctests would run in one process, unlike without observation.
fn is_doctests(program: &Path) -> bool {
    program.file_name().is_some_and(|name| name == "rust_out") && contains(program, DOCTEST.as_bytes())
}

fn start_of(program: &OsStr, arguments: &[OsString]) -> io::Result<StartedProgram> {
    #[expect(
        clippy::disallowed_methods,
        reason = "a later start of the program needs the same directory and variables"
    )]
    let (working_dir, variables) = (env::current_dir()?, env::vars_os());
    let ours = [VARIABLE, PREVIOUS_RUNNER, RUNNER];
    Ok(StartedProgram {
        program: working_dir.join(program).into_os_string(),
        arguments: arguments.to_vec(),
        dir: working_dir,
        variables: variables
            .filter(|(name, _)| !ours.iter().any(|own| name == own))
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
