//! Several processes of one run, and processes that fork.

use crate::role::{Player, fork, listen, play, plays, role, say};
use cofferdam::Worker;
use std::path::Path;

fn worker_in(base: &Path, path: &str) -> Player {
    play(
        role(path, "processes")
            .env("COFFERDAM_DIR", base)
            .env("COFFERDAM_RECORD", "s"),
    )
}

const HOLD: &str = "worker::processes::role_hold";

#[test]
#[ignore = "a role"]
fn role_hold() {
    if plays(HOLD) {
        say(Worker::current().id());
        listen();
    }
}

#[test]
fn processes_of_one_run_have_lanes_of_their_own_also_after_one_was_killed() {
    let base = tempfile::tempdir().unwrap();
    let mut players: Vec<_> = (0..3).map(|_| worker_in(base.path(), HOLD)).collect();
    let mut ids: Vec<_> = players.iter_mut().map(Player::hear).collect();
    let first = ids[0].clone();
    ids.sort();
    assert_eq!(ids, ["w0", "w1", "w2"]);

    players[0].kill();
    let mut next = worker_in(base.path(), HOLD);
    assert_eq!(next.hear(), first);
    next.end().passed();
    for player in players.into_iter().skip(1) {
        player.end().passed();
    }
}

#[test]
fn two_runs_at_once_both_have_a_first_lane_and_no_folder_in_common() {
    let base = tempfile::tempdir().unwrap();
    let dirs = ["one", "two"].map(|run| {
        let mut player = play(role(DIR, run).env("COFFERDAM_DIR", base.path()));
        let (id, dir) = (player.hear(), player.hear());
        (player, id, dir)
    });
    let [(_, one, one_dir), (_, two, two_dir)] = &dirs;
    assert_eq!((one.as_str(), two.as_str()), ("w0", "w0"));
    assert_ne!(one_dir, two_dir);
}

const DIR: &str = "worker::processes::role_dir";

#[test]
#[ignore = "a role"]
fn role_dir() {
    if plays(DIR) {
        let worker = Worker::current();
        say(worker.id());
        say(worker.dir().unwrap().to_str().unwrap());
        listen();
    }
}

const FORK: &str = "worker::processes::role_fork";

#[test]
fn a_forked_child_keeps_its_parents_worker_and_does_not_give_it_back() {
    let base = tempfile::tempdir().unwrap();
    let mut parent = worker_in(base.path(), FORK);
    assert_eq!(parent.hear(), "w0");
    assert_eq!(parent.hear(), "child in w0, a new test in w2");
    // The child has ended, and with it its copies of the locks; the parent still holds them.
    assert_eq!(parent.hear(), "child gone");
    let mut other = worker_in(base.path(), HOLD);
    assert_eq!(other.hear(), "w2");
    other.end().passed();
    parent.answer();
    assert_eq!(parent.hear(), "still w0");
    parent.end().passed();

    let journal = base.path().join("runs/processes/workers/w0/journal.ndjson");
    let journal = std::fs::read_to_string(journal).unwrap();
    let ends = journal.matches(r#""event":"end""#).count();
    assert_eq!(ends, 1, "the child ended its parent's test:\n{journal}");
    let mut evidence = cofferdam_conflicts::Evidence::new();
    evidence.read(base.path());
    assert_eq!(evidence.problem_count(), 0, "{:?}", evidence.problems());
    assert_eq!(
        evidence.watched().claims,
        1,
        "what the child claims its test claims:\n{journal}"
    );
}

#[test]
#[ignore = "a role"]
fn role_fork() {
    if !plays(FORK) {
        return;
    }
    let new_test = |name: &str| {
        let thread = std::thread::Builder::new().name(name.to_owned());
        let id = thread.spawn(|| Worker::current().id().to_owned());
        id.unwrap().join().unwrap()
    };
    say(Worker::current().id());
    assert_eq!(new_test("a::before"), "w1");
    let status = fork(|| {
        let own = Worker::current();
        drop(cofferdam::claim(
            cofferdam::Resource::cwd(),
            cofferdam::Access::Read,
        ));
        // The parent may use its second lane again.
        let new = new_test("a::new");
        say(&format!("child in {own}, a new test in {new}"));
    });
    assert_eq!(status, 0);
    say("child gone");
    listen();
    say(&format!("still {}", Worker::current()));
}

const HOSTILE: &str = "worker::processes::role_hostile";

#[test]
fn an_invalid_name_is_refused_even_if_it_is_not_unicode() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;
    for name in [&b"../w0"[..], b"w\xff", b"w 0"] {
        let mut hostile = play(role(HOSTILE, "processes").env("COFFERDAM_WORKER", OsStr::from_bytes(name)));
        let error = hostile.hear();
        assert!(error.starts_with("COFFERDAM_WORKER="), "{error}");
        hostile.end().passed();
    }
}

#[test]
#[ignore = "a role"]
fn role_hostile() {
    if plays(HOSTILE) {
        say(&Worker::try_current().unwrap_err().to_string());
    }
}
