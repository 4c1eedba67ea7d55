//! A copy that was made.

use super::json_line::{self, path};
use super::text::{count, plain};
use crate::cli::ListFormat;
use crate::ledger::Backup;
use serde::Serialize;
use std::borrow::Cow;
use std::io::{self, Write};

/// The version of the JSON that this build writes.
const VERSION: u64 = 1;

pub(super) fn write(out: &mut dyn Write, format: ListFormat, backup: &Backup) -> io::Result<()> {
    let file = backup.file.display().to_string();
    match format {
        ListFormat::Human => writeln!(
            out,
            "cofferdam: copied {} and {} to {} ({} bytes, found to be sound)",
            count(backup.sessions, "session"),
            count(backup.jobs, "job"),
            plain(&file),
            backup.bytes
        ),
        ListFormat::Json => json_line::write(
            out,
            &BackupView {
                version: VERSION,
                file: path(&backup.file),
                bytes: backup.bytes,
                sessions: backup.sessions,
                jobs: backup.jobs,
            },
        ),
    }
}

/// The report, for programs.
#[derive(Serialize)]
struct BackupView<'a> {
    version: u64,
    file: Cow<'a, str>,
    bytes: u64,
    sessions: u64,
    jobs: u64,
}
