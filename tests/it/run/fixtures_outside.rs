//! External influences on fixtures: full disks, deleted directories, clocks, caches and forks.

use super::fixtures::{asks, outcome, shell};
use crate::role::{Player, fork, listen, play, plays, role, say};
use cofferdam::{Access, Fixture, Resource, claim};
use cofferdam_conflicts::Evidence;
use std::fs::File;
use std::path::{Path, PathBuf};

/// A server whose handle is its process ID.
static SERVER: Fixture<u32> = Fixture::per_run("server", |setup| {
    let pid = setup.spawn(&mut shell("exec sleep 1000"))?;
    Ok(pid)
});

const SERVE: &str = "run::fixtures_outside::role_serve";

#[test]
#[ignore = "a role"]
fn role_serve() {
    if plays(SERVE) {
        loop {
            say(&outcome(SERVER.try_get()));
            listen();
        }
    }
}

fn handle(base: &Path, run: &str, fixture: &str) -> PathBuf {
    base.join("runs")
        .join(run)
        .join("fixtures")
        .join(fixture)
        .join("handle.jsonl")
}

#[test]
fn a_handle_of_another_version_is_an_error_that_names_the_fixture_and_the_file() {
    let base = tempfile::tempdir().unwrap();
    let mut first = asks(base.path(), SERVE, "old");
    first.hear();
    let path = handle(base.path(), "old", "server");
    let text = std::fs::read_to_string(&path).unwrap();
    let (about, _) = text.split_once('\n').unwrap();
    let older = about.replace("\"version\":1", "\"version\":0");
    assert_ne!(older, about);
    for (text, reason) in [
        (
            format!("{about}\n{{\"pid\":7}}\n"),
            "cannot be read as u32: invalid type: map",
        ),
        (
            format!("{older}\n7\n"),
            "the file was written by another version of cofferdam",
        ),
        (
            "7".to_owned(),
            "the file was written by another version of cofferdam",
        ),
    ] {
        std::fs::write(&path, &text).unwrap();
        let error = asks(base.path(), SERVE, "old").hear();
        assert!(error.contains(reason), "{error}");
        let place = format!("the handle of fixture `server` in {} ", path.display());
        assert!(error.starts_with(&place), "{error}");
        assert!(error.contains("COFFERDAM_RUN_ID needs a new ID"), "{error}");
    }
    // A test that has the handle already keeps it.
    first.answer();
    first.hear();
}

static LATE: Fixture<u32> = Fixture::per_run("late", |setup| {
    let pid = setup.spawn(&mut shell("exec sleep 1000"))?;
    say(&pid.to_string());
    Ok(pid)
});

const FULL: &str = "run::fixtures_outside::role_full";

#[test]
#[ignore = "a role"]
fn role_full() {
    if plays(FULL) {
        let before = || say(&outcome(SERVER.try_get()));
        let full = || {
            no_file_grows();
            say(&outcome(LATE.try_get()));
        };
        // Before the keeper exists, so that it inherits the full disk.
        if cofferdam::Worker::current().run() == "full-first" {
            full();
        } else {
            before();
            full();
            before();
        }
    }
}

/// Also for every process that is started from here on: replaces a full disk where no small file system can be
/// mounted.
#[expect(unsafe_code, reason = "std sets no limits")]
fn no_file_grows() {
    let none = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the structure lives through the call, and no handler is installed.
    unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
        assert_eq!(libc::setrlimit(libc::RLIMIT_FSIZE, &raw const none), 0);
    }
}

#[test]
fn on_a_full_disk_a_start_fails_and_is_undone_and_running_fixtures_stay() {
    let base = tempfile::tempdir().unwrap();
    for run in ["full-first", "full-later"] {
        let mut player = asks(base.path(), FULL, run);
        let before = (run == "full-later").then(|| player.hear());
        let late = player.hear();
        let error = player.hear();
        let path = handle(base.path(), run, "late").with_extension("new");
        let reason = format!("could not write {}: File too large", path.display());
        assert!(error.contains(&reason), "{error}");
        let there = std::fs::read_to_string(format!("/proc/{late}/cmdline")).unwrap_or_default();
        assert!(!there.contains("sleep\u{0}1000"), "{there}");
        assert!(!path.parent().unwrap().exists());
        if let Some(before) = before {
            assert_eq!(player.hear(), before);
        }
        player.end().passed();
    }
}

static LOST: Fixture<u32> = Fixture::per_run("lost", |setup| {
    std::fs::remove_dir_all(setup.dir().parent().ok_or("no directory above")?)?;
    Ok(1)
});

const LOSE: &str = "run::fixtures_outside::role_lose";

#[test]
#[ignore = "a role"]
fn role_lose() {
    if plays(LOSE) {
        say(&outcome(LOST.try_get()));
    }
}

