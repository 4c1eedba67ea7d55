//! The order and manner in which the processes of fixtures are stopped.

use super::fixtures::shell;
use crate::role::{listen, play, plays, role, say};
use cofferdam::Fixture;
use cofferdam::diagnostics::{CleanOptions, clean};
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// A directory in which each process records that it was stopped.
#[expect(
    clippy::disallowed_methods,
    reason = "a role is handed its directory by the environment"
)]
fn trace() -> Result<String, std::env::VarError> {
    std::env::var("TRACE")
}

/// The last process to be stopped reports the whole trace, if a reader exists.
static DATABASE: Fixture<u32> = Fixture::per_run("database", |setup| {
    let last = "cd $TRACE; echo database >> all; test ! -p pipe || cat all > pipe";
    setup.on_teardown(&mut shell(last))?;
    Ok(0)
});

/// A wrapper that ends at once, with a server below it that takes a moment.
const SERVER: &str = "cd $TRACE; (trap 'sleep 0.3; echo server >> all; exit' TERM; echo > up; while :; do sleep 0.01; done) & wait";

/// Declares its stop command before it requests what it depends on; its process ID is the wrapper's.
static APPLICATION: Fixture<u32> = Fixture::per_run("application", |setup| {
    setup.on_teardown(&mut shell("echo application >> $TRACE/all"))?;
    DATABASE.try_get()?;
    let wrapper = setup.spawn(&mut shell(SERVER))?;
    let up = Path::new(&trace()?).join("up");
    setup.wait_for("the server", Duration::from_secs(20), || up.exists())?;
    Ok(wrapper)
});

const USES: &str = "run::teardown::role_uses";

#[test]
#[ignore = "a role"]
fn role_uses() {
    if plays(USES) {
        say(&APPLICATION.get().to_string());
    }
}

/// Runs the role below a shell that looks like a runner. Processes that it starts end with it.
#[expect(clippy::disallowed_methods, reason = "a runner is a real process")]
pub(super) fn uses(path: &str, base: &Path, run: &str) -> Command {
    let runner = base.join("cargo");
    fs::copy("/bin/sh", &runner).unwrap();
    let role = role(path, run);
    let mut command = Command::new(runner);
    command
        .args(["-c", "\"$@\"; true", "sh"])
        .arg(role.get_program())
        .args(role.get_args());
    for (name, value) in role.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.env("COFFERDAM_DIR", base).env("TRACE", base);
    command
}

const ALL: &str = "server\napplication\ndatabase\n";

#[test]
fn a_fixture_is_stopped_before_those_that_it_needs() {
    let base = tempfile::tempdir().unwrap();
    let pipe = base.path().join("pipe");
    #[expect(clippy::disallowed_methods, reason = "std makes no pipes with names")]
    let made = Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    let mut player = play(&mut uses(USES, base.path(), "teardown"));
    player.hear();
    player.end().passed();
    assert_eq!(fs::read_to_string(&pipe).unwrap(), ALL);
}

#[test]
fn clean_stops_kept_fixtures_in_the_same_order_and_nothing_else() {
    let base = tempfile::tempdir().unwrap();
    let mut player = play(uses(USES, base.path(), "kept").env("COFFERDAM_KEEP", "1"));
    player.hear();
    player.end().passed();
    let folder = base.path().join("runs/kept");
    let started = folder.join("fixtures/application/processes");
    assert!(!base.path().join("all").exists() && started.exists());
    // The keeper leaves the directory after the runner has ended.
    let alive = fs::File::open(folder.join("alive.lock")).unwrap();
    #[expect(clippy::disallowed_methods, reason = "no sleep, and nothing else tells")]
    alive.lock().unwrap();
    drop(alive);

    // As if a process ID had been reused by now.
    let mut bystander = shell("exec sleep 1000").process_group(0).spawn().unwrap();
    let other = format!("{} 15 5000\n", bystander.id());
    fs::write(&started, other).unwrap();
    clean(base.path(), CleanOptions::default().all(true)).unwrap();
    assert_eq!(fs::read_to_string(base.path().join("all")).unwrap(), ALL);
    assert!(!folder.exists());
    assert!(bystander.try_wait().unwrap().is_none());
    bystander.kill().unwrap();
    bystander.wait().unwrap();
}

/// A process in its own session, without its parent and without the environment of a fixture's process.
static BARE: Fixture<u32> = Fixture::per_run("bare", |setup| {
    let file = setup.dir().join("pid");
    let script = "(env -i PATH=\"$PATH\" setsid sh -c 'echo $$ >$0.new; mv $0.new $0; exec sleep 1000' \"$0\" &); \
                  exec sleep 1000";
    setup.spawn(shell(script).arg(&file))?;
    setup.wait_for("the process", Duration::from_secs(20), || file.exists())?;
    Ok(fs::read_to_string(file)?.trim().parse()?)
});

const BARES: &str = "run::teardown::role_bares";

#[test]
#[ignore = "a role"]
fn role_bares() {
    if plays(BARES) {
        say(&BARE.get().to_string());
        listen();
    }
}

#[test]
fn a_process_that_left_its_group_its_parent_and_its_environment_ends_with_the_keeper() {
    let base = tempfile::tempdir().unwrap();
    let mut player = play(&mut uses(BARES, base.path(), "bare"));
    let bare = super::kept::Process::open(player.hear().parse().unwrap());
    player.end().passed();
    bare.ended();
}
