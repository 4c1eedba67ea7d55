//! The report of `backup`.

use super::json_line;
use super::text::{count, plain};
use crate::cli::ListFormat;
use cofferdam_batch::ledger::Backup;
use serde::Serialize;
use std::io::{self, Write};

/// The version of the JSON that this build writes.
const VERSION: u64 = 1;

#[derive(Serialize)]
struct BackupView {
    version: u64,
    file: String,
    bytes: u64,
    sessions: u64,
    jobs: u64,
}

pub(super) fn write(out: &mut dyn Write, format: ListFormat, backup: &Backup) -> io::Result<()> {
    let file = backup.file.display().to_string();
    match format {
        ListFormat::Human => writeln!(
            out,
            "cofferdam: copied {} and {} to {} ({} bytes, verified)",
            count(backup.sessions, "session"),
            count(backup.jobs, "job"),
            plain(&file),
            backup.bytes
        ),
        ListFormat::Json => json_line::write(
            out,
            &BackupView {
                version: VERSION,
                file,
                bytes: backup.bytes,
                sessions: backup.sessions,
                jobs: backup.jobs,
            },
        ),
    }
}
