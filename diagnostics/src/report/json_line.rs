//! Writes a value as one line of JSON.

use super::text::harmless;
use serde::Serialize;
use std::io::{self, Write};

/// Writes a view of a report. Control characters in names are escaped.
pub(super) fn write(out: &mut dyn Write, view: &impl Serialize) -> io::Result<()> {
    let value = serde_json::to_value(view)?;
    writeln!(out, "{}", harmless(&value.to_string()))
}
