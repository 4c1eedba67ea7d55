//! Files that another user planted in our directories, and the permissions of our own.

use super::fixtures::{asks, outcome};
use crate::role::{plays, say};
use cofferdam::lock::try_lock;
use cofferdam::namespace::Namespace;
use cofferdam::{Fixture, Worker, WorkerLocal, lease};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

static ANY: Fixture<u32> = Fixture::per_run("any", |setup| Ok(setup.lease_port()?.into()));
static SERVICE: WorkerLocal<std::path::PathBuf> = WorkerLocal::new(|cx| Ok(cx.dir()?));

const USES_ALL: &str = "run::planted::role_uses_all";

#[test]
#[ignore = "a role"]
#[expect(unsafe_code, reason = "std knows no umask")]
fn role_uses_all() {
    if !plays(USES_ALL) {
        return;
    }
    // SAFETY: it takes a number and cannot fail.
    unsafe {
        libc::umask(0);
    }
    let locked = try_lock("planted");
    say(&locked.map_or_else(|error| error.to_string(), |_| "locked".to_owned()));
    let own = Worker::current().dir();
    say(&own.map_or_else(|error| error.to_string(), |_| "made".to_owned()));
    if let Ok(folder) = lease::dir() {
        let base = cofferdam::diagnostics::base_dir(None).unwrap();
        let (_hold, _port) = (
            Namespace::current().unwrap().hold(&base).unwrap(),
            lease::port().unwrap(),
        );
        say(&outcome(ANY.try_get()));
        say(&SERVICE.get().display().to_string());
        look_at(&base);
        folder.keep();
    }
}

/// Each directory is accessible only to its owner.
fn look_at(folder: &Path) {
    let mode = std::fs::metadata(folder).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700, "{}", folder.display());
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            look_at(&entry.path());
        }
    }
}

#[test]
fn every_folder_that_is_made_is_its_owners_alone_whatever_the_umask() {
    let parent = tempfile::tempdir().unwrap();
    let base = parent.path().join("target/cofferdam");
    let mut player = asks(&base, USES_ALL, "umask");
    assert_eq!([player.hear(), player.hear()], ["locked", "made"]);
    assert!(player.hear().parse::<u16>().is_ok());
    player.hear();
    player.end().passed();
}

#[test]
fn a_link_at_the_place_of_a_folder_or_a_file_of_ours_is_refused_and_nothing_is_written_through_it() {
    let dir = tempfile::tempdir().unwrap();
    let (base, victim) = (dir.path().join("base"), dir.path().join("victim"));
    std::fs::create_dir(&base).unwrap();
    std::fs::create_dir(&victim).unwrap();
    std::fs::write(victim.join("precious"), "untouched").unwrap();

    symlink(&victim, base.join("runs")).unwrap();
    std::fs::create_dir(base.join("locks")).unwrap();
    symlink(victim.join("precious"), base.join("locks/planted.lock")).unwrap();
    let mut player = asks(&base, USES_ALL, "planted");
    let (lock, own) = (player.hear(), player.hear());
    assert!(
        lock.contains("locks/planted.lock: Too many levels of symbolic links"),
        "{lock}"
    );
    assert!(own.contains("runs is a symbolic link"), "{own}");
    player.end().passed();
    assert_eq!(
        std::fs::read_to_string(victim.join("precious")).unwrap(),
        "untouched"
    );
    assert_eq!(std::fs::read_dir(&victim).unwrap().count(), 1);
    // Neither `locks` nor `clean` follows it.
    let names = |locks: Vec<cofferdam::diagnostics::Lock>| -> Vec<_> {
        let locks = locks.into_iter().filter(|lock| !lock.machine);
        locks.map(|lock| lock.name).collect()
    };
    assert_eq!(
        names(cofferdam::diagnostics::locks(&base).unwrap()),
        Vec::<String>::new()
    );

    std::fs::remove_dir_all(base.join("locks")).unwrap();
    symlink(&victim, base.join("locks")).unwrap();
    let lock = asks(&base, USES_ALL, "planted").hear();
    assert!(lock.contains("locks is a symbolic link"), "{lock}");
    assert!(cofferdam::diagnostics::locks(&base).is_err());
}

#[test]
fn a_base_folder_that_every_user_may_write_to_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    let mut player = asks(dir.path(), USES_ALL, "open");
    for message in [player.hear(), player.hear()] {
        assert!(
            message.contains("may be written to by other users: `chmod go-w` it"),
            "{message}"
        );
    }
    player.end().passed();
}
