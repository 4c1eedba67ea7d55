//! Guards of the environment variables and the working directory.

#![expect(
    unsafe_code,
    reason = "each role is a process in which no C function reads the environment"
)]
#![expect(clippy::disallowed_methods, reason = "the changes are looked at from outside")]

use crate::locator::{alone, as_test};
use cofferdam::environment::{EnvGuard, remove_env, set_current_dir, set_env};
use cofferdam::{Access, Resource, Worker, claim};
use std::env;
use std::panic::catch_unwind;
use std::path::Path;

fn set(name: &str, value: &str) -> EnvGuard {
    // SAFETY: this process reads the environment through std only.
    unsafe { set_env(name, value) }
}

fn remove(name: &str) -> EnvGuard {
    // SAFETY: see `set`.
    unsafe { remove_env(name) }
}

fn value(name: &str) -> Option<String> {
    env::var(name).ok()
}

alone! {
    fn a_variable_has_the_value_of_its_newest_guard_and_in_the_end_its_first_one() {
        let path = value("PATH").unwrap();
        let first = set("PATH", "first");
        let second = remove("PATH");
        let third = set("NEW", "");
        assert_eq!((value("PATH"), value("NEW").as_deref()), (None, Some("")));
        drop(first);
        assert_eq!(value("PATH"), None, "the second guard is in force");
        drop(second);
        assert_eq!(value("PATH"), Some(path), "the first guard did not end last");
        drop(third);
        assert_eq!(value("NEW"), None);
    }

    fn a_panic_restores_what_was_there() {
        let (path, dir) = (value("PATH"), env::current_dir().unwrap());
        let failed = catch_unwind(|| {
            let _path = set("PATH", "first");
            let _again = set("PATH", "second");
            let _dir = set_current_dir("/");
            panic!("as it should");
        });
        assert!(failed.is_err());
        assert_eq!((value("PATH"), env::current_dir().unwrap()), (path, dir));
    }

    fn a_refused_change_leaves_the_environment_free() {
        for name in ["", "A=B", "A\0B"] {
            let refused = catch_unwind(|| set(name, "value")).unwrap_err();
            let text = refused.downcast_ref::<String>().unwrap();
            assert!(text.starts_with(&format!("variable {name:?} cannot be changed: ")), "{text}");
        }
        assert!(catch_unwind(|| set("A", "B\0")).is_err());
        assert!(catch_unwind(|| set_current_dir("nowhere")).is_err());
        as_test("a::next", || drop(set("A", "B")));
    }

    fn working_directories_nest() {
        let start = env::current_dir().unwrap();
        let dir = Worker::current().test_dir().unwrap();
        std::fs::create_dir(dir.join("inner")).unwrap();
        let outer = set_current_dir(&dir);
        let inner = set_current_dir("inner");
        assert!(env::current_dir().unwrap().ends_with("inner"));
        drop(inner);
        assert_eq!(env::current_dir().unwrap(), dir.canonicalize().unwrap());
        drop(outer);
        assert_eq!(env::current_dir().unwrap(), start);
    }

    fn the_threads_of_one_test_do_not_wait_for_each_other() {
        let _own = set("OWN", "1");
        let child = Worker::current().spawn(|| {
            let _other = set("OTHER", "2");
            (value("OWN"), value("OTHER"))
        });
        assert_eq!(child.join().unwrap(), (Some("1".to_owned()), Some("2".to_owned())));
        assert_eq!(value("OTHER"), None);
    }

    fn tests_with_guards_do_not_overlap() {
        std::thread::scope(|scope| {
            for number in 0..8 {
                scope.spawn(move || for round in 0..100 {
                    as_test(&format!("a::test_{number}"), || {
                        let wanted = format!("{number} {round}");
                        // One lock for all kinds of changes, so that no order of guards can deadlock.
                        let (_first, _second) = if number % 2 == 0 {
                            (set("SHARED", &wanted), set_current_dir("/"))
                        } else {
                            (set_current_dir(env!("CARGO_MANIFEST_DIR")), set("SHARED", &wanted))
                        };
                        for _ in 0..3 {
                            std::thread::yield_now();
                            assert_eq!(value("SHARED").as_deref(), Some(&*wanted));
                            assert_eq!(env::current_dir().unwrap() == Path::new("/"), number % 2 == 0);
                        }
                    });
                });
            }
        });
        assert_eq!(value("SHARED"), None);
    }

    fn a_thread_without_a_worker_changes_nothing() {
        let child = std::thread::spawn(|| catch_unwind(|| drop(set("LOOSE", "1"))).is_err());
        assert!(child.join().unwrap());
        assert_eq!(value("LOOSE"), None);
    }
}

const REPORTED: &str = "run::environment::role_reported";

#[test]
#[ignore = "a role"]
fn role_reported() {
    if !crate::role::plays(REPORTED) {
        return;
    }
    // At the same time, so that they have two workers.
    let other = Worker::current().id().to_owned();
    as_test("a::first", || {
        assert_ne!(Worker::current().id(), other);
        drop(set("REPORTED", "1"));
    });
    drop(set("REPORTED", "2"));
    let reads = value("READS").is_some();
    drop(reads.then(|| claim(Resource::env("REPORTED"), Access::Read)));
}

#[test]
fn a_test_that_reads_a_variable_without_a_guard_is_reported_and_guards_are_not() {
    use crate::role::{play, role};
    let base = tempfile::tempdir().unwrap();
    for (reads, conflicts) in [(false, 0), (true, 1)] {
        let run = format!("reads-{reads}");
        let mut command = role(REPORTED, &run);
        command
            .env("COFFERDAM_DIR", base.path())
            .env("COFFERDAM_RECORD", "s");
        if reads {
            command.env("READS", "");
        }
        play(&mut command).end().passed();
        let mut evidence = cofferdam_conflicts::Evidence::new();
        evidence.read(&base.path().join("runs").join(run));
        assert_eq!(evidence.problem_count(), 0, "{:?}", evidence.problems());
        assert_eq!(evidence.watched().claims, 2 + u64::from(reads));
        let found = evidence.conflicts();
        assert_eq!(found.len(), conflicts, "{found:?}");
    }
}
