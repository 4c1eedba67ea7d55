//! The cases that the runner (`runner/` beside `src/`) leaves to this program: a project's own runner, which is started
//! first and starts the runner again, doctests, and starts that are only saved.

use super::RUN;
use super::instructions::{EXPORTS, Instructions, PREVIOUS_RUNNER, PROJECT_RUNNER, RUNNER, VARIABLE};
use super::saved_starts::SavedStarts;
use super::started_program::{StartedProgram, command, contains};
use crate::cli::RUNNER_WORD;
use crate::fixtures::Exports;
use crate::observe::statics::{self, Wanted};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// The name of a file whose presence makes the runner write down how each program was started.
pub(super) const KEEP_STARTS: &str = "again";
/// The name of a file whose presence makes the runner leave programs with several tests to this one, which writes the table
/// of their statics. The file holds a [`Wanted`]; if it is empty, the uses are recorded.
pub(super) const STATICS: &str = "statics";
/// The word before a program that the runner does not leave to this one again.
const CHECKED: &str = "__checked";

/// Executes the runner again in place of this process, or the project's own runner. Returns only on failure, or if the
/// command is only to save how its programs are started.
pub(crate) fn exec_observed(words: &[OsString]) -> io::Result<()> {
    let invalid = |what| io::Error::new(io::ErrorKind::InvalidInput, what);
    let instructions = variable(VARIABLE).and_then(|text| Instructions::parse(&text));
    // Without observation, the runner only brings the variables of fixtures.
    let exports = variable(EXPORTS).map(PathBuf::from);
    let dir = instructions
        .as_ref()
        .map(|instructions| instructions.dir.as_path())
        .or_else(|| exports.as_deref()?.parent())
        .ok_or_else(|| invalid("the runner has no instructions"))?;
    let own = dir.join(RUN);
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
    let exports = match &exports {
        Some(file) => serde_json::from_slice(&fs::read(file)?)?,
        None => Exports::new(),
    };
    if let Some(starts) = SavedStarts::open(dir)?.filter(|_| !only_lists) {
        return starts.add(&start_of(program, arguments, &exports)?);
    }
    // A doctest has a process of its own.
    if !only_lists
        && !is_doctest(Path::new(program))
        && let Ok(wanted) = fs::read(dir.join(STATICS))
    {
        // Without the table, the report says that statics were not observed.
        #[expect(
            clippy::disallowed_methods,
            reason = "the program keeps this process's number"
        )]
        let pid = std::process::id();
        let wanted = match wanted.as_slice() {
            [] => Some(Wanted {
                compares: is_serial(arguments),
                ..Wanted::uses()
            }),
            request => serde_json::from_slice(request).ok(),
        };
        if let Some(wanted) = wanted {
            let _ = statics::write(dir, Path::new(program), pid, &wanted);
        }
    }
    let mut child = command(own.as_os_str());
    child.arg(CHECKED).args(words).env_remove(EXPORTS).envs(&exports);
    if variable(DOCTEST).is_none() && is_doctests(Path::new(program)) {
        child.env(DOCTEST, program);
    }
    Err(child.exec())
}

/// Returns whether a program with these arguments runs one test at a time.
fn is_serial(arguments: &[OsString]) -> bool {
    let has_one = arguments
        .windows(2)
        .any(|pair| pair[0] == "--test-threads" && pair[1] == "1");
    has_one
        || arguments.iter().any(|argument| argument == "--test-threads=1")
        || variable("RUST_TEST_THREADS").is_some_and(|number| number == "1")
}

/// rustdoc's variable that names the program to start for each of several doctests in one program.
const DOCTEST: &str = "RUSTDOC_DOCTEST_BIN_PATH";

/// Returns whether the program holds several doctests. rustdoc does not set its variable if there is a runner, and without
/// it all doctests would run in one process, unlike without observation.
fn is_doctests(program: &Path) -> bool {
    is_doctest(program) && contains(program, DOCTEST.as_bytes())
}

/// Returns whether the program holds doctests.
pub(in crate::observe) fn is_doctest(program: &Path) -> bool {
    program.file_name().is_some_and(|name| name == "rust_out")
}

