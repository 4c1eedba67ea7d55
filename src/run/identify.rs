//! The identification of a process's run, from facts alone.
//!
//! A run is one invocation of a runner, with all its test processes. nextest passes an ID to its processes. `cargo test`
//! passes nothing, so its process number and start time identify the run. A program that no known runner started is a run of
//! its own.

use super::{file_name, name_of_space};
use crate::sys::process::{Ancestor, PidSpace};
use std::path::PathBuf;

/// The facts about this process, collected once.
pub(crate) struct Facts {
    pub(crate) pid: u32,
    pub(crate) started: u64,
    pub(crate) space: PidSpace,
    pub(crate) args: Vec<String>,
    pub(crate) exe: Option<PathBuf>,
    /// Nearest first, up to the first runner; empty where the system does not report them.
    pub(crate) ancestors: Vec<Ancestor>,
    pub(crate) env: Env,
}

/// Returns the value of a variable.
pub(crate) type Env = Box<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// The runner that started this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Runner {
    /// nextest started this process for one test.
    Nextest,
    /// nextest started the test that started this process: its variables are inherited, and its slot is the parent's.
    UnderNextest,
    /// `cargo test`, `cargo bench` or `cargo run`, directly or not: doctests, children of tests.
    Cargo,
    /// Named by `COFFERDAM_RUN_ID`.
    Named,
    /// No known runner: a binary started by hand, by a script, by Bazel.
    Alone,
}

impl Runner {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Nextest => "nextest",
            Self::UnderNextest => "under nextest",
            Self::Cargo => "cargo",
            Self::Named => "named",
            Self::Alone => "alone",
        }
    }

    /// Returns the runner of that name.
    pub(super) fn named(name: &str) -> Option<Self> {
        let all = [
            Self::Nextest,
            Self::UnderNextest,
            Self::Cargo,
            Self::Named,
            Self::Alone,
        ];
        all.into_iter().find(|runner| runner.as_str() == name)
    }

    /// Returns whether other processes of the same run may be running at the same time.
    pub(crate) fn may_overlap(self) -> bool {
        self != Self::Alone
    }
}

/// A run, and the process with which it ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) id: String,
    pub(crate) runner: Runner,
    /// The number and start time of the process with which the run ends. The end of a named run is up to its user.
    pub(crate) anchor: (u32, u64),
}

/// Identifies the run of a process with these facts.
pub(crate) fn run_of(facts: &Facts) -> Run {
    let above = nearest_runner(&facts.ancestors).map(|(_, above)| above);
    let anchor = above.map_or((facts.pid, facts.started), |above| (above.pid, above.started));
    let space = name_of_space(&facts.space);
    let (id, runner) = if let Some(id) = (facts.env)("COFFERDAM_RUN_ID") {
        (file_name(&id), Runner::Named)
    } else if let Some(nextest) = nextest(facts) {
        (file_name(&nextest.run), nextest.runner())
    } else if let Some(above) = above {
        let name = file_name(&above.name);
        (
            format!("{name}-{space}-{}-{}", above.pid, above.started),
            Runner::Cargo,
        )
    } else {
        return own_run(facts);
    };
    Run { id, runner, anchor }
}

/// Returns a run of this process alone, regardless of its ancestors and of variables that name a run.
pub(crate) fn own_run(facts: &Facts) -> Run {
    let space = name_of_space(&facts.space);
    Run {
        id: format!("process-{space}-{}-{}", facts.pid, facts.started),
        runner: Runner::Alone,
        anchor: (facts.pid, facts.started),
    }
}

/// The meaning of nextest's variables for this process.
pub(crate) struct Nextest {
    run: String,
    /// Whether nextest started this process for the test, as opposed to a descendant of such a process.
    pub(crate) is_the_test: bool,
}

impl Nextest {
    fn runner(&self) -> Runner {
        if self.is_the_test {
            Runner::Nextest
        } else {
            Runner::UnderNextest
        }
    }
}

/// Returns the nextest run of this process; `None` also below a test that runs cargo itself, where the variables are only
/// inherited.
pub(crate) fn nextest(facts: &Facts) -> Option<Nextest> {
    if (facts.env)("NEXTEST_EXECUTION_MODE")? != "process-per-test" {
        return None;
    }
    let run = (facts.env)("NEXTEST_RUN_ID")?;
    let between = match nearest_runner(&facts.ancestors) {
        Some((_, above)) if above.name != "cargo-nextest" => return None,
        Some((generations, _)) => &facts.ancestors[..generations],
        None => &facts.ancestors,
    };
    Some(Nextest {
        run,
        is_the_test: is_the_test(facts, between),
    })
}

/// Returns whether a process of exactly this name is a runner. `cargo-watch` is none, because it starts runners.
pub(super) fn is_runner(name: &str) -> bool {
    matches!(name, "cargo" | "cargo-nextest")
}

