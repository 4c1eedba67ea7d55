//! Processes of fixtures that end too early, or that must not outlive the fixture.

use super::fixtures::{asks, outcome, shell};
use super::kept::Process;
use crate::role::{listen, plays, say};
use cofferdam::fixture::Setup;
use cofferdam::{BoxError, Fixture};
use std::fs::OpenOptions;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(20);

/// Reports the handle, and again at each request.
fn says(path: &str, fixture: &Fixture<String>) {
    if plays(path) {
        loop {
            say(&outcome(fixture.try_get()));
            listen();
        }
    }
}

fn pid_of(handle: &str) -> Process {
    Process::open(handle.split(' ').next().unwrap().parse().unwrap())
}

static ENDING: Fixture<String> = Fixture::per_run("ending", |setup| {
    let go = setup.dir().join("go");
    setup.run(shell("mkfifo \"$0\"").arg(&go))?;
    let pid = setup.spawn(shell("read line <\"$0\"; echo shutting down").arg(&go))?;
    Ok(format!("{pid} {}", go.display()))
});

const ENDS: &str = "run::lasting::role_ends";

#[test]
#[ignore = "a role"]
fn role_ends() {
    says(ENDS, &ENDING);
}

#[test]
fn a_server_that_ends_with_exit_code_0_is_an_error_for_every_later_get() {
    let base = tempfile::tempdir().unwrap();
    let mut has_it = asks(base.path(), ENDS, "ends");
    let handle = has_it.hear();
    has_it.answer();
    assert_eq!(has_it.hear(), handle);
    let (server, go) = (pid_of(&handle), handle.split_once(' ').unwrap().1);
    drop(OpenOptions::new().write(true).open(go).unwrap());
    server.ended();
    has_it.answer();
    for mut player in [has_it, asks(base.path(), ENDS, "ends")] {
        let error = player.hear();
        for part in [
            "fixture `ending` is no longer running: its process sh (pid ",
            "ended by itself with exit code 0; use `Setup::run` for a command that is expected to end",
            "Its log ends: |     shutting down",
        ] {
            assert!(error.contains(part), "{error}");
        }
    }
}

static DAEMON: Fixture<String> = Fixture::per_run("daemon", |setup| {
    let file = setup.dir().join("pid");
    // Like `pg_ctl start`: in a separate session, with its parent gone.
    let script = "setsid sh -c 'echo $$ >\"$0.new\"; mv \"$0.new\" \"$0\"; exec sleep 1000' \"$0\" & \
                  until [ -e \"$0\" ]; do sleep 0.01; done";
    setup.run(shell(script).arg(&file))?;
    Ok(std::fs::read_to_string(file)?.trim().to_owned())
});

const DAEMONS: &str = "run::lasting::role_daemons";

#[test]
#[ignore = "a role"]
fn role_daemons() {
    says(DAEMONS, &DAEMON);
}

#[test]
fn a_process_left_by_a_command_belongs_to_the_fixture_and_its_end_is_an_error() {
    let base = tempfile::tempdir().unwrap();
    let mut has_it = asks(base.path(), DAEMONS, "daemon");
    let handle = has_it.hear();
    assert_eq!(asks(base.path(), DAEMONS, "daemon").hear(), handle);
    pid_of(&handle).kill();
    has_it.answer();
    for mut player in [has_it, asks(base.path(), DAEMONS, "daemon")] {
        let error = player.hear();
        assert!(
            error.contains("all processes that its command sh (pid ")
                && error.contains("left running have ended"),
            "{error}"
        );
    }
}

static REFUSED: Fixture<String> = Fixture::per_run("refused", |setup| {
    setup.run(&mut shell("echo no room; exit 3"))?;
    unreachable!("it failed")
});

static STRAYS: Fixture<String> = Fixture::per_run("strays", strays);

/// Starts processes that leave their group, with or without its environment and parent; then the start fails.
fn strays(setup: &Setup) -> Result<String, BoxError> {
    let file = |name: &str| setup.dir().join(name);
    let names = ["session", "orphan", "bare"];
    let script = "stray() { name=$1; shift; setsid \"$@\" sh -c \
                  'trap \"echo stopped $1\" TERM; echo $$ >$1.new; mv $1.new $1; sleep 1000 & wait' sh \"$name\" & }; \
                  stray session env; (stray orphan env); stray bare env -i PATH=\"$PATH\"; wait; exec sleep 1000";
    setup.spawn(shell(script).current_dir(setup.dir()))?;
    let mut pids = Vec::new();
    for name in names {
        setup.wait_for(name, SOON, || file(name).exists())?;
        pids.push(std::fs::read_to_string(file(name))?.trim().to_owned());
    }
    say(&pids.join(" "));
    listen();
    Err("it does not like them".into())
}

const STRAY: &str = "run::lasting::role_stray";

#[test]
#[ignore = "a role"]
fn role_stray() {
    if plays(STRAY) {
        say(&outcome(REFUSED.try_get()));
        say(&outcome(STRAYS.try_get()));
    }
}

#[test]
fn a_command_that_fails_fails_the_start_and_what_left_its_group_is_ended_too() {
    let base = tempfile::tempdir().unwrap();
    let mut player = asks(base.path(), STRAY, "stray");
    let error = player.hear();
    for part in [
        "could not run sh: ",
        "ended by itself with exit code 3",
        "no room",
    ] {
        assert!(error.contains(part), "{error}");
    }
    let pids = player.hear();
    let strays: Vec<_> = pids
        .split(' ')
        .map(|pid| Process::open(pid.parse().unwrap()))
        .collect();
    assert_eq!(strays.len(), 3);
    player.answer();
    let error = player.hear();
    assert!(error.contains("it does not like them"), "{error}");
    strays.iter().for_each(Process::ended);
    player.end().passed();
}
