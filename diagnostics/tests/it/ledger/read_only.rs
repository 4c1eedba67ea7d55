//! Ledgers in folders that cannot be written to.

use super::role::{Played, command};
use super::start;
use crate::recording::{CommandOutput, cofferdam};
use cofferdam_batch::ledger::Status;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

/// A read-only folder, until this is dropped.
struct ReadOnly<'a>(&'a Path);

impl<'a> ReadOnly<'a> {
    fn new(base: &'a Path) -> Self {
        std::fs::set_permissions(base, Permissions::from_mode(0o555)).unwrap();
        // It is created for its owner alone, but readers of the ledger have to see the leases.
        let _ = std::fs::set_permissions(base.join("sessions"), Permissions::from_mode(0o755));
        Self(base)
    }
}

impl Drop for ReadOnly<'_> {
    fn drop(&mut self) {
        let _ = std::fs::set_permissions(self.0, Permissions::from_mode(0o755));
    }
}

/// Returns the output of the command; `None` if this test runs as root and other users cannot reach the program.
fn output_of(mut command: Command) -> Option<CommandOutput> {
    if rustix::process::geteuid().is_root() {
        // Root may write anywhere, so the command runs as the user `nobody`.
        command.uid(65_534).gid(65_534);
    }
    command.current_dir("/");
    match command.output() {
        Ok(output) => Some(output.into()),
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => None,
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn a_ledger_in_a_read_only_folder_is_readable() {
    let base = tempfile::tempdir().unwrap();
    start(base.path(), "night").finish(Status::Passed, &[]).unwrap();
    let _read_only = ReadOnly::new(base.path());
    let Some(list) = output_of(cofferdam(base.path(), &["list"])) else {
        return;
    };
    assert_eq!((list.code, list.err.as_str()), (Some(0), ""), "{}", list.out);
    assert!(list.out.contains("cofferdam: 1 session, "), "{}", list.out);
}

#[test]
fn a_ledger_with_a_remaining_log_is_read_completely_or_explained() {
    let base = tempfile::tempdir().unwrap();
    Played::new(base.path(), "own").kill();
    for leftover in ["-wal and -shm", "-wal alone"] {
        if leftover == "-wal alone" {
            std::fs::remove_file(base.path().join("ledger.sqlite3-shm")).unwrap();
        }
        let _read_only = ReadOnly::new(base.path());
        let Some(list) = output_of(cofferdam(base.path(), &["list"])) else {
            return;
        };
        match list.code {
            Some(0) => assert!(list.out.contains("abandoned"), "{leftover}: {}", list.out),
            _ => assert!(
                list.err
                    .contains("copy the files whose names begin with ledger.sqlite3"),
                "{leftover}: {}{}",
                list.err,
                list.out
            ),
        }
    }
}

#[test]
fn a_write_there_fails_with_the_reason() {
    let base = tempfile::tempdir().unwrap();
    start(base.path(), "night").finish(Status::Passed, &[]).unwrap();
    let _read_only = ReadOnly::new(base.path());
    let Some(tried) = output_of(command(base.path(), "try")) else {
        return;
    };
    assert!(
        tried
            .out
            .contains("is not writable: the file or its directory is read-only"),
        "{}{}",
        tried.out,
        tried.err
    );
}

#[test]
fn a_session_without_a_writable_base_folder_fails_with_advice() {
    let base = tempfile::tempdir().unwrap();
    start(base.path(), "night").finish(Status::Passed, &[]).unwrap();
    let _read_only = ReadOnly::new(base.path());
    let Some(tried) = output_of(cofferdam(base.path(), &["run", "--", "true"])) else {
        return;
    };
    assert!(
        tried
            .err
            .ends_with("; a session needs a writable base directory: set COFFERDAM_DIR to another one\n"),
        "{}",
        tried.err
    );
    assert_eq!(tried.code, Some(3));
}
