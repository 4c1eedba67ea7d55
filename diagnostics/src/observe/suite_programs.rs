//! The test programs of a command and their tests, as the command starts them.

use super::launch::test_groups::GroupSettings;
use super::launch::{Launch, StartedProgram, has_libtest};
use crate::findings::binary_of;
use crate::scene::TestId;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// The reason a documentation test is left out: rustdoc removes its program.
pub(crate) const DOCTEST: &str = "a documentation test: it cannot be started again";

/// The test programs of a command.
#[derive(Clone, Debug, Default)]
pub(crate) struct SuitePrograms {
    /// In the order in which the command starts them.
    pub(crate) programs: Vec<TestProgram>,
    /// Programs whose tests cannot be started one by one, and why.
    pub(crate) left_out: Vec<(String, &'static str)>,
    /// nextest's groups with a single thread, by test.
    groups: BTreeMap<TestId, String>,
}

/// A test program and how the command starts it.
#[derive(Clone, Debug)]
pub(crate) struct TestProgram {
    /// The name that its tests have in [`TestId`]; unique among the programs.
    pub(crate) binary: String,
    /// In the order in which libtest runs them.
    pub(crate) tests: Vec<String>,
    /// Its harness runs all tests or one by its name, and no other choice of several.
    pub(super) takes_one_name: bool,
    started: Starts,
}

#[derive(Clone, Debug)]
enum Starts {
    /// The program runs all of its tests in one process.
    Shared(Arc<StartedProgram>),
    /// Each test has a process of its own, by name.
    OwnProcess(BTreeMap<String, Arc<StartedProgram>>),
}

impl TestProgram {
    /// Returns whether each of its tests has a process of its own.
    pub(crate) fn has_own_processes(&self) -> bool {
        matches!(self.started, Starts::OwnProcess(_))
    }

    /// Returns whether the observer can tell the tests of a process apart: those of libtest, or one in each process.
    pub(crate) fn has_known_tests(&self) -> bool {
        !self.takes_one_name
    }

    /// Returns how the process of this test is started.
    pub(super) fn started(&self, test: &str) -> Option<&Arc<StartedProgram>> {
        match &self.started {
            Starts::Shared(started) => Some(started),
            Starts::OwnProcess(tests) => tests.get(test),
        }
    }
}

impl SuitePrograms {
    /// Reads how the command would have started its programs, and asks each program for the tests that it was to be started
    /// for.
    ///
    /// # Errors
    ///
    /// The saved starts cannot be read.
    pub(crate) fn read(launch: &Launch) -> io::Result<Self> {
        Ok(Self::of(launch.saved_starts()?))
    }

    /// Asks each started program for the tests that it was started for. A program that was started twice in the same way
    /// counts once.
    pub(super) fn of(starts: Vec<StartedProgram>) -> Self {
        let mut suite = Self::default();
        let mut of_nextest: BTreeMap<String, BTreeMap<String, Arc<StartedProgram>>> = BTreeMap::new();
        let mut settings = GroupSettings::default();
        let mut shared: Vec<(StartedProgram, Vec<String>)> = Vec::new();
        for started in starts {
            let is_known = |(known, _): &(StartedProgram, _)| {
                known.program == started.program && known.arguments == started.arguments
            };
            if shared.iter().any(is_known) {
                continue;
            }
            let program = Path::new(&started.program);
            if let Some((binary, test)) = started.nextest_test() {
                let group = started.test_group();
                if let Some((group, _)) =
                    group.filter(|(group, workspace)| settings.has_one_thread(workspace.clone(), group))
                {
                    let (binary, name) = (binary.clone(), test.clone());
                    suite.groups.insert(TestId { binary, name }, group);
                }
                of_nextest
                    .entry(binary)
                    .or_default()
                    .insert(test, Arc::new(started));
            } else if !program.exists() {
                suite.leave_out(&started, DOCTEST);
            } else if !has_libtest(program) {
                suite.leave_out(
                    &started,
                    "it has a harness of its own, of which single tests cannot be run",
                );
            } else {
                match started.tests_to_run() {
                    Some(tests) if tests.is_empty() => {}
                    Some(tests) => shared.push((started, tests)),
                    None => suite.leave_out(&started, "it could not list its tests"),
                }
            }
        }
        let names: Vec<String> = shared
            .iter()
            .map(|(started, _)| binary_of(Path::new(&started.program)))
            .collect();
        for ((started, tests), name) in shared.into_iter().zip(&names) {
            let is_unique = names.iter().filter(|other| *other == name).count() == 1;
            let dir = started
                .dir
                .file_name()
                .and_then(OsStr::to_str)
                .unwrap_or_default();
            suite.programs.push(TestProgram {
                binary: if is_unique {
                    name.clone()
                } else {
                    format!("{dir}::{name}")
                },
                takes_one_name: !started.takes_several_names(&tests),
                tests,
                started: Starts::Shared(Arc::new(started)),
            });
        }
        suite
            .programs
            .extend(of_nextest.into_iter().map(|(binary, tests)| TestProgram {
                binary,
                tests: tests.keys().cloned().collect(),
                takes_one_name: false,
                started: Starts::OwnProcess(tests),
            }));
        suite
    }

