//! Several processes, some of them killed.

use crate::role::{Player, fork, listen, play, plays, role, say};
use cofferdam::diagnostics::{LockState, locks};
use cofferdam::lock::{LockOptions, lock_shared, try_lock, try_lock_shared};
use cofferdam::{Access, Resource, claim, lock};
use cofferdam_conflicts::Evidence;
use std::collections::HashSet;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

fn command(base: &Path, path: &str, run: &str) -> Command {
    let mut command = role(path, run);
    command.env("COFFERDAM_DIR", base).env("TMPDIR", base);
    command
}

fn in_role(base: &Path, path: &str) -> Player {
    play(&mut command(base, path, "locks"))
}

const ALONE: &str = "run::killed::role_alone";

#[test]
#[ignore = "a role"]
fn role_alone() {
    if plays(ALONE) {
        let _alone = lock("schema");
        say("has it");
        listen();
    }
}

const READER: &str = "run::killed::role_reader";

#[test]
#[ignore = "a role"]
fn role_reader() {
    if plays(READER) {
        let _reading = lock_shared("schema");
        say("has it");
        listen();
    }
}

/// Reports at each request whether the lock is free, for writing and for reading.
const ASKER: &str = "run::killed::role_asker";

#[test]
#[ignore = "a role"]
fn role_asker() {
    if plays(ASKER) {
        for _ in 0..2 {
            let alone = try_lock("schema").unwrap().is_some();
            let reading = try_lock_shared("schema").unwrap().is_some();
            say(&format!("{alone} {reading}"));
            listen();
        }
    }
}

#[test]
fn the_lock_of_a_killed_holder_is_free_and_names_the_holder() {
    let base = tempfile::tempdir().unwrap();
    let state = || {
        let all = locks(base.path()).unwrap();
        let lock = all.into_iter().find(|lock| lock.name == "schema").unwrap();
        (lock.state, lock.holder.unwrap())
    };
    let mut holder = in_role(base.path(), ALONE);
    holder.hear();
    let mut asker = in_role(base.path(), ASKER);
    assert_eq!(asker.hear(), "false false");
    let (held, known) = state();
    assert_eq!((held, known.test.as_str()), (LockState::Exclusive, ALONE));
    assert_eq!((known.run.as_str(), known.is_gone), ("locks", false));

    holder.kill();
    let (left, known) = state();
    assert_eq!(left, LockState::Left);
    assert!(known.is_gone || !cfg!(target_os = "linux"));
    asker.answer();
    assert_eq!(asker.hear(), "true true");
    asker.end().passed();
    assert_eq!(state().0, LockState::Free);
}

/// Reports its run, takes the lock, and reports that.
#[cfg(target_os = "linux")]
const CONTAINED: &str = "run::killed::role_contained";

#[cfg(target_os = "linux")]
#[test]
#[ignore = "a role"]
fn role_contained() {
    if plays(CONTAINED) {
        say(cofferdam::Worker::current().run());
        let _alone = lock("schema");
        say("has it");
        listen();
    }
}

/// Returns the command in a PID namespace of its own, as in a container; `None` if that is not permitted.
#[cfg(target_os = "linux")]
#[expect(clippy::disallowed_methods, reason = "namespaces are made by a program")]
fn contained(command: &Command) -> Option<Command> {
    let alone = ["--pid", "--fork", "--mount-proc", "--kill-child"];
    let mut probe = Command::new("unshare");
    let may = probe.args(alone).arg("true").output();
    if !may.is_ok_and(|probe| probe.status.success()) {
        say("skipped: a pid namespace cannot be made here");
        return None;
    }
    let mut inner = Command::new("unshare");
    inner
        .args(alone)
        .arg(command.get_program())
        .args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => inner.env(name, value),
            None => inner.env_remove(name),
        };
    }
    inner.env_remove("COFFERDAM_RUN_ID");
    Some(inner)
}

#[cfg(target_os = "linux")]
#[test]
fn two_containers_on_one_directory_are_two_runs_and_a_live_holder_is_not_called_dead() {
    let base = tempfile::tempdir().unwrap();
    let holder = contained(&command(base.path(), CONTAINED, ""));
    let Some(mut holder) = holder.map(|mut command| play(&mut command)) else {
        return;
    };
    let run = holder.hear();
    assert_eq!(holder.hear(), "has it");
    let mut other = play(&mut contained(&command(base.path(), CONTAINED, "")).unwrap());
    assert_ne!(other.hear(), run);
    // Its process ID is meaningless here.
    let all = locks(base.path()).unwrap();
    let lock = all.into_iter().find(|lock| lock.name == "schema").unwrap();
    assert_eq!(lock.state, LockState::Exclusive);
    assert!(!lock.holder.unwrap().is_gone);
}

