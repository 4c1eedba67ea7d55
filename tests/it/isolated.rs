//! `#[isolated]` on each kind of test of this crate. `run/isolated.rs` has those that fail.

#![expect(
    clippy::disallowed_methods,
    reason = "the process of an isolated test is its own"
)]

use cofferdam::diagnostics::{LockState, base_dir, locks};
use cofferdam::lock::{try_lock, try_lock_shared};
use cofferdam::{Worker, isolated, lease, parallel, serial};
use rstest::{fixture, rstest};
use std::env;
use std::fmt;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// Fails in a second test of this process.
fn is_first_in_its_process() {
    static USED: AtomicBool = AtomicBool::new(false);
    assert!(
        !USED.swap(true, Ordering::SeqCst),
        "another test was in this process"
    );
}

fn var(name: &str) -> String {
    env::var(name).unwrap()
}

#[test]
#[isolated]
fn it_has_a_process_of_its_own() {
    is_first_in_its_process();
}

#[isolated]
#[test]
fn it_may_return_a_result() -> Result<(), fmt::Error> {
    is_first_in_its_process();
    Ok(())
}

#[test]
#[should_panic(expected = "on purpose: 1")]
#[isolated]
fn it_may_panic() {
    is_first_in_its_process();
    panic!("on purpose: {}", 1);
}

#[test]
#[isolated(env(R = "1"))]
fn r#fn() {
    assert_eq!(var("R"), "1");
}

mod elsewhere {
    pub(super) use cofferdam as renamed;
}

#[test]
#[elsewhere::renamed::isolated(crate = elsewhere::renamed)]
fn the_crate_may_have_another_name() {
    is_first_in_its_process();
}

#[test]
#[isolated]
fn attributes_in_its_body_stay_first_in_it() {
    //! So does its text.
    #![expect(unused_variables, reason = "the attribute counts for the whole body")]

    let unused = 0;
    is_first_in_its_process();
}

#[tokio::test]
#[isolated]
async fn it_works_below_tokio() {
    is_first_in_its_process();
    tokio::task::yield_now().await;
}

#[isolated]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_works_above_tokio() -> Result<(), fmt::Error> {
    is_first_in_its_process();
    tokio::spawn(async { Worker::current() }).await.unwrap();
    Ok(())
}

mod with_the_runtime_s_attribute_by_its_last_name {
    use super::*;
    use tokio::test;

    #[isolated]
    #[test]
    async fn it_works_above_it() {
        is_first_in_its_process();
        tokio::task::yield_now().await;
    }
}

/// Its process is the test's, because it is created after the gate.
#[fixture]
fn service() -> u32 {
    is_first_in_its_process();
    std::process::id()
}

#[rstest]
#[case(1)]
#[case::two(2)]
#[isolated]
fn it_works_below_rstest(service: u32, #[case] number: u32) {
    assert_eq!(service, std::process::id());
    assert!(number > 0);
}

#[isolated]
#[rstest]
#[case(1)]
#[case::two(2)]
fn it_works_above_rstest(service: u32, #[case] number: u32) {
    assert_eq!(service, std::process::id());
    assert!(number > 0);
}

#[isolated]
#[rstest]
fn it_works_above_rstest_with_values(service: u32, #[values(1, 2)] number: u32) {
    assert_eq!(service, std::process::id());
    assert!(number > 0);
}

#[rstest]
#[isolated]
#[tokio::test]
async fn it_works_between_rstest_and_tokio(service: u32) {
    tokio::task::yield_now().await;
    assert_eq!(service, std::process::id());
}

#[isolated]
#[rstest]
#[case(1)]
#[case(2)]
#[tokio::test]
async fn it_works_above_both(service: u32, #[case] number: u32) -> Result<(), fmt::Error> {
    tokio::task::yield_now().await;
    assert_eq!(service, std::process::id());
    assert!(number > 0);
    Ok(())
}

/// Evaluated in the parent.
#[test]
#[isolated(env(PARENT = Worker::current().id(), RUN = Worker::current().run(), NUMBER = Worker::current().index().unwrap_or(99).to_string()))]
fn it_is_its_parents_worker() {
    let worker = Worker::current();
    assert_eq!((worker.id(), worker.run()), (&*var("PARENT"), &*var("RUN")));
    assert_eq!(worker.index().unwrap_or(99).to_string(), var("NUMBER"));
    assert_eq!(worker.test(), Some("isolated::it_is_its_parents_worker"));
    // All threads of the process belong to the test.
    let other = std::thread::spawn(|| Worker::current().id().to_owned());
    assert_eq!(other.join().unwrap(), worker.id());
}

