//! Tests of the cleanup at exit in real processes.

use super::{Cleanup, register};
use crate::sys::role::{self, Ended, play, plays, role};
use crate::sys::{process, stderr};
use std::os::unix::process::ExitStatusExt as _;
use std::sync::mpsc;

fn cleanup(order: u64, what: &'static str) -> Cleanup {
    Cleanup {
        order,
        what: what.to_owned(),
        run: Box::new(move || stderr::line(&format!("{what} dropped by {}", process::id()))),
    }
}

/// Registers two cleanups and reports this process's number to the test.
fn hold_two() {
    register(|| vec![cleanup(1, "older")]);
    register(|| vec![cleanup(2, "newer")]);
    role::say(&process::id().to_string());
}

/// Plays the role and checks that both cleanups ran in its process, newest first.
fn cleaned(path: &str) -> Ended {
    let mut player = play(&mut role(path, "exit"));
    let pid = player.hear();
    let ended = player.end();
    assert_eq!(
        ended.warnings(),
        [
            format!("cofferdam: newer dropped by {pid}"),
            format!("cofferdam: older dropped by {pid}"),
        ],
        "{}",
        ended.stderr
    );
    assert!(!ended.stdout.contains("cofferdam"), "{}", ended.stdout);
    ended
}

#[test]
fn a_process_whose_tests_pass_cleans_up() {
    assert_eq!(cleaned("exit::children::role_pass").status.code(), Some(0));
}

#[test]
#[ignore = "a role"]
fn role_pass() {
    if plays("exit::children::role_pass") {
        hold_two();
    }
}

#[test]
fn a_process_whose_test_panics_cleans_up_and_fails() {
    assert_eq!(cleaned("exit::children::role_panic").status.code(), Some(101));
}

#[test]
#[ignore = "a role"]
fn role_panic() {
    if plays("exit::children::role_panic") {
        hold_two();
        panic!("as it should");
    }
}

#[test]
fn a_test_that_exits_the_process_cleans_up_and_keeps_the_exit_code() {
    assert_eq!(cleaned("exit::children::role_leave").status.code(), Some(7));
}

#[test]
#[ignore = "a role"]
#[expect(clippy::disallowed_methods, reason = "the subject of the test")]
fn role_leave() {
    if plays("exit::children::role_leave") {
        hold_two();
        std::process::exit(7);
    }
}

#[test]
fn a_leaked_thread_that_holds_standard_error_does_not_block_exit() {
    cleaned("exit::children::role_hold_stderr").passed();
}

#[test]
#[ignore = "a role"]
fn role_hold_stderr() {
    if plays("exit::children::role_hold_stderr") {
        hold_two();
        let (holds, held) = mpsc::channel();
        std::thread::spawn(move || {
            let _held = std::io::stderr().lock();
            let _ = holds.send(());
            loop {
                std::thread::park();
            }
        });
        held.recv().unwrap();
    }
}

#[test]
fn a_process_that_is_killed_or_aborted_cleans_nothing_up_as_documented() {
    let [mut aborted, mut killed] = [(); 2].map(|()| play(&mut role("exit::children::role_abort", "exit")));
    aborted.hear();
    killed.hear();
    aborted.answer();
    killed.kill();
    for ended in [aborted.end(), killed.end()] {
        assert!(ended.status.signal().is_some());
        assert!(ended.warnings().is_empty(), "{}", ended.stderr);
    }
}

#[test]
#[ignore = "a role"]
fn role_abort() {
    if plays("exit::children::role_abort") {
        hold_two();
        role::listen();
        std::process::abort();
    }
}

#[test]
fn a_cleanup_that_exits_the_process_does_not_hang_it() {
    let mut player = play(&mut role("exit::children::role_leave_again", "exit"));
    player.hear();
    let ended = player.end();
    assert!(
        ended
            .warnings()
            .iter()
            .any(|line| line.contains("leaver was still being dropped")),
        "{}",
        ended.stderr
    );
    assert_eq!(ended.status.code(), Some(0));
}

#[test]
#[ignore = "a role"]
#[expect(clippy::disallowed_methods, reason = "the subject of the test")]
fn role_leave_again() {
    if plays("exit::children::role_leave_again") {
        register(|| {
            vec![Cleanup {
                order: 3,
                what: "leaver".to_owned(),
                run: Box::new(|| std::process::exit(9)),
            }]
        });
        role::say("ready");
    }
}

#[test]
fn a_forked_child_does_not_clean_up_for_its_parent() {
    // Each once, by the parent.
    cleaned("exit::children::role_fork").passed();
}

#[test]
#[ignore = "a role"]
fn role_fork() {
    if plays("exit::children::role_fork") {
        hold_two();
        assert_eq!(role::fork(|| ()), 0);
    }
}
