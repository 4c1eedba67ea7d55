//! How a test program was started, kept to start it again.

use super::instructions::VARIABLE;
use crate::cli::RUNNER_WORD;
use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The variable that hides from tests the arguments that select them.
const BARE: &str = "COFFERDAM_BARE";

/// The command line and environment of a started test program, kept to start it again for other tests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct StartedProgram {
    pub(crate) program: OsString,
    pub(crate) arguments: Vec<OsString>,
    pub(crate) dir: PathBuf,
    /// Includes values, so the file is private to its owner and removed with its directory.
    pub(crate) variables: Vec<(OsString, OsString)>,
}

impl StartedProgram {
    /// Returns a command that starts the program through the runner, with its directory and variables and without arguments. If
    /// the program had no arguments before, its tests do not see those that the caller adds.
    pub(crate) fn command(&self, runner: &Path, instructions: &OsStr) -> Command {
        let mut command = command(runner.as_os_str());
        command
            .arg(RUNNER_WORD)
            .arg(&self.program)
            .current_dir(&self.dir)
            .env_clear()
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .env(VARIABLE, instructions)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        if self.arguments.is_empty() {
            command.env(BARE, "1");
        }
        command
    }

    /// Returns a command that starts the program again, without the observer and with its output discarded.
    pub(crate) fn plain_command(&self) -> Command {
        let mut command = command(&self.program);
        command
            .args(&self.arguments)
            .current_dir(&self.dir)
            .env_clear()
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }

    /// Returns the argument that made libtest run ignored tests, if there was one.
    pub(crate) fn ignored(&self) -> Option<&OsString> {
        let is_it = |argument: &&OsString| *argument == "--ignored" || *argument == "--include-ignored";
        self.arguments.iter().find(is_it)
    }

    /// Returns nextest's names of the program and of the test, if nextest started it for a test.
    pub(crate) fn nextest_test(&self) -> Option<(String, String)> {
        let test = self
            .variable("NEXTEST_TEST_NAME")
            .filter(|name| is_test(name, &self.arguments))?;
        let text = |value: &OsString| value.to_string_lossy().into_owned();
        Some((text(self.variable("NEXTEST_BINARY_ID")?), text(test)))
    }

    /// Returns the program as it would be without nextest.
    pub(crate) fn without_nextest(&self) -> Self {
        let mut without = self.clone();
        without
            .variables
            .retain(|(name, _)| !name.as_encoded_bytes().starts_with(b"NEXTEST"));
        without
    }

    /// Returns nextest's group of the test, and the workspace that it is configured in.
    pub(crate) fn test_group(&self) -> Option<(String, PathBuf)> {
        let group = self
            .variable("NEXTEST_TEST_GROUP")?
            .to_string_lossy()
            .into_owned();
        Some((group, self.variable("NEXTEST_WORKSPACE_ROOT")?.into()))
    }

    fn variable(&self, wanted: &str) -> Option<&OsString> {
        let found = self.variables.iter().find(|(name, _)| name == wanted);
        found.map(|(_, value)| value)
    }

    /// Returns the tests that a libtest program lists. Do not call it for other programs, which might run instead.
    pub(crate) fn list_tests(&self) -> Option<BTreeSet<String>> {
        Some(self.listed(&[])?.into_iter().collect())
    }

    /// Returns the tests that a libtest program would run with the arguments it was started with, in its order.
    pub(crate) fn tests_to_run(&self) -> Option<Vec<String>> {
        let mut filters: Vec<&OsStr> = self.selection();
        let mut tests = self.listed(&filters)?;
        if self.ignored().is_none() {
            filters.push(OsStr::new("--ignored"));
            let ignored: BTreeSet<String> = self.listed(&filters)?.into_iter().collect();
            tests.retain(|test| !ignored.contains(test));
        }
        Some(tests)
    }

    /// Returns the arguments that the program was started with, except those that say how tests are printed and how many run
    /// at the same time.
    pub(crate) fn selection(&self) -> Vec<&OsStr> {
        let mut chosen: Vec<&OsStr> = Vec::new();
        let mut arguments = self.arguments.iter();
        while let Some(argument) = arguments.next() {
            match argument.to_str() {
                Some("--format" | "--test-threads") => _ = arguments.next(),
                Some("-q" | "--quiet" | "--list") => {}
                Some(text) if text.starts_with("--format=") || text.starts_with("--test-threads=") => {}
                _ => chosen.push(argument),
            }
        }
        chosen
    }

    /// Returns whether the program runs several tests by their names. libtest does; other harnesses with its options may take
    /// one name only, or all tests.
    pub(crate) fn takes_several_names(&self, tests: &[String]) -> bool {
        let [first, second, ..] = tests else {
            return true;
        };
        let mut arguments: Vec<&OsStr> = vec![first.as_ref(), second.as_ref(), "--exact".as_ref()];
        arguments.extend(self.ignored().map(OsString::as_os_str));
        self.listed(&arguments)
            .is_some_and(|listed| listed.contains(first) && listed.contains(second))
    }

