//! Locks in forked processes.

use crate::role::{Player, listen, play, plays, role, say};
use cofferdam::diagnostics::{LockState, locks};
use cofferdam::lock;
use std::path::Path;

fn in_role(base: &Path, path: &str) -> Player {
    play(role(path, "kept").env("COFFERDAM_DIR", base))
}

const COPIED: &str = "run::lock_fork::role_copied";

#[test]
#[ignore = "a role"]
fn role_copied() {
    if !plays(COPIED) {
        return;
    }
    drop(lock("schema"));
    #[expect(unsafe_code, reason = "a copy that never becomes another program")]
    // SAFETY: the copy only closes what it must not keep open, and waits for its end.
    let copy = unsafe {
        let copy = libc::fork();
        if copy == 0 {
            for stream in 0..3 {
                libc::close(stream);
            }
            loop {
                libc::pause();
            }
        }
        copy
    };
    let _held = lock("schema");
    say(&copy.to_string());
    listen();
}

#[test]
fn a_fork_of_a_killed_process_does_not_hold_locks_taken_after_the_fork() {
    let base = tempfile::tempdir().unwrap();
    let mut holder = in_role(base.path(), COPIED);
    let copy: i32 = holder.hear().parse().unwrap();
    let state = || locks(base.path()).unwrap()[0].state;
    assert_eq!(state(), LockState::Exclusive);
    holder.kill();
    let left = state();
    #[expect(unsafe_code, reason = "nobody else ends it")]
    // SAFETY: signals are sent only to the copy, which no thread waits for.
    let killed = unsafe { libc::kill(copy, libc::SIGKILL) };
    assert_eq!((left, killed), (LockState::Left, 0));
}