fn start_of(program: &OsStr, arguments: &[OsString], exports: &Exports) -> io::Result<StartedProgram> {
    #[expect(
        clippy::disallowed_methods,
        reason = "a later start of the program needs the same directory and variables"
    )]
    let (working_dir, variables) = (env::current_dir()?, env::vars_os());
    let ours = [VARIABLE, PREVIOUS_RUNNER, RUNNER, EXPORTS];
    let exports = exports.iter().map(|(name, value)| (name.into(), value.into()));
    Ok(StartedProgram {
        program: working_dir.join(program).into_os_string(),
        arguments: arguments.to_vec(),
        dir: working_dir,
        variables: variables
            .filter(|(name, _)| !ours.iter().any(|own| name == own))
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

#[cfg(test)]
mod tests {
    use super::super::test_groups;
    use super::super::{Launch, LaunchSettings};
    use super::*;
    use crate::observe::log::account_file;
    use std::fs;
    use std::process::{Output, Stdio};

    fn launch() -> Launch {
        let settings = LaunchSettings {
            call_stacks: true,
            thread_names: true,
            reruns: true,
            statics: false,
            only_starts: false,
        };
        Launch::new(Path::new("/"), settings).unwrap()
    }

    /// Starts a shell that becomes the runner, which is its first argument, with the variables of the launch.
    fn run(launch: &Launch, script: &str, variables: &[(&str, &str)]) -> Output {
        let mut shell = command(OsStr::new("/bin/sh"));
        shell
            .args(["-c", script])
            .arg(launch.runner())
            .envs(launch.variables());
        shell.envs(variables.iter().copied()).stdin(Stdio::null());
        shell.output().unwrap()
    }

    fn files_ending_in(launch: &Launch, ending: &str) -> Vec<u32> {
        let entries = fs::read_dir(launch.folder()).unwrap().flatten();
        let names = entries.map(|entry| entry.file_name().into_string().unwrap());
        names
            .filter_map(|name| name.strip_suffix(ending)?.parse().ok())
            .collect()
    }

    #[test]
    fn a_program_is_entered_observed_and_saved_with_its_own_variables() {
        let launch = launch();
        let script = format!("exec $0 __observed /bin/sh -c 'echo $A ${RUNNER}; exit 7' x ''");
        let output = run(&launch, &script, &[("A", "1=2")]);
        assert_eq!(
            (output.status.code(), &output.stdout[..]),
            (Some(7), &b"1=2\n"[..])
        );
        let (account, logs) = account_file::read(launch.folder());
        assert_eq!((account.started, account.recorded, logs.len()), (1, 1, 1));
        assert_eq!(files_ending_in(&launch, ".started"), [logs[0].pid()]);
        let started = StartedProgram::read(launch.folder(), logs[0].pid()).unwrap();
        assert_eq!(
            (&*started.program, started.arguments.len()),
            (OsStr::new("/bin/sh"), 4)
        );
        assert_eq!(started.arguments[3], "");
        assert!(started.variables.contains(&("A".into(), "1=2".into())));
        let ours = |(name, _): &(OsString, OsString)| {
            [VARIABLE, PREVIOUS_RUNNER, RUNNER].iter().any(|own| name == own)
        };
        assert!(!started.variables.iter().any(ours));
        assert_eq!(StartedProgram::from_bytes(&started.to_bytes()), Some(started));
    }

    #[test]
    fn a_program_that_cannot_be_started_is_named_and_lost() {
        let launch = launch();
        let output = run(&launch, "exec $0 __observed /nowhere/program", &[]);
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(errors, "error: could not start /nowhere/program: os error 2\n");
        assert_eq!(output.status.code(), Some(3));
        assert_eq!(account_file::read(launch.folder()).0.lost_count(), 1);
    }

    #[test]
    fn a_program_that_only_lists_its_tests_is_not_observed() {
        let launch = launch();
        let script = "exec $0 __observed /bin/sh -c 'echo $LD_PRELOAD$COFFERDAM_OBSERVE' --list";
        assert_eq!(run(&launch, script, &[]).stdout, b"\n");
        assert_eq!(account_file::read(launch.folder()).0.started, 0);
    }

    #[test]
    fn a_test_without_a_group_does_not_get_that_of_an_earlier_process() {
        let launch = launch();
        let script = "echo stale > ${0%/*}/$$.group; exec $0 __observed /bin/true --exact a";
        let of_nextest = |group| {
            [
                ("NEXTEST_TEST_NAME", "a"),
                ("NEXTEST_BINARY_ID", "shop"),
                ("NEXTEST_TEST_GROUP", group),
            ]
        };
        run(&launch, script, &of_nextest("@global"));
        assert!(files_ending_in(&launch, ".group").is_empty());
        run(&launch, script, &of_nextest("one"));
        let [pid] = files_ending_in(&launch, ".group")[..] else {
            panic!("no group");
        };
        let saved = fs::read(test_groups::path(launch.folder(), pid)).unwrap();
        assert!(saved.starts_with(b"one\n"));
    }
}