#[test]
fn a_killed_reader_frees_the_writer() {
    let base = tempfile::tempdir().unwrap();
    let mut readers = [in_role(base.path(), READER), in_role(base.path(), READER)];
    readers.iter_mut().for_each(|reader| drop(reader.hear()));
    let mut writer = in_role(base.path(), ASKER);
    assert_eq!(writer.hear(), "false true");
    readers.iter_mut().for_each(Player::kill);
    writer.answer();
    assert_eq!(writer.hear(), "true true");
    writer.end().passed();
}

const LATE: &str = "run::killed::role_late";

#[test]
#[ignore = "a role"]
fn role_late() {
    if plays(LATE) {
        // Longer than the time after which a waiter prints a message.
        let options = LockOptions::new().timeout(Duration::from_millis(1100));
        say(&options.lock("schema").unwrap_err().to_string());
    }
}

#[test]
fn a_waiter_names_the_holder_once_and_gives_up_at_its_timeout() {
    let base = tempfile::tempdir().unwrap();
    let mut holder = in_role(base.path(), ALONE);
    holder.hear();
    let mut late = in_role(base.path(), LATE);
    let error = late.hear();
    let known = format!("it is held by test {ALONE} (worker w0, pid ");
    assert!(
        error.starts_with("lock `schema` was not free within 1.1 s: ") && error.contains(&known),
        "{error}"
    );
    let ended = late.end();
    let warnings = ended.passed().warnings();
    let waits = format!("cofferdam: waiting for lock `schema`: {known}");
    assert!(
        warnings.len() == 1 && warnings[0].starts_with(&waits),
        "{warnings:?}"
    );
    holder.end().passed();
}

const FORKS: &str = "run::killed::role_forks";

#[test]
#[ignore = "a role"]
fn role_forks() {
    if plays(FORKS) {
        let guard = lock("schema");
        let mut guard = Some(guard);
        assert_eq!(fork(|| drop(guard.take())), 0);
        say("forked");
        listen();
        drop(guard);
        say("gave it back");
        listen();
    }
}

#[test]
fn a_forked_child_s_copy_of_a_guard_releases_nothing() {
    let base = tempfile::tempdir().unwrap();
    let mut parent = in_role(base.path(), FORKS);
    parent.hear();
    let state = || locks(base.path()).unwrap()[0].state;
    assert_eq!(state(), LockState::Exclusive);
    parent.answer();
    parent.hear();
    assert_eq!(state(), LockState::Free);
    parent.end().passed();
}

const PRINTER: &str = "run::killed::role_printer";

#[test]
#[ignore = "a role"]
fn role_printer() {
    if plays(PRINTER) {
        let host = LockOptions::new().machine().try_lock("printer").unwrap();
        let own = try_lock("printer").unwrap();
        say(&format!("{} {}", host.is_some(), own.is_some()));
        listen();
    }
}

#[test]
fn a_lock_of_the_machine_reaches_other_workspaces_and_one_of_the_workspace_does_not() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let in_base = |base: &Path| play(command(base, PRINTER, "locks").env("TMPDIR", one.path()));
    let mut first = in_base(one.path());
    assert_eq!(first.hear(), "true true");
    let mut second = in_base(other.path());
    assert_eq!(second.hear(), "false true");
}

const CLAIMS: &str = "run::killed::role_claims";

#[test]
#[ignore = "a role"]
fn role_claims() {
    if plays(CLAIMS) {
        {
            let _alone = lock("schema");
            drop(claim(Resource::name("guarded"), Access::Write));
        }
        {
            let _reading = lock_shared("schema");
            drop(claim(Resource::name("looked at"), Access::Read));
            drop(claim(
                Resource::name("written under a reader's lock"),
                Access::Write,
            ));
        }
        say("claimed");
        listen();
    }
}

