//! The directory of a test: new, removed when the test passes, kept and named when it fails.

use crate::locator::as_test;
use crate::role::{Ended, play, plays, role, say};
use cofferdam::worker::{mark_failed, mark_panicked, mark_passed};
use cofferdam::{Worker, WorkerLocal};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Mutex;

crate::locator::alone! {
    fn the_directory_of_a_test_is_empty_at_first_and_one_for_all_its_threads() {
        let mine = Worker::current().test_dir().unwrap();
        as_test("a::first", || {
            let dir = Worker::current().test_dir().unwrap();
            assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 0);
            std::fs::write(dir.join("left"), "").unwrap();
            let child = Worker::current().spawn(|| Worker::current().test_dir().unwrap());
            assert_eq!(child.join().unwrap(), dir);
            assert_ne!(mine, dir);
        });
    }

    fn a_test_that_is_over_gets_no_directory() {
        let worker = as_test("a::over", Worker::current);
        let error = worker.test_dir().unwrap_err().to_string();
        assert!(error.contains("test has ended"), "{error}");
    }
}

static STOCK: WorkerLocal<Mutex<u32>> = WorkerLocal::new(|_| Ok(Mutex::default()));

/// Leaves a file in the directory of the test `name`, which then does `work`.
fn leaves(name: &str, work: impl FnOnce() + Send) {
    let left = || {
        let dir = Worker::current().test_dir().unwrap();
        std::fs::write(dir.join("left"), name).unwrap();
        work();
    };
    let _ = catch_unwind(AssertUnwindSafe(|| as_test(name, left)));
}

const ENDS: &str = "run::test_dirs::role_ends";

/// What the tests do that end in one process, and the test that is expected to keep its directory.
fn ends() -> Vec<(&'static str, fn())> {
    vec![
        ("a::passes", || {}),
        ("a::panics_without_a_handle", || panic!("as it should")),
        ("a::holds_a_service", || {
            let _stock = STOCK.get();
            panic!("as it should");
        }),
        ("a::holds_a_lock", || {
            let _lock = cofferdam::lock("test_dirs");
            panic!("as it should");
        }),
        ("a::holds_a_port", || {
            let _port = cofferdam::lease::port().unwrap();
            panic!("as it should");
        }),
        ("a::overrides", || {
            let _fake = STOCK.override_with(std::sync::Arc::default());
            panic!("as it should");
        }),
        ("a::has_a_thread_that_panics", || {
            let child = Worker::current().spawn(|| panic!("as it should"));
            assert!(child.join().is_err());
        }),
        ("a::passes_to_an_attribute", || {
            let caught = catch_unwind(|| {
                let _stock = STOCK.get();
                panic!("as it should");
            });
            assert!(caught.is_err());
            mark_passed();
        }),
        ("a::panics_in_an_attribute", mark_panicked),
        ("a::returns_an_error", mark_failed),
    ]
}

#[test]
#[ignore = "a role"]
fn role_ends() {
    if !plays(ENDS) {
        return;
    }
    for (name, work) in ends() {
        leaves(name, work);
    }
    #[expect(
        clippy::disallowed_methods,
        reason = "a role gets its outcome by the environment"
    )]
    let passes = std::env::var_os("PASSES").unwrap();
    assert_eq!(passes, "yes");
}

/// Returns the tests that left directories in this one.
fn left_in(parent: &Path) -> Vec<String> {
    let folders = std::fs::read_dir(parent).into_iter().flatten().flatten();
    let files = folders.filter_map(|folder| std::fs::read_to_string(folder.path().join("left")).ok());
    let mut left: Vec<_> = files.collect();
    left.sort();
    left
}

/// Returns the tests that left directories below this one, each in one of its own.
fn left_below(failed: &Path) -> Vec<String> {
    let tests = std::fs::read_dir(failed).into_iter().flatten().flatten();
    let mut left: Vec<_> = tests.flat_map(|test| left_in(&test.path())).collect();
    left.sort();
    left
}

/// Plays the role and returns the directories that are left below `failed` and below the run's directory, by test.
fn play_in(base: &Path, passes: bool) -> (Ended, Vec<String>, Vec<String>) {
    let mut command = role(ENDS, "ends");
    command
        .env("COFFERDAM_DIR", base.join("base"))
        .env("TMPDIR", base);
    command.env("PASSES", if passes { "yes" } else { "no" });
    let ended = play(&mut command).end();
    let kept = left_below(&base.join("base/failed"));
    let undecided = left_in(&base.join("base/runs/ends/workers/w0/leased"));
    (ended, kept, undecided)
}

const KEPT: [&str; 7] = [
    "a::has_a_thread_that_panics",
    "a::holds_a_lock",
    "a::holds_a_port",
    "a::holds_a_service",
    "a::overrides",
    "a::panics_in_an_attribute",
    "a::returns_an_error",
];

#[test]
fn the_directory_of_a_test_whose_failure_is_known_is_kept_and_named() {
    let base = tempfile::tempdir().unwrap();
    let (ended, kept, _) = play_in(base.path(), true);
    assert_eq!(kept, KEPT, "{}", ended.stderr);
    let named = ended.passed().warnings();
    let is_it = |line: &&&str| line.contains("the test failed, and its directory is kept: ");
    assert_eq!(named.iter().filter(is_it).count(), KEPT.len(), "{}", ended.stderr);
}

