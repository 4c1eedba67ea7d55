//! The variables of fixtures, for shells and for programs.

use super::json_line;
use crate::cli::EnvFormat;
use crate::fixtures::Exports;
use serde::Serialize;
use std::io::{self, Write};

/// The version of the JSON that this build writes.
const VERSION: u64 = 1;

#[derive(Serialize)]
struct VariablesView<'a> {
    version: u64,
    variables: &'a Exports,
}

pub(super) fn write(out: &mut dyn Write, format: EnvFormat, variables: &Exports) -> io::Result<()> {
    match format {
        EnvFormat::Sh => {
            for (name, value) in variables {
                let value = shlex::try_quote(value).map_err(io::Error::other)?;
                writeln!(out, "export {name}={value}")?;
            }
            Ok(())
        }
        EnvFormat::Json => {
            let version = VERSION;
            json_line::write(out, &VariablesView { version, variables })
        }
    }
}