#[test]
fn a_write_is_guarded_by_an_exclusive_lock_and_not_by_a_shared_one() {
    let base = tempfile::tempdir().unwrap();
    let mut players: Vec<_> = ["one", "two"]
        .map(|run| play(command(base.path(), CLAIMS, run).env("COFFERDAM_RECORD", "s")))
        .into_iter()
        .collect();
    players.iter_mut().for_each(|player| drop(player.hear()));
    for player in players {
        player.end().passed();
    }
    let mut evidence = Evidence::new();
    evidence.read(base.path());
    assert_eq!(evidence.problems().len(), 0, "{:?}", evidence.problems());
    let conflicts = evidence.conflicts();
    let resources: Vec<_> = conflicts
        .iter()
        .filter_map(|conflict| conflict.resource.as_ref())
        .collect();
    assert_eq!(
        resources,
        [&Resource::name("written under a reader's lock")],
        "{conflicts:?}"
    );
}

/// Takes the lock repeatedly, mostly exclusively, and increments a counter in a file under it. Reports the counts,
/// and at the end its longest wait.
const HAMMERS: &str = "run::killed::role_hammers";
const LAPS: usize = 100;
/// The documented maximum wait, after which a waiter gets an error. This test uses a shorter one than the default.
const BOUND: Duration = Duration::from_secs(20);

#[test]
#[ignore = "a role"]
#[expect(
    clippy::disallowed_methods,
    reason = "the wait is measured, and only its bound is judged"
)]
fn role_hammers() {
    if !plays(HAMMERS) {
        return;
    }
    let path = cofferdam::diagnostics::base_dir(None).unwrap().join("count");
    let file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .unwrap();
    // One call each, so that a killed process leaves the old or the new number.
    let read = || {
        let mut number = [0; 8];
        let _ = file.read_at(&mut number, 0).unwrap();
        u64::from_le_bytes(number)
    };
    let (alone, reading) = (
        LockOptions::new().timeout(BOUND),
        LockOptions::new().timeout(BOUND).shared(),
    );
    say("ready");
    listen();
    let mut longest = Duration::ZERO;
    for lap in 0..LAPS {
        let reads = lap % 4 == 3;
        let begun = Instant::now();
        let held = if reads { &reading } else { &alone }.lock("hammered");
        let _held = held.expect("nobody starves");
        longest = longest.max(begun.elapsed());
        let number = read();
        std::thread::yield_now();
        assert_eq!(read(), number, "somebody else is inside");
        if reads {
            say("read");
        } else {
            file.write_all_at(&(number + 1).to_le_bytes(), 0).unwrap();
            say(&number.to_string());
        }
    }
    say(&longest.as_millis().to_string());
}

#[test]
fn eight_processes_killed_at_random_exclude_each_other_and_none_starves() {
    const KILLS: usize = 12;
    let base = tempfile::tempdir().unwrap();
    let start = || {
        let mut player = in_role(base.path(), HAMMERS);
        player.hear();
        player
    };
    let mut staying: Vec<_> = (0..6).map(|_| start()).collect();
    let mut killed: Vec<_> = (0..2).map(|_| start()).collect();
    staying.iter_mut().chain(&mut killed).for_each(Player::answer);
    let mut counted = HashSet::new();
    let mut count = |said: String| {
        if said != "read" {
            assert!(
                counted.insert(said.clone()),
                "two counted {said}: both were inside"
            );
        }
    };
    // A fixed sequence: the numbers of laps after which one process is killed at any point.
    let mut random = 7_usize;
    for round in 0..KILLS {
        random = (random * 75 + 74) % 65_537;
        let victim = &mut killed[round % 2];
        (0..random % 9 + 1).for_each(|_| count(victim.hear()));
        victim.kill();
        let mut next = start();
        next.answer();
        killed[round % 2] = next;
    }
    killed.iter_mut().for_each(Player::kill);
    for mut player in staying {
        (0..LAPS).for_each(|_| count(player.hear()));
        let longest: u128 = player.hear().parse().unwrap();
        assert!(longest < BOUND.as_millis(), "one waited {longest} ms");
        player.end().passed();
    }
    // All reported counts are in the file, and possibly unreported ones of killed processes.
    let number = u64::from_le_bytes(
        std::fs::read(base.path().join("count"))
            .unwrap()
            .try_into()
            .unwrap(),
    );
    assert!(
        number >= counted.len() as u64,
        "{} counted to {number}",
        counted.len()
    );
}