/// The state of the lock as another process sees it.
fn state(name: &str) -> LockState {
    let all = locks(&base_dir(None).unwrap()).unwrap();
    all.iter().find(|lock| lock.name == name).unwrap().state
}

fn holds_its_lock(name: &str) {
    assert_eq!(state(name), LockState::Exclusive);
    let _again = cofferdam::lock(name);
    let other = Worker::current().spawn({
        let name = name.to_owned();
        move || try_lock(&name).unwrap().is_none()
    });
    assert!(other.join().unwrap(), "another thread of the test got its lock");
}

#[test]
#[isolated(env(A = "1"))]
#[serial(isolated_tests_inside)]
fn a_lock_below_it_is_passed_on() {
    holds_its_lock("isolated_tests_inside");
}

#[serial(isolated_tests_outside)]
#[test]
#[isolated(env(A = "1"))]
fn a_lock_above_it_is_held() {
    holds_its_lock("isolated_tests_outside");
}

#[test]
#[isolated(env(A = "1"))]
#[parallel(isolated_tests_shared)]
fn a_shared_lock_is_passed_on() {
    assert_eq!(state("isolated_tests_shared"), LockState::Shared);
    let _again = try_lock_shared("isolated_tests_shared").unwrap().unwrap();
}

#[serial(isolated_tests_async)]
#[tokio::test]
#[isolated(env(A = "1"))]
async fn an_async_test_may_have_both() {
    tokio::task::yield_now().await;
    assert_eq!(state("isolated_tests_async"), LockState::Exclusive);
}

#[isolated(env(A = "1"))]
#[serial_test::file_serial(isolated_tests_foreign)]
#[test]
fn a_foreign_file_lock_below_it_is_taken_by_its_process() {
    is_first_in_its_process();
}

#[serial_test::file_serial(isolated_tests_foreign)]
#[test]
#[isolated(env(A = "1"))]
fn so_is_one_above_it() {
    is_first_in_its_process();
}

#[isolated(env(A = "1"))]
#[serial_test::serial(isolated_tests_foreign)]
#[test]
fn a_foreign_lock_of_the_process_is_no_obstacle() {
    is_first_in_its_process();
}

#[test]
#[isolated(env(PORT = lease::port().unwrap().number().to_string()))]
fn a_port_that_its_parent_leased_is_its_own() {
    let port: u16 = var("PORT").parse().unwrap();
    let _server = TcpListener::bind(("127.0.0.1", port)).unwrap();
    assert_ne!(lease::port().unwrap().number(), port);
}

#[test]
#[isolated(env(HOME = tmp, CONFIG = tmp.join("config"), "my.var" = "debug"), env_remove(PATH), dir = tmp)]
fn it_has_the_environment_and_the_directory_of_its_arguments() {
    let home = PathBuf::from(var("HOME"));
    assert_eq!(env::current_dir().unwrap(), home);
    assert_eq!(PathBuf::from(var("CONFIG")), home.join("config"));
    assert_eq!(home.read_dir().unwrap().count(), 0);
    assert_eq!((var("my.var").as_str(), env::var_os("PATH")), ("debug", None));
    // It does not depend on the directory.
    assert!(Worker::current().dir().unwrap().is_absolute());
    assert!(!Path::new("target").exists());
}

#[test]
#[isolated(umask = 0o077, dir = tmp)]
fn it_has_the_umask_of_its_arguments() {
    std::fs::write("private", "").unwrap();
    let mode = std::fs::metadata("private").unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
#[isolated(limits(open_files = 32), dir = tmp)]
fn it_has_the_limits_of_its_arguments() {
    let opened: Vec<_> = (0..32).map(|_| std::fs::File::open(".")).collect();
    assert!(opened.iter().any(Result::is_err));
}

/// Two of them in one directory would find each other's file.
#[rstest]
#[isolated(env(TMPDIR = tmp))]
fn each_case_has_a_directory_of_its_own(#[values(1, 2, 3)] number: u32) {
    std::fs::File::create_new(env::temp_dir().join("once")).unwrap();
    assert!(number > 0);
    // The locks of the machine are where they were.
    let _port = lease::port().unwrap();
    assert_eq!(env::temp_dir().read_dir().unwrap().count(), 1);
}
