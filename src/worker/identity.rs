//! The identity of a thread: its lane and test, decided from facts alone.
//!
//! Nothing is guessed. A thread that is not known to be a test's own gets an error that says how to pass a worker to it;
//! guessing could hand it another worker's database.

use crate::error::Error;
use crate::run::{self, Facts, Run, Runner};

/// The calling thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ThreadKind<'a> {
    Main,
    Named(&'a str),
    Unnamed,
}

/// The source of a lane's number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LaneSource {
    /// Fixed for the whole process. A name from `COFFERDAM_WORKER` has no number.
    Fixed { id: String, index: Option<u32> },
    /// Leased by the test; the ID is `prefix` and the leased number.
    Leased {
        prefix: String,
        /// Whether the number alone is unique among the lanes of the run.
        numbered: bool,
    },
}

/// A thread's lane and the test it works for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) lane: LaneSource,
    pub(crate) test: Option<String>,
    pub(crate) attempt: u64,
    /// Whether the test ends with this thread.
    pub(crate) owns_test: bool,
}

/// Identifies a thread of a process with these facts. The lane is the first of: `COFFERDAM_WORKER`, nextest's slot, a
/// lease. (A scope that was entered comes first; the caller handles it.)
pub(crate) fn identify(facts: &Facts, run: &Run, kind: ThreadKind<'_>) -> Result<Identity, Error> {
    let env = &facts.env;
    let job = match env("COFFERDAM_JOB") {
        Some(job) => format!("{}.", checked("COFFERDAM_JOB", job)?),
        None => String::new(),
    };
    let of_nextest = |name| {
        let is_the_test = run::nextest(facts).is_some_and(|nextest| nextest.is_the_test);
        is_the_test.then(|| env(name)).flatten()
    };
    let named = of_nextest("NEXTEST_TEST_NAME").or_else(|| exact_argument(&facts.args));
    let attempt = of_nextest("NEXTEST_ATTEMPT")
        .and_then(|text| text.parse().ok())
        .unwrap_or(1);
    let slot = env("NEXTEST_TEST_GLOBAL_SLOT").and_then(|text| text.parse::<u32>().ok());

    let fixed = match (env("COFFERDAM_WORKER"), slot, run.runner) {
        (Some(worker), _, _) => Some((checked("COFFERDAM_WORKER", worker)?, None)),
        (None, Some(slot), Runner::Nextest) => Some((format!("w{slot}"), Some(slot))),
        _ => None,
    };
    if let Some((worker, index)) = fixed {
        let owns_test = match kind {
            ThreadKind::Main => true,
            ThreadKind::Named(name) => named.as_deref() == Some(name),
            ThreadKind::Unnamed => false,
        };
        return Ok(Identity {
            lane: LaneSource::Fixed {
                id: format!("{job}{worker}"),
                index,
            },
            test: named,
            attempt,
            owns_test,
        });
    }
    let lane = match (run.runner, slot) {
        // A process started by a nextest test: a lane of its own, below its test's slot.
        (Runner::UnderNextest, Some(slot)) => LaneSource::Leased {
            prefix: format!("{job}w{slot}.w"),
            numbered: false,
        },
        _ => LaneSource::Leased {
            prefix: format!("{job}w"),
            numbered: true,
        },
    };
    let test = match kind {
        ThreadKind::Main => named,
        ThreadKind::Named(name) if is_test_name(name) => Some(name.to_owned()),
        ThreadKind::Named(name) => return Err(Error::no_worker(format!("the thread {name:?}"))),
        ThreadKind::Unnamed => return Err(Error::no_worker("a thread without a name")),
    };
    Ok(Identity {
        lane,
        test,
        attempt,
        owns_test: true,
    })
}

/// Returns whether the name may be a test's path. libtest names threads by paths; names of pools, such as
/// `tokio-rt-worker`, are no paths.
fn is_test_name(name: &str) -> bool {
    let is_identifier = |part: &str| {
        let part = part.strip_prefix("r#").unwrap_or(part);
        let mut chars = part.chars();
        chars
            .next()
            .is_some_and(|first| first == '_' || first.is_alphabetic())
            && chars.all(|next| next == '_' || next.is_alphanumeric())
    };
    name.split("::").all(is_identifier)
}

/// Returns the test that `--exact` selects in libtest's arguments, if there is exactly one.
fn exact_argument(args: &[String]) -> Option<String> {
    const WITH_VALUE: [&str; 7] = [
        "--skip",
        "--test-threads",
        "--format",
        "--color",
        "--logfile",
        "--shuffle-seed",
        "-Z",
    ];
    if !args.iter().any(|arg| arg == "--exact") {
        return None;
    }
    let mut name = None;
    let mut rest = args.iter().skip(1);
    while let Some(arg) = rest.next() {
        if WITH_VALUE.contains(&arg.as_str()) {
            rest.next();
        } else if !arg.starts_with('-') && name.replace(arg).is_some() {
            return None;
        }
    }
    name.cloned()
}

