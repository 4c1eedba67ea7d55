//! Files that other processes read and write meanwhile, some of which are killed.

use crate::role::{Player, listen, play, plays, role, say};
use cofferdam::file::{Appender, AtomicFile, write_atomic};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

#[expect(
    clippy::disallowed_methods,
    reason = "a role is handed its file by the environment"
)]
fn file() -> PathBuf {
    PathBuf::from(std::env::var_os("FILE").unwrap())
}

fn with_file(path: &str, file: &Path) -> Command {
    let mut command = role(path, "files");
    command
        .env("FILE", file)
        .env("COFFERDAM_DIR", file.parent().unwrap());
    command
}

const HALF: &str = "run::files::role_half";

#[test]
#[ignore = "a role"]
fn role_half() {
    if !plays(HALF) {
        return;
    }
    let half = vec![b'n'; 1 << 16];
    let written = AtomicFile::new(file()).write_with(|to| {
        to.write_all(&half)?;
        to.flush()?;
        say("half");
        listen();
        to.write_all(&half)
    });
    written.unwrap();
}

fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_writer_killed_in_mid_write_leaves_the_old_file_and_the_next_one_tidies_up() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    write_atomic(&path, "old").unwrap();
    let (mut killed, mut alive) = (
        play(&mut with_file(HALF, &path)),
        play(&mut with_file(HALF, &path)),
    );
    assert_eq!(
        (killed.hear(), alive.hear()),
        ("half".to_owned(), "half".to_owned())
    );
    killed.kill();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "old");
    assert_eq!(names(dir.path()).len(), 3, "the file and two halves");

    // A third process, because this one has already looked into the directory.
    let mut next = play(&mut with_file(HALF, &path));
    assert_eq!(next.hear(), "half");
    let left = names(dir.path()).len();
    // Without `/proc`, leftovers of dead writers stay.
    assert_eq!(left, if cfg!(target_os = "linux") { 3 } else { 4 });
    for mut player in [alive, next] {
        player.answer();
        player.end().passed();
    }
    assert_eq!(std::fs::read(&path).unwrap(), vec![b'n'; 1 << 17]);
    if cfg!(target_os = "linux") {
        assert_eq!(names(dir.path()), ["file"]);
    }
}

const AGAIN: &str = "run::files::role_again";

#[test]
#[ignore = "a role"]
fn role_again() {
    if !plays(AGAIN) {
        return;
    }
    let path = file();
    say("ready");
    for round in 0_u32.. {
        let letter = b'a' + (round % 26) as u8;
        write_atomic(&path, vec![letter; 1 << 16]).unwrap();
        if round == 50 {
            say("many");
        }
    }
}

#[test]
fn a_reader_sees_whole_files_only_while_writers_come_and_are_killed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    write_atomic(&path, vec![b'.'; 1 << 16]).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut reads = 0_u32;
            while !done.load(Ordering::Relaxed) || reads == 0 {
                let seen = std::fs::read(&path).unwrap();
                assert_eq!(seen.len(), 1 << 16);
                assert!(seen.iter().all(|byte| *byte == seen[0]), "two files in one");
                reads += 1;
            }
        });
        for _ in 0..4 {
            let mut writers = [AGAIN; 2].map(|path_of_role| play(&mut with_file(path_of_role, &path)));
            for writer in &mut writers {
                assert_eq!(writer.hear(), "ready");
                assert_eq!(writer.hear(), "many");
            }
            // At a random moment.
            writers.iter_mut().for_each(Player::kill);
        }
        done.store(true, Ordering::Relaxed);
        reader.join().unwrap();
    });
}

const APPEND: &str = "run::files::role_append";
const LINES: usize = 200;

/// The lines that one appender writes: short ones, and some that no file system writes in one piece.
fn line(who: usize, number: usize) -> String {
    let length = if number.is_multiple_of(50) {
        300_000
    } else {
        10 + number
    };
    format!("{who},{number},{}", "x".repeat(length))
}

#[test]
#[ignore = "a role"]
fn role_append() {
    if !plays(APPEND) {
        return;
    }
    let lines = Appender::new(file());
    #[expect(
        clippy::disallowed_methods,
        reason = "a role is handed its number by the environment"
    )]
    let who: usize = std::env::var("WHO").unwrap().parse().unwrap();
    say("ready");
    listen();
    for number in 0..LINES {
        lines.line(line(who, number)).unwrap();
    }
    say("done");
    // A process that is to be killed continues until then.
    if who >= 8 {
        for number in LINES.. {
            lines.line(line(who, number)).unwrap();
        }
    }
}

#[test]
fn eight_appenders_never_tear_a_line_also_when_others_are_killed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log.csv");
    let mut players: Vec<_> = (0..10)
        .map(|who| play(with_file(APPEND, &path).env("WHO", who.to_string())))
        .collect();
    for player in &mut players {
        assert_eq!(player.hear(), "ready");
    }
    players.iter_mut().for_each(Player::answer);
    let mut to_kill = players.split_off(8);
    for player in &mut to_kill {
        assert_eq!(player.hear(), "done");
        player.kill();
    }
    for mut player in players {
        assert_eq!(player.hear(), "done");
        player.end().passed();
    }
    Appender::new(&path).line("the last").unwrap();

    let text = std::fs::read_to_string(&path).unwrap();
    let mut next = [0_usize; 10];
    let mut lines = text.lines().collect::<Vec<_>>();
    assert_eq!(lines.pop(), Some("the last"));
    for found in lines {
        let mut parts = found.split(',');
        let who: usize = parts.next().unwrap().parse().unwrap();
        assert_eq!(found, line(who, next[who]), "torn, lost, or out of order");
        next[who] += 1;
    }
    assert!(next.iter().all(|lines| *lines >= LINES), "{next:?}");
    assert_eq!(next[..8], [LINES; 8]);
}

#[test]
fn a_full_disk_takes_no_part_of_a_line() {
    if !Path::new("/dev/full").exists() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    #[cfg(unix)]
    std::os::unix::fs::symlink("/dev/full", &path).unwrap();
    let error = Appender::new(&path).line("lost").unwrap_err().to_string();
    assert!(error.contains("No space left"), "{error}");
}

#[cfg(unix)]
const FULL: &str = "run::files::role_full";

/// The maximum size of a file of the process.
#[cfg(unix)]
const MOST: u64 = 12;

#[cfg(unix)]
#[test]
#[ignore = "a role"]
fn role_full() {
    if !plays(FULL) {
        return;
    }
    let appender = Appender::new(file());
    let most = libc::rlimit {
        rlim_cur: MOST,
        rlim_max: MOST,
    };
    #[expect(unsafe_code, reason = "std sets no limits")]
    // SAFETY: the structure lives through the call, and no handler is installed.
    unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
        assert_eq!(libc::setrlimit(libc::RLIMIT_FSIZE, &raw const most), 0);
    }
    let error = appender.line("too long for what is left").unwrap_err();
    assert!(error.to_string().contains("File too large"), "{error}");
}

#[cfg(unix)]
#[test]
fn a_line_that_only_begins_to_have_room_is_taken_back_also_behind_text_without_an_end() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    std::fs::write(&path, "by hand").unwrap();
    play(&mut with_file(FULL, &path)).end().passed();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "by hand\n");
}
