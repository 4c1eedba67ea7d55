//! Fixtures end with their runner, however it ends, and no other run is affected.

use super::kept::{Begun, Guest, Runner, Running, Tests, has_nextest, kill, of_the_servers};
use cofferdam::diagnostics::{CleanOptions, clean};

const SIGNALS: [(i32, &str); 4] = [
    (libc::SIGINT, "INT"),
    (libc::SIGTERM, "TERM"),
    (libc::SIGHUP, "HUP"),
    (libc::SIGKILL, "KILL"),
];

/// Sends each of the signals to the runner, and to its group, beside another run.
fn matrix(tests: Tests, runner: Runner, signals: &[(i32, &str)]) {
    let base = tempfile::tempdir().unwrap();
    let mut bystander = Running::start_of(tests, runner, base.path(), "bystander");
    for (signal, name) in signals.iter().copied() {
        for whom in ["runner", "group"] {
            let mut run = Running::start_of(tests, runner, base.path(), &format!("{name}-{whom}"));
            assert_ne!(run.folder, bystander.folder);
            let pid = run.begun.runner.id() as i32;
            kill(if whom == "runner" { pid } else { -pid }, signal);
            run.is_torn_down();
            // A runner may wait for its tests, and tests may outlive their runner.
            run.tests.clear();
            run.begun.runner.wait().unwrap();
            assert!(
                bystander.servers.iter().all(Guest::is_here),
                "{name} to the {whom} of another run"
            );
            assert!(bystander.folder.join("fixtures/server/handle.jsonl").exists());
        }
    }
    let text = bystander.finish();
    assert!(!text.contains("LEAK"), "{text}");
    bystander.is_torn_down();
}

#[test]
fn fixtures_end_with_the_runner_after_every_signal_under_cargo_test() {
    matrix(Tests::Sync, Runner::CargoTest, &SIGNALS);
}

#[test]
fn fixtures_end_with_the_runner_after_every_signal_under_nextest() {
    if has_nextest() {
        matrix(Tests::Sync, Runner::Nextest, &SIGNALS);
    }
}

#[test]
fn async_fixtures_end_with_a_runner_that_is_killed() {
    matrix(Tests::Async, Runner::CargoTest, &SIGNALS[3..]);
}

#[test]
#[ignore = "takes half a minute: `.ci/long` runs it"]
fn async_fixtures_end_with_the_runner_after_every_signal() {
    matrix(Tests::Async, Runner::CargoTest, &SIGNALS);
    if has_nextest() {
        matrix(Tests::Async, Runner::Nextest, &SIGNALS);
    }
}

#[test]
fn a_test_that_runs_into_nextest_s_timeout_leaks_nothing_and_the_rest_is_torn_down() {
    if !has_nextest() {
        return;
    }
    let base = tempfile::tempdir().unwrap();
    let mut bystander = Running::start(Runner::Nextest, base.path(), "bystander");
    let short = [("NEXTEST_PROFILE", "short")];
    let mut run = Running::start_with(Runner::Nextest, base.path(), "timeout", &short);
    // Its tests are never released.
    assert!(!run.begun.runner.wait().unwrap().success());
    let text = run.begun.text();
    assert!(text.contains("2 timed out") && !text.contains("LEAK"), "{text}");
    run.tests.iter_mut().for_each(Guest::is_gone);
    run.is_torn_down();
    assert!(bystander.servers.iter().all(Guest::is_here));
    bystander.finish();
    bystander.is_torn_down();
}

/// The test that runs the factory, and the processes started by then.
fn in_mid_start(begun: &Begun) -> (Vec<Guest>, Guest) {
    let mut guests = begun.guests(3);
    let starter = guests.pop().unwrap();
    assert_eq!(starter.words[0], "starting");
    (guests, starter)
}

#[test]
fn a_test_that_is_killed_while_it_starts_is_undone_and_the_next_test_starts() {
    if !has_nextest() {
        return;
    }
    let base = tempfile::tempdir().unwrap();
    let hold = [("HOLD", "1")];
    let mut begun = Begun::new(Runner::Nextest, base.path(), "starter", &hold);
    let (mut servers, starter) = in_mid_start(&begun);
    kill(starter.words[1].parse().unwrap(), libc::SIGKILL);
    servers.iter_mut().for_each(Guest::is_gone);

    let (mut servers, starter) = in_mid_start(&begun);
    assert!(begun.torn_down.exists(), "the first start was not undone");
    let (keeper, folder) = of_the_servers(&servers);
    drop(starter);
    let test = begun.guest();
    assert_eq!(test.words[0], "test");
    drop(test);
    assert!(!begun.runner.wait().unwrap().success(), "one test was killed");
    servers.iter_mut().for_each(Guest::is_gone);
    keeper.ended();
    assert!(!folder.exists());
}

