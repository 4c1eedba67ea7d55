//! Readers and backups of a ledger while sessions run.

use super::role::Played;
use super::{add, end, reader, start};
use cofferdam_batch::ledger::{JobState, Reader, Status};
use std::sync::atomic::{AtomicBool, Ordering};

#[test]
fn a_change_by_another_process_is_noticed() {
    let base = tempfile::tempdir().unwrap();
    let mut session = start(base.path(), "night");
    let reader = reader(base.path());
    let before = reader.version().unwrap();
    assert_eq!(reader.version().unwrap(), before);
    add(&mut session, &["a job"]);
    assert_ne!(reader.version().unwrap(), before);
}

#[test]
fn a_backup_is_complete_verified_and_replaces_no_file() {
    let base = tempfile::tempdir().unwrap();
    let mut session = start(base.path(), "night");
    add(&mut session, &["a", "b"]);
    let reader = reader(base.path());
    let copy = base.path().join("copy.sqlite3");
    // The copied data is still in the log.
    let made = reader.backup(&copy).unwrap();
    assert_eq!((made.sessions, made.jobs), (1, 2));
    assert_eq!(made.bytes, copy.metadata().unwrap().len());
    let again = reader.backup(&copy).unwrap_err();
    let there = format!("{} exists, ", copy.display());
    assert!(again.to_string().starts_with(&there), "{again}");
    let nowhere = reader
        .backup(&base.path().join("no/copy.sqlite3"))
        .unwrap_err()
        .to_string();
    assert!(nowhere.starts_with("could not create "), "{nowhere}");
    let left = std::fs::read_dir(base.path()).unwrap().flatten();
    let parts = left.filter(|entry| entry.file_name().to_string_lossy().contains(".part-"));
    assert_eq!(parts.count(), 0);

    // In the place of a ledger, the backup is one.
    session.finish(Status::Passed, &[]).unwrap();
    let other = tempfile::tempdir().unwrap();
    std::fs::copy(&copy, other.path().join("ledger.sqlite3")).unwrap();
    let restored = super::sessions(other.path());
    assert_eq!(
        (restored[0].status, restored[0].jobs.pending),
        (Status::Abandoned, 2)
    );
    start(other.path(), "night").finish(Status::Passed, &[]).unwrap();
    assert_eq!(super::sessions(other.path()).len(), 2);
}

#[test]
fn writers_readers_and_backups_never_block_each_other() {
    let base = tempfile::tempdir().unwrap();
    let done = AtomicBool::new(false);
    let mut session = start(base.path(), "night");
    add(&mut session, &["a job"; 300]);
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..3)
            .map(|number| {
                let (done, base) = (&done, base.path());
                scope.spawn(move || {
                    let reader = Reader::open(base).unwrap().unwrap();
                    let mut looks = 0;
                    while !done.load(Ordering::Acquire) || looks == 0 {
                        let active = reader.active().unwrap();
                        assert_eq!(active[0].jobs.total, 300);
                        reader.jobs(active[0].id, None).unwrap();
                        if number == 0 {
                            let copy = base.join(format!("copy-{looks}"));
                            assert_eq!(reader.backup(&copy).unwrap().jobs, 300);
                            std::fs::remove_file(copy).unwrap();
                        }
                        looks += 1;
                    }
                })
            })
            .collect();
        for number in 1..=300 {
            session.job_started(number, 1, 1).unwrap();
            session.job_finished(&end(number, JobState::Completed)).unwrap();
        }
        done.store(true, Ordering::Release);
        for reader in readers {
            reader.join().unwrap();
        }
    });
    session.finish(Status::Passed, &[]).unwrap();
}

#[cfg(target_os = "linux")]
#[test]
fn a_long_reader_of_the_log_is_named_and_the_log_is_truncated_after_it() {
    let base = tempfile::tempdir().unwrap();
    start(base.path(), "night").finish(Status::Passed, &[]).unwrap();
    let long = Played::new(base.path(), "read");
    let mut session = start(base.path(), "night");
    add(&mut session, &["a job"; 20_000]);
    for number in 1..=1_000 {
        session.job_finished(&end(number, JobState::Completed)).unwrap();
    }
    let finished = session.finish(Status::Passed, &[]).unwrap();
    assert!(finished.bytes > 4_000_000, "{finished:?}");
    assert_eq!(finished.readers.len(), 1);
    assert_eq!(finished.readers[0].pid, long.pid());
    assert_eq!(reader(base.path()).wal_status().readers, finished.readers);
    long.kill();
    let finished = start(base.path(), "night").finish(Status::Passed, &[]).unwrap();
    assert_eq!((finished.bytes, finished.readers.as_slice()), (0, &[][..]));
}
