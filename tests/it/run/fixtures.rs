//! Fixtures that fail, each in a separate run: the processes that request them, and the errors that they get.

use crate::role::{Player, listen, play, plays, role, say};
use cofferdam::fixture::Setup;
use cofferdam::{BoxError, Fixture, Worker};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(20);

pub(super) fn asks(base: &Path, path: &str, run: &str) -> Player {
    play(role(path, run).env("COFFERDAM_DIR", base))
}

pub(super) fn outcome<H>(result: Result<Arc<H>, cofferdam::Error>) -> String
where
    H: std::fmt::Display,
{
    result.map_or_else(
        |error| error.to_string().replace('\n', " | "),
        |handle| handle.to_string(),
    )
}

/// A process that lives until it is stopped.
#[expect(clippy::disallowed_methods, reason = "servers are real processes")]
pub(super) fn shell(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

/// The process, which differs from call to call.
#[expect(clippy::disallowed_methods, reason = "a process says who it is")]
fn made_by() -> String {
    format!("made by {}", std::process::id())
}

static SHARED: Fixture<String> = Fixture::per_run("shared", |_| Ok(made_by()));
static OWN: Fixture<String> = Fixture::per_worker("own", |_| Ok(Worker::current().id().to_owned()));

const SHARE: &str = "run::fixtures::role_share";

#[test]
#[ignore = "a role"]
fn role_share() {
    if plays(SHARE) {
        say(&SHARED.get());
        say(&OWN.get());
        say(&std::thread::spawn(|| SHARED.get()).join().unwrap());
        listen();
    }
}

#[test]
fn one_is_shared_by_all_processes_and_each_worker_has_its_own() {
    let base = tempfile::tempdir().unwrap();
    let mut players: Vec<_> = (0..4).map(|_| asks(base.path(), SHARE, "share")).collect();
    let heard: Vec<_> = players
        .iter_mut()
        .map(|player| [(); 3].map(|()| player.hear()))
        .collect();
    assert!(
        heard
            .iter()
            .all(|[shared, _, again]| (shared, again) == (&heard[0][0], &heard[0][0])),
        "{heard:?}"
    );
    let mut workers: Vec<_> = heard.iter().map(|[_, own, _]| own.as_str()).collect();
    workers.sort_unstable();
    assert_eq!(workers, ["w0", "w1", "w2", "w3"]);
    players.into_iter().for_each(|player| _ = player.end().passed());
}

static FAILING: Fixture<String> = Fixture::per_run("failing", |setup| {
    setup.spawn(&mut shell("echo FATAL: no such disk; exit 3"))?;
    setup.wait_for("the server", SOON, || false)?;
    unreachable!("it never is")
});
static PANICKING: Fixture<String> = Fixture::per_run("panicking", |_| panic!("no luck"));
static SLOW: Fixture<String> = Fixture::per_run("slow", never).start_within(Duration::from_millis(300));
static MISSING: Fixture<String> = Fixture::per_run("missing", |setup| {
    setup.spawn(shell("true").current_dir("not/there"))?;
    Ok(String::new())
});
static CIRCLE: Fixture<String> = Fixture::per_run("circle", |_| Ok(ROUND.try_get()?.to_string()));
static ROUND: Fixture<String> = Fixture::per_run("round", |_| Ok(CIRCLE.try_get()?.to_string()));

fn never(setup: &Setup) -> Result<String, BoxError> {
    setup.spawn(&mut shell("echo still at it; exec sleep 1000"))?;
    loop {
        std::thread::park();
    }
}

const FAIL: &str = "run::fixtures::role_fail";

#[test]
#[ignore = "a role"]
fn role_fail() {
    if plays(FAIL) {
        for fixture in [&FAILING, &PANICKING, &SLOW, &MISSING, &CIRCLE] {
            say(&outcome(fixture.try_get()));
        }
    }
}

#[test]
fn a_failed_start_is_reported_with_its_log_and_not_retried_in_the_run() {
    let base = tempfile::tempdir().unwrap();
    let mut first = asks(base.path(), FAIL, "fail");
    let heard = [(); 5].map(|()| first.hear());
    for (heard, parts) in heard.iter().zip([
        &[
            "fixture `failing`",
            "its process sh (pid ",
            "ended by itself with exit code 3",
            "FATAL: no such disk",
        ][..],
        &["fixture `panicking`", "its factory panicked: no luck"],
        &["fixture `slow`", "did not return within 0.3 s", "still at it"],
        &[
            "fixture `missing`",
            "could not start sh",
            "No such file or directory",
        ],
        &["fixture `circle`", "it needs itself: circle -> round -> circle"],
    ]) {
        assert!(parts.iter().all(|part| heard.contains(part)), "{heard}");
    }
    // Another process of the run gets the same error, including the process ID.
    let mut second = asks(base.path(), FAIL, "fail");
    let again = [(); 5].map(|()| second.hear());
    assert_eq!(again, heard);
    second.end().passed();
    // A retry by the runner starts it once more.
    let mut retry = play(
        role(FAIL, "fail")
            .env("COFFERDAM_DIR", base.path())
            .env("NEXTEST_ATTEMPT", "2"),
    );
    let anew = [(); 5].map(|()| retry.hear());
    assert_ne!(anew[0], heard[0]);
    assert!(anew[0].contains("FATAL: no such disk"), "{}", anew[0]);
    retry.end().passed();
    first.end().passed();
}

static KILLED: Fixture<String> = Fixture::per_run("killed", |setup| {
    let dir = setup.dir();
    assert_eq!(std::fs::read_dir(&dir)?.count(), 0, "what another start left");
    std::fs::write(dir.join("half"), "")?;
    let pid = setup.spawn(&mut shell("exec sleep 1000"))?;
    say(&pid.to_string());
    listen();
    Ok(pid.to_string())
});

const KILL: &str = "run::fixtures::role_kill";

#[test]
#[ignore = "a role"]
fn role_kill() {
    if plays(KILL) {
        say(&outcome(KILLED.try_get()));
        listen();
    }
}

#[test]
fn a_starter_that_is_killed_is_undone_and_the_next_caller_starts() {
    let base = tempfile::tempdir().unwrap();
    let mut first = asks(base.path(), KILL, "kill");
    let left = first.hear();
    let mut second = asks(base.path(), KILL, "kill");
    first.kill();
    let started = second.hear();
    assert_ne!(started, left);
    // It was reaped, so only a later process can have its number.
    let there = std::fs::read_to_string(format!("/proc/{left}/cmdline")).unwrap_or_default();
    assert!(!there.contains("sleep\u{0}1000"), "{there}");
    second.answer();
    assert_eq!(second.hear(), started);

    // After its server was killed, every caller gets an error.
    super::kept::Process::open(started.parse().unwrap()).kill();
    let mut third = asks(base.path(), KILL, "kill");
    let heard = third.hear();
    assert!(
        heard.contains(&format!("(pid {started}) ended by itself with signal 9")),
        "{heard}"
    );
    third.end().passed();
    second.end().passed();
}

mod one {
    use cofferdam::Fixture;
    pub(super) static SAME: Fixture<String> = Fixture::per_run("same", |_| Ok("one".to_owned()));
}
mod other {
    use cofferdam::Fixture;
    pub(super) static SAME: Fixture<u32> = Fixture::per_run("same", |_| Ok(2));
}

const TWICE: &str = "run::fixtures::role_twice";

#[test]
#[ignore = "a role"]
fn role_twice() {
    if plays(TWICE) {
        say(&outcome(one::SAME.try_get()));
        say(&outcome(other::SAME.try_get()));
    }
}

#[test]
fn another_definition_under_the_same_name_is_an_error_that_shows_both() {
    let base = tempfile::tempdir().unwrap();
    let mut player = asks(base.path(), TWICE, "twice");
    assert_eq!(player.hear(), "one");
    let error = player.hear();
    let place = "tests/it/run/fixtures.rs:";
    assert!(error.contains(&format!("`same`: u32 at {place}")), "{error}");
    assert!(
        error.contains(&format!("alloc::string::String at {place}")),
        "{error}"
    );
    player.end().passed();
}

const SECRET: &str = "run::fixtures::role_secret";

static HANDED: Fixture<String> = Fixture::per_run("handed", |setup| {
    let dump = setup.dir().join("environment");
    let script = format!("env > {0}.new; mv {0}.new {0}; exec sleep 1000", dump.display());
    setup.spawn(shell(&script).env("GIVEN", "here").env_remove("TAKEN"))?;
    setup.wait_for("the dump", SOON, || dump.exists())?;
    Ok(std::fs::read_to_string(dump)?.replace('\n', " "))
});

#[test]
#[ignore = "a role"]
fn role_secret() {
    if plays(SECRET) {
        say(&HANDED.get());
        listen();
    }
}

#[test]
fn a_handle_is_private_and_a_server_gets_no_variable_that_is_about_one_test() {
    use std::os::unix::fs::PermissionsExt as _;
    let base = tempfile::tempdir().unwrap();
    let mut player = play(
        role(SECRET, "secret")
            .env("COFFERDAM_DIR", base.path())
            .env("NEXTEST_TEST_NAME", "x")
            .env("LD_PRELOAD", "")
            .env("TAKEN", "away")
            .env("INHERITED", "yes"),
    );
    let environment = player.hear();
    for there in ["GIVEN=here", "INHERITED=yes"] {
        assert!(environment.contains(there), "{environment}");
    }
    for gone in [
        "NEXTEST",
        "TAKEN",
        "LD_PRELOAD",
        "COFFERDAM_DIR",
        "COFFERDAM_KEEPER",
    ] {
        assert!(!environment.contains(gone), "{environment}");
    }
    let run = base.path().join("runs/secret");
    for (path, mode) in [
        ("fixtures/handed/handle.jsonl", 0o600),
        ("fixtures/handed/log", 0o600),
        ("fixtures", 0o700),
        ("keeper", 0o700),
    ] {
        let found = std::fs::metadata(run.join(path)).unwrap().permissions().mode();
        assert_eq!(found & 0o777, mode, "{path}");
    }
    player.end().passed();
}