#[test]
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn a_directory_is_removed_when_the_process_passes_and_stays_until_a_later_run_when_it_fails() {
    let base = tempfile::tempdir().unwrap();
    let (ended, _, undecided) = play_in(base.path(), true);
    assert!(ended.status.success());
    assert!(undecided.is_empty(), "{undecided:?}");
    let (ended, kept, undecided) = play_in(base.path(), false);
    assert!(!ended.status.success());
    assert_eq!(kept, KEPT);
    assert_eq!(undecided, ["a::panics_without_a_handle", "a::passes"]);
}

const RETURNS: &str = "run::test_dirs::role_returns";

#[test]
#[ignore = "a role"]
fn role_returns() {
    if !plays(RETURNS) {
        return;
    }
    static UNTOUCHED: WorkerLocal<Mutex<u32>> = WorkerLocal::new(|_| Ok(Mutex::default()));
    as_test("a::first", || *UNTOUCHED.get().lock().unwrap() = 1);
    as_test("a::returns_an_error", || {
        // Dropped before the attribute sees the error.
        *STOCK.get().lock().unwrap() = 1;
        mark_failed();
    });
    as_test("a::next", || {
        assert_eq!(*STOCK.get().lock().unwrap(), 0);
        assert_eq!(*UNTOUCHED.get().lock().unwrap(), 1);
        *STOCK.get().lock().unwrap() = 2;
        mark_passed();
    });
    as_test("a::last", || assert_eq!(*STOCK.get().lock().unwrap(), 2));
}

#[test]
fn a_value_that_a_test_used_is_not_handed_on_after_an_error() {
    let base = tempfile::tempdir().unwrap();
    play(role(RETURNS, "returns").env("COFFERDAM_DIR", base.path()))
        .end()
        .passed();
}

crate::locator::alone! {
    fn names_of_a_test_differ_from_those_of_the_workers_other_tests() {
        use cofferdam::Names;
        let names = || Names::of_test(&Worker::current()).postgres_database("shop");
        let first = as_test("a::first", || {
            let child = Worker::current().spawn(names);
            assert_eq!(child.join().unwrap(), names());
            names()
        });
        let (second, worker) = as_test("a::second", || (names(), Names::current().postgres_database("shop")));
        assert!(first.starts_with("shop_w0_first_") && second.starts_with("shop_w0_second_"), "{first} {second}");
        assert!(first != second && second != worker);
    }
}

const NAMED: &str = "run::test_dirs::role_named";

#[test]
#[ignore = "a role"]
fn role_named() {
    if plays(NAMED) {
        say(&cofferdam::Names::of_test(&Worker::current()).queue("shop"));
    }
}

#[test]
fn names_of_a_test_differ_in_each_iteration_of_a_stress_run() {
    let base = tempfile::tempdir().unwrap();
    let named = |iteration: &str| {
        let mut named = play(
            role(NAMED, "named")
                .env("COFFERDAM_DIR", base.path())
                .env("COFFERDAM_RUN_ID", "stress")
                .env("NEXTEST_STRESS_CURRENT", iteration),
        );
        let name = named.hear();
        named.end().passed();
        name
    };
    let first = named("0");
    assert_eq!(named("0"), first);
    assert_ne!(named("1"), first);
}

/// Under nextest the exit code of a process is the outcome of its test, which has no handle here or caught the panic.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[test]
fn under_nextest_the_exit_code_says_whether_the_directory_is_kept() {
    use crate::stranger::{Suite, text};
    let tests = "
        fn leaves(name: &str) -> cofferdam::lock::LockGuard {
            let dir = cofferdam::Worker::current().test_dir().unwrap();
            std::fs::write(dir.join(\"left\"), name).unwrap();
            cofferdam::lock(name)
        }
        #[test] fn passes() { leaves(\"passes\"); }
        #[test] fn panics_without_a_handle() { drop(leaves(\"panics_without_a_handle\")); panic!() }
        #[test] fn returns_an_error() -> Result<(), std::fmt::Error> { leaves(\"returns_an_error\"); Err(std::fmt::Error) }
        #[test] #[should_panic] fn should_panic() { let _lock = leaves(\"should_panic\"); panic!() }
    ";
    let suite = Suite::new(
        "test-dirs",
        &[],
        "",
        &[("src/lib.rs", ""), ("tests/suite.rs", tests)],
    );
    if !suite.has_nextest() {
        return;
    }
    let base = tempfile::tempdir().unwrap();
    let mut run = suite.cargo("nextest run --no-fail-fast --status-level all");
    let ended = run.env("COFFERDAM_DIR", base.path()).output().unwrap();
    let kept = left_below(&base.path().join("failed"));
    assert_eq!(
        kept,
        ["panics_without_a_handle", "returns_an_error"],
        "{}",
        text(&ended)
    );
    let named = text(&ended)
        .matches("the test failed, and its directory is kept: ")
        .count();
    assert_eq!(named, 2, "{}", text(&ended));
}