/// Returns the value of a variable if it can be part of paths, database names and reports.
fn checked(variable: &'static str, value: String) -> Result<String, Error> {
    let reason = if value.len() > 64 {
        "it is longer than 64 bytes"
    } else if value.starts_with('.') {
        "it starts with a dot"
    } else if !value
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    {
        "it may contain only letters, digits, `.`, `_` and `-`"
    } else {
        return Ok(value);
    };
    Err(Error::bad_variable(variable, &value, reason))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::{facts_for_tests as facts, run_of};

    const TEST: ThreadKind<'_> = ThreadKind::Named("orders::a");

    fn of(facts: &Facts, kind: ThreadKind<'_>) -> Result<Identity, Error> {
        identify(facts, &run_of(facts), kind)
    }

    fn leased(prefix: &str) -> LaneSource {
        LaneSource::Leased {
            prefix: prefix.to_owned(),
            numbered: true,
        }
    }

    fn fixed(id: &str, index: Option<u32>) -> LaneSource {
        LaneSource::Fixed {
            id: id.to_owned(),
            index,
        }
    }

    #[test]
    fn under_cargo_test_each_test_leases_a_lane() {
        let identity = of(&facts().below(&["cargo"]), TEST).unwrap();
        let expected = Identity {
            lane: leased("w"),
            test: Some("orders::a".to_owned()),
            attempt: 1,
            owns_test: true,
        };
        assert_eq!(identity, expected);
    }

    #[test]
    fn under_nextest_the_slot_is_the_whole_processs_lane() {
        for (kind, owns_test) in [
            (TEST, true),
            (ThreadKind::Main, true),
            (ThreadKind::Unnamed, false),
            (ThreadKind::Named("tokio-rt-worker"), false),
            (ThreadKind::Named("worker"), false),
        ] {
            let expected = Identity {
                lane: fixed("w3", Some(3)),
                test: Some("orders::a".to_owned()),
                attempt: 2,
                owns_test,
            };
            assert_eq!(of(&facts().of_nextest(), kind).unwrap(), expected, "{kind:?}");
        }
    }

    #[test]
    fn an_older_nextest_without_slots_means_leased_lanes() {
        let old = facts().below(&["cargo-nextest"]).with(&[
            ("NEXTEST_EXECUTION_MODE", "process-per-test"),
            ("NEXTEST_RUN_ID", "old"),
        ]);
        assert_eq!(of(&old, TEST).unwrap().lane, leased("w"));
        assert!(of(&old, ThreadKind::Unnamed).is_err());
    }

    #[test]
    fn an_older_nextest_without_names_identifies_the_test_by_its_argument() {
        let old = facts()
            .below(&["cargo-nextest"])
            .with_args(&["test-1", "--exact", "orders::a", "--nocapture"])
            .with(&[
                ("NEXTEST_EXECUTION_MODE", "process-per-test"),
                ("NEXTEST_RUN_ID", "old"),
                ("NEXTEST_TEST_GLOBAL_SLOT", "0"),
            ]);
        let identity = of(&old, TEST).unwrap();
        assert_eq!(identity.lane, fixed("w0", Some(0)));
        assert_eq!(identity.test.as_deref(), Some("orders::a"));
        assert!(identity.owns_test);
    }

    #[test]
    fn a_cargo_below_a_nextest_test_takes_nothing_of_what_it_inherited() {
        let nested = facts()
            .of_nextest()
            .below(&["cargo", "test-0", "cargo-nextest"])
            .with_args(&["test-1"]);
        let identity = of(&nested, ThreadKind::Named("other")).unwrap();
        assert_eq!(
            (identity.lane, identity.test.as_deref(), identity.attempt),
            (leased("w"), Some("other"), 1)
        );
    }

    #[test]
    fn a_process_below_a_nextest_test_leases_below_its_tests_slot() {
        let again = facts().of_nextest().below(&["test-1", "cargo-nextest"]);
        let lane = LaneSource::Leased {
            prefix: "w3.w".to_owned(),
            numbered: false,
        };
        let main = of(&again, ThreadKind::Main).unwrap();
        assert_eq!((main.lane, main.attempt), (lane, 1));
        assert!(of(&again, ThreadKind::Unnamed).is_err());
    }

    #[test]
    fn a_doctest_leases_on_main_and_has_no_name() {
        let doctest = facts().below(&["rust_out", "rustdoc", "cargo"]);
        let identity = of(&doctest, ThreadKind::Main).unwrap();
        assert_eq!((identity.lane, identity.test), (leased("w"), None));
        assert!(identity.owns_test);
    }

    #[test]
    fn a_named_run_may_be_of_many_runners_so_its_lanes_are_leased() {
        let named = facts().of_nextest().with(&[("COFFERDAM_RUN_ID", "ci-7")]);
        let identity = of(&named, TEST).unwrap();
        assert_eq!((identity.lane, identity.attempt), (leased("w"), 2));
    }

    #[test]
    fn a_thread_that_is_not_a_tests_own_gets_an_error_with_its_name_and_the_next_step() {
        let facts = facts().below(&["cargo"]);
        for name in [
            "tokio-rt-worker",
            "rayon-0",
            "my pool",
            "async-std/runtime",
            "actix-rt|system:0|arbiter:0",
            "",
            "::",
            "a::",
            "9lives",
            "a:b",
        ] {
            let error = of(&facts, ThreadKind::Named(name)).unwrap_err().to_string();
            assert!(error.contains(&format!("the thread {name:?}")), "{error}");
            assert!(
                error.contains("`spawn` or `wrap`") && error.contains("`enter()`"),
                "{error}"
            );
        }
        let error = of(&facts, ThreadKind::Unnamed).unwrap_err().to_string();
        assert!(error.contains("a thread without a name"), "{error}");
    }

    #[test]
    fn every_path_in_rust_may_be_the_name_of_a_test() {
        for name in [
            "a",
            "_",
            "orders::stores_one",
            "r#mod::r#fn",
            "größe::é2",
            "a::case_1_x",
        ] {
            assert!(of(&facts(), ThreadKind::Named(name)).is_ok(), "{name}");
        }
    }

    #[test]
    fn a_variable_names_the_worker_of_a_whole_process() {
        let pinned = facts().of_nextest().with(&[("COFFERDAM_WORKER", "slow3")]);
        assert_eq!(of(&pinned, TEST).unwrap().lane, fixed("slow3", None));
        let program = facts().with(&[("COFFERDAM_WORKER", "w7")]);
        for (kind, owns_test) in [
            (ThreadKind::Main, true),
            (ThreadKind::Unnamed, false),
            (ThreadKind::Named("consumer"), false),
        ] {
            let identity = of(&program, kind).unwrap();
            assert_eq!(
                (identity.lane, identity.test, identity.owns_test),
                (fixed("w7", None), None, owns_test)
            );
        }
    }

    #[test]
    fn a_job_prefixes_every_lane() {
        let job: &[_] = &[("COFFERDAM_JOB", "j2")];
        assert_eq!(
            of(&facts().of_nextest().with(job), TEST).unwrap().lane,
            fixed("j2.w3", Some(3))
        );
        assert_eq!(
            of(&facts().below(&["cargo"]).with(job), TEST).unwrap().lane,
            leased("j2.w")
        );
        let pinned = facts().with(job).with(&[("COFFERDAM_WORKER", "slow")]);
        assert_eq!(of(&pinned, TEST).unwrap().lane, fixed("j2.slow", None));
    }

    #[test]
    fn hostile_names_are_an_error_and_never_ignored() {
        let bad: [&'static [(&str, &str)]; 8] = [
            &[("COFFERDAM_WORKER", "../w0")],
            &[("COFFERDAM_WORKER", "w0/w1")],
            &[("COFFERDAM_WORKER", ".")],
            &[("COFFERDAM_WORKER", "w 0")],
            &[("COFFERDAM_WORKER", "w\u{fffd}")],
            &[(
                "COFFERDAM_WORKER",
                "wwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwww",
            )],
            &[("COFFERDAM_JOB", "..")],
            &[("COFFERDAM_JOB", "j'; drop table")],
        ];
        for vars in bad {
            let error = of(&facts().with(vars), TEST).unwrap_err().to_string();
            assert!(error.starts_with(vars[0].0), "{error}");
            assert!(error.contains("cannot be used"), "{error}");
        }
    }

    #[test]
    fn a_malformed_number_is_no_slot() {
        for slot in [
            &[("NEXTEST_TEST_GLOBAL_SLOT", "x")],
            &[("NEXTEST_TEST_GLOBAL_SLOT", "-1")],
            &[("NEXTEST_TEST_GLOBAL_SLOT", "99999999999")],
        ] {
            let identity = of(&facts().of_nextest().with(slot), TEST).unwrap();
            assert_eq!(identity.lane, leased("w"), "{slot:?}");
        }
    }

    #[test]
    fn only_a_single_exact_argument_names_the_test() {
        for (args, name) in [
            (&["t", "--exact", "a::b"][..], Some("a::b")),
            (&["t", "a::b", "--exact", "--nocapture"], Some("a::b")),
            (&["t", "--exact", "--test-threads", "4", "a::b"], Some("a::b")),
            (&["t", "--exact", "--test-threads=4", "a::b"], Some("a::b")),
            (&["t", "--exact", "--skip", "a::b"], None),
            (&["t", "--exact", "a::b", "a::c"], None),
            (&["t", "a::b"], None),
            (&["t", "--exact"], None),
            (&[], None),
        ] {
            let args: Vec<_> = args.iter().map(|arg| (*arg).to_owned()).collect();
            assert_eq!(exact_argument(&args).as_deref(), name, "{args:?}");
        }
    }
}