    fn listed(&self, arguments: &[&OsStr]) -> Option<Vec<String>> {
        let output = command(&self.program)
            .args(arguments)
            .args(["--list", "--format", "terse"])
            .current_dir(&self.dir)
            .env_clear()
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .output()
            .ok()
            .filter(|output| output.status.success())?;
        let text = String::from_utf8(output.stdout).ok()?;
        let name = |line: &str| {
            let name = line
                .strip_suffix(": test")
                .or_else(|| line.strip_suffix(": benchmark"));
            name.map(str::to_owned)
        };
        Some(text.lines().filter_map(name).collect())
    }

    /// Returns it as the runner writes it.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut put = |text: &OsStr| {
            bytes.extend(text.as_encoded_bytes());
            bytes.push(0);
        };
        put(&self.program);
        put(self.dir.as_os_str());
        put(OsStr::new(&self.arguments.len().to_string()));
        self.arguments.iter().for_each(|argument| put(argument));
        for (name, value) in &self.variables {
            put(name);
            put(value);
        }
        bytes
    }

    /// Reads the file that the runner wrote for a process.
    pub(crate) fn read(folder: &Path, pid: u32) -> Option<Self> {
        Self::from_bytes(&fs::read(folder.join(format!("{pid}.started"))).ok()?)
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        use std::os::unix::ffi::OsStringExt as _;
        let mut texts = bytes
            .strip_suffix(&[0])?
            .split(|byte| *byte == 0)
            .map(|text| OsString::from_vec(text.to_vec()));
        let (program, dir) = (texts.next()?, texts.next()?.into());
        let count = texts.next()?.to_str()?.parse().ok()?;
        let arguments = texts.by_ref().take(count).collect();
        let mut variables = Vec::new();
        while let (Some(name), Some(value)) = (texts.next(), texts.next()) {
            variables.push((name, value));
        }
        Some(Self {
            program,
            arguments,
            dir,
            variables,
        })
    }
}

/// Returns whether a process with these arguments is the test `name`. Children of a test inherit nextest's variables, so the arguments decide.
pub(super) fn is_test(name: &OsStr, arguments: &[OsString]) -> bool {
    let has = |wanted: &OsStr| arguments.iter().any(|argument| argument == wanted);
    has(OsStr::new("--exact")) && has(name)
}

pub(super) fn command(program: &OsStr) -> Command {
    #[expect(
        clippy::disallowed_methods,
        reason = "a program to observe or to ask for its tests, not a user's command"
    )]
    Command::new(program)
}

/// Returns whether a program contains libtest, recognized by a sentence of its help.
pub(crate) fn has_libtest(program: &Path) -> bool {
    contains(program, b"By default, all tests are run in parallel.")
}

pub(super) fn contains(program: &Path, text: &[u8]) -> bool {
    fs::read(program).is_ok_and(|bytes| bytes.windows(text.len()).any(|part| part == text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_started_program_survives_its_file() {
        let started = StartedProgram {
            program: "/t/shop".into(),
            arguments: vec!["--exact".into(), "a test\n".into(), "".into()],
            dir: "/w".into(),
            variables: vec![("A".into(), "1=2".into()), ("B".into(), "".into())],
        };
        assert_eq!(StartedProgram::from_bytes(&started.to_bytes()), Some(started));
    }

    #[test]
    fn a_process_is_a_nextest_test_only_by_its_arguments() {
        let name = OsStr::new("orders::a");
        let words = |line: &str| line.split(' ').map(OsString::from).collect::<Vec<_>>();
        assert!(is_test(name, &words("orders::a --nocapture --exact")));
        assert!(!is_test(name, &words("--nocapture")));
        assert!(!is_test(name, &words("orders::b --exact")));
        let mut started = StartedProgram {
            arguments: words("orders::a --nocapture --exact"),
            ..StartedProgram::default()
        };
        assert_eq!(started.nextest_test(), None);
        started.variables = [
            ("NEXTEST_BINARY_ID", "shop::orders"),
            ("NEXTEST_TEST_NAME", "orders::a"),
        ]
        .map(|(name, value)| (name.into(), value.into()))
        .to_vec();
        assert_eq!(
            started.nextest_test(),
            Some(("shop::orders".to_owned(), "orders::a".to_owned()))
        );
    }

    #[test]
    fn tests_are_listed_by_programs_with_libtest_only() {
        #[expect(clippy::disallowed_methods, reason = "a program with libtest")]
        let own = std::env::current_exe().unwrap();
        let started = StartedProgram {
            program: own.into(),
            dir: "/".into(),
            ..StartedProgram::default()
        };
        let list = started.list_tests().unwrap();
        assert!(
            list.iter()
                .any(|name| name.ends_with("tests_are_listed_by_programs_with_libtest_only"))
        );
        assert!(has_libtest(Path::new(&started.program)));
        assert!(!has_libtest(Path::new("/bin/echo")));
    }
}
