//! Leased ports and directories of several runs at once.

use crate::role::{Player, listen, play, plays, role, say};
use std::collections::HashSet;
use std::path::Path;

const LEASE: &str = "run::leases::role_lease";
const EACH: usize = 250;

#[test]
#[ignore = "a role"]
fn role_lease() {
    if !plays(LEASE) {
        return;
    }
    say("ready");
    listen();
    let ports: Vec<_> = (0..EACH).map(|_| cofferdam::lease::port().unwrap()).collect();
    let folders: Vec<_> = (0..EACH).map(|_| cofferdam::lease::dir().unwrap()).collect();
    let numbers: Vec<String> = ports.iter().map(|port| port.number().to_string()).collect();
    say(&numbers.join(" "));
    let names: Vec<_> = folders
        .iter()
        .map(|folder| folder.path().to_str().unwrap())
        .collect();
    say(&names.join(" "));
    listen();
}

fn player(base: &Path, run: &str) -> Player {
    player_of(LEASE, base, run)
}

fn player_of(path: &str, base: &Path, run: &str) -> Player {
    let mut command = role(path, run);
    // Uses a separate machine directory, so that no other process leases ports.
    play(
        command
            .env("COFFERDAM_DIR", base.join("base"))
            .env("TMPDIR", base),
    )
}

#[test]
fn two_runs_with_a_thousand_leases_each_have_no_port_and_no_folder_in_common() {
    let base = tempfile::tempdir().unwrap();
    let runs = ["one", "two"];
    let mut players: Vec<_> = runs
        .iter()
        .flat_map(|run| (0..4).map(|_| player(base.path(), run)))
        .collect();
    for player in &mut players {
        assert_eq!(player.hear(), "ready");
    }
    players.iter_mut().for_each(Player::answer);
    let (mut ports, mut folders) = (HashSet::new(), HashSet::new());
    for player in &mut players {
        ports.extend(player.hear().split(' ').map(str::to_owned));
        folders.extend(player.hear().split(' ').map(str::to_owned));
    }
    assert_eq!((ports.len(), folders.len()), (8 * EACH, 8 * EACH));
    assert!(folders.iter().all(|folder| Path::new(folder).is_dir()));
    for mut player in players {
        player.answer();
        player.end().passed();
    }
    assert!(folders.iter().all(|folder| !Path::new(folder).exists()));
}

const FIXED: &str = "run::leases::role_fixed";

#[test]
#[ignore = "a role"]
fn role_fixed() {
    if !plays(FIXED) {
        return;
    }
    let test = |name: &str, work: fn(u16), port: u16| {
        let thread = std::thread::Builder::new().name(name.to_owned());
        thread.spawn(move || work(port)).unwrap().join().unwrap();
    };
    let lease = cofferdam::lease::port().unwrap();
    let port = lease.number();
    // The port of another test, by its number.
    test(
        "a::uses_the_number",
        |port| {
            drop(cofferdam::claim(
                cofferdam::Resource::port(port),
                cofferdam::Access::Write,
            ));
        },
        port,
    );
}

#[test]
fn a_test_that_uses_a_leased_port_without_a_lease_is_reported_and_leases_are_not() {
    let base = tempfile::tempdir().unwrap();
    for (path, conflicts) in [(FIXED, 1), (TURNS, 0)] {
        let run = format!("fixed-{conflicts}");
        let mut command = role(path, &run);
        command
            .env("COFFERDAM_DIR", base.path())
            .env("TMPDIR", base.path())
            .env("COFFERDAM_RECORD", "s");
        play(&mut command).end().passed();
        let mut evidence = cofferdam_conflicts::Evidence::new();
        evidence.read(&base.path().join("runs").join(run));
        assert_eq!(evidence.problem_count(), 0, "{:?}", evidence.problems());
        assert!(evidence.watched().claims >= 2);
        let found = evidence.conflicts();
        assert_eq!(found.len(), conflicts, "{found:?}");
    }
}

const TURNS: &str = "run::leases::role_turns";

#[test]
#[ignore = "a role"]
fn role_turns() {
    if !plays(TURNS) {
        return;
    }
    // Enough for one of them to come twice.
    let mut ports = HashSet::new();
    for number in 0.. {
        let test = std::thread::Builder::new().name(format!("a::test_{number}"));
        let lease = || {
            let leases: Vec<_> = (0..200).map(|_| cofferdam::lease::port().unwrap()).collect();
            leases.iter().map(|lease| lease.number()).collect::<Vec<_>>()
        };
        let leased = test.spawn(lease).unwrap().join().unwrap();
        if leased.into_iter().any(|port| !ports.insert(port)) {
            break;
        }
    }
}

#[cfg(unix)]
const FORKS: &str = "run::leases::role_forks";

#[cfg(unix)]
#[test]
#[ignore = "a role"]
fn role_forks() {
    if !plays(FORKS) {
        return;
    }
    let mut lease = Some(cofferdam::lease::port().unwrap());
    let port = lease.as_ref().unwrap().number();
    assert_eq!(crate::role::fork(|| drop(lease.take())), 0);
    say(&port.to_string());
    listen();
    between_fork_and_exec(|| {
        drop(lease.take());
        say("given back");
        listen();
    });
}