fn nearest_runner(ancestors: &[Ancestor]) -> Option<(usize, &Ancestor)> {
    let mut above = ancestors.iter().enumerate();
    above.find(|(_, above)| is_runner(&above.name))
}

/// Returns whether nextest started this process for its test, as opposed to a test that passed its variables on.
///
/// nextest passes `--exact NAME`. A test that runs itself again may do so too, but then one of the processes in between has
/// the same executable. (A wrapper script in between has the same arguments, but another executable.)
fn is_the_test(facts: &Facts, between: &[Ancestor]) -> bool {
    let itself_again = facts.exe.is_some() && between.iter().any(|above| above.exe == facts.exe);
    match (facts.env)("NEXTEST_TEST_NAME") {
        Some(name) => {
            facts.args.iter().any(|arg| arg == "--exact") && facts.args.contains(&name) && !itself_again
        }
        // Before 0.9.116 nextest did not name the test, so the parent decides.
        None => between.is_empty(),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A process `test-1` without a known parent and without variables.
    pub(crate) fn facts() -> Facts {
        Facts {
            pid: 100,
            started: 1000,
            space: PidSpace {
                boot: "0123456789abcdef".to_owned(),
                namespace: 4_026_531_836,
            },
            args: vec!["test-1".to_owned()],
            exe: Some(PathBuf::from("/t/deps/test-1")),
            ancestors: Vec::new(),
            env: Box::new(|_| None),
        }
    }

    impl Facts {
        pub(crate) fn below(mut self, names: &[&str]) -> Self {
            self.ancestors = (1..)
                .zip(names)
                .map(|(generation, name)| Ancestor {
                    pid: 100 - generation,
                    started: 1000 - u64::from(generation),
                    name: (*name).chars().take(15).collect(),
                    exe: Some(PathBuf::from(match *name {
                        "test-1" => "/t/deps/test-1".to_owned(),
                        name => format!("/bin/{name}"),
                    })),
                })
                .collect();
            self
        }

        pub(crate) fn with_args(mut self, args: &[&str]) -> Self {
            self.args = args.iter().map(|arg| (*arg).to_owned()).collect();
            self
        }

        pub(crate) fn with(mut self, vars: &'static [(&'static str, &'static str)]) -> Self {
            let before = self.env;
            self.env = Box::new(move |asked| {
                let found = vars.iter().find(|(name, _)| *name == asked);
                found
                    .map(|(_, value)| (*value).to_owned())
                    .or_else(|| before(asked))
            });
            self
        }

        /// The test `orders::a` as started by nextest 0.9.143.
        pub(crate) fn of_nextest(self) -> Self {
            self.below(&["cargo-nextest", "bash"])
                .with_args(&["test-1", "--exact", "orders::a", "--nocapture"])
                .with(&[
                    ("NEXTEST_EXECUTION_MODE", "process-per-test"),
                    ("NEXTEST_RUN_ID", "b0b0-1"),
                    ("NEXTEST_TEST_NAME", "orders::a"),
                    ("NEXTEST_TEST_GLOBAL_SLOT", "3"),
                    ("NEXTEST_ATTEMPT", "2"),
                ])
        }
    }

    fn summary(facts: &Facts) -> (String, Runner, u32) {
        let run = run_of(facts);
        (run.id, run.runner, run.anchor.0)
    }

    #[test]
    fn cargo_test_is_identified_by_its_process_in_its_space() {
        let run = run_of(&facts().below(&["cargo", "bash"]));
        assert_eq!(
            run,
            Run {
                id: "cargo-8d5db1fb-99-999".to_owned(),
                runner: Runner::Cargo,
                anchor: (99, 999)
            }
        );
    }

    #[test]
    fn a_doctest_belongs_to_the_cargo_above_its_rustdoc() {
        for above in [
            &["rustdoc", "cargo"][..],
            &["rust_out", "rustdoc", "cargo", "bash"],
        ] {
            assert_eq!(run_of(&facts().below(above)).runner, Runner::Cargo, "{above:?}");
        }
        let (first, second) = (
            facts().below(&["rustdoc", "cargo"]),
            facts().below(&["rustdoc", "cargo"]),
        );
        assert_eq!(run_of(&first).id, run_of(&second).id);
    }

    #[test]
    fn nextest_names_its_run_and_the_runner_above_is_its_end() {
        assert_eq!(
            summary(&facts().of_nextest()),
            ("b0b0-1".to_owned(), Runner::Nextest, 99)
        );
    }

    #[test]
    fn a_wrapper_script_in_between_changes_nothing() {
        let facts = facts().of_nextest().below(&["sh", "cargo-nextest"]);
        assert_eq!(summary(&facts), ("b0b0-1".to_owned(), Runner::Nextest, 98));
    }

    #[test]
    fn a_test_that_runs_itself_again_with_the_same_name_is_below_nextest() {
        for above in [
            &["test-1", "cargo-nextest"][..],
            &["sh", "test-1", "cargo-nextest"],
        ] {
            assert_eq!(
                run_of(&facts().of_nextest().below(above)).runner,
                Runner::UnderNextest
            );
        }
    }

    #[test]
    fn a_test_that_runs_itself_again_after_nextest_was_killed_is_still_below_it() {
        let facts = facts().of_nextest().below(&["test-1", "init"]);
        assert_eq!(run_of(&facts).runner, Runner::UnderNextest);
    }

    #[test]
    fn another_program_below_a_nextest_test_is_below_nextest() {
        for args in [
            &["server"][..],
            &["test-1", "--exact", "role", "--ignored"],
            &["grep", "orders::a"],
        ] {
            let facts = facts()
                .of_nextest()
                .below(&["test-1", "cargo-nextest"])
                .with_args(args);
            assert_eq!(run_of(&facts).runner, Runner::UnderNextest, "{args:?}");
        }
    }

    #[test]
    fn a_run_of_its_own_has_nothing_of_what_started_it() {
        let named = facts().of_nextest().with(&[("COFFERDAM_RUN_ID", "nightly")]);
        assert_eq!(own_run(&named), run_of(&facts()));
    }

    #[test]
    fn a_cargo_below_a_nextest_test_is_a_run_of_its_own() {
        let nested = facts()
            .of_nextest()
            .below(&["cargo", "test-0", "cargo-nextest"])
            .with_args(&["test-1"]);
        assert_eq!(
            summary(&nested),
            ("cargo-8d5db1fb-99-999".to_owned(), Runner::Cargo, 99)
        );
        assert!(nextest(&nested).is_none());
    }

    #[test]
    fn a_nextest_below_a_cargo_test_is_nextest() {
        let nested = facts().of_nextest().below(&["cargo-nextest", "test-0", "cargo"]);
        assert_eq!(run_of(&nested).runner, Runner::Nextest);
    }

    #[test]
    fn without_the_name_of_the_test_the_parent_decides() {
        let old: &[_] = &[
            ("NEXTEST_EXECUTION_MODE", "process-per-test"),
            ("NEXTEST_RUN_ID", "old"),
        ];
        let started_for_it = facts().with(old).below(&["cargo-nextest"]);
        let child = facts().with(old).below(&["test-1", "cargo-nextest"]);
        assert_eq!(run_of(&started_for_it).runner, Runner::Nextest);
        assert_eq!(run_of(&child).runner, Runner::UnderNextest);
    }

    #[test]
    fn without_known_ancestors_the_variables_and_arguments_decide() {
        let test = facts().of_nextest().below(&[]);
        assert_eq!(summary(&test), ("b0b0-1".to_owned(), Runner::Nextest, 100));
        let child = facts().of_nextest().below(&[]).with_args(&["server"]);
        assert_eq!(run_of(&child).runner, Runner::UnderNextest);
    }

    #[test]
    fn some_of_the_variables_of_nextest_are_not_enough() {
        for vars in [
            &[("NEXTEST", "1"), ("NEXTEST_RUN_ID", "x")][..],
            &[("NEXTEST_EXECUTION_MODE", "process-per-test")],
            &[
                ("NEXTEST_EXECUTION_MODE", "something-new"),
                ("NEXTEST_RUN_ID", "x"),
            ],
        ] {
            assert_eq!(
                run_of(&facts().with(vars).below(&["cargo"])).runner,
                Runner::Cargo,
                "{vars:?}"
            );
        }
    }

    #[test]
    fn a_run_id_precedes_every_runner_and_is_never_a_path() {
        let named = facts().of_nextest().with(&[("COFFERDAM_RUN_ID", "../../ci 7")]);
        assert_eq!(
            summary(&named),
            ("%2e.%2f..%2fci%207".to_owned(), Runner::Named, 99)
        );
    }

    #[test]
    fn a_process_without_a_known_runner_is_a_run_of_its_own() {
        let alone = facts().below(&["cargo-watch", "bash"]);
        assert_eq!(
            summary(&alone),
            ("process-8d5db1fb-100-1000".to_owned(), Runner::Alone, 100)
        );
        let unknown_boot = Facts {
            space: PidSpace::default(),
            ..facts()
        };
        assert_eq!(run_of(&unknown_boot).id, "process-0-100-1000");
    }

    #[test]
    fn equal_process_numbers_in_two_containers_or_machines_are_two_runs() {
        let of = |boot: &str, namespace| {
            let (boot, below) = (boot.to_owned(), facts().below(&["cargo"]));
            let space = PidSpace { boot, namespace };
            run_of(&Facts { space, ..below }).id
        };
        let one = of("0123456789abcdef", 4_026_531_836);
        assert_eq!(of("0123456789abcdef", 4_026_531_836), one);
        assert_ne!(of("0123456789abcdef", 4_026_532_001), one);
        assert_ne!(of("0123456789abcdff", 4_026_531_836), one);
    }
}
