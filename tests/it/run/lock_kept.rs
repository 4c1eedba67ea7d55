//! Locks whose files stay open between two times that they are taken.

use crate::role::{Player, listen, play, plays, role, say};
use cofferdam::diagnostics::{LockState, locks};
use cofferdam::{lock, try_lock};
use std::fs::{self, File};
use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::path::Path;
use std::thread;

fn in_role(base: &Path, path: &str) -> Player {
    play(role(path, "kept").env("COFFERDAM_DIR", base))
}

/// The numbers of handles that this process has of files of locks.
fn handles() -> Vec<i32> {
    let is_lock = |path: &Path| {
        path.extension().is_some() && path.parent().is_some_and(|folder| folder.ends_with("locks"))
    };
    let all = fs::read_dir("/proc/self/fd").unwrap().flatten();
    let of_locks = all.filter(|entry| fs::read_link(entry.path()).is_ok_and(|path| is_lock(&path)));
    let number = |entry: fs::DirEntry| entry.file_name().to_str()?.parse().ok();
    of_locks.filter_map(number).collect()
}

const COPIED: &str = "run::lock_kept::role_copied";

#[test]
#[ignore = "a role"]
fn role_copied() {
    if !plays(COPIED) {
        return;
    }
    drop(lock("schema"));
    #[expect(unsafe_code, reason = "a copy that never becomes another program")]
    // SAFETY: the copy does nothing but close what it must not hold open, and wait for its end.
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
fn a_copy_of_a_killed_process_does_not_hold_what_was_locked_after_it_was_made() {
    let base = tempfile::tempdir().unwrap();
    let mut holder = in_role(base.path(), COPIED);
    let copy: i32 = holder.hear().parse().unwrap();
    let state = || locks(base.path()).unwrap()[0].state;
    assert_eq!(state(), LockState::Exclusive);
    holder.kill();
    let left = state();
    #[expect(unsafe_code, reason = "nobody else ends it")]
    // SAFETY: signals are sent to nobody but the copy, which nobody waits for.
    let killed = unsafe { libc::kill(copy, libc::SIGKILL) };
    assert_eq!((left, killed), (LockState::Left, 0));
}

const CLOSED: &str = "run::lock_kept::role_closed";

#[test]
#[ignore = "a role"]
fn role_closed() {
    if !plays(CLOSED) {
        return;
    }
    drop(lock("schema"));
    let kept = handles();
    assert_eq!(kept.len(), 1);
    #[expect(unsafe_code, reason = "programs close what is not theirs")]
    // SAFETY: whoever used the number finds that it is another file's.
    let closed = unsafe { libc::close(kept[0]) };
    assert_eq!(closed, 0);
    let path = cofferdam::base_dir(None).unwrap().join("mine");
    let mut mine = File::create(&path).unwrap();
    assert_eq!(mine.as_raw_fd(), kept[0]);
    let held = lock("schema");
    let other = thread::scope(|scope| {
        let other = thread::Builder::new().name("kept::other".to_owned());
        let tries = other.spawn_scoped(scope, || try_lock("schema").unwrap().is_none());
        tries.unwrap().join().unwrap()
    });
    assert!(other);
    drop(held);
    mine.write_all(b"nobody else's").unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"nobody else's");
}

#[test]
fn a_handle_that_a_test_closed_is_another_file_s_and_left_alone() {
    let base = tempfile::tempdir().unwrap();
    in_role(base.path(), CLOSED).end().passed();
}

const MANY: &str = "run::lock_kept::role_many";

#[test]
#[ignore = "a role"]
fn role_many() {
    if !plays(MANY) {
        return;
    }
    for round in 0..3 {
        for number in 0..100 {
            drop(lock(&number.to_string()));
        }
        assert_eq!(handles().len(), 16, "{round}");
    }
}

#[test]
fn of_many_locks_few_keep_their_files_open() {
    let base = tempfile::tempdir().unwrap();
    in_role(base.path(), MANY).end().passed();
}
