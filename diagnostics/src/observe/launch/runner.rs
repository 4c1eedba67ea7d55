//! The runner of test programs: prepares the observation and then executes the program. A project's own runner is started
//! first and starts this one again.

use super::test_groups;
use crate::cli::RUNNER_WORD;
use crate::observe::launch::{RUNNER, RUNNER_BEFORE, Started, THEIRS, VARIABLE, own_exe};
use crate::observe::log::account_file;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs, io, process};

/// Each thread of the process is a test.
pub(crate) const THREADS: u8 = 0;
/// The process is one test.
pub(crate) const ONE_TEST: u8 = 1;
/// Each thread is a test, and thread names are not read.
pub(crate) const WITHOUT_NAMES: u8 = 2;

/// The name of a file whose presence makes the runner write down how each program was started.
pub(crate) const AGAIN: &str = "again";

/// Executes the program in place of this process, observed unless it only lists its tests. Returns only on failure.
pub(crate) fn become_observed(command: &[OsString]) -> io::Error {
    let theirs: Option<Vec<String>> =
        variable(THEIRS).and_then(|words| serde_json::from_slice(words.as_bytes()).ok());
    if let Some((program, words)) = theirs.as_deref().and_then(<[_]>::split_first) {
        let error = become_theirs(program, words, command);
        return io::Error::new(
            error.kind(),
            format!("could not start the project's own runner {program}: {error}"),
        );
    }
    let Some((program, arguments)) = command.split_first() else {
        return io::Error::new(io::ErrorKind::InvalidInput, "no program was named");
    };
    let mut child = started(program);
    child.args(arguments);
    let told = variable(VARIABLE);
    child.env_remove(VARIABLE).env_remove(RUNNER_BEFORE);
    // A suite that runs cargo itself must find its own settings.
    match variable(RUNNER_BEFORE) {
        Some(before) => child.env(RUNNER, before),
        None => child.env_remove(RUNNER),
    };
    if variable(DOCTEST).is_none() && is_doctests(Path::new(program)) {
        child.env(DOCTEST, program);
    }
    if let Some(told) = told.and_then(|told| Told::read(&told))
        && !only_lists(arguments)
    {
        told.prepare(&mut child, program, arguments);
    }
    child.exec()
}

/// rustdoc's variable that names the program to start for each of several doctests in one program.
const DOCTEST: &str = "RUSTDOC_DOCTEST_BIN_PATH";

/// Returns whether the program holds several doctests. rustdoc does not set its variable if there is a runner, and without
/// it all doctests would run in one process, unlike without observation.
fn is_doctests(program: &Path) -> bool {
    program.file_name().is_some_and(|name| name == "rust_out") && contains(program, DOCTEST.as_bytes())
}

/// Executes the project's own runner, which starts this one.
fn become_theirs(program: &str, words: &[String], command: &[OsString]) -> io::Error {
    let own = match own_exe() {
        Ok(own) => own,
        Err(error) => return error,
    };
    let mut child = started(OsStr::new(program));
    child.args(words).arg(own).arg(RUNNER_WORD).args(command);
    child.env_remove(THEIRS).exec()
}

fn only_lists(arguments: &[OsString]) -> bool {
    arguments.iter().any(|argument| argument == "--list")
}

/// The instructions in [`VARIABLE`].
struct Told {
    frames: u32,
    raw: u32,
    threads: u8,
    folder: PathBuf,
}

impl Told {
    fn read(text: &OsStr) -> Option<Self> {
        let mut parts = text.as_bytes().splitn(4, |byte| *byte == b';');
        let mut number = || std::str::from_utf8(parts.next()?).ok()?.parse::<u32>().ok();
        let (frames, raw, threads) = (number()?, number()?, u8::try_from(number()?).ok()?);
        Some(Self {
            frames,
            raw,
            threads,
            folder: PathBuf::from(OsStr::from_bytes(parts.next()?)),
        })
    }