/// Runs `work` while a child of another thread is a copy of this process, with all its open files.
#[cfg(unix)]
#[expect(clippy::disallowed_methods, reason = "the child is what this is about")]
#[expect(unsafe_code, reason = "only there can a child be held up")]
fn between_fork_and_exec(work: impl FnOnce()) {
    use std::io::{Read as _, Write as _};
    use std::os::fd::AsRawFd as _;
    use std::os::unix::process::CommandExt as _;
    let (mut here, there) = std::os::unix::net::UnixStream::pair().unwrap();
    let number = there.as_raw_fd();
    let mut command = std::process::Command::new("true");
    // SAFETY: read(2) and write(2) may be called there; the buffer and the descriptor live.
    unsafe {
        command.pre_exec(move || {
            let mut byte = 0_u8;
            libc::write(number, (&raw const byte).cast(), 1);
            libc::read(number, (&raw mut byte).cast(), 1);
            Ok(())
        });
    }
    let child = std::thread::spawn(move || command.status().unwrap());
    here.read_exact(&mut [0]).unwrap();
    work();
    here.write_all(&[0]).unwrap();
    assert!(child.join().unwrap().success());
    drop(there);
}

#[cfg(unix)]
#[test]
#[expect(clippy::disallowed_methods, reason = "the lock is looked at from outside")]
fn copies_of_a_process_neither_give_its_ports_back_nor_keep_them() {
    use std::os::unix::fs::MetadataExt as _;
    let base = tempfile::tempdir().unwrap();
    let mut player = player_of(FORKS, base.path(), "forks");
    let port = player.hear();
    let user = std::fs::metadata(base.path()).unwrap().uid();
    let lock = base.path().join(format!("cofferdam-{user}/ports/{port}.lock"));
    let lock = std::fs::File::open(lock).unwrap();
    assert!(lock.try_lock().is_err(), "a forked child gave it back");
    player.answer();
    assert_eq!(player.hear(), "given back");
    assert!(
        lock.try_lock().is_ok(),
        "a child that is not yet a program keeps it"
    );
    player.answer();
    player.end().passed();
}

const FAILS: &str = "run::leases::role_fails";

#[test]
#[ignore = "a role"]
fn role_fails() {
    if !plays(FAILS) {
        return;
    }
    let leaves = |name: &str, fails: bool| {
        let work = move || {
            let folder = cofferdam::lease::dir().unwrap();
            assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
            std::fs::write(folder.join("left"), name_of_thread()).unwrap();
            assert!(!fails, "as it should");
        };
        let test = std::thread::Builder::new().name(name.to_owned());
        test.spawn(work).unwrap().join().is_err()
    };
    assert!(leaves("a::fails", true) && leaves("a::fails_too", true) && !leaves("a::passes", false));
    say("failed");
    listen();
    assert!(!leaves("a::fails", false));
}

fn name_of_thread() -> String {
    std::thread::current().name().unwrap_or_default().to_owned()
}

#[test]
fn the_folder_of_a_failed_test_stays_until_the_test_runs_again() {
    let base = tempfile::tempdir().unwrap();
    let left = || {
        let tests = std::fs::read_dir(base.path().join("base/failed"))
            .into_iter()
            .flatten();
        let folders = tests.flat_map(|test| std::fs::read_dir(test.unwrap().path()).unwrap());
        let mut left: Vec<_> = folders
            .map(|folder| std::fs::read_to_string(folder.unwrap().path().join("left")).unwrap())
            .collect();
        left.sort();
        left
    };
    let mut player = player_of(FAILS, base.path(), "fails");
    player.hear();
    assert_eq!(left(), ["a::fails", "a::fails_too"]);
    player.answer();
    let ended = player.end();
    let warnings = ended.passed().warnings();
    assert_eq!(left(), ["a::fails_too"]);
    assert!(
        warnings.len() == 2 && warnings[0].contains("the test failed, and its directory is kept: "),
        "{warnings:?}"
    );
    let leased = std::fs::read_dir(base.path().join("base/runs/fails/workers/w0/leased")).unwrap();
    assert_eq!(leased.count(), 0);
}

#[cfg(unix)]
const SOCKETS: &str = "run::leases::role_sockets";

#[cfg(unix)]
#[test]
#[ignore = "a role"]
fn role_sockets() {
    use std::os::unix::net::{UnixListener, UnixStream};
    if !plays(SOCKETS) {
        return;
    }
    let folder = cofferdam::lease::socket_dir().unwrap();
    assert!(folder.as_os_str().len() <= 60);
    let socket = folder.join("a-server-with-a-name-of-its-own.sock");
    let _server = UnixListener::bind(&socket).unwrap();
    UnixStream::connect(&socket).unwrap();
    say(folder.to_str().unwrap());
    listen();
    drop(folder);
    assert!(!socket.exists());
}

#[cfg(unix)]
#[test]
fn a_folder_for_sockets_has_a_short_path_of_its_own_wherever_the_base_folder_is() {
    // A temporary directory with a long path is not suitable.
    let (temp, base) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let long = base.path().join("x".repeat(120));
    std::fs::create_dir(&long).unwrap();
    let play_in = |temp: &Path| {
        play(
            role(SOCKETS, "sockets")
                .env("COFFERDAM_DIR", long.join("base"))
                .env("TMPDIR", temp),
        )
    };
    let mut players = [temp.path(), temp.path(), &long].map(play_in);
    let paths: HashSet<_> = players.iter_mut().map(Player::hear).collect();
    assert_eq!(paths.len(), 3);
    let [mut killed, other, elsewhere] = players;
    killed.kill();
    for player in [other, elsewhere] {
        player.end().passed();
    }
    // The directory of the killed process is removed with its run, and its link by the next call.
    std::fs::remove_dir_all(&long).unwrap();
    std::fs::create_dir(&long).unwrap();
    let mut next = play_in(temp.path());
    let own = next.hear();
    let links = std::fs::read_dir(Path::new(&own).parent().unwrap()).unwrap();
    let links = links.map(|link| link.unwrap().path());
    let links: Vec<_> = links.filter(|path| path.is_symlink()).collect();
    assert_eq!(links, [Path::new(&own)]);
    next.end().passed();
}
