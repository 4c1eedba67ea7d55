//! Resource limits of tests, which the library must not make fatal.

use super::fixtures::{asks, outcome, shell};
use crate::role::{play, plays, role, say};
use cofferdam::file::{Appender, write_atomic};
use cofferdam::lock::try_lock;
use cofferdam::{Fixture, Worker, lock};
use std::os::unix::process::ExitStatusExt as _;

static SERVER: Fixture<u32> =
    Fixture::per_run("server", |setup| Ok(setup.spawn(&mut shell("exec sleep 1000"))?));

const NO_ROOM: &str = "run::limits::role_no_room";

#[test]
#[ignore = "a role"]
fn role_no_room() {
    if plays(NO_ROOM) {
        no_file_grows();
        let _alone = lock("no room");
        assert!(try_lock("no room").unwrap().is_some());
        let dir = Worker::current().dir().unwrap();
        for error in [
            write_atomic(dir.join("replaced"), "new").unwrap_err(),
            Appender::new(dir.join("log")).line("more").unwrap_err(),
        ] {
            assert!(error.to_string().contains("File too large"), "{error}");
        }
        say(&outcome(SERVER.try_get()));
        // The test's own writes are subject to the limit.
        say("writes by itself");
        std::fs::write(dir.join("own"), "too much").unwrap_err();
        say("still here");
    }
}

/// A process that exceeds the limit gets the signal, as a program that was started with it.
#[expect(unsafe_code, reason = "std sets no limits")]
fn no_file_grows() {
    let none = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the structure lives through the call.
    unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_DFL);
        assert_eq!(libc::setrlimit(libc::RLIMIT_FSIZE, &raw const none), 0);
    }
}

#[test]
fn a_file_size_limit_applies_to_the_writes_of_a_test_and_not_to_ours() {
    let base = tempfile::tempdir().unwrap();
    let mut player = asks(base.path(), NO_ROOM, "no-room");
    let error = player.hear();
    assert!(error.contains("File too large"), "{error}");
    assert_eq!(player.hear(), "writes by itself");
    let ended = player.end();
    assert_eq!(ended.status.signal(), Some(libc::SIGXFSZ), "{}", ended.stderr);
}

const MASKED: &str = "run::limits::role_masked";

#[test]
#[ignore = "a role"]
fn role_masked() {
    if plays(MASKED) {
        no_file_grows();
        let before = signals();
        drop(lock("masked"));
        let dir = Worker::current().dir().unwrap();
        write_atomic(dir.join("replaced"), "new").unwrap_err();
        assert_eq!(signals(), before);
    }
}

/// Returns the blocked and the pending signals of this thread.
fn signals() -> Vec<String> {
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
    let lines = status
        .lines()
        .filter(|line| line.starts_with("Sig") || line.starts_with("ShdPnd"));
    lines
        .filter(|line| !line.starts_with("SigQ"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn a_write_under_a_file_size_limit_leaves_no_signal_blocked_or_pending() {
    let base = tempfile::tempdir().unwrap();
    play(role(MASKED, "masked").env("COFFERDAM_DIR", base.path()))
        .end()
        .passed();
}