    fn prepare(&self, child: &mut Command, program: &OsStr, arguments: &[OsString]) {
        #[expect(
            clippy::disallowed_methods,
            reason = "the program gets this number with the process"
        )]
        let pid = process::id();
        let tests = match variable("NEXTEST_TEST_NAME") {
            Some(name) if is_test(&name, arguments) => ONE_TEST,
            _ => self.threads,
        };
        let name = match (variable("NEXTEST_BINARY_ID"), variable("NEXTEST_TEST_NAME")) {
            (Some(binary), Some(test)) if tests == ONE_TEST => {
                [binary.as_bytes(), test.as_bytes()].join(&b' ')
            }
            _ => program.as_bytes().to_vec(),
        };
        let Some(slot) = account_file::enter(&self.folder, Path::new(program), &name) else {
            return;
        };
        let mut observe = OsString::from(format!("{slot:08};{pid};{};{};{tests};", self.frames, self.raw));
        observe.push(&self.folder);
        let mut preload = fs::read_link(self.folder.join("library"))
            .unwrap_or_default()
            .into_os_string();
        if let Some(theirs) = variable("LD_PRELOAD").filter(|theirs| !theirs.is_empty()) {
            preload.push(":");
            preload.push(theirs);
        }
        if let (ONE_TEST, Some(group)) = (tests, variable("NEXTEST_TEST_GROUP")) {
            let workspace = variable("NEXTEST_WORKSPACE_ROOT").unwrap_or_default();
            // On failure the test is reported as if it were in no group.
            let _ = test_groups::note(&self.folder, pid, &group, &workspace);
        }
        if tests != ONE_TEST || self.folder.join(AGAIN).exists() {
            // Needed to rerun tests and to list them. On failure only the threads' own names count.
            let _ = self.note(pid, program, arguments, child);
        }
        child.env("COFFERDAM_OBSERVE", observe).env("LD_PRELOAD", preload);
    }

    fn note(&self, pid: u32, program: &OsStr, arguments: &[OsString], child: &Command) -> io::Result<()> {
        #[expect(
            clippy::disallowed_methods,
            reason = "the program may be started from here once more"
        )]
        let (dir, variables) = (env::current_dir()?, env::vars_os());
        let changed: Vec<&OsStr> = child.get_envs().map(|(name, _)| name).collect();
        let started = Started {
            program: dir.join(program).into_os_string(),
            arguments: arguments.to_vec(),
            dir,
            variables: variables
                .filter(|(name, _)| !changed.contains(&name.as_os_str()))
                .collect(),
        };
        let path = Started::path(&self.folder, pid);
        let mut file = fs::OpenOptions::new();
        // Process IDs are reused: an existing file belongs to an earlier process.
        let file = file
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&path)?;
        let written = io::Write::write_all(&mut &file, &started.to_bytes());
        if written.is_err() {
            // A truncated environment would start a different program.
            let _ = fs::remove_file(path);
        }
        written
    }
}

/// Returns whether this process is the test `name`. Children of a test inherit nextest's variables, so the arguments decide.
fn is_test(name: &OsStr, arguments: &[OsString]) -> bool {
    let has = |wanted: &OsStr| arguments.iter().any(|argument| argument == wanted);
    has(OsStr::new("--exact")) && has(name)
}

fn variable(name: &str) -> Option<OsString> {
    #[expect(clippy::disallowed_methods, reason = "what the launch put there")]
    env::var_os(name)
}

pub(crate) fn started(program: &OsStr) -> Command {
    #[expect(clippy::disallowed_methods, reason = "this process becomes it")]
    Command::new(program)
}

/// Returns the tests that a libtest program lists. Do not call it for other programs, which might run instead.
pub(crate) fn listed(started_as: &Started) -> Option<std::collections::BTreeSet<String>> {
    let output = started(&started_as.program)
        .args(["--list", "--format", "terse"])
        .current_dir(&started_as.dir)
        .env_clear()
        .envs(started_as.variables.iter().map(|(name, value)| (name, value)))
        .stdin(process::Stdio::null())
        .stderr(process::Stdio::null())
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(
        text.lines()
            .filter_map(|line| {
                line.strip_suffix(": test")
                    .or_else(|| line.strip_suffix(": benchmark"))
            })
            .map(str::to_owned)
            .collect(),
    )
}

/// Returns whether a program contains libtest, recognized by a sentence of its help.
pub(crate) fn has_libtest(program: &Path) -> bool {
    contains(program, b"By default, all tests are run in parallel.")
}

fn contains(program: &Path, text: &[u8]) -> bool {
    fs::read(program).is_ok_and(|bytes| bytes.windows(text.len()).any(|part| part == text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn a_test_of_nextest_is_told_from_what_it_starts() {
        let name = OsStr::new("orders::a");
        assert!(is_test(name, &words("orders::a --nocapture --exact")));
        assert!(!is_test(name, &words("--nocapture")));
        assert!(!is_test(name, &words("orders::b --exact")));
    }

    #[test]
    fn what_the_launch_said_is_read() {
        let told = Told::read(OsStr::new("24;1;0;/dev/shm/x;y")).unwrap();
        assert_eq!((told.frames, told.raw, told.threads), (24, 1, THREADS));
        assert_eq!(told.folder, Path::new("/dev/shm/x;y"));
        assert!(Told::read(OsStr::new("24;1")).is_none());
        assert!(Told::read(OsStr::new("24;x;1;/a")).is_none());
    }

    #[test]
    fn this_program_is_asked_for_its_tests_and_another_is_not() {
        #[expect(clippy::disallowed_methods, reason = "a program with libtest")]
        let own = env::current_exe().unwrap();
        let started = Started {
            program: own.into(),
            dir: "/".into(),
            ..Started::default()
        };
        let list = listed(&started).unwrap();
        assert!(
            list.iter()
                .any(|name| name.ends_with("this_program_is_asked_for_its_tests_and_another_is_not"))
        );
        assert!(has_libtest(Path::new(&started.program)));
        assert!(!has_libtest(Path::new("/bin/echo")));
    }
}