#[test]
fn a_deleted_folder_fails_a_start_and_leaves_running_fixtures_alone() {
    let base = tempfile::tempdir().unwrap();
    let mut player = asks(base.path(), LOSE, "lost");
    let error = player.hear();
    let path = handle(base.path(), "lost", "lost").with_extension("new");
    assert!(
        error.contains(&format!("could not write {}: No such file", path.display())),
        "{error}"
    );
    player.end().passed();

    let mut first = asks(base.path(), SERVE, "swept");
    let one = first.hear();
    std::fs::remove_dir_all(base.path().join("runs/swept")).unwrap();
    first.answer();
    assert_eq!(first.hear(), one);
    let mut second = asks(base.path(), SERVE, "swept");
    let other = second.hear();
    assert_ne!(one, other, "nothing led to the first any more");
}

/// Returns the number of this process's PID namespace, which `run.json` contains too.
fn pid_namespace() -> u64 {
    let link = std::fs::read_link("/proc/self/ns/pid").unwrap();
    let digits: String = link
        .to_string_lossy()
        .chars()
        .filter(char::is_ascii_digit)
        .collect();
    digits.parse().unwrap()
}

/// Returns the content of `run.json` with another runner.
fn described(runs: &Path, name: &str, started: u64, boot: &str) -> PathBuf {
    let folder = runs.join(name);
    std::fs::create_dir_all(&folder).unwrap();
    File::create(folder.join("alive.lock")).unwrap();
    #[expect(clippy::disallowed_methods, reason = "a process that lives is needed")]
    let pid = std::process::id();
    let text = format!(
        "{{\"version\":1,\"run\":\"{name}\",\"runner\":\"cargo\",\"anchor\":{{\"pid\":{pid},\"started\":{started}}},\
         \"boot\":\"{boot}\",\"namespace\":{},\"session\":null,\"at\":99999999999999999}}",
        pid_namespace()
    );
    std::fs::write(folder.join("run.json"), text).unwrap();
    folder
}

/// Sets all times of the files below it.
fn set_times(folder: &Path, time: std::time::SystemTime) {
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            set_times(&entry.path(), time);
        } else if entry.file_type().unwrap().is_file() {
            File::open(entry.path()).unwrap().set_modified(time).unwrap();
        }
    }
    File::open(folder).unwrap().set_modified(time).unwrap();
}

#[test]
fn a_changed_clock_and_a_reused_process_id_do_not_confuse_the_keeper() {
    let base = tempfile::tempdir().unwrap();
    let runs = base.path().join("runs");
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let started: u64 = fields.split_whitespace().nth(19).unwrap().parse().unwrap();
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let over = described(&runs, "over", started + 1, boot.trim());
    let running = described(&runs, "running", started, boot.trim());
    let foreign = described(&runs, "foreign", started + 1, "another machine's");
    let epoch = std::time::SystemTime::UNIX_EPOCH;
    let century = std::time::Duration::from_secs(3_155_760_000);
    let mut server = None;
    for time in [epoch, epoch + century] {
        set_times(&runs, time);
        let player = &mut asks(base.path(), SERVE, "clock");
        let heard = player.hear();
        let (first, _stays) = server.get_or_insert_with(|| {
            // Heard before the player ends: the keeper ends with the last process of the run.
            let mut stays = asks(base.path(), SERVE, "clock");
            (stays.hear(), stays)
        });
        assert_eq!(*first, heard);
    }
    assert!(!over.exists() && running.exists() && foreign.exists());
}

#[test]
fn files_that_a_cache_restored_from_another_machine_are_ignored() {
    let (theirs, ours) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut there = asks(theirs.path(), SERVE, "ci");
    let foreign = there.hear();
    // A process with that server's number runs here, and does not belong to the fixture.
    let folder = handle(ours.path(), "ci", "server").parent().unwrap().to_owned();
    std::fs::create_dir_all(&folder).unwrap();
    for file in ["handle.jsonl", "processes", "log"] {
        let from = handle(theirs.path(), "ci", "server").with_file_name(file);
        std::fs::copy(from, folder.join(file)).unwrap();
    }
    let mark = ours.path().join("undone");
    let order = format!(
        "{{\"teardown\":{{\"program\":\"touch\",\"args\":[\"{0}\"],\"env\":[],\"dir\":\"/\"}}}}\n",
        mark.display()
    );
    std::fs::write(folder.join("teardown-another-boot.jsonl"), order).unwrap();
    let description = "{\"version\":1,\"run\":\"ci\",\"runner\":\"named\",\"anchor\":{\"pid\":1,\"started\":1},\"boot\":\"x\"}";
    std::fs::write(ours.path().join("runs/ci/run.json"), description).unwrap();
    let keeper = ours.path().join("runs/ci/keeper");
    std::fs::create_dir_all(&keeper).unwrap();
    for file in ["socket", "lock", "start.lock", "log"] {
        std::fs::write(keeper.join(file), "").unwrap();
    }

    let mut here = asks(ours.path(), SERVE, "ci");
    let own = here.hear();
    assert_ne!(own, foreign);
    let mut again = asks(ours.path(), SERVE, "ci");
    assert_eq!(again.hear(), own);
    there.answer();
    assert_eq!(there.hear(), foreign, "it was ended from elsewhere");
    assert!(!mark.exists(), "a command of another machine's was run");
}

const FORKS: &str = "run::fixtures_outside::role_forks";

