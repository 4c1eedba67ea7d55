//! A copy that was made.

use super::text::{count, harmless, plain};
use crate::cli::ListFormat;
use cofferdam_batch::ledger::Backup;
use serde_json::json;
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
        ListFormat::Json => {
            let value = json!({
                "version": VERSION,
                "file": file,
                "bytes": backup.bytes,
                "sessions": backup.sessions,
                "jobs": backup.jobs,
            });
            writeln!(out, "{}", harmless(&value.to_string()))
        }
    }
}
