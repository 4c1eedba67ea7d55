//! However a runner ends, its fixtures end too, and nothing of another run is touched.

use super::kept::{Guest, Runner, Running, has_nextest, kill, sh};

/// Every signal, to the runner and to its whole group, beside a run that nobody kills.
fn matrix(runner: Runner) {
    let base = tempfile::tempdir().unwrap();
    let mut bystander = Running::start(runner, base.path(), "bystander");
    for (signal, name) in [
        (libc::SIGINT, "INT"),
        (libc::SIGTERM, "TERM"),
        (libc::SIGHUP, "HUP"),
        (libc::SIGKILL, "KILL"),
    ] {
        for whom in ["runner", "group"] {
            let mut run = Running::start(runner, base.path(), &format!("{name}-{whom}"));
            assert_ne!(run.folder, bystander.folder);
            let pid = run.runner.id() as i32;
            kill(if whom == "runner" { pid } else { -pid }, signal);
            run.is_torn_down();
            // A runner may wait for its tests, and tests may outlive their runner.
            run.tests.clear();
            run.runner.wait().unwrap();
            assert!(
                bystander.servers.iter().all(Guest::is_here),
                "{name} to the {whom} of another run"
            );
            assert!(bystander.folder.join("fixtures/server/handle.ndjson").exists());
        }
    }
    let text = bystander.finish();
    assert!(!text.contains("LEAK"), "{text}");
    bystander.is_torn_down();
}

#[test]
fn every_signal_under_cargo_test() {
    matrix(Runner::CargoTest);
}

#[test]
fn every_signal_under_nextest() {
    if has_nextest() {
        matrix(Runner::Nextest);
    }
}

#[test]
fn a_keeper_that_is_killed_takes_its_servers_along() {
    let base = tempfile::tempdir().unwrap();
    let mut run = Running::start(Runner::CargoTest, base.path(), "keeper");
    run.keeper.kill();
    // The tests ask once more and start both anew, in one folder.
    run.tests.remove(0);
    let servers = [run.next_guest(), run.next_guest()];
    assert!(servers.iter().all(|guest| guest.words[0] == "server"));
    run.servers.iter_mut().for_each(Guest::is_gone);
    run.tests.clear();
    assert!(run.runner.wait().unwrap().success());
    for mut server in servers {
        server.is_gone();
    }
}

#[test]
fn what_keeper_and_runner_left_the_next_run_removes() {
    let base = tempfile::tempdir().unwrap();
    let mut run = Running::start(Runner::CargoTest, base.path(), "both");
    run.keeper.kill();
    kill(-(run.runner.id() as i32), libc::SIGKILL);
    run.runner.wait().unwrap();
    run.tests.iter_mut().for_each(Guest::is_gone);
    assert!(run.folder.exists());

    let mut next = Running::start(Runner::CargoTest, base.path(), "next");
    assert!(!run.folder.exists());
    run.servers.iter_mut().for_each(Guest::is_gone);
    next.finish();
    next.is_torn_down();
}

#[test]
fn what_is_kept_stays_until_its_script_is_run() {
    let base = tempfile::tempdir().unwrap();
    let keep = [("COFFERDAM_KEEP", "1")];
    let mut run = Running::start_with(Runner::CargoTest, base.path(), "kept", &keep);
    let text = run.finish();
    run.keeper.ended();
    assert!(run.servers.iter().all(Guest::is_here));
    let script = run.folder.join("remove.sh");
    assert!(text.contains(&format!("sh {}", script.display())), "{text}");

    // The next run leaves it alone.
    let mut next = Running::start(Runner::CargoTest, base.path(), "next");
    next.finish();
    next.is_torn_down();
    assert!(run.servers.iter().all(Guest::is_here));

    sh(&script);
    run.is_torn_down();
}