#[test]
#[ignore = "a role"]
fn role_forks() {
    if plays(FORKS) {
        let server = *SERVER.get();
        // The forked child uses inherited fixtures, attaches to others, and ends through the exit handlers.
        let status = fork(|| {
            assert_eq!(*SERVER.get(), server);
            let _ = LATE.get();
        });
        assert_eq!(status, 0);
        say(&outcome(SERVER.try_get()));
        say(&outcome(LATE.try_get()));
        listen();
    }
}

#[test]
fn a_fork_without_exec_shares_fixtures_and_stops_none_of_them() {
    let base = tempfile::tempdir().unwrap();
    // Its path is longer than a socket's may be.
    let base = base.path().join("x".repeat(120));
    let mut player = asks(&base, FORKS, "fork");
    let late = player.hear();
    assert_ne!(player.hear(), late);
    assert_eq!(player.hear(), late);
    player.end().passed();
}

static LISTENING: Fixture<u16> = Fixture::per_run("listening", |setup| Ok(setup.lease_port()?));
static GIVEN_UP: Fixture<u16> = Fixture::per_run("given up", |setup| {
    say(&setup.lease_port()?.to_string());
    Err("it will not start".into())
});

const LEASES: &str = "run::fixtures_outside::role_leases";

#[test]
#[ignore = "a role"]
fn role_leases() {
    if plays(LEASES) {
        say(&outcome(LISTENING.try_get()));
        listen();
        say(&outcome(GIVEN_UP.try_get()));
    }
}

fn test(name: &str, work: fn()) {
    let test = std::thread::Builder::new().name(name.to_owned());
    test.spawn(work).unwrap().join().unwrap();
}

/// Uses a separate machine directory, so that no other process leases ports.
fn alone(base: &Path, path: &str, run: &str) -> Player {
    play(
        role(path, run)
            .env("COFFERDAM_DIR", base)
            .env("COFFERDAM_RECORD", "s")
            .env("TMPDIR", base),
    )
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the lock is looked at from outside")]
fn a_fixture_s_port_is_leased_as_long_as_the_fixture_runs() {
    use std::os::unix::fs::MetadataExt as _;
    let base = tempfile::tempdir().unwrap();
    let user = std::fs::metadata(base.path()).unwrap().uid();
    let locks = base.path().join(format!("cofferdam-{user}/ports"));
    let is_free = |port: &str| {
        let lock = File::open(locks.join(format!("{port}.lock"))).unwrap();
        lock.try_lock().is_ok()
    };
    let mut starter = alone(base.path(), LEASES, "ports");
    let port = starter.hear();
    let mut other = alone(base.path(), LEASES, "ports");
    assert_eq!(other.hear(), port);
    assert!(!is_free(&port));
    // The process that started it has ended, and the fixture has not.
    starter.kill();
    assert!(!is_free(&port));
    assert_ne!(alone(base.path(), LEASES, "elsewhere").hear(), port);
    // An undone start releases its ports.
    other.answer();
    let undone = other.hear();
    assert!(other.hear().contains("it will not start"));
    assert!(is_free(&undone) && !is_free(&port));
    other.end().passed();
}

static QUEUE: Fixture<u32> = Fixture::per_run("queue", |setup| {
    setup.claim(Resource::name("queue orders"), Access::Write);
    Ok(setup.lease_port()?.into())
});

const CLAIMS: &str = "run::fixtures_outside::role_claims";

#[test]
#[ignore = "a role"]
fn role_claims() {
    if plays(CLAIMS) {
        // At the same time, so that each has its own worker.
        if cofferdam::Worker::current().run() == "beside" {
            drop(claim(Resource::name("queue orders"), Access::Write));
        }
        test("a::uses_it", || {
            drop((QUEUE.get(), QUEUE.get()));
            test("b::uses_it_too", || drop(QUEUE.get()));
        });
        say("used");
        listen();
    }
}

#[test]
fn tests_that_share_a_fixture_share_what_it_claims_and_others_collide_with_it() {
    // One run; one run with a test beside it; two runs that use the same queue.
    for (runs, found) in [(&["alone"][..], 0), (&["beside"], 1), (&["one", "two"], 1)] {
        let base = tempfile::tempdir().unwrap();
        let mut players: Vec<_> = runs.iter().map(|run| alone(base.path(), CLAIMS, run)).collect();
        players
            .iter_mut()
            .for_each(|player| assert_eq!(player.hear(), "used"));
        for player in players {
            player.end().passed();
        }
        let mut evidence = Evidence::new();
        evidence.read(base.path());
        assert_eq!(evidence.problem_count(), 0, "{:?}", evidence.problems());
        let watched = evidence.watched();
        assert_eq!(watched.fixtures, runs.len() as u64);
        // Two tests with two claims each: repeated requests add none.
        assert_eq!(
            watched.claims,
            4 * runs.len() as u64 + u64::from(*runs == ["beside"])
        );
        let conflicts = evidence.conflicts();
        let named = conflicts
            .iter()
            .filter(|conflict| conflict.resource == Some(Resource::name("queue orders")));
        assert_eq!((named.count(), conflicts.len()), (found, found), "{conflicts:?}");
    }
}
