//! Locks whose files and directories are removed, replaced or unwritable.

use crate::role::{Ended, Player, play, plays, role, say};
use cofferdam::diagnostics::locks;
use cofferdam::lock;
use cofferdam::lock::{LockOptions, try_lock};
use std::collections::HashSet;
use std::fs::{self, Permissions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Barrier;
use std::thread;

/// Another user than the current one, if that is root.
const NOBODY: u32 = 65_534;

fn command(base: &Path, path: &str) -> Command {
    let mut command = role(path, "files");
    command.env("COFFERDAM_DIR", base).env("TMPDIR", base);
    command
}

fn in_role(base: &Path, path: &str) -> Ended {
    play(&mut command(base, path)).end()
}

/// Runs `work` as the test with this name.
fn test<T: Send>(name: &str, work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let thread = thread::Builder::new().name(format!("files::{name}"));
        thread.spawn_scoped(scope, work).unwrap().join().unwrap()
    })
}

const HOSTILE: &str = "run::lock_files::role_hostile";

#[test]
#[ignore = "a role"]
fn role_hostile() {
    if !plays(HOSTILE) {
        return;
    }
    let long = "x".repeat(100_000);
    let (end, other) = (format!("{long}1"), format!("{long}2"));
    let names = [
        "",
        ".",
        "..",
        "/",
        "a/b",
        "a\\b",
        "../../etc/passwd",
        "/etc/passwd",
        "\0",
        "schema\t\n",
        "\u{1b}[2J",
        "\u{9b}2J",
        "%",
        "%2e%2e",
        "-rf",
        "é",
        "a ",
        " a",
        "held\t1\t",
        &long,
        &end,
        &other,
    ];
    let guards: Vec<_> = names.iter().map(|name| lock(name)).collect();
    for (name, guard) in names.iter().zip(&guards) {
        assert_eq!(guard.name(), *name);
        assert!(test("other", || try_lock(name).unwrap().is_none()), "{name:?}");
    }
    let base = cofferdam::diagnostics::base_dir(None).unwrap();
    let all = locks(&base).unwrap();
    let files: HashSet<_> = all.iter().map(|lock| &lock.file).collect();
    assert_eq!((all.len(), files.len()), (names.len(), names.len()));
    for lock in all {
        assert_eq!(lock.file.parent(), Some(&*base.join("locks")));
        assert!(!lock.name.contains(char::is_control), "{lock:?}");
    }
}

#[test]
fn each_hostile_name_is_a_separate_lock_in_the_directory_of_locks() {
    let base = tempfile::tempdir().unwrap();
    in_role(base.path(), HOSTILE).passed();
    let outside: Vec<_> = fs::read_dir(base.path()).unwrap().flatten().collect();
    assert!(outside.iter().all(|entry| entry.path().is_dir()), "{outside:?}");
}

const REMOVED: &str = "run::lock_files::role_removed";

#[test]
#[ignore = "a role"]
fn role_removed() {
    if !plays(REMOVED) {
        return;
    }
    let folder = cofferdam::diagnostics::base_dir(None).unwrap().join("locks");
    let before = lock("schema");
    let started = Barrier::new(2);
    thread::scope(|scope| {
        // Whether it is waiting by now or will be: it gets the lock, in an existing file.
        let waiter = thread::Builder::new().name("files::waits".to_owned());
        waiter
            .spawn_scoped(scope, || {
                started.wait();
                let _held = lock("schema");
                assert!(test("late", || try_lock("schema").unwrap().is_none()));
            })
            .unwrap();
        started.wait();
        // The waiter may create its file meanwhile.
        while let Err(error) = fs::remove_dir_all(&folder) {
            assert_eq!(error.kind(), ErrorKind::DirectoryNotEmpty);
        }
        drop(before);
    });
    assert!(folder.join("schema.lock").exists());
    // Again, while the lock is free; then with a file in place of the directory, which the error names.
    fs::remove_dir_all(&folder).unwrap();
    drop(lock("schema"));
    fs::remove_dir_all(&folder).unwrap();
    fs::write(&folder, "").unwrap();
    let error = try_lock("schema").unwrap_err().to_string();
    assert!(
        error.contains("schema.lock") || error.contains("locks"),
        "{error}"
    );
    fs::remove_file(&folder).unwrap();
    fs::create_dir_all(folder.join("schema.lock")).unwrap();
    let error = LockOptions::new().lock("schema").unwrap_err().to_string();
    assert!(
        error.starts_with("could not lock ") && error.contains("schema.lock"),
        "{error}"
    );

    let host = LockOptions::new().machine();
    drop(host.lock("printer").unwrap());
    let own = fs::read_dir(std::env::temp_dir())
        .unwrap()
        .flatten()
        .map(|entry| entry.path());
    let own: Vec<_> = own.filter(|path| path.join("printer.lock").exists()).collect();
    fs::remove_dir_all(&own[0]).unwrap();
    drop(host.lock("printer").unwrap());
    let mode = fs::metadata(&own[0]).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700, "made again, for its user alone");
}

