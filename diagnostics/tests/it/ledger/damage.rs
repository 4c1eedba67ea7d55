//! Unusable ledgers and their messages. No file of such a ledger is ever removed.

use super::role::Played;
use super::{create_dir, reader, sessions, start};
use cofferdam_batch::ledger::{Ledger, LedgerError, LedgerOptions, Reader, Status};
use std::fs;
use std::path::Path;
use std::time::Duration;

fn made() -> tempfile::TempDir {
    let base = tempfile::tempdir().unwrap();
    start(base.path(), "night").finish(Status::Passed, &[]).unwrap();
    base
}

fn file(base: &Path) -> std::path::PathBuf {
    base.join("ledger.sqlite3")
}

fn message_of<T>(result: Result<T, LedgerError>) -> String {
    match result {
        Ok(_) => panic!("it could be used"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_ledger_that_stays_locked_names_the_process_that_holds_it() {
    let base = made();
    let other = Played::new(base.path(), "change");
    let opening = LedgerOptions {
        wait: Duration::from_millis(20),
        ..LedgerOptions::default()
    };
    let ledger = Ledger::open_with(base.path(), create_dir, opening).unwrap();
    let message = message_of(ledger.retain(10));
    assert!(message.contains("within 20ms: "), "{message}");
    if cfg!(target_os = "linux") {
        let by = format!("process {} (", other.pid());
        assert!(message.contains(&by), "{message}");
    }
    assert_eq!(sessions(base.path()).len(), 1, "readers do not wait for it");
    other.kill();
    ledger.retain(10).unwrap();
}

#[test]
fn garbage_counts_as_damage_and_stays_unchanged() {
    let base = tempfile::tempdir().unwrap();
    let garbage = vec![7_u8; 20_000];
    fs::write(file(base.path()), &garbage).unwrap();
    for message in [
        message_of(Ledger::open(base.path(), create_dir)),
        message_of(Reader::open(base.path())),
    ] {
        assert!(
            message.contains("is damaged (file is not a database)"),
            "{message}"
        );
        assert!(message.contains("Never remove only the `-wal` file"), "{message}");
    }
    assert_eq!(fs::read(file(base.path())).unwrap(), garbage);
}

#[test]
fn a_truncated_ledger_is_damaged() {
    let base = made();
    let whole = fs::read(file(base.path())).unwrap();
    fs::write(file(base.path()), &whole[..5_000]).unwrap();
    let opened = Ledger::open(base.path(), create_dir).and_then(|ledger| ledger.retain(10));
    assert!(message_of(opened).contains("is damaged ("));
    assert_eq!(fs::metadata(file(base.path())).unwrap().len(), 5_000);
}

#[test]
fn the_command_suggested_for_a_damaged_ledger_works_and_loses_no_data() {
    let base = tempfile::tempdir().unwrap();
    fs::write(file(base.path()), "garbage, and more of it than a header has").unwrap();
    fs::write(base.path().join("ledger.sqlite3-wal"), "what came last").unwrap();
    let message = message_of(Ledger::open(base.path(), create_dir));
    if cfg!(unix) {
        let advice = message.split('`').find(|part| part.starts_with("mkdir")).unwrap();
        #[expect(clippy::disallowed_methods, reason = "this is the reader's shell")]
        let mut shell = std::process::Command::new("sh");
        shell.arg("-c").arg(advice).current_dir(base.path());
        assert!(shell.status().unwrap().success(), "{advice}");
        let moved = fs::read_to_string(base.path().join("damaged/ledger.sqlite3-wal")).unwrap();
        assert_eq!(moved, "what came last");
        start(base.path(), "night");
    }
}

#[test]
fn a_ledger_of_the_first_version_is_migrated_with_all_its_data() {
    for is_read_first in [true, false] {
        let base = tempfile::tempdir().unwrap();
        let conn = rusqlite::Connection::open(file(base.path())).unwrap();
        conn.execute_batch(include_str!("../../../batch/src/ledger/schema_1.sql"))
            .unwrap();
        conn.execute_batch(
            "PRAGMA application_id = 0x636f6664; PRAGMA user_version = 1;
             INSERT INTO sessions (id, name, namespace, scope, triggered_by, status, beside, pid, pid_started, host,
                                   started, ended)
             VALUES (7, 'old', 'night', 'batch', 'user', 'passed', 0, 1, 1, '', 1, 2);
             INSERT INTO jobs (session, number, name, state) VALUES (7, 1, 'first', 'completed');",
        )
        .unwrap();
        drop(conn);
        if !is_read_first {
            start(base.path(), "day").finish(Status::Passed, &[]).unwrap();
        }
        let jobs = reader(base.path()).jobs(7, None).unwrap();
        assert_eq!((jobs[0].name.as_str(), &jobs[0].command), ("first", &None));
        start(base.path(), "night");
    }
}

#[test]
fn a_ledger_of_a_newer_version_is_refused_with_advice() {
    let base = made();
    let conn = rusqlite::Connection::open(file(base.path())).unwrap();
    conn.pragma_update(None, "user_version", 99).unwrap();
    drop(conn);
    for message in [
        message_of(Ledger::open(base.path(), create_dir)),
        message_of(Reader::open(base.path())),
    ] {
        assert!(
            message.contains("newer cofferdam (schema 99; this one knows 2)"),
            "{message}"
        );
        assert!(
            message.contains("cargo install --locked --path diagnostics"),
            "{message}"
        );
    }
}

#[test]
fn the_database_of_another_program_is_refused_and_stays_unchanged() {
    let base = tempfile::tempdir().unwrap();
    let conn = rusqlite::Connection::open(file(base.path())).unwrap();
    conn.execute_batch("CREATE TABLE theirs (x)").unwrap();
    drop(conn);
    let before = fs::read(file(base.path())).unwrap();
    for message in [
        message_of(Ledger::open(base.path(), create_dir)),
        message_of(Reader::open(base.path())),
    ] {
        assert!(message.contains("not a ledger of cofferdam"), "{message}");
    }
    assert_eq!(fs::read(file(base.path())).unwrap(), before);
}

#[cfg(unix)]
#[test]
fn a_file_system_without_shared_memory_is_named_as_the_cause() {
    let base = tempfile::tempdir().unwrap();
    // SQLite's way to file systems without locks: it has no shared memory either.
    let opening = LedgerOptions {
        vfs: Some(c"unix-dotfile"),
        ..LedgerOptions::default()
    };
    let message = message_of(Ledger::open_with(base.path(), create_dir, opening));
    assert!(
        message.contains("cannot have a write-ahead log there (its journal mode is \"delete\")"),
        "{message}"
    );
    assert!(message.contains("COFFERDAM_DIR"), "{message}");
}

#[test]
fn a_missing_log_costs_only_its_own_content() {
    let base = made();
    Played::new(base.path(), "own").kill();
    let wal = base.path().join("ledger.sqlite3-wal");
    assert!(fs::metadata(&wal).unwrap().len() > 0);
    fs::remove_file(&wal).unwrap();
    let kept: Vec<_> = sessions(base.path())
        .into_iter()
        .map(|session| session.status)
        .collect();
    assert_eq!(kept, [Status::Passed]);
    start(base.path(), "night").finish(Status::Passed, &[]).unwrap();
    assert_eq!(sessions(base.path()).len(), 2);
}

#[test]
fn a_ledger_truncated_before_its_first_page_is_damaged_and_keeps_its_log() {
    for left in [0, 1, 511] {
        let base = made();
        // Its last records are in the log alone.
        Played::new(base.path(), "own").kill();
        let beside = |suffix| base.path().join(format!("ledger.sqlite3{suffix}"));
        let log = fs::read(beside("-wal")).unwrap();
        assert!(!log.is_empty());
        let whole = fs::read(file(base.path())).unwrap();
        fs::write(file(base.path()), &whole[..left]).unwrap();
        for message in [
            message_of(Ledger::open(base.path(), create_dir)),
            message_of(Reader::open(base.path())),
            message_of(Ledger::open(base.path(), create_dir)),
        ] {
            let wanted = format!("is damaged (it was truncated to {left} bytes)");
            assert!(message.contains(&wanted), "{message}");
            assert!(message.contains("`mkdir damaged && mv "), "{message}");
        }
        assert_eq!(fs::read(file(base.path())).unwrap().len(), left);
        assert_eq!(fs::read(beside("-wal")).unwrap(), log);
        assert!(beside("-shm").exists());
    }
}

#[test]
fn a_log_without_its_ledger_is_damage_and_no_new_ledger_is_created() {
    let base = made();
    Played::new(base.path(), "own").kill();
    let log = base.path().join("ledger.sqlite3-wal");
    let before = fs::read(&log).unwrap();
    fs::remove_file(file(base.path())).unwrap();
    for message in [
        message_of(Ledger::open(base.path(), create_dir)),
        message_of(Reader::open(base.path())),
    ] {
        assert!(
            message.contains("is damaged (it is missing, but its log is there)"),
            "{message}"
        );
    }
    assert!(!file(base.path()).exists());
    assert_eq!(fs::read(&log).unwrap(), before);
}

#[test]
fn a_database_without_tables_is_damaged() {
    let base = tempfile::tempdir().unwrap();
    let conn = rusqlite::Connection::open(file(base.path())).unwrap();
    conn.execute_batch("CREATE TABLE one (x); DROP TABLE one")
        .unwrap();
    drop(conn);
    for message in [
        message_of(Ledger::open(base.path(), create_dir)),
        message_of(Reader::open(base.path())),
    ] {
        assert!(message.contains("is damaged (it has no tables)"), "{message}");
    }
}

#[test]
fn an_interrupted_creation_is_started_anew() {
    let base = tempfile::tempdir().unwrap();
    assert!(Reader::open(base.path()).unwrap().is_none());
    fs::write(base.path().join("ledger.new"), "half of").unwrap();
    fs::write(base.path().join("ledger.new-wal"), "it").unwrap();
    start(base.path(), "night");
    assert_eq!(sessions(base.path()).len(), 1);
    assert!(!base.path().join("ledger.new").exists());
}

#[test]
fn a_base_folder_that_cannot_be_created_is_named() {
    let base = tempfile::tempdir().unwrap();
    fs::write(base.path().join("file"), "").unwrap();
    let message = message_of(Ledger::open(&base.path().join("file/base"), create_dir));
    assert!(
        message.starts_with("could not create the directory of "),
        "{message}"
    );
}

#[test]
fn a_base_folder_may_have_any_name() {
    let base = tempfile::tempdir().unwrap();
    let odd = base.path().join("100% größer? #1");
    start(&odd, "night").finish(Status::Passed, &[]).unwrap();
    assert_eq!(sessions(&odd).len(), 1);
    let copy = odd.join("copy %41?.sqlite3");
    assert_eq!(reader(&odd).backup(&copy).unwrap().sessions, 1);
    assert!(copy.exists());
}
