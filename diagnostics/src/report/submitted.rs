//! A job that was handed to a session.

use super::text::{harmless, plain};
use crate::cli::ListFormat;
use crate::commands::submit::Submitted;
use serde_json::json;
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
        ListFormat::Json => {
            let value = json!({
                "version": VERSION, "session": session, "namespace": namespace, "job": format!("j{job}"), "name": name,
            });
            writeln!(out, "{}", harmless(&value.to_string()))
        }
    }
}