#[test]
fn a_directory_of_locks_that_is_deleted_meanwhile_is_created_again() {
    let base = tempfile::tempdir().unwrap();
    in_role(base.path(), REMOVED).passed();
}

/// Reports the results for a lock of the machine and one of the workspace.
const BOTH: &str = "run::lock_files::role_both";

#[test]
#[ignore = "a role"]
fn role_both() {
    if plays(BOTH) {
        for options in [LockOptions::new().machine(), LockOptions::new()] {
            let result = options
                .try_lock("printer")
                .map(|guard| guard.is_some().to_string());
            say(&result.unwrap_or_else(|error| error.to_string()));
        }
    }
}

fn both(mut command: Command) -> [String; 2] {
    let mut player: Player = play(&mut command);
    let messages = [player.hear(), player.hear()];
    player.end().passed();
    messages
}

fn open_to_all(folder: &Path) {
    fs::set_permissions(folder, Permissions::from_mode(0o1777)).unwrap();
}

/// Returns whether this user may act as another one that can run this executable; prints a note if not.
fn another_user(base: &Path) -> bool {
    let is_root = fs::metadata(base).unwrap().uid() == 0;
    let can = is_root && {
        let executable = command(base, BOTH).get_program().to_owned();
        #[expect(
            clippy::disallowed_methods,
            reason = "the executable is asked whether it starts"
        )]
        let mut lists = Command::new(executable);
        lists.arg("--list").uid(NOBODY).stdout(Stdio::null());
        lists.status().is_ok_and(|status| status.success())
    };
    if !can {
        let note = "\nSKIPPED, NOT TESTED: another user, whom only root may be\n";
        std::io::stderr().write_all(note.as_bytes()).unwrap();
    }
    can
}

#[test]
fn files_planted_by_another_user_in_the_temporary_directory_are_refused_with_an_error() {
    let base = tempfile::tempdir().unwrap();
    open_to_all(base.path());
    let user = fs::metadata(base.path()).unwrap().uid();
    let folder = base.path().join(format!("cofferdam-{user}"));
    let elsewhere = base.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &folder).unwrap();
    let [host, own] = both(command(base.path(), BOTH));
    let refused = format!("{} cannot hold locks for the whole machine: ", folder.display());
    assert!(
        host.starts_with(&refused) && host.contains("it is not a directory"),
        "{host}"
    );
    assert_eq!(own, "true", "the workspace's locks lie elsewhere");
    assert!(
        fs::read_dir(&elsewhere).unwrap().next().is_none(),
        "nothing went through the link"
    );

    fs::remove_file(&folder).unwrap();
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, Permissions::from_mode(0o777)).unwrap();
    let [host, _] = both(command(base.path(), BOTH));
    assert!(host.contains("others may read or write it"), "{host}");

    if another_user(base.path()) {
        fs::set_permissions(&folder, Permissions::from_mode(0o700)).unwrap();
        chown(&folder, Some(NOBODY), None).unwrap();
        let [host, _] = both(command(base.path(), BOTH));
        assert!(host.contains("it belongs to another user"), "{host}");
    }
}

#[test]
fn two_users_of_one_machine_have_separate_locks() {
    let base = tempfile::tempdir().unwrap();
    open_to_all(base.path());
    if !another_user(base.path()) {
        return;
    }
    let own = base.path().join("own");
    fs::create_dir(&own).unwrap();
    chown(&own, Some(NOBODY), None).unwrap();
    // Ours first; then the other user's, in their workspace; then theirs in ours, whose files they may not write.
    assert_eq!(both(command(base.path(), BOTH)), ["true", "true"]);
    let mut theirs = command(base.path(), BOTH);
    theirs.env("COFFERDAM_DIR", &own).uid(NOBODY);
    assert_eq!(both(theirs), ["true", "true"]);
    let mut theirs = command(base.path(), BOTH);
    theirs.uid(NOBODY);
    let [host, shared] = both(theirs);
    assert_eq!(host, "true");
    assert!(
        shared.starts_with("could not lock ") && shared.contains("Permission denied"),
        "{shared}"
    );
}

#[test]
fn a_folder_that_cannot_be_written_to_is_an_error_that_names_it() {
    let base = tempfile::tempdir().unwrap();
    open_to_all(base.path());
    let folder = base.path().join("locks");
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, Permissions::from_mode(0o555)).unwrap();
    let mut command = command(base.path(), BOTH);
    if fs::metadata(base.path()).unwrap().uid() == 0 {
        // Root may write everywhere.
        if !another_user(base.path()) {
            return;
        }
        command.uid(NOBODY);
    }
    let [_, own] = both(command);
    assert!(
        own.starts_with("could not lock ")
            && own.contains("printer.lock")
            && own.contains("Permission denied"),
        "{own}"
    );
}
