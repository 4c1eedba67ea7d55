//! A job that was handed to a session.

use super::json_line;
use super::text::plain;
use crate::cli::ListFormat;
use crate::commands::submit::Submitted;
use crate::ledger::SessionId;
use serde::Serialize;
use std::io::{self, Write};

/// The version of the report that this build writes.
const VERSION: u64 = 1;

pub(super) fn write(out: &mut dyn Write, format: ListFormat, submitted: &Submitted) -> io::Result<()> {
    let Submitted {
        session,
        namespace,
        job,
        name,
    } = submitted;
    match format {
        ListFormat::Human => {
            let (name, namespace) = (plain(name), plain(namespace));
            writeln!(
                out,
                "cofferdam: j{job} {name} is pending in session {session}, namespace {namespace}"
            )
        }
        ListFormat::Json => json_line::write(
            out,
            &SubmittedView {
                version: VERSION,
                session: *session,
                namespace,
                job: format!("j{job}"),
                name,
            },
        ),
    }
}

/// The report, for programs.
#[derive(Serialize)]
struct SubmittedView<'a> {
    version: u64,
    session: SessionId,
    namespace: &'a str,
    job: String,
    name: &'a str,
}
