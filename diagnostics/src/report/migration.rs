//! The changes of a migration, as a diff with notes, or as JSON.

use super::diff;
use super::fix::say;
use super::json_line;
use super::text::count;
use crate::cli::ListFormat;
use crate::commands::fix::Migrated;
use crate::fix::draft::Change;
use crate::fix::migration::Remark;
use serde::Serialize;
use std::io::{self, Write};

/// The version of the JSON that this build writes.
const VERSION: u64 = 1;

pub(super) fn write(out: &mut dyn Write, format: ListFormat, migrated: &Migrated) -> io::Result<()> {
    match format {
        ListFormat::Human => human(out, migrated),
        ListFormat::Json => json_line::write(out, &MigrationView::of(migrated)),
    }
}

fn human(out: &mut dyn Write, migrated: &Migrated) -> io::Result<()> {
    let migration = &migrated.migration;
    for change in &migration.changes {
        diff::write(out, &change.diff(&migrated.root))?;
        writeln!(out)?;
    }
    for (word, remarks) in [("check", &migration.to_check), ("left", &migration.left)] {
        for Remark {
            file,
            line,
            text,
            why,
        } in remarks
        {
            say(
                out,
                word,
                &format!("{text} ({}:{line}): {why}", migrated.shown(file)),
            )?;
        }
    }
    for (manifest, missing) in &migration.missing_crates {
        say(out, "needed", &missing.sentence(&migrated.shown(manifest)))?;
    }
    for problem in &migrated.problems {
        say(out, "unreadable", problem)?;
    }
    say(out, "cofferdam", &last_line(migrated))
}

fn last_line(migrated: &Migrated) -> String {
    let (migration, name) = (&migrated.migration, migrated.from.name());
    let left = match migration.left.len() as u64 {
        0 => String::new(),
        left => format!(", {} left", count(left, "place")),
    };
    if migration.changes.is_empty() {
        return format!("nothing to migrate from {name}{left}");
    }
    let then = match (migrated.written, migration.missing_crates.is_empty()) {
        (true, _) => "written",
        (false, true) => "--apply writes it",
        (false, false) => "add a crate first",
    };
    format!(
        "{} of {name} migrated, in {}{left}; {then}",
        count(migration.rewritten as u64, "use"),
        count(migration.changes.len() as u64, "file")
    )
}

/// The report, for programs.
#[derive(Serialize)]
struct MigrationView<'a> {
    version: u64,
    migrate: &'static str,
    written: bool,
    rewritten: usize,
    changes: Vec<ChangeView>,
    to_check: Vec<RemarkView<'a>>,
    left: Vec<RemarkView<'a>>,
    missing_library: Vec<String>,
    problems: &'a [String],
}

#[derive(Serialize)]
struct ChangeView {
    file: String,
    diff: String,
}

#[derive(Serialize)]
struct RemarkView<'a> {
    file: String,
    line: usize,
    text: &'a str,
    reason: &'a str,
}

impl<'a> MigrationView<'a> {
    fn of(migrated: &'a Migrated) -> Self {
        let migration = &migrated.migration;
        let change = |change: &Change| ChangeView {
            file: migrated.shown(&change.path),
            diff: change.diff(&migrated.root),
        };
        let remarks = |all: &'a [Remark]| -> Vec<RemarkView<'a>> {
            let view = |one: &'a Remark| RemarkView {
                file: migrated.shown(&one.file),
                line: one.line,
                text: &one.text,
                reason: &one.why,
            };
            all.iter().map(view).collect()
        };
        let missing = migration.missing_crates.keys();
        Self {
            version: VERSION,
            migrate: migrated.from.name(),
            written: migrated.written,
            rewritten: migration.rewritten,
            changes: migration.changes.iter().map(change).collect(),
            to_check: remarks(&migration.to_check),
            left: remarks(&migration.left),
            missing_library: missing.map(|path| migrated.shown(path)).collect(),
            problems: &migrated.problems,
        }
    }
}