    /// Returns the programs whose tests have their own processes as programs that run them in one, where libtest can do that.
    pub(crate) fn in_one_process(&self) -> Self {
        let of_program = |program: &TestProgram| {
            let Starts::OwnProcess(tests) = &program.started else {
                return None;
            };
            let started = tests.values().next()?;
            let can = has_libtest(Path::new(&started.program)) && started.takes_several_names(&program.tests);
            can.then(|| TestProgram {
                started: Starts::Shared(Arc::new(started.without_nextest())),
                ..program.clone()
            })
        };
        Self {
            programs: self.programs.iter().filter_map(of_program).collect(),
            ..Self::default()
        }
    }

    /// Returns whether a program with this name is rustdoc's, of documentation tests.
    pub(crate) fn is_doctest(binary: &str) -> bool {
        binary == "rust_out"
    }

    /// Returns the starts of the programs that run all their tests in one process.
    pub(crate) fn shared_starts(&self) -> impl Iterator<Item = &StartedProgram> {
        self.programs.iter().filter_map(|program| match &program.started {
            Starts::Shared(started) => Some(&**started),
            Starts::OwnProcess(_) => None,
        })
    }

    /// Returns the reason the tests of a program cannot be started, by the name under which its results are reported.
    pub(crate) fn left_out_reason(&self, binary: &str) -> Option<&'static str> {
        let left_out = self.left_out.iter().find(|(name, _)| name == binary);
        left_out.map(|(_, why)| *why)
    }

    fn leave_out(&mut self, started: &StartedProgram, why: &'static str) {
        let name = binary_of(Path::new(&started.program));
        let entry = (name, why);
        if !self.left_out.contains(&entry) {
            self.left_out.push(entry);
        }
    }

    /// Returns all tests, program by program.
    pub(crate) fn tests(&self) -> Vec<TestId> {
        let of_program = |program: &TestProgram| {
            let binary = program.binary.clone();
            let tests = program.tests.clone().into_iter();
            tests.map(move |name| TestId {
                binary: binary.clone(),
                name,
            })
        };
        self.programs.iter().flat_map(of_program).collect()
    }

    /// Returns the test that a process reported by these names. `started` says how the process was started.
    pub(super) fn test(
        &self,
        binary: &str,
        name: &str,
        started: impl FnOnce() -> Option<StartedProgram>,
    ) -> Option<TestId> {
        let program = match self.program(binary) {
            Some(program) => program,
            None => {
                let path = started()?.program;
                let is_it = |program: &&TestProgram| matches!(&program.started, Starts::Shared(own) if own.program == path);
                self.programs.iter().find(is_it)?
            }
        };
        Some(TestId {
            binary: program.binary.clone(),
            name: name.to_owned(),
        })
    }

    /// Returns the test that the observer or an earlier hunt called so. Its program's name may be qualified here.
    pub(crate) fn find(&self, wanted: &TestId) -> Option<TestId> {
        let mut named = self
            .tests()
            .into_iter()
            .filter(|test| test.is_named(&wanted.binary, &wanted.name));
        named.next().filter(|_| named.next().is_none())
    }

    /// Returns nextest's group of a test whose tests never run at the same time.
    pub(super) fn test_group(&self, test: &TestId) -> Option<&str> {
        self.groups.get(test).map(String::as_str)
    }

    pub(crate) fn program(&self, binary: &str) -> Option<&TestProgram> {
        self.programs.iter().find(|program| program.binary == binary)
    }

    /// Returns the directories of the packages.
    pub(crate) fn dirs(&self) -> BTreeSet<std::path::PathBuf> {
        let dir = |program: &TestProgram| match &program.started {
            Starts::Shared(started) => Some(started.dir.clone()),
            Starts::OwnProcess(tests) => tests.values().next().map(|started| started.dir.clone()),
        };
        self.programs.iter().filter_map(dir).collect()
    }
}
