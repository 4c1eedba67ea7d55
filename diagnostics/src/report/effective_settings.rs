//! The report of `config`: a settings file with the origin of each line, or JSON.

use super::json_line;
use super::style::DIM;
use crate::cli::ListFormat;
use crate::settings::Effective;
use serde::Serialize;
use std::io::{self, Write};
use std::path::Path;

pub(super) fn write(out: &mut dyn Write, format: ListFormat, all: &[Effective]) -> io::Result<()> {
    match format {
        ListFormat::Human => human(out, all),
        ListFormat::Json => json(out, all),
    }
}

fn human(out: &mut dyn Write, all: &[Effective]) -> io::Result<()> {
    let mut table = "";
    for one in all {
        if one.command != table {
            let empty_line = if table.is_empty() { "" } else { "\n" };
            writeln!(out, "{empty_line}[{}]", one.command)?;
            table = &one.command;
        }
        let line = format!("{} = {}", one.option, value(one));
        let origin = match &one.place {
            None => "default".to_owned(),
            Some(place) => match &place.profile {
                None => place.to_string(),
                Some(profile) => format!("{place}, profile {profile}"),
            },
        };
        writeln!(out, "{line:<32} {DIM}# {origin}{DIM:#}")?;
    }
    Ok(())
}

/// Returns the value as TOML.
fn value(one: &Effective) -> String {
    let quoted = |value: &String| match value.parse::<i64>() {
        Ok(number) if number.to_string() == *value => number.to_string(),
        _ => toml_edit::Value::from(value.as_str()).to_string(),
    };
    match one.values.as_slice() {
        [value] if one.is_flag => value.clone(),
        [value] if !one.takes_several => quoted(value),
        values => format!("[{}]", values.iter().map(quoted).collect::<Vec<_>>().join(", ")),
    }
}

fn json(out: &mut dyn Write, all: &[Effective]) -> io::Result<()> {
    #[derive(Serialize)]
    struct Line<'a> {
        version: u32,
        settings: Vec<One<'a>>,
    }
    #[derive(Serialize)]
    struct One<'a> {
        command: &'a str,
        option: &'a str,
        values: &'a [String],
        file: Option<&'a Path>,
        line: Option<usize>,
        profile: Option<&'a str>,
    }
    let settings = all.iter().map(|one| One {
        command: &one.command,
        option: &one.option,
        values: &one.values,
        file: one.place.as_ref().map(|place| place.file.as_path()),
        line: one.place.as_ref().map(|place| place.line),
        profile: one.place.as_ref().and_then(|place| place.profile.as_deref()),
    });
    json_line::write(
        out,
        &Line {
            version: 1,
            settings: settings.collect(),
        },
    )
}