#[test]
fn a_runner_that_is_killed_while_a_test_starts_leaves_nothing() {
    let runners = [Runner::CargoTest, Runner::Nextest];
    let base = tempfile::tempdir().unwrap();
    for runner in runners
        .into_iter()
        .filter(|runner| *runner == Runner::CargoTest || has_nextest())
    {
        let name = format!("{runner:?}");
        let mut begun = Begun::new(runner, base.path(), &name, &[("HOLD", "1")]);
        let (mut servers, starter) = in_mid_start(&begun);
        let (keeper, folder) = of_the_servers(&servers);
        // Under nextest its tests continue, and so would the factory.
        kill(-(begun.runner.id() as i32), libc::SIGKILL);
        begun.runner.wait().unwrap();
        servers.iter_mut().for_each(Guest::is_gone);
        keeper.ended();
        // A test that outlives its runner does not start anything either.
        drop(starter);
        assert!(!folder.exists() && begun.torn_down.exists(), "{name}");
    }
}

/// The keeper is killed: running and later tests get a new one.
fn keeper_killed(runner: Runner) {
    let base = tempfile::tempdir().unwrap();
    let mut run = Running::start_with(runner, base.path(), "keeper", &[("LATER", "1")]);
    run.keeper.kill();
    // The tests repeat their requests and start the keeper and the server again, in the same directory.
    run.tests.remove(0);
    let mut guests = run.begun.guests(3);
    let later = guests.remove(0);
    assert_eq!(later.words[0], "later");
    assert!(guests.iter().all(|guest| guest.words[0] == "server"));
    run.servers.iter_mut().for_each(Guest::is_gone);
    let (keeper, folder) = of_the_servers(&guests);
    assert_eq!(folder, run.folder);
    drop(later);
    run.finish();
    guests.iter_mut().for_each(Guest::is_gone);
    keeper.ended();
    assert!(!folder.exists());
}

/// The keeper and the runner are killed: the next run removes what is left.
fn both_killed(runner: Runner) {
    let base = tempfile::tempdir().unwrap();
    let mut run = Running::start(runner, base.path(), "both");
    run.keeper.kill();
    kill(-(run.begun.runner.id() as i32), libc::SIGKILL);
    run.begun.runner.wait().unwrap();
    if runner == Runner::Nextest {
        // The tests outlive the runner, and would start both again.
        let pids = run.tests.iter().map(|test| test.words[1].parse().unwrap());
        pids.for_each(|pid| kill(pid, libc::SIGKILL));
    }
    run.tests.iter_mut().for_each(Guest::is_gone);
    assert!(run.folder.exists());

    let mut next = Running::start(runner, base.path(), "next");
    assert!(!run.folder.exists());
    assert!(
        run.begun.torn_down.exists(),
        "the teardown's command was not run by the sweep"
    );
    // The grandchild has outlived its server.
    run.servers.iter_mut().for_each(Guest::is_gone);
    next.finish();
    next.is_torn_down();
}

#[test]
fn fixtures_of_a_killed_keeper_are_restarted_or_removed_under_cargo_test() {
    keeper_killed(Runner::CargoTest);
    both_killed(Runner::CargoTest);
}

#[test]
fn fixtures_of_a_killed_keeper_are_restarted_or_removed_under_nextest() {
    if has_nextest() {
        keeper_killed(Runner::Nextest);
        both_killed(Runner::Nextest);
    }
}

#[test]
fn a_run_whose_folder_was_deleted_is_torn_down_all_the_same() {
    let base = tempfile::tempdir().unwrap();
    let mut run = Running::start(Runner::CargoTest, base.path(), "deleted");
    std::fs::remove_dir_all(&run.folder).unwrap();
    run.finish();
    run.is_torn_down();
}

#[test]
fn a_kept_fixture_stays_until_clean_removes_it() {
    let base = tempfile::tempdir().unwrap();
    let keep = [("COFFERDAM_KEEP", "1")];
    let mut run = Running::start_with(Runner::CargoTest, base.path(), "kept", &keep);
    let text = run.finish();
    run.keeper.ended();
    assert!(run.servers.iter().all(Guest::is_here));
    assert!(text.contains("To stop it: cargo cofferdam clean\n"), "{text}");

    // The next run does not remove it.
    let mut next = Running::start(Runner::CargoTest, base.path(), "next");
    next.finish();
    next.is_torn_down();
    assert!(run.servers.iter().all(Guest::is_here));

    clean(base.path(), CleanOptions::default()).unwrap();
    run.is_torn_down();
}
